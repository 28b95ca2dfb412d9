//! The rule of a breaker with what it remembers: whether an outcome opens it.

use std::time::Duration;

use tokio::time::Instant;

use super::config::{MAX_WINDOW_CALLS, Rule};
use super::window::{Buckets, Outcome, Ring, Tally, Window};

#[derive(Debug)]
pub(super) enum Judge {
    Row { failures: u32 },
    Rates { window: Window, limits: Limits },
}

#[derive(Debug)]
pub(super) struct Limits {
    min_calls: u32,
    failure_rate: f64,
    slow_rate: f64,
    slow_after: Duration,
}

impl Judge {
    pub(super) fn new(rule: Rule) -> Self {
        match rule {
            Rule::Consecutive { failures } => Self::Row {
                failures: failures.max(1),
            },
            Rule::CountWindow {
                calls,
                min_calls,
                failure_rate,
                slow_rate,
                slow_after,
            } => {
                let calls = calls.clamp(1, MAX_WINDOW_CALLS);
                Self::Rates {
                    window: Window::Calls(Ring::new(calls)),
                    limits: Limits {
                        // More than the window holds would never be there.
                        min_calls: min_calls.clamp(1, calls),
                        failure_rate,
                        slow_rate,
                        slow_after,
                    },
                }
            }
            Rule::TimeWindow {
                window,
                min_calls,
                failure_rate,
                slow_rate,
                slow_after,
            } => Self::Rates {
                window: Window::Time(Buckets::new(window)),
                limits: Limits {
                    min_calls: min_calls.max(1),
                    failure_rate,
                    slow_rate,
                    slow_after,
                },
            },
        }
    }

    /// What the rule sees in a call.
    pub(super) fn outcome(&self, failed: bool, took: Duration) -> Outcome {
        let slow = match self {
            Self::Row { .. } => false,
            Self::Rates { limits, .. } => took > limits.slow_after,
        };
        Outcome { failed, slow }
    }

    /// Whether a trial that ended so speaks against the dependency: it failed, or it was slow
    /// where slow calls can open the breaker.
    pub(super) fn fails_trial(&self, outcome: Outcome) -> bool {
        let slow_matters = match self {
            Self::Row { .. } => false,
            Self::Rates { limits, .. } => limits.slow_rate <= 1.0,
        };
        outcome.failed || (outcome.slow && slow_matters)
    }

    /// Takes an outcome into account, the last of `in_a_row` failures if it is one. Says whether
    /// the breaker opens.
    pub(super) fn trips(&mut self, outcome: Outcome, in_a_row: u32, now: Instant) -> bool {
        match self {
            Self::Row { failures } => in_a_row >= *failures,
            Self::Rates { window, limits } => {
                window.record(outcome, now);
                limits.reached_by(window.tally(now))
            }
        }
    }

    /// What is in the window; `None` for a rule without one.
    pub(super) fn tally(&mut self, now: Instant) -> Option<Tally> {
        match self {
            Self::Row { .. } => None,
            Self::Rates { window, .. } => Some(window.tally(now)),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Row { .. } => {}
            Self::Rates { window, .. } => window.clear(),
        }
    }
}

impl Limits {
    fn reached_by(&self, tally: Tally) -> bool {
        // A limit of zero would open it without any failure; and against one that is no number
        // every comparison is false, so that it is never reached.
        let reached = |part: u32, share: Option<f64>, limit: f64| {
            part > 0 && share.is_some_and(|share| share >= limit)
        };
        tally.calls >= self.min_calls
            && (reached(tally.failures, tally.failure_rate(), self.failure_rate)
                || reached(tally.slow, tally.slow_rate(), self.slow_rate))
    }
}
