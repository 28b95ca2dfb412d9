//! A door: the state under its lock, and those who hold a slot or wait for one.
//!
//! A slot is never in nobody's hands. Who is let in at once holds a [`Lease`]; to who waits, the
//! lease is *sent*. If he is gone by then, the channel gives the lease back or drops it, and a
//! lease that is dropped lets the next one in. So no order of cancelling, timing out and granting
//! can lose one.
//!
//! Nobody is woken, and nothing is dropped that others made, while the lock is held.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout_at};

use super::policy::ServerPolicy;
use super::queue::Place;
use super::state::{Arrived, Grants, State, Waits};
use super::{ServerView, Shed, ShedReason};
use crate::deadline::Deadline;
use crate::priority::Priority;

pub(super) struct Door {
    pub(super) policy: ServerPolicy,
    state: Mutex<State<Ticket>>,
}

/// By which one who waits is answered. Dropped without a word, it says that his time is up.
type Ticket = oneshot::Sender<Answer>;

enum Answer {
    In(Lease),
    Displaced(Shed),
}

/// A slot, given back when dropped.
pub(super) struct Lease {
    door: Arc<Door>,
    /// Since when it is held.
    pub(super) since: Instant,
    /// The door when it was given, itself counted.
    pub(super) seen: ServerView,
    held: bool,
}

/// One who waits. Dropped, he leaves the queue.
struct Waiting {
    door: Arc<Door>,
    place: Place,
    until: Option<Instant>,
    late: ShedReason,
    answer: oneshot::Receiver<Answer>,
}

/// What a knock at the door came to, before anybody waited.
enum Knock {
    In(Lease),
    Waits(Waiting),
    Refused(Shed),
}

impl Door {
    pub(super) fn new(policy: ServerPolicy) -> Self {
        Self {
            state: Mutex::new(State::new(&policy)),
            policy,
        }
    }

    pub(super) fn view(&self) -> ServerView {
        self.state.lock().view()
    }

    /// Waits for a slot for as long as the policy and the deadline allow.
    pub(super) async fn enter(
        self: &Arc<Self>,
        level: Priority,
        deadline: Deadline,
    ) -> Result<Lease, Shed> {
        if deadline.expired() {
            return Err(self.shed(ShedReason::Deadline));
        }
        let waiting = match self.knock(level, deadline) {
            Knock::In(lease) => return Ok(lease),
            Knock::Refused(shed) => return Err(shed),
            Knock::Waits(waiting) => waiting,
        };
        let lease = waiting.answered().await?;
        // He may have been slow to take it. The lease goes to the next then.
        if deadline.expired() {
            return Err(self.shed(ShedReason::Deadline));
        }
        Ok(lease)
    }

    fn knock(self: &Arc<Self>, level: Priority, deadline: Deadline) -> Knock {
        let now = Instant::now();
        let mut state = self.state.lock();
        let arrived = state.arrive(level, deadline.instant(), now, oneshot::channel);
        let (seen, retry_after) = (state.view(), state.retry_after());
        drop(state);
        match arrived {
            Arrived::In => Knock::In(self.lease(now, seen)),
            Arrived::Waits(waits) => Knock::Waits(self.waiting(waits, retry_after)),
            Arrived::Refused(reason) => Knock::Refused(Shed {
                reason,
                retry_after,
            }),
        }
    }

    /// Somebody joins the queue, and whoever had to leave it for him is told.
    fn waiting(
        self: &Arc<Self>,
        waits: Waits<Ticket, oneshot::Receiver<Answer>>,
        retry_after: Duration,
    ) -> Waiting {
        if let Some(displaced) = waits.displaced {
            // Gone already: then there is nobody to tell.
            let _ = displaced.send(Answer::Displaced(Shed {
                reason: ShedReason::Priority,
                retry_after,
            }));
        }
        Waiting {
            door: self.clone(),
            place: waits.place,
            until: waits.until,
            late: waits.late,
            answer: waits.answer,
        }
    }

    fn lease(self: &Arc<Self>, since: Instant, seen: ServerView) -> Lease {
        Lease {
            door: self.clone(),
            since,
            seen,
            held: true,
        }
    }

    fn release(self: &Arc<Self>, took: Option<Duration>, dropped: Option<bool>) -> ServerView {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.release(took, dropped, now);
        let left = state.view();
        let grants = state.grant(now);
        let seen = state.view();
        drop(state);
        self.hand_over(grants, now, seen);
        ServerView {
            inflight: left.inflight,
            ..seen
        }
    }

    fn hand_over(self: &Arc<Self>, grants: Grants<Ticket>, now: Instant, seen: ServerView) {
        let Grants { first, more, late } = grants;
        for ticket in first.into_iter().chain(more) {
            // To one who has gone the lease comes back, and is dropped here: on to the next.
            drop(ticket.send(Answer::In(self.lease(now, seen))));
        }
        // Dropping their tickets tells them.
        drop(late);
    }

    fn shed(&self, reason: ShedReason) -> Shed {
        Shed {
            reason,
            retry_after: self.state.lock().retry_after(),
        }
    }
}

impl Lease {
    /// Gives the slot back, and tells the limit how it went (see [`State::release`]). Returns the
    /// door as this leaves it, the slot counted as free.
    pub(super) fn end(mut self, took: Duration, dropped: Option<bool>) -> ServerView {
        self.held = false;
        self.door.release(Some(took), dropped)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.held {
            self.door.release(None, None);
        }
    }
}

impl Waiting {
    async fn answered(mut self) -> Result<Lease, Shed> {
        let answer = match self.until {
            Some(until) => timeout_at(until, &mut self.answer).await,
            None => Ok((&mut self.answer).await),
        };
        match answer {
            Ok(Ok(answer)) => answer.into_result(),
            Ok(Err(_dropped)) => Err(self.too_late()),
            Err(_elapsed) => self.give_up(),
        }
    }

    /// The time is up. If it has just been answered all the same, the answer counts.
    fn give_up(&mut self) -> Result<Lease, Shed> {
        if self.door.state.lock().leave(self.place) {
            return Err(self.too_late());
        }
        // Whoever took us from the queue may not have sent yet; from here on he can't.
        self.answer.close();
        match self.answer.try_recv() {
            Ok(answer) => answer.into_result(),
            Err(_) => Err(self.too_late()),
        }
    }

    fn too_late(&self) -> Shed {
        self.door.shed(self.late)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Out of the queue first; a lease that is in the channel already is dropped with it.
        let _ = self.door.state.lock().leave(self.place);
    }
}

impl Answer {
    fn into_result(self) -> Result<Lease, Shed> {
        match self {
            Self::In(lease) => Ok(lease),
            Self::Displaced(shed) => Err(shed),
        }
    }
}
