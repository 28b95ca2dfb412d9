//! A line of the file.

use serde::{Deserialize, Serialize};

use crate::event::{CallRef, Event, Kind};
use crate::reducer::t_us;
use crate::runlog::BreakerState;

/// The `service` of what the lab itself did.
pub const LAB: &str = "lab";

/// One line. Those of older runs also carry arm and repeat; they lack the lines of kind `trial`
/// and what came with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The trial, as in `run.ndjson`; not every trial counts.
    pub trial: u32,
    /// When, in microseconds from second 0; `None` of what has no moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_us: Option<i64>,
    /// Whose decision: a `service` label, `load` for the load's own policy, `lab` for the lab.
    pub service: String,
    /// What was decided.
    #[serde(flatten)]
    pub what: What,
}

impl Decision {
    /// What an event tells, if it belongs here. `t0_ns` is the trial's second 0.
    #[must_use]
    pub fn of(trial: u32, t0_ns: u64, event: &Event) -> Option<Self> {
        Some(Self {
            trial,
            t_us: Some(t_us(t0_ns, event.t_ns)),
            service: event.service.clone(),
            what: What::of(t0_ns, &event.kind)?,
        })
    }
}

/// What was decided, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A trial begins.
    Trial {
        /// Its arm.
        arm: String,
        /// Its repeat, from 1.
        repeat: u32,
        /// From second 0 to the end of the load.
        duration_us: i64,
        /// How long `recovering` lasts at most.
        recovering_us: i64,
    },
    /// A condition is in force throughout.
    Condition {
        /// Its name.
        fault: String,
        /// Its link.
        link: String,
    },
    /// A fault was injected.
    Inject {
        /// The fault.
        fault: String,
        /// Its link.
        link: String,
        /// When the injector had confirmed it.
        done_us: i64,
    },
    /// A fault was cleared.
    Clear {
        /// The fault.
        fault: String,
        /// Its link.
        link: String,
        /// When the injector had confirmed it.
        done_us: i64,
    },
    /// What an injector counted of a fault or condition; several of one add up.
    Acted {
        /// The fault.
        fault: String,
        /// Who counted: `l7`, `proxy`, `process`.
        by: String,
        /// On what it acted.
        acted: u64,
    },
    /// A trial has ended.
    TrialEnd {
        /// Why it doesn't count, if it doesn't.
        void: Option<String>,
    },
    /// An attempt has ended.
    Attempt {
        /// Of which call.
        #[serde(flatten)]
        call: On,
        /// Its number, from 1.
        attempt: u32,
        /// When it began.
        started_us: i64,
        /// Whether it was answered.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        ok: bool,
        /// The status it failed with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
        /// The kind of its failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// Whether its caller left.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cancelled: bool,
    },
    /// A logical call has ended.
    Call {
        /// Which.
        #[serde(flatten)]
        call: On,
        /// How many attempts it made.
        attempts: u32,
        /// When it began.
        started_us: i64,
        /// `ok`, `failed`, `rejected`, `degraded` or `cancelled`.
        outcome: String,
    },
    /// Work has ended that was for nobody.
    Wasted {
        /// For which request; the link is where it was done.
        #[serde(flatten)]
        call: On,
        /// How long it was.
        took_us: u64,
    },
    /// A fault acted on a request.
    Fault {
        /// The fault.
        fault: String,
        /// On which request.
        #[serde(flatten)]
        call: On,
        /// The attempt it hit.
        attempt: u32,
        /// `fail`, `delay`, …
        action: String,
        /// For how long, if it delays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delay_us: Option<u64>,
    },
    /// A fault's lease was over.
    FaultExpired {
        /// The fault.
        fault: String,
    },
    /// A policy waits before an attempt.
    Wait {
        /// Which call.
        #[serde(flatten)]
        call: On,
        /// The attempt to come.
        attempt: u32,
        /// How long.
        wait_us: u64,
    },
    /// A policy refused an attempt.
    Refused {
        /// Which call.
        #[serde(flatten)]
        call: On,
        /// The attempt that was not made.
        attempt: u32,
        /// `breaker`, `budget`, …
        reason: String,
    },
    /// A policy sent a second copy.
    Hedge {
        /// Which call.
        #[serde(flatten)]
        call: On,
        /// The copy's number.
        attempt: u32,
        /// How long the first had had.
        after_us: u64,
    },
    /// The second copy answered first.
    HedgeWon {
        /// Which call.
        #[serde(flatten)]
        call: On,
        /// The copy's number.
        attempt: u32,
    },
    /// A server turned a request away.
    Shed {
        /// Which request.
        #[serde(flatten)]
        call: On,
        /// How much it matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        priority: Option<String>,
        /// Why.
        reason: String,
    },
    /// A breaker moved.
    Breaker {
        /// Its link.
        link: String,
        /// Before.
        from: BreakerState,
        /// After.
        to: BreakerState,
    },
    /// A kind that this version doesn't know.
    #[serde(other)]
    Other,
}

