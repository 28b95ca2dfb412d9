//! A circuit breaker: stop calling what keeps failing, and try again with care.
//!
//! *Closed*, it lets everything through and counts. When its [`Rule`] trips it *opens* and refuses
//! at once, which spares the caller the wait and the dependency the load. After `reset` the next
//! caller finds it *half-open*: a few trial calls go through, the rest is refused; enough
//! successes close it, one failure opens it again, for longer each time if `growth` says so.
//!
//! **Use it** in front of each dependency that can be down for longer than a caller waits. It is
//! one of the three things that end an overload kept alive by retries (the others are a budget and
//! shedding), because it takes load away; back-off only moves it.
//!
//! **It harms**
//! - when one breaker covers callees of different health: one bad shard closes the door to all;
//! - when it counts the caller's own faults: one caller's bad requests then refuse everybody's.
//!   That is what [`FailureSet`] is for;
//! - when nothing bounds an attempt's time: a trial that hangs holds its permit, and with it the
//!   breaker half-open;
//! - when the dependency fails a little all the time: half-open asks for luck, not for health.
//!   With failure share p, n trials all succeed with (1 − p)ⁿ, so keep `successes` low there;
//! - when it answers overload alone: it knows all or nothing, so a dependency that could serve
//!   half of the load serves all of it, then none, in turns. Limits and throttling find the middle.
//!
//! # In a row, or in a window
//!
//! | rule | at failure share p it opens |
//! |---|---|
//! | `consecutive(5)` | after (1 − p⁵) / ((1 − p) p⁵) calls on average: 5 at p = 1, 6.9 at 0.9, 62 at 0.5, 111 110 at 0.1 |
//! | 50 % of a window of 20 | on a given full window with probability 0.048 at p = 0.3, 0.588 at 0.5, 0.983 at 0.7; sooner as it slides |
//!
//! **In a row** sees a dependency that is *down* in the fewest calls, needs no figures and hardly
//! ever opens by accident; it is blind to one that is half broken, since any success starts the
//! count again. **A window** sees the half-broken one, and with its slow-call rule the one that
//! hangs before it fails; it pays with a delay (the window must fill: `min_calls`) and with
//! thresholds that somebody must choose. A *count* window remembers for ever when calls are rare,
//! so that last night's failures open it this morning; a *time* window forgets, but under little
//! traffic never reaches its `min_calls`.
//!
//! Slow calls are judged by windows only. While half-open, a slow trial is a failed one, if slow
//! calls can open the breaker at all (`slow_rate` ≤ 1). resilience4j instead asks the rule again of
//! all the trials together; here each trial decides alone, which needs fewer of them to find out
//! that nothing has changed.
//!
//! # What makes this one right in the corners
//!
//! - A [`Permit`] that is dropped unrecorded (its call was cancelled) gives its trial slot back and
//!   counts as nothing.
//! - The result of an attempt that began before a transition says nothing about the new state, so
//!   it doesn't count there.
//! - Open turns half-open on the first acquire after `reset`, not on a timer: an unused breaker
//!   costs nothing. So does the lapse of a state held by hand ([`Breaker::force`]).
//! - Transitions form a chain: each is returned to exactly one caller, and begins in the state in
//!   which the one before ended.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
//! # .unwrap().block_on(async {
//! use std::time::Duration;
//! use resilience::breaker::{Breaker, BreakerConfig};
//!
//! let breaker = Breaker::new(BreakerConfig::consecutive(2, Duration::from_secs(5)));
//! for _ in 0..2 {
//!     breaker.try_acquire().unwrap().failure();
//! }
//! let refused = breaker.try_acquire().unwrap_err();
//! assert_eq!(refused.retry_after, Some(Duration::from_secs(5)));
//! # });
//! ```
//!
//! Sources: M. Nygard, "Release It!", chapter "Stability Patterns"; the consecutive rule and its 5
//! failures, 30 s are the reference shop's (pybreaker's `fail_max`, `reset_timeout`); the windows
//! and their defaults are resilience4j's (`CircuitBreakerConfig`). The first row of the table is
//! the mean wait for a run of successes (W. Feller, "An Introduction to Probability Theory", vol.
//! 1, XIII.7), the second the upper half of a binomial distribution.

mod call;
mod config;
mod counts;
mod judge;
mod lock;
mod machine;
mod state;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::{FailureKind, Verdict};
use machine::{Machine, Ticket};

pub use call::BreakerError;
pub use config::{BreakerConfig, MAX_WINDOW_CALLS, Rule};
pub use counts::FailureSet;
pub use lock::{Locking, ParkingLot};
pub use state::{BreakerState, BreakerView, Forced, Refused, Transition};

/// A circuit breaker. Clones share its state.
///
/// Acquiring and recording take one short lock each and allocate nothing. `L` is the kind of that
/// lock; only tests choose another than the default.
pub struct Breaker<L: Locking = ParkingLot>(Arc<L::Mutex<Machine>>);

impl Breaker {
    /// A closed breaker.
    ///
    /// A senseless figure in `config` is taken as the nearest that makes sense, for a breaker that
    /// could never close again, or that opens by itself, is nobody's wish: counts of zero are 1,
    /// `min_calls` is at most the window's `calls`, those at most [`MAX_WINDOW_CALLS`], and
    /// `max_reset` at least `reset`. A threshold or a growth that is not a number has no effect.
    pub fn new(config: BreakerConfig) -> Self {
        Self::with_lock(config)
    }
}

