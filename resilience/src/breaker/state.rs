//! What a breaker shows of itself: its states, their changes, and its refusals.

use std::time::Duration;

use serde::Serialize;

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

/// A state held by hand, whatever the outcomes of the calls say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Forced {
    /// Refuses everything. Shows as [`BreakerState::Open`].
    Open,
    /// Lets everything through and counts, so that its rates can be watched, but never opens.
    /// Shows as [`BreakerState::Closed`].
    Closed,
    /// Lets everything through and counts nothing. Shows as [`BreakerState::Closed`].
    Disabled,
}

impl Forced {
    /// The name used in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Disabled => "disabled",
        }
    }
}

/// A change of state.
///
/// Each begins where the one before ended: forcing a state, and its lapse, are transitions too
/// when they change what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state after.
    pub to: BreakerState,
    /// Failures in a row up to now: those that opened it, trials included; 0 once closed, and 0
    /// when opened by hand.
    pub failures_in_a_row: u32,
    /// When it opened: the time until the first trial, or until the hand lets go; `None` when it
    /// was opened by hand for good.
    pub retry_after: Option<Duration>,
}

/// The breaker let nothing through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker refuses calls")]
pub struct Refused {
    /// Open: the time until the next trial, or until the hand that opened it lets go. Half-open
    /// with all its trials running, `None`, since that depends on when they end; opened by hand
    /// for good, `None` as well.
    pub retry_after: Option<Duration>,
}

/// A look at a breaker from outside. Looking changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerView {
    /// Where it stands. An open breaker whose time is up still shows open: it turns half-open with
    /// the next call. A forced state whose time is up no longer shows: the breaker is closed then,
    /// and the next call tells that transition.
    pub state: BreakerState,
    /// Failures in a row so far.
    pub failures_in_a_row: u32,
    /// Open: the time until the next trial, zero when one is due; as in [`Refused`].
    pub retry_after: Option<Duration>,
    /// The state held by hand, if one is.
    pub forced: Option<Forced>,
    /// Calls in the window; 0 for a rule without one. While closed those since it closed; while
    /// open those that opened it; while half-open none.
    pub calls: u32,
    /// Their share of failures, 0 to 1; `None` without calls. Below the rule's `min_calls` it is
    /// shown but decides nothing.
    pub failure_rate: Option<f64>,
    /// Their share of slow calls, 0 to 1; `None` without calls.
    pub slow_rate: Option<f64>,
}
