//! The time line: injects the faults at their times, clears them, and tells when
//! each began and was confirmed. Whatever happens, it ends with nothing injected.
//!
//! Each fault is played on its own, so that a process that takes its time to start
//! keeps no other fault waiting. What is in force has its lease renewed every
//! [`RENEWAL`]; an engine that dies renews nothing, and the injectors let go.

mod all;
mod play;
mod processes;
mod proxies;
mod requests;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

pub use all::Injectors;
pub use play::{keep, play, put};
pub use processes::ProcessInjector;
pub use proxies::ProxyInjector;
pub use requests::RequestInjector;

use crate::error::EngineError;
use crate::scenario::Action;

/// How long a fault stays without being renewed.
pub const LEASE: Duration = Duration::from_secs(15);

/// How often leases are renewed.
pub const RENEWAL: Duration = Duration::from_secs(5);

/// What the time line tells. Times are `CLOCK_MONOTONIC`, nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The injection of a fault begins.
    InjectBegins {
        /// The fault.
        fault: String,
        /// When.
        ns: u64,
    },
    /// The injector has confirmed it.
    Injected {
        /// The fault.
        fault: String,
        /// When it was begun.
        begin_ns: u64,
        /// When it was confirmed.
        done_ns: u64,
    },
    /// The fault has been cleared and confirmed.
    Cleared {
        /// The fault.
        fault: String,
        /// When the clearing was begun.
        begin_ns: u64,
        /// When it was confirmed.
        done_ns: u64,
    },
    /// The fault will not come again: what its injector counted in all.
    Acted {
        /// The fault or condition.
        fault: String,
        /// Who counted.
        by: &'static str,
        /// The count.
        count: Count,
    },
}

/// What an injector counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// What the fault could have acted on; `None` where that isn't counted.
    pub matched: Option<u64>,
    /// What it acted on; `None` where nobody counts.
    pub acted: Option<u64>,
}

impl Count {
    /// Both together: of several replicas, or of several injections.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
        };
        Self {
            matched: sum(self.matched, other.matched),
            acted: sum(self.acted, other.acted),
        }
    }
}

/// What is to be done, where, under which name.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The fault's or condition's name.
    pub name: &'a str,
    /// The link, or the part.
    pub link: &'a str,
    /// What.
    pub action: &'a Action,
}

/// Carries out faults of one kind, or of all.
#[async_trait::async_trait]
pub trait Injector: Send + Sync {
    /// Puts a fault in force; returns when that is confirmed.
    async fn inject(&self, order: Order<'_>) -> Result<(), EngineError>;

    /// Keeps it in force.
    async fn renew(&self, order: Order<'_>) -> Result<(), EngineError>;

    /// Takes it away; returns when that is confirmed, with what it acted on since its
    /// injection. A fault that isn't there is no error.
    async fn clear(&self, order: Order<'_>) -> Result<Count, EngineError>;

    /// Takes everything away, when clearing one by one has failed.
    async fn clear_all(&self) -> Result<(), EngineError>;
}

/// Translates between `CLOCK_MONOTONIC` and tokio's clock, which tests can pause.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    ns: u64,
    at: Instant,
}

impl Clock {
    /// A clock that agrees with both now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            ns: loadtest::clock::now_ns(),
            at: Instant::now(),
        }
    }

    fn now_ns(&self) -> u64 {
        self.ns + loadtest::clock::as_ns(self.at.elapsed())
    }

    fn instant(&self, ns: u64) -> Instant {
        self.at + Duration::from_nanos(ns.saturating_sub(self.ns))
    }
}
