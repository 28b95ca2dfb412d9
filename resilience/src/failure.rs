//! What an error says about the attempt that ended in it.
//!
//! A policy never looks at a wire error itself. It asks three questions, and [`Classify`] is how
//! an error type answers them: may the attempt be repeated, does it speak against the dependency,
//! and did the server say when to come back.
//!
//! Source: gRPC status codes and their meaning for retries,
//! <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>; for what can be known
//! about a request that failed on the wire, RFC 9113 sections 6.8 (GOAWAY) and 8.7.

use std::time::Duration;

use serde::Serialize;

/// The kind of a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The dependency surely did not begin to work on it: connection refused, `REFUSED_STREAM`,
    /// `GOAWAY` below this stream. Safe to repeat whatever the method does.
    NotProcessed,
    /// Unavailable, and nobody knows whether it was processed: a reset, a broken connection.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// Lost against a concurrent change.
    Aborted,
    /// A quota or limit of the dependency was hit.
    Exhausted,
    /// The dependency's own invariant is broken.
    Internal,
    /// Anything that fits nowhere else.
    Unknown,
    /// Data were lost or corrupted for good.
    DataLoss,
    /// The caller's own fault: invalid, not found, forbidden, a precondition. The dependency did
    /// its work by saying so.
    Caller,
    /// Given up by whoever asked.
    Cancelled,
}

/// What an ended attempt means to a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The dependency works.
    Success,
    /// The dependency doesn't.
    Failure,
    /// Nothing was learnt.
    Nothing,
}

impl FailureKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::NotProcessed,
        Self::Unavailable,
        Self::Timeout,
        Self::Aborted,
        Self::Exhausted,
        Self::Internal,
        Self::Unknown,
        Self::DataLoss,
        Self::Caller,
        Self::Cancelled,
    ];

    /// Whether an attempt that failed like this may be repeated. `idempotent`: the method is, or
    /// carries an idempotency key.
    pub fn retryable(self, idempotent: bool) -> bool {
        match self {
            Self::NotProcessed => true,
            Self::Unavailable | Self::Timeout | Self::Aborted | Self::Exhausted => idempotent,
            Self::Internal | Self::Unknown | Self::DataLoss | Self::Caller | Self::Cancelled => {
                false
            }
        }
    }

    /// What a breaker makes of it. A lost race, a full quota and the caller's own faults are
    /// answers of a working dependency; overload has better tools than a breaker (limits,
    /// budgets).
    pub fn verdict(self) -> Verdict {
        match self {
            Self::NotProcessed
            | Self::Unavailable
            | Self::Timeout
            | Self::Internal
            | Self::Unknown
            | Self::DataLoss => Verdict::Failure,
            Self::Aborted | Self::Exhausted | Self::Caller => Verdict::Success,
            Self::Cancelled => Verdict::Nothing,
        }
    }

    /// The name used in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotProcessed => "not_processed",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
            Self::Exhausted => "exhausted",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
            Self::DataLoss => "data_loss",
            Self::Caller => "caller",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What the server said about coming back (`grpc-retry-pushback-ms`, `Retry-After`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pushback {
    /// Come back after this, instead of after the back-off's wait.
    Wait(Duration),
    /// Don't.
    Never,
}

/// How an error answers a policy's questions.
pub trait Classify {
    /// What kind of failure it is.
    fn failure(&self) -> FailureKind;

    /// A short stable code for metrics and events, such as `UNAVAILABLE` or `503`.
    fn code(&self) -> &str;

    /// What the server said about coming back, if anything.
    fn pushback(&self) -> Option<Pushback> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_that_was_not_processed_is_repeated_blindly() {
        let blindly: Vec<_> = FailureKind::ALL
            .into_iter()
            .filter(|kind| kind.retryable(false))
            .collect();
        assert_eq!(blindly, [FailureKind::NotProcessed]);
        let idempotent: Vec<_> = FailureKind::ALL
            .into_iter()
            .filter(|kind| kind.retryable(true))
            .collect();
        assert_eq!(
            idempotent,
            [
                FailureKind::NotProcessed,
                FailureKind::Unavailable,
                FailureKind::Timeout,
                FailureKind::Aborted,
                FailureKind::Exhausted,
            ]
        );
    }

    #[test]
    fn the_callers_fault_is_a_success_and_a_cancellation_nothing() {
        assert_eq!(FailureKind::Caller.verdict(), Verdict::Success);
        assert_eq!(FailureKind::Cancelled.verdict(), Verdict::Nothing);
        let failures = FailureKind::ALL
            .into_iter()
            .filter(|kind| kind.verdict() == Verdict::Failure)
            .count();
        assert_eq!(failures, 6);
    }

    #[test]
    fn names_are_the_serialised_ones() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
