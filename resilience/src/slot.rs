//! Where a policy sits: the caller's end of one link.
//!
//! A slot keeps a policy and its running state (the breaker) and applies them to every call that
//! goes through it. [`Slot::set`] swaps the policy: calls in flight end under the one they began
//! with, calls that begin later get the new one with fresh state. Nothing is lost and nothing
//! waits.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::breaker::{Breaker, Transition};
use crate::call::{Attempt, Call, CallError};
use crate::failure::Classify;
use crate::observe::{Event, Observer};
use crate::path;
use crate::policy::Policy;
use crate::rng::Streams;

pub use crate::breaker::BreakerView;

/// What a slot is called, and the labels its metrics carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotName {
    /// The link's id, such as `order-product`.
    pub link: String,
    /// Who calls, such as `order`.
    pub service: String,
    /// Who is called, such as `product`.
    pub dependency: String,
}

impl SlotName {
    /// The three names of a slot.
    pub fn new(
        link: impl Into<String>,
        service: impl Into<String>,
        dependency: impl Into<String>,
    ) -> Self {
        Self {
            link: link.into(),
            service: service.into(),
            dependency: dependency.into(),
        }
    }
}

/// The place of one policy. Clones are the same slot.
#[derive(Clone)]
pub struct Slot(Arc<Inner>);

struct Inner {
    name: SlotName,
    active: ArcSwap<Active>,
    observer: Arc<dyn Observer>,
    streams: Streams,
    /// Held while a breaker's state and the telling of it must stay together; see
    /// [`Slot::in_order`].
    order: Mutex<()>,
}

/// A policy and its running state. Each call holds on to the one it began with.
pub(crate) struct Active {
    pub(crate) policy: Policy,
    pub(crate) breaker: Option<Breaker>,
}

impl Active {
    fn new(policy: Policy) -> Self {
        Self {
            breaker: policy.breaker.map(Breaker::new),
            policy,
        }
    }
}

impl Slot {
    /// A slot with its first policy. `seed` decides the jitter of its calls.
    pub fn new(name: SlotName, policy: Policy, observer: Arc<dyn Observer>, seed: u64) -> Self {
        let slot = Self(Arc::new(Inner {
            name,
            active: ArcSwap::from_pointee(Active::new(policy)),
            observer,
            streams: Streams::new(seed),
            order: Mutex::new(()),
        }));
        slot.tell_policy(&slot.0.active.load());
        slot
    }

    /// The link's id.
    pub fn name(&self) -> &str {
        &self.0.name.link
    }

    /// All of the slot's names.
    pub fn names(&self) -> &SlotName {
        &self.0.name
    }

    /// The policy that calls beginning now get.
    pub fn policy(&self) -> Policy {
        self.0.active.load().policy.clone()
    }

    /// Swaps the policy. Calls in flight keep theirs; the new one starts with fresh state.
    pub fn set(&self, policy: Policy) {
        self.replace(|_| policy);
    }

    /// The same policy with fresh state: breaker closed.
    pub fn reset(&self) {
        self.replace(Policy::clone);
    }

    /// Where the breaker stands; `None` when the policy has none.
    pub fn breaker_state(&self) -> Option<BreakerView> {
        self.0.active.load().breaker.as_ref().map(Breaker::view)
    }

    /// Makes a call under the slot's policy; `op` makes one attempt.
    ///
    /// Dropping the future cancels the call: what it holds is released, the attempt under way
    /// counts as nothing, and both are told as cancelled.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<T, E, F, Fut>(&self, call: Call<'_>, op: F) -> Result<T, CallError<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let active = self.0.active.load_full();
        path::run(self, &active, call, op).await
    }

    fn replace(&self, next: impl FnOnce(&Policy) -> Policy) {
        let _order = self.0.order.lock();
        let active = Arc::new(Active::new(next(&self.0.active.load().policy)));
        self.0.active.store(active.clone());
        self.tell_policy(&active);
    }

    fn tell_policy(&self, active: &Active) {
        self.tell(&Event::Policy {
            slot: &self.0.name,
            policy: &active.policy.preset,
        });
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.0.observer.on(event);
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Runs a step of a breaker together with the events that tell of it, so that observers hear
    /// attempts and transitions in the order in which the breaker saw them, whatever the threads
    /// do.
    pub(crate) fn in_order<T>(&self, active: &Active, step: impl FnOnce() -> T) -> T {
        let _order = active.breaker.is_some().then(|| self.0.order.lock());
        step()
    }

    /// Tells a transition, unless the breaker belongs to a policy already replaced: to the outside
    /// the slot's breaker is the new one. Call it within [`in_order`](Self::in_order).
    pub(crate) fn tell_transition(&self, active: &Arc<Active>, transition: Transition) {
        if !Arc::ptr_eq(&self.0.active.load(), active) {
            return;
        }
        tracing::info!(
            link = self.0.name.link,
            from = transition.from.as_str(),
            to = transition.to.as_str(),
            failures_in_a_row = transition.failures_in_a_row,
            "breaker transition",
        );
        self.tell(&Event::Breaker {
            slot: &self.0.name,
            transition,
        });
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.0.name)
            .field("policy", &self.0.active.load().policy)
            .finish_non_exhaustive()
    }
}
