//! Every decision of a policy, told to whoever wants to know.
//!
//! Order, per slot: an attempt's end is told before the breaker transition that it causes, and
//! the transitions of a breaker in the order in which they happened. A policy that has been
//! replaced tells no more transitions.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "metrics")]
mod server;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::Transition;
use crate::call::{Outcome, Reason};
use crate::failure::FailureKind;
use crate::priority::Priority;
use crate::server::ShedReason;
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
    /// The label of the policy it goes by: its preset's name, with a number after it when a split
    /// has it more than once.
    pub policy: &'a str,
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
        /// Whether it is the second copy of a slow one, and no retry.
        hedge: bool,
    },
    /// Of several replicas, which one an attempt goes to. Told by whoever spreads the attempts
    /// ([`Slot::routed`](crate::Slot::routed)), never where there is one alone.
    Routed {
        /// Where.
        slot: &'a SlotName,
        /// The method or route template.
        method: &'a str,
        /// The request.
        request_id: &'a str,
        /// 1 for the first.
        attempt: u32,
        /// Its number, 1 for the first in the list.
        replica: u32,
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
    /// A second copy of a slow attempt begins; its [`AttemptStarted`](Self::AttemptStarted) follows.
    Hedge {
        /// Where.
        slot: &'a SlotName,
        /// The call.
        call: CallId<'a>,
        /// The second copy's number.
        attempt: u32,
        /// How long the first had had.
        after: Duration,
    },
    /// The second copy answered first.
    HedgeWon {
        /// Where.
        slot: &'a SlotName,
        /// The call.
        call: CallId<'a>,
        /// The second copy's number.
        attempt: u32,
    },
    /// What is left in a budget, after an attempt.
    Budget {
        /// Where.
        slot: &'a SlotName,
        /// Which policy's.
        policy: &'a str,
        /// See [`Budget::left`](crate::budget::Budget::left).
        left: f64,
    },
    /// A breaker changed its state.
    Breaker {
        /// Where.
        slot: &'a SlotName,
        /// Which policy's.
        policy: &'a str,
        /// From what to what.
        transition: Transition,
    },
    /// A policy took effect with fresh state (its breaker closed): at the slot's creation, by a
    /// swap, or by a reset. Of a split, each is told.
    Policy {
        /// Where.
        slot: &'a SlotName,
        /// The policy's label.
        policy: &'a str,
    },
    /// A server's policy took effect with fresh state.
    ServerPolicy {
        /// Where.
        slot: &'a SlotName,
        /// The policy's preset.
        policy: &'a str,
        /// Its limit on concurrent work; `None` without one.
        limit: Option<u32>,
    },
    /// A server let a request in. Each is followed by exactly one [`Finished`](Self::Finished).
    Admitted {
        /// Where.
        slot: &'a SlotName,
        /// The request.
        call: CallId<'a>,
        /// How long it waited in the queue.
        waited: Duration,
        /// How much it matters.
        priority: Priority,
        /// Requests under way, this one included.
        inflight: u32,
        /// The limit on them now; `None` without one.
        limit: Option<u32>,
    },
    /// A server refused a request.
    Shed {
        /// Where.
        slot: &'a SlotName,
        /// The request.
        call: CallId<'a>,
        /// How much it matters.
        priority: Priority,
        /// Why.
        reason: ShedReason,
        /// When it may be worth coming back.
        retry_after: Duration,
    },
    /// The work on a request that a server had let in ended.
    Finished {
        /// Where.
        slot: &'a SlotName,
        /// The request.
        call: CallId<'a>,
        /// How long it was under way, the wait in the queue not included.
        took: Duration,
        /// Whether it was for nobody: the caller went, or the deadline passed, before it ended.
        wasted: bool,
        /// Requests still under way.
        inflight: u32,
        /// The limit on them now; `None` without one.
        limit: Option<u32>,
    },
    /// A policy was replaced: its state means nothing any more. Told before those that take its
    /// place.
    PolicyGone {
        /// Where.
        slot: &'a SlotName,
        /// The policy's label.
        policy: &'a str,
    },
}

impl<'a> Event<'a> {
    /// The slot it happened in.
    pub fn slot(&self) -> &'a SlotName {
        match self {
            Self::AttemptStarted { slot, .. }
            | Self::Routed { slot, .. }
            | Self::Attempt { slot, .. }
            | Self::Wait { slot, .. }
            | Self::Refused { slot, .. }
            | Self::Call { slot, .. }
            | Self::Hedge { slot, .. }
            | Self::HedgeWon { slot, .. }
            | Self::Budget { slot, .. }
            | Self::Breaker { slot, .. }
            | Self::Policy { slot, .. }
            | Self::PolicyGone { slot, .. }
            | Self::ServerPolicy { slot, .. }
            | Self::Admitted { slot, .. }
            | Self::Shed { slot, .. }
            | Self::Finished { slot, .. } => slot,
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
