//! What goes into a call through a slot, and what comes out.

use std::time::Duration;

use serde::Serialize;

use crate::deadline::Deadline;

/// What a policy needs to know of one logical call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method or route template, for metrics and events. From a bounded set: never an id.
    pub method: &'a str,
    /// The request this call belongs to, as in `x-request-id`.
    pub request_id: &'a str,
    /// Whether repeating it does no harm: the method is idempotent, or carries a key that makes it
    /// so.
    pub idempotent: bool,
    /// The caller's deadline; the policy's own is applied as well and the earlier one counts.
    pub deadline: Deadline,
}

/// One attempt, as the operation sees it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// 1 for the first. gRPC sends `number - 1` as `grpc-previous-rpc-attempts`.
    pub number: u32,
    /// What to send downstream: the earlier of the call's deadline and the attempt time-out, or
    /// none when the policy keeps them to itself
    /// ([`propagate_deadline`](crate::Policy::propagate_deadline)). That the attempt ends by then
    /// is seen to in any case.
    pub deadline: Deadline,
}

/// Why an attempt was refused here, without asking the dependency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The breaker is open, or half-open with all its trials running.
    Breaker,
    /// The retry budget is spent.
    Budget,
    /// Too many calls to this dependency are under way.
    Bulkhead,
    /// Shed to protect a server under overload.
    Shed,
    /// The deadline had passed before an attempt could start.
    Deadline,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 5] = [
        Self::Breaker,
        Self::Budget,
        Self::Bulkhead,
        Self::Shed,
        Self::Deadline,
    ];

    /// The name used in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Budget => "budget",
            Self::Bulkhead => "bulkhead",
            Self::Shed => "shed",
            Self::Deadline => "deadline",
        }
    }
}

/// How a logical call ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered.
    Ok,
    /// The last attempt failed or timed out.
    Failed,
    /// Refused here.
    Rejected,
    /// Answered by a fallback.
    Degraded,
    /// Dropped by the caller before it ended.
    Cancelled,
}

impl Outcome {
    /// Every outcome, in the order of declaration.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Failed,
        Self::Rejected,
        Self::Degraded,
        Self::Cancelled,
    ];

    /// The name used in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Degraded => "degraded",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a call has no answer.
///
/// The three cases are told apart by who ended the *last* attempt: the dependency
/// ([`Failed`](Self::Failed)), our clock ([`TimedOut`](Self::TimedOut)), or nobody, because none
/// was made ([`Rejected`](Self::Rejected)).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The last attempt ended with an error of its own, and there was no further one: the kind
    /// isn't retried, the attempts are spent, the server said not to come back, or the next wait
    /// would have ended after the deadline.
    #[error("failed after {attempts} attempt(s): {error}")]
    Failed {
        /// The last attempt's error.
        #[source]
        error: E,
        /// Attempts made.
        attempts: u32,
    },
    /// The last attempt was cut short, by the attempt time-out or by the deadline. Its answer is
    /// unknown: the dependency may have done the work.
    #[error("timed out after {attempts} attempt(s)")]
    TimedOut {
        /// Attempts made, the one cut short included.
        attempts: u32,
    },
    /// Refused here. The dependency was not asked this time; `attempts` tells whether it was
    /// before.
    #[error("refused ({}) after {attempts} attempt(s)", .reason.as_str())]
    Rejected {
        /// Who refused.
        reason: Reason,
        /// When it may be worth coming back, if known.
        retry_after: Option<Duration>,
        /// Attempts made before the refusal.
        attempts: u32,
        /// The error of the attempt before, if there was one and it ended with one.
        last: Option<E>,
    },
}

impl<E> CallError<E> {
    /// Attempts made.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Failed { attempts, .. }
            | Self::TimedOut { attempts }
            | Self::Rejected { attempts, .. } => *attempts,
        }
    }

    /// How a call that ended like this counts.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Failed { .. } | Self::TimedOut { .. } => Outcome::Failed,
            Self::Rejected { .. } => Outcome::Rejected,
        }
    }

    /// The dependency's own last words, if there were any.
    pub fn into_last(self) -> Option<E> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::TimedOut { .. } => None,
            Self::Rejected { last, .. } => last,
        }
    }
}
