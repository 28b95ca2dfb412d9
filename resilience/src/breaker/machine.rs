//! The breaker's states and their transitions, as a plain machine: time comes in as an argument,
//! and nothing here waits, locks or tells anybody.

use std::time::Duration;

use tokio::time::Instant;

use super::{BreakerConfig, BreakerState, BreakerView, Refused, Transition};
use crate::failure::Verdict;

#[derive(Debug)]
pub(super) struct Machine {
    failures: u32,
    reset: Duration,
    trials: u32,
    successes: u32,
    state: State,
    /// Counts the transitions. A ticket of an earlier generation began under another state and is
    /// void.
    generation: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        failures: u32,
    },
    HalfOpen {
        running: u32,
        succeeded: u32,
        failures: u32,
    },
}

/// One admitted attempt, to be recorded exactly once.
#[derive(Debug)]
pub(super) struct Ticket {
    generation: u64,
    /// The state that admitted it: closed or half-open.
    pub(super) admitted: BreakerState,
}

impl Machine {
    pub(super) fn new(config: BreakerConfig) -> Self {
        let BreakerConfig::Consecutive {
            failures,
            reset,
            trials,
            successes,
        } = config;
        Self {
            failures: failures.max(1),
            reset,
            trials: trials.max(1),
            successes: successes.max(1),
            state: State::Closed { failures: 0 },
            generation: 0,
        }
    }

    pub(super) fn acquire(
        &mut self,
        now: Instant,
    ) -> Result<(Ticket, Option<Transition>), Refused> {
        let transition = match &mut self.state {
            State::Closed { .. } => None,
            State::Open { until, .. } if now < *until => {
                return Err(Refused {
                    retry_after: Some(*until - now),
                });
            }
            State::Open { failures, .. } => {
                let failures = *failures;
                Some(self.enter(State::HalfOpen {
                    running: 1,
                    succeeded: 0,
                    failures,
                }))
            }
            State::HalfOpen { running, .. } if *running < self.trials => {
                *running += 1;
                None
            }
            State::HalfOpen { .. } => return Err(Refused { retry_after: None }),
        };
        let ticket = Ticket {
            generation: self.generation,
            admitted: self.state.name(),
        };
        Ok((ticket, transition))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a ticket is spent by recording it"
    )]
    pub(super) fn record(
        &mut self,
        ticket: Ticket,
        verdict: Verdict,
        now: Instant,
    ) -> Option<Transition> {
        if ticket.generation != self.generation {
            return None;
        }
        if let State::HalfOpen { running, .. } = &mut self.state {
            *running -= 1;
        }
        match verdict {
            Verdict::Success => self.success(),
            Verdict::Failure => self.failure(now),
            Verdict::Nothing => None,
        }
    }

    pub(super) fn view(&self, now: Instant) -> BreakerView {
        let retry_after = match self.state {
            State::Open { until, .. } => Some(until.saturating_duration_since(now)),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        };
        BreakerView {
            state: self.state.name(),
            failures_in_a_row: self.state.failures_in_a_row(),
            retry_after,
        }
    }

    fn success(&mut self) -> Option<Transition> {
        match &mut self.state {
            State::Closed { failures } => {
                *failures = 0;
                None
            }
            State::HalfOpen {
                succeeded,
                failures,
                ..
            } => {
                *succeeded += 1;
                *failures = 0;
                (*succeeded >= self.successes).then(|| self.enter(State::Closed { failures: 0 }))
            }
            // No ticket bears an open state's generation: nothing is admitted there.
            State::Open { .. } => None,
        }
    }

    fn failure(&mut self, now: Instant) -> Option<Transition> {
        let count = self.state.failures_in_a_row().saturating_add(1);
        match &mut self.state {
            State::Closed { failures } if count < self.failures => {
                *failures = count;
                None
            }
            State::Closed { .. } | State::HalfOpen { .. } => {
                let until = now.checked_add(self.reset).unwrap_or(now);
                Some(self.enter(State::Open {
                    until,
                    failures: count,
                }))
            }
            State::Open { .. } => None,
        }
    }

    fn enter(&mut self, next: State) -> Transition {
        let from = self.state.name();
        self.state = next;
        self.generation += 1;
        let to = self.state.name();
        Transition {
            from,
            to,
            failures_in_a_row: self.state.failures_in_a_row(),
            retry_after: (to == BreakerState::Open).then_some(self.reset),
        }
    }
}

impl State {
    fn name(&self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn failures_in_a_row(&self) -> u32 {
        match *self {
            Self::Closed { failures }
            | Self::Open { failures, .. }
            | Self::HalfOpen { failures, .. } => failures,
        }
    }
}
