//! Who still works holds the place behind the door, though its request has gone.

use std::sync::Arc;

use ::http::Extensions;
use parking_lot::Mutex;
use resilience::server::{Admission, End};

use super::Faults;

/// A place behind the service's door, as the door holds it.
pub(crate) enum Held {
    /// Alone: dropped with the request.
    Alone(Admission),
    /// Together with work that a fault has made of the request, if any.
    Shared(Stay),
}

/// A share of a place: given back when nobody holds one any more.
#[derive(Clone)]
pub(crate) struct Stay(Arc<Mutex<Shared>>);

struct Shared {
    place: Option<Admission>,
    /// The fault layer counts the wasted work itself: the time that a request is delayed, queued
    /// or hung is none.
    accounted: bool,
}

impl Held {
    /// Leaves a share with the request while there are faults that may want it.
    pub(crate) fn new(
        place: Admission,
        faults: Option<&Faults>,
        extensions: &mut Extensions,
    ) -> Self {
        if !faults.is_some_and(Faults::any) {
            return Self::Alone(place);
        }
        let stay = Stay(Arc::new(Mutex::new(Shared {
            place: Some(place),
            accounted: false,
        })));
        extensions.insert(stay.clone());
        Self::Shared(stay)
    }

    /// The request was answered.
    pub(crate) fn finish(self, end: End) {
        match self {
            Self::Alone(place) => place.finish(end),
            Self::Shared(stay) => stay.0.lock().finish(Some(end)),
        }
    }
}

impl Stay {
    /// Takes the request's share, and the counting of wasted work with it.
    pub(super) fn take(extensions: &mut Extensions) -> Option<Self> {
        let stay = extensions.remove::<Self>()?;
        stay.0.lock().accounted = true;
        Some(stay)
    }

    /// The work has ended, and its caller has left; `end` when it ran to its own end.
    pub(super) fn leave(self, end: Option<End>) {
        self.0.lock().finish(end);
    }
}

impl Shared {
    fn finish(&mut self, end: Option<End>) {
        match (self.place.take(), end) {
            (Some(place), end) if self.accounted => place.settle(end),
            (Some(place), Some(end)) => place.finish(end),
            (place, _) => drop(place),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.finish(None);
    }
}
