//! The breaker's states and their transitions, as a plain machine: time comes in as an argument,
//! and nothing here waits, locks or tells anybody.

use std::time::Duration;

use tokio::time::Instant;

use super::judge::Judge;
use super::window::Outcome;
use super::{BreakerConfig, BreakerState, BreakerView, Forced, Refused, Transition};
use crate::failure::{FailureKind, Verdict};

#[derive(Debug)]
pub(super) struct Machine {
    config: BreakerConfig,
    judge: Judge,
    state: State,
    forced: Option<Force>,
    /// Failures in a row since it was last closed.
    in_a_row: u32,
    /// Re-openings in a row since it was last closed.
    reopened: u32,
    /// Counts the transitions. A ticket of an earlier generation began under another state and is
    /// void.
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// `None`: until somebody says otherwise.
    Open {
        until: Option<Instant>,
    },
    HalfOpen {
        running: u32,
        succeeded: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Force {
    kind: Forced,
    until: Option<Instant>,
}

/// One admitted attempt, to be recorded or cancelled exactly once.
#[derive(Debug)]
pub(super) struct Ticket {
    generation: u64,
    since: Instant,
    /// The state that admitted it: closed or half-open.
    pub(super) admitted: BreakerState,
}

impl Machine {
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self {
            judge: Judge::new(config.rule),
            config: BreakerConfig {
                trials: config.trials.max(1),
                successes: config.successes.max(1),
                ..config
            },
            state: State::Closed,
            forced: None,
            in_a_row: 0,
            reopened: 0,
            generation: 0,
        }
    }

    pub(super) fn acquire(
        &mut self,
        now: Instant,
    ) -> Result<(Ticket, Option<Transition>), Refused> {
        // A lapse leaves it closed, so what follows neither refuses nor changes the state again.
        let lapse = self.lapsed(now).then(|| self.release()).flatten();
        let admission = self.admit(now)?;
        let ticket = Ticket {
            generation: self.generation,
            since: now,
            admitted: self.state.name(),
        };
        Ok((ticket, lapse.or(admission)))
    }

    fn admit(&mut self, now: Instant) -> Result<Option<Transition>, Refused> {
        match &mut self.state {
            State::Closed => Ok(None),
            State::Open { until: Some(until) } if *until <= now => {
                self.judge.clear();
                Ok(Some(self.enter(State::HalfOpen {
                    running: 1,
                    succeeded: 0,
                })))
            }
            State::Open { until } => Err(Refused {
                retry_after: until.map(|until| until - now),
            }),
            State::HalfOpen { running, .. } if *running < self.config.trials => {
                *running += 1;
                Ok(None)
            }
            State::HalfOpen { .. } => Err(Refused { retry_after: None }),
        }
    }

    /// What the breaker makes of a failed attempt.
    pub(super) fn verdict(&self, kind: FailureKind) -> Verdict {
        self.config.counts.verdict(kind)
    }

    /// `took`: how long the attempt ran; `None` means since the ticket was given.
    pub(super) fn record(
        &mut self,
        ticket: Ticket,
        verdict: Verdict,
        took: Option<Duration>,
        now: Instant,
    ) -> Option<Transition> {
        let took = took.unwrap_or_else(|| now.saturating_duration_since(ticket.since));
        if !self.redeem(ticket) || self.is_disabled() {
            return None;
        }
        let failed = match verdict {
            Verdict::Success => false,
            Verdict::Failure => true,
            Verdict::Nothing => return None,
        };
        let outcome = self.judge.outcome(failed, took);
        match self.state {
            State::Closed => self.count(outcome, now),
            State::HalfOpen { .. } => self.try_out(outcome, now),
            // No ticket bears an open state's generation: nothing is admitted there.
            State::Open { .. } => None,
        }
    }

    pub(super) fn cancel(&mut self, ticket: Ticket) {
        self.redeem(ticket);
    }

    /// Gives a trial's place back. Says whether the ticket is of the present state.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a ticket is spent by redeeming it"
    )]
    fn redeem(&mut self, ticket: Ticket) -> bool {
        let valid = ticket.generation == self.generation;
        if let State::HalfOpen { running, .. } = &mut self.state
            && valid
        {
            *running -= 1;
        }
        valid
    }

    /// An outcome while closed.
    fn count(&mut self, outcome: Outcome, now: Instant) -> Option<Transition> {
        self.note_in_row(outcome.failed);
        let trips = self.judge.trips(outcome, self.in_a_row, now);
        (trips && self.forced.is_none()).then(|| self.open(now))
    }

    /// An outcome while half-open.
    fn try_out(&mut self, outcome: Outcome, now: Instant) -> Option<Transition> {
        let failed = self.judge.fails_trial(outcome);
        self.note_in_row(failed);
        if failed {
            self.reopened = self.reopened.saturating_add(1);
            return Some(self.open(now));
        }
        let State::HalfOpen { succeeded, .. } = &mut self.state else {
            return None;
        };
        *succeeded += 1;
        (*succeeded >= self.config.successes).then(|| self.close())
    }

    fn note_in_row(&mut self, failed: bool) {
        self.in_a_row = if failed {
            self.in_a_row.saturating_add(1)
        } else {
            0
        };
    }

    fn open(&mut self, now: Instant) -> Transition {
        let open_time = self.config.open_time(self.reopened);
        // Longer than the clock can tell is until somebody says otherwise.
        let until = now.checked_add(open_time);
        let transition = self.enter(State::Open { until });
        Transition {
            retry_after: Some(open_time),
            ..transition
        }
    }

    fn close(&mut self) -> Transition {
        self.forget();
        self.enter(State::Closed)
    }

    fn forget(&mut self) {
        self.in_a_row = 0;
        self.reopened = 0;
        self.judge.clear();
    }

    fn enter(&mut self, next: State) -> Transition {
        let from = self.state.name();
        self.state = next;
        self.generation += 1;
        Transition {
            from,
            to: self.state.name(),
            failures_in_a_row: self.in_a_row,
            retry_after: None,
        }
    }

    /// Holds a state by hand, or lets go of it. A time that is over already lets go.
    pub(super) fn force(
        &mut self,
        forced: Option<Forced>,
        until: Option<Instant>,
        now: Instant,
    ) -> Option<Transition> {
        let forced = forced.filter(|_| until.is_none_or(|until| now < until));
        let Some(kind) = forced else {
            return self.release();
        };
        self.forced = Some(Force { kind, until });
        self.forget();
        let transition = match kind {
            Forced::Open => Transition {
                retry_after: until.map(|until| until - now),
                ..self.enter(State::Open { until })
            },
            Forced::Closed | Forced::Disabled => self.enter(State::Closed),
        };
        transition.changes()
    }

    /// Lets go of a state held by hand, to start closed and fresh.
    fn release(&mut self) -> Option<Transition> {
        self.forced.take()?;
        self.close().changes()
    }

    /// Whether a state held by hand has had its time.
    fn lapsed(&self, now: Instant) -> bool {
        let until = self.forced.and_then(|force| force.until);
        until.is_some_and(|until| until <= now)
    }

    fn is_disabled(&self) -> bool {
        self.forced
            .is_some_and(|force| force.kind == Forced::Disabled)
    }

    /// `&mut` only because a time window slides to `now`, which nobody can tell from outside.
    pub(super) fn view(&mut self, now: Instant) -> BreakerView {
        if self.lapsed(now) {
            return BreakerView {
                state: BreakerState::Closed,
                failures_in_a_row: 0,
                retry_after: None,
                forced: None,
                calls: 0,
                failure_rate: None,
                slow_rate: None,
            };
        }
        let retry_after = match self.state {
            State::Open { until } => until.map(|until| until.saturating_duration_since(now)),
            State::Closed | State::HalfOpen { .. } => None,
        };
        let tally = self.judge.tally(now).unwrap_or_default();
        BreakerView {
            state: self.state.name(),
            failures_in_a_row: self.in_a_row,
            retry_after,
            forced: self.forced.map(|force| force.kind),
            calls: tally.calls,
            failure_rate: tally.failure_rate(),
            slow_rate: tally.slow_rate(),
        }
    }
}

impl State {
    fn name(self) -> BreakerState {
        match self {
            Self::Closed => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

impl Transition {
    /// Itself, if it changes what is shown.
    fn changes(self) -> Option<Self> {
        (self.from != self.to).then_some(self)
    }
}