impl<L: Locking> Breaker<L> {
    /// The same as [`Breaker::new`] round a lock of another kind.
    pub fn with_lock(config: BreakerConfig) -> Self {
        Self(Arc::new(L::new(Machine::new(config))))
    }

    /// Asks for leave to make one attempt.
    ///
    /// # Errors
    /// [`Refused`] when it is open, or half-open with all its trials running.
    pub fn try_acquire(&self) -> Result<Permit<L>, Refused> {
        self.acquire(Instant::now)
    }

    /// Where it stands now.
    pub fn view(&self) -> BreakerView {
        L::with(&self.0, |machine| machine.view(Instant::now()))
    }

    /// Holds a state by hand, until `until` or for good, or lets go of it with `None`. Returns the
    /// transition this caused.
    ///
    /// However it ends, the breaker starts closed and fresh then. The end of `until` needs no
    /// timer: [`view`](Self::view) shows it at once, and the next call tells the transition. What
    /// was under way before the force doesn't count after it. Forcing again takes the place of the
    /// force before; a time that is over already lets go.
    pub fn force(&self, forced: Option<Forced>, until: Option<Instant>) -> Option<Transition> {
        L::with(&self.0, |machine| {
            machine.force(forced, until, Instant::now())
        })
    }

    /// The clock is read under the lock, so that time never runs backwards for the machine.
    fn acquire(&self, now: impl FnOnce() -> Instant) -> Result<Permit<L>, Refused> {
        let (ticket, transition) = L::with(&self.0, |machine| machine.acquire(now()))?;
        Ok(Permit {
            machine: self.0.clone(),
            admitted: ticket.admitted,
            ticket: Some(ticket),
            transition,
        })
    }
}

/// The same at a time of the caller's choice, for checkers of interleavings that have no clock.
#[doc(hidden)]
impl<L: Locking> Breaker<L> {
    pub fn try_acquire_at(&self, now: Instant) -> Result<Permit<L>, Refused> {
        self.acquire(|| now)
    }

    pub fn view_at(&self, now: Instant) -> BreakerView {
        L::with(&self.0, |machine| machine.view(now))
    }

    pub fn force_at(
        &self,
        forced: Option<Forced>,
        until: Option<Instant>,
        now: Instant,
    ) -> Option<Transition> {
        L::with(&self.0, |machine| machine.force(forced, until, now))
    }
}

impl<L: Locking> Clone for Breaker<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Locking> fmt::Debug for Breaker<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Breaker").field(&self.view()).finish()
    }
}

/// Leave to make one attempt. Say how it ended; dropping it instead says that it was cancelled.
#[must_use = "a permit dropped at once counts as a cancelled attempt"]
pub struct Permit<L: Locking = ParkingLot> {
    machine: Arc<L::Mutex<Machine>>,
    ticket: Option<Ticket>,
    admitted: BreakerState,
    transition: Option<Transition>,
}

impl<L: Locking> Permit<L> {
    /// The state that admitted it: closed, or half-open for a trial.
    pub fn admitted(&self) -> BreakerState {
        self.admitted
    }

    /// The transition that acquiring this permit caused: the first trial after `reset` turns an
    /// open breaker half-open, and the first call after the lapse of a forced open closes it.
    pub fn transition(&self) -> Option<Transition> {
        self.transition
    }

    /// The dependency worked, and took the time since the acquire. Returns the transition this
    /// caused.
    pub fn success(self) -> Option<Transition> {
        self.record(Verdict::Success)
    }

    /// The dependency failed, and took the time since the acquire. Returns the transition this
    /// caused.
    pub fn failure(self) -> Option<Transition> {
        self.record(Verdict::Failure)
    }

    /// Records a verdict on an attempt that ran since the acquire, whatever failures the breaker
    /// is told to count; [`Verdict::Nothing`] is the same as dropping the permit. Returns the
    /// transition this caused.
    pub fn record(self, verdict: Verdict) -> Option<Transition> {
        self.spend(|machine, ticket| machine.record(ticket, verdict, None, Instant::now()))
    }

    /// Records how an attempt that ran for `took` ended, `None` for success. The breaker's own
    /// [`FailureSet`] and slow-call rule decide what that means. Returns the transition this
    /// caused.
    pub fn record_timed(self, kind: Option<FailureKind>, took: Duration) -> Option<Transition> {
        self.judged(kind, Some(took), Instant::now)
    }

    #[doc(hidden)]
    pub fn record_timed_at(
        self,
        kind: Option<FailureKind>,
        took: Duration,
        now: Instant,
    ) -> Option<Transition> {
        self.judged(kind, Some(took), || now)
    }

    /// As [`record_timed`](Self::record_timed), of an attempt that ran since the acquire.
    fn conclude(self, kind: Option<FailureKind>) -> Option<Transition> {
        self.judged(kind, None, Instant::now)
    }

    fn judged(
        self,
        kind: Option<FailureKind>,
        took: Option<Duration>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Transition> {
        self.spend(|machine, ticket| {
            let verdict = kind.map_or(Verdict::Success, |kind| machine.verdict(kind));
            machine.record(ticket, verdict, took, now())
        })
    }

    fn spend(
        mut self,
        record: impl FnOnce(&mut Machine, Ticket) -> Option<Transition>,
    ) -> Option<Transition> {
        let ticket = self.ticket.take()?;
        L::with(&self.machine, |machine| record(machine, ticket))
    }
}

impl<L: Locking> Drop for Permit<L> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            L::with(&self.machine, |machine| machine.cancel(ticket));
        }
    }
}

impl<L: Locking> fmt::Debug for Permit<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("admitted", &self.admitted)
            .field("transition", &self.transition)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
