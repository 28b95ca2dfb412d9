//! A circuit breaker: stop calling what keeps failing, and try again with care.
//!
//! *Closed*, it lets everything through and counts failures. When its rule trips it *opens* and
//! refuses at once, which spares the caller the wait and the dependency the load. After `reset`
//! the next caller finds it *half-open*: a few trial calls go through, the rest is refused; enough
//! successes close it, one failure opens it again.
//!
//! **Use it** in front of each dependency that can be down for longer than a caller waits. **It
//! harms** when one breaker covers callees of different health (one bad shard closes the door to
//! all), when it counts the caller's own faults, and when nothing bounds an attempt's time: a
//! trial that hangs holds its permit, and with it the breaker half-open.
//!
//! # What makes this one right in the corners
//!
//! - A [`Permit`] that is dropped unrecorded (its call was cancelled) gives its trial slot back and
//!   counts as nothing.
//! - The result of an attempt that began before a transition says nothing about the new state, so
//!   it doesn't count there.
//! - Open turns half-open on the first acquire after `reset`, not on a timer: an unused breaker
//!   costs nothing.
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
//! Source: M. Nygard, "Release It!", chapter "Stability Patterns"; the consecutive rule and its 5
//! failures, 30 s are the reference shop's (pybreaker's `fail_max`, `reset_timeout`).

mod machine;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::failure::Verdict;
use machine::{Machine, Ticket};

/// When to open, for how long, and what closes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BreakerConfig {
    /// Opens after a number of failures in a row; any success starts the count again.
    Consecutive {
        /// Failures in a row that open it, at least 1.
        failures: u32,
        /// How long it stays open before a trial is let through.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        reset: Duration,
        /// Trial calls at once while half-open, at least 1.
        trials: u32,
        /// Successful trials that close it, at least 1.
        successes: u32,
    },
}

impl BreakerConfig {
    /// `failures` in a row open it for `reset`; one trial at a time, one success closes it.
    pub fn consecutive(failures: u32, reset: Duration) -> Self {
        Self::Consecutive {
            failures,
            reset,
            trials: 1,
            successes: 1,
        }
    }
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything goes through.
    Closed,
    /// Nothing does.
    Open,
    /// Trials do.
    HalfOpen,
}

impl BreakerState {
    /// The name used in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state after.
    pub to: BreakerState,
    /// Failures in a row up to now: those that opened it, trials included; 0 once closed.
    pub failures_in_a_row: u32,
    /// When it opened: the time until the first trial.
    pub retry_after: Option<Duration>,
}

/// The breaker let nothing through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker refuses calls")]
pub struct Refused {
    /// Open: the time until the next trial. Half-open with all its trials running: `None`, since
    /// that depends on when they end.
    pub retry_after: Option<Duration>,
}

/// A look at a breaker from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerView {
    /// Where it stands. An open breaker whose time is up still shows open: it turns half-open with
    /// the next call.
    pub state: BreakerState,
    /// Failures in a row so far.
    pub failures_in_a_row: u32,
    /// Open: the time until the next trial, zero when one is due.
    pub retry_after: Option<Duration>,
}

/// A circuit breaker. Clones share its state.
///
/// Acquiring and recording take one short lock each and allocate nothing.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Mutex<Machine>>);

impl Breaker {
    /// A closed breaker. Counts of zero in `config` are taken as 1: a breaker that could never
    /// close again, or that opens by itself, is nobody's wish.
    pub fn new(config: BreakerConfig) -> Self {
        Self(Arc::new(Mutex::new(Machine::new(config))))
    }

    /// Asks for leave to make one attempt.
    ///
    /// # Errors
    /// [`Refused`] when it is open, or half-open with all its trials running.
    pub fn try_acquire(&self) -> Result<Permit, Refused> {
        let mut machine = self.0.lock();
        let (ticket, transition) = machine.acquire(Instant::now())?;
        let admitted = ticket.admitted;
        Ok(Permit {
            machine: self.0.clone(),
            ticket: Some(ticket),
            admitted,
            transition,
        })
    }

    /// Where it stands now.
    pub fn view(&self) -> BreakerView {
        self.0.lock().view(Instant::now())
    }
}

/// Leave to make one attempt. Say how it ended; dropping it instead says that it was cancelled.
#[derive(Debug)]
#[must_use = "a permit dropped at once counts as a cancelled attempt"]
pub struct Permit {
    machine: Arc<Mutex<Machine>>,
    ticket: Option<Ticket>,
    admitted: BreakerState,
    transition: Option<Transition>,
}

impl Permit {
    /// The state that admitted it: closed, or half-open for a trial.
    pub fn admitted(&self) -> BreakerState {
        self.admitted
    }

    /// The transition that acquiring this permit caused: the first trial after `reset` turns an
    /// open breaker half-open.
    pub fn transition(&self) -> Option<Transition> {
        self.transition
    }

    /// The dependency worked. Returns the transition this caused.
    pub fn success(self) -> Option<Transition> {
        self.record(Verdict::Success)
    }

    /// The dependency failed. Returns the transition this caused.
    pub fn failure(self) -> Option<Transition> {
        self.record(Verdict::Failure)
    }

    /// Records a verdict; [`Verdict::Nothing`] is the same as dropping the permit. Returns the
    /// transition this caused.
    pub fn record(mut self, verdict: Verdict) -> Option<Transition> {
        let ticket = self.ticket.take()?;
        self.machine.lock().record(ticket, verdict, Instant::now())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.machine
                .lock()
                .record(ticket, Verdict::Nothing, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
