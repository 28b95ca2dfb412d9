//! Every decision of a policy, told to whoever wants to know.
//!
//! Order, per slot: an attempt's end is told before the breaker transition that it causes, and
//! the transitions of a breaker in the order in which they happened. A policy that has been
//! replaced tells no more transitions.

#[cfg(feature = "metrics")]
mod metrics;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::Transition;
use crate::call::{Outcome, Reason};
use crate::failure::FailureKind;
use crate::slot::SlotName;

#[cfg(feature = "metrics")]
pub use self::metrics::MetricsObserver;

/// Hears of every decision.
///
/// It is called on the path of a call and, to keep the order, under a lock of its slot: be quick,
/// never block, and don't call [`Slot::set`](crate::Slot::set), [`Slot::reset`](crate::Slot::reset)
/// or anything else that changes the slot from within, or it locks up.
pub trait Observer: Send + Sync {
    /// One decision, just taken.
    fn on(&self, event: &Event<'_>);
}

/// Which logical call an event belongs to.
#[derive(Clone, Copy, Debug)]
pub struct CallId<'a> {
    /// The method or route template.
    pub method: &'a str,
    /// The request.
    pub request_id: &'a str,
}

/// One decision.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An attempt begins. Each is followed by exactly one [`Attempt`](Self::Attempt).
    AttemptStarted {
        /// Where.
        slot: &'a SlotName,
        /// The call.
        call: CallId<'a>,
        /// 1 for the first.
        attempt: u32,
    },
    /// An attempt ended.
    Attempt {
        /// Where.
        slot: &'a SlotName,
        /// The call.
        call: CallId<'a>,
        /// 1 for the first.
        attempt: u32,
        /// When it began.
        started: Instant,
        /// When it ended.
        ended: Instant,
        /// Whether it was answered.
        ok: bool,
        /// `OK`, the error's own code, `DEADLINE_EXCEEDED` when cut short here, `CANCELLED` when
        /// the call was dropped.
        status: &'a str,
        /// How it failed; `None` when it was answered or dropped.
        failure: Option<FailureKind>,
        /// Whether the call was dropped while it ran.
        cancelled: bool,
    },
    /// A wait begins before another attempt.
    Wait {
        /// Where.
        slot: &'a SlotName,
        /// The call.
        call: CallId<'a>,
        /// The attempt to come.
        attempt: u32,
        /// How long, zero included.
        wait: Duration,
    },
    /// An attempt was refused here.
    Refused {
        /// Where.
        slot: &'a SlotName,
        /// The call.
        call: CallId<'a>,
        /// The attempt that was not made.
        attempt: u32,
        /// By whom.
        reason: Reason,
        /// When it may be worth coming back.
        retry_after: Option<Duration>,
    },
    /// A logical call ended.
    Call {
        /// Where.
        slot: &'a SlotName,
        /// The call.
        call: CallId<'a>,
        /// How.
        outcome: Outcome,
        /// Attempts made.
        attempts: u32,
        /// When it began.
        started: Instant,
        /// When it ended.
        ended: Instant,
    },
    /// A breaker changed its state.
    Breaker {
        /// Where.
        slot: &'a SlotName,
        /// From what to what.
        transition: Transition,
    },
    /// A policy took effect with fresh state (its breaker closed): at the slot's creation, by a
    /// swap, or by a reset.
    Policy {
        /// Where.
        slot: &'a SlotName,
        /// The policy's preset.
        policy: &'a str,
    },
}

impl<'a> Event<'a> {
    /// The slot it happened in.
    pub fn slot(&self) -> &'a SlotName {
        match self {
            Self::AttemptStarted { slot, .. }
            | Self::Attempt { slot, .. }
            | Self::Wait { slot, .. }
            | Self::Refused { slot, .. }
            | Self::Call { slot, .. }
            | Self::Breaker { slot, .. }
            | Self::Policy { slot, .. } => slot,
        }
    }
}

/// Tells several observers, in their order. An empty one tells nobody.
#[derive(Clone, Default)]
pub struct Fanout(pub Vec<Arc<dyn Observer>>);

impl Observer for Fanout {
    fn on(&self, event: &Event<'_>) {
        for observer in &self.0 {
            observer.on(event);
        }
    }
}