/// A call, as a line names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct On {
    /// The link.
    pub link: String,
    /// The method or route.
    pub method: String,
    /// The request; empty for work that none asked for.
    pub request_id: String,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_yes(ok: &bool) -> bool {
    *ok
}

impl From<&CallRef> for On {
    fn from(call: &CallRef) -> Self {
        Self {
            link: call.link.clone(),
            method: call.method.clone(),
            request_id: call.request_id.clone(),
        }
    }
}

impl What {
    /// What an event tells; `None` if it tells nothing of a trial.
    fn of(t0_ns: u64, kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Attempt {
                call,
                attempt,
                started_ns,
                ok,
                status,
                failure,
                cancelled,
            } => Self::Attempt {
                call: call.into(),
                attempt: *attempt,
                started_us: t_us(t0_ns, *started_ns),
                ok: *ok,
                status: status.clone(),
                failure: failure.clone(),
                cancelled: *cancelled,
            },
            Kind::Call {
                call,
                outcome,
                attempts,
                started_ns,
            } => Self::Call {
                call: call.into(),
                attempts: *attempts,
                started_us: t_us(t0_ns, *started_ns),
                outcome: outcome.clone(),
            },
            Kind::Wasted { call, took_us } => Self::Wasted {
                call: call.into(),
                took_us: *took_us,
            },
            Kind::Fault {
                fault,
                call,
                attempt,
                action,
                delay_us,
            } => Self::Fault {
                fault: fault.clone(),
                call: call.into(),
                attempt: *attempt,
                action: action.clone(),
                delay_us: *delay_us,
            },
            Kind::FaultExpired { fault } => Self::FaultExpired {
                fault: fault.clone(),
            },
            Kind::Breaker { link, from, to } => Self::Breaker {
                link: link.clone(),
                from: *from,
                to: *to,
            },
            _ => return Self::of_policy(kind),
        })
    }

    fn of_policy(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Wait {
                call,
                attempt,
                wait_us,
            } => Self::Wait {
                call: call.into(),
                attempt: *attempt,
                wait_us: *wait_us,
            },
            Kind::Refused {
                call,
                attempt,
                reason,
            } => Self::Refused {
                call: call.into(),
                attempt: *attempt,
                reason: reason.clone(),
            },
            Kind::Hedge {
                call,
                attempt,
                after_us,
            } => Self::Hedge {
                call: call.into(),
                attempt: *attempt,
                after_us: *after_us,
            },
            Kind::HedgeWon { call, attempt } => Self::HedgeWon {
                call: call.into(),
                attempt: *attempt,
            },
            Kind::Shed {
                call,
                priority,
                reason,
            } => Self::Shed {
                call: call.into(),
                priority: priority.clone(),
                reason: reason.clone(),
            },
            _ => return None,
        })
    }
}
