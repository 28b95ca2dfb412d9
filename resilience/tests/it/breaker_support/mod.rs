//! A model of the breaker that keeps no counters: everything it says is read off the history.
//!
//! Times are milliseconds since a start of the test's choice. They may run backwards, as they do between threads that
//! read a clock and then wait for a lock.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::time::Duration;

use resilience::FailureKind;
use resilience::breaker::{
    BreakerConfig, BreakerState, BreakerView, Forced, Refused, Rule, Transition,
};
use resilience::failure::Verdict;

pub const MS: fn(u64) -> Duration = Duration::from_millis;

/// How an attempt ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// A verdict of the caller, on an attempt that ran since it was admitted.
    Success,
    Failure,
    /// With its kind and duration in milliseconds.
    Timed(Option<FailureKind>, u64),
    Cancel,
}

/// A state in the breaker's history.
#[derive(Clone, Copy)]
struct Epoch {
    state: BreakerState,
    /// Open: when it ends; `None` for never. Not open, but forced: when the force ends.
    until: Option<u64>,
    forced: Option<Forced>,
}

const CLOSED: Epoch = Epoch {
    state: BreakerState::Closed,
    until: None,
    forced: None,
};

/// A result that counted.
struct Counted {
    epoch: usize,
    at: u64,
    /// It spoke against the dependency.
    failed: bool,
    slow: bool,
}

pub struct Model {
    config: BreakerConfig,
    epochs: Vec<Epoch>,
    counted: Vec<Counted>,
    /// The permits still out: in which epoch they were given, and when.
    out: BTreeMap<u64, (usize, u64)>,
    /// The latest time at which somebody looked into the present window.
    looked: u64,
}

impl Model {
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            epochs: vec![CLOSED],
            counted: vec![],
            out: BTreeMap::new(),
            looked: 0,
        }
    }

    fn epoch(&self) -> usize {
        self.epochs.len() - 1
    }

    fn now_in(&self) -> Epoch {
        self.epochs[self.epoch()]
    }

    pub fn state(&self) -> BreakerState {
        self.now_in().state
    }

    /// The states so far, in their order.
    pub fn states(&self) -> impl Iterator<Item = BreakerState> {
        self.epochs.iter().map(|epoch| epoch.state)
    }

    /// Trials under way in the present state.
    pub fn trials_running(&self) -> usize {
        let half_open = self.state() == BreakerState::HalfOpen;
        let present = self.out.values().filter(|(of, _)| *of == self.epoch());
        if half_open { present.count() } else { 0 }
    }

    pub fn permits_out(&self) -> usize {
        self.out.len()
    }

    /// The last epoch that began with nothing remembered.
    fn fresh(&self) -> usize {
        let fresh = |of: &Epoch| of.state == BreakerState::Closed || of.forced.is_some();
        self.epochs.iter().rposition(fresh).unwrap_or(0)
    }

    fn failures_in_a_row(&self) -> u32 {
        let since = self.fresh();
        let remembered = self.counted.iter().rev().take_while(|c| c.epoch >= since);
        remembered.take_while(|c| c.failed).count() as u32
    }

    fn open_time(&self) -> u64 {
        let millis = |duration: Duration| duration.as_millis() as u64;
        let opened = |of: &&Epoch| of.state == BreakerState::Open;
        let reopened = self.epochs[self.fresh()..].iter().filter(opened).count() as u32;
        // The tests grow by whole factors, so that this is exact.
        let times = (self.config.growth as u64).saturating_pow(reopened);
        let reset = millis(self.config.reset);
        let longest = millis(self.config.max_reset).max(reset);
        reset.saturating_mul(times).min(longest)
    }

    /// The results in the window at `now`.
    fn window(&self, now: u64) -> Vec<&Counted> {
        let closed = match (self.now_in(), self.epoch().checked_sub(1)) {
            (
                Epoch {
                    state: BreakerState::Closed,
                    ..
                },
                _,
            ) => self.epoch(),
            (
                Epoch {
                    state: BreakerState::Open,
                    forced: None,
                    ..
                },
                Some(before),
            ) => before,
            _ => return vec![],
        };
        if self.epochs[closed].state != BreakerState::Closed {
            return vec![];
        }
        let all: Vec<_> = self.counted.iter().filter(|c| c.epoch == closed).collect();
        match self.config.rule {
            Rule::Consecutive { .. } => vec![],
            Rule::CountWindow { calls, .. } => {
                all[all.len().saturating_sub(calls as usize)..].to_vec()
            }
            Rule::TimeWindow { window, .. } => {
                let Some(first) = all.first().map(|c| c.at) else {
                    return vec![];
                };
                let width = (window / 20).as_millis() as u64;
                let bucket = |at: u64| at.saturating_sub(first) / width;
                let current = bucket(now.max(self.looked));
                all.into_iter()
                    .filter(|c| bucket(c.at) + 20 > current)
                    .collect()
            }
        }
    }

    /// Minimum of calls, failure rate, slow rate, what is slow; `None` for a rule without a window.
    fn limits(&self) -> Option<(usize, f64, f64, Duration)> {
        match self.config.rule {
            Rule::Consecutive { .. } => None,
            Rule::CountWindow {
                calls,
                min_calls,
                failure_rate,
                slow_rate,
                slow_after,
            } => Some((
                min_calls.min(calls) as usize,
                failure_rate,
                slow_rate,
                slow_after,
            )),
            Rule::TimeWindow {
                min_calls,
                failure_rate,
                slow_rate,
                slow_after,
                ..
            } => Some((min_calls as usize, failure_rate, slow_rate, slow_after)),
        }
    }

    fn trips(&self, now: u64) -> bool {
        if let Rule::Consecutive { failures } = self.config.rule {
            return self.failures_in_a_row() >= failures;
        }
        let (Some((least, failure_rate, slow_rate, _)), window) = (self.limits(), self.window(now))
        else {
            return false;
        };
        let calls = window.len() as f64;
        // The tests' rates are eighths, so that the products are exact.
        let reached = |part: usize, rate: f64| part > 0 && part as f64 >= rate * calls;
        window.len() >= least
            && (reached(window.iter().filter(|c| c.failed).count(), failure_rate)
                || reached(window.iter().filter(|c| c.slow).count(), slow_rate))
    }

    fn go(&mut self, next: Epoch, retry_after: Option<u64>) -> Option<Transition> {
        let from = self.state();
        self.epochs.push(next);
        let transition = Transition {
            from,
            to: next.state,
            failures_in_a_row: self.failures_in_a_row(),
            retry_after: retry_after.map(MS),
        };
        (from != next.state).then_some(transition)
    }

    fn open(&mut self, now: u64) -> Option<Transition> {
        let open_time = self.open_time();
        let next = Epoch {
            state: BreakerState::Open,
            until: Some(now + open_time),
            forced: None,
        };
        self.go(next, Some(open_time))
    }

    fn lapsed(&self, now: u64) -> bool {
        let Epoch { forced, until, .. } = self.now_in();
        forced.is_some() && until.is_some_and(|until| until <= now)
    }

    /// Asks for a permit, to be called `id`.
    pub fn acquire(
        &mut self,
        id: u64,
        now: u64,
    ) -> Result<(BreakerState, Option<Transition>), Refused> {
        let mut transition = None;
        if self.lapsed(now) {
            transition = self.go(CLOSED, None);
        }
        if let Epoch {
            state: BreakerState::Open,
            until,
            ..
        } = self.now_in()
        {
            if until.is_none_or(|until| now < until) {
                let retry_after = until.map(|until| MS(until - now));
                return Err(Refused { retry_after });
            }
            let half_open = Epoch {
                state: BreakerState::HalfOpen,
                ..CLOSED
            };
            transition = self.go(half_open, None);
        }
        let trial = self.state() == BreakerState::HalfOpen;
        if trial && self.trials_running() >= self.config.trials as usize {
            return Err(Refused { retry_after: None });
        }
        self.out.insert(id, (self.epoch(), now));
        Ok((self.state(), transition))
    }

    /// Ends the attempt of permit `id`, which is out.
    pub fn record(&mut self, id: u64, end: End, now: u64) -> Option<Transition> {
        let (epoch, since) = self.out.remove(&id)?;
        let (verdict, took) = match end {
            End::Success => (Verdict::Success, now.saturating_sub(since)),
            End::Failure => (Verdict::Failure, now.saturating_sub(since)),
            End::Timed(None, took) => (Verdict::Success, took),
            End::Timed(Some(kind), took) => (self.config.counts.verdict(kind), took),
            End::Cancel => (Verdict::Nothing, 0),
        };
        let disabled = self.now_in().forced == Some(Forced::Disabled);
        if epoch != self.epoch() || disabled || verdict == Verdict::Nothing {
            return None;
        }
        self.count(verdict == Verdict::Failure, MS(took), now);
        match self.now_in() {
            Epoch {
                forced: Some(_), ..
            } => None,
            Epoch {
                state: BreakerState::Closed,
                ..
            } => self.trips(now).then(|| self.open(now)).flatten(),
            Epoch {
                state: BreakerState::HalfOpen,
                ..
            } => self.conclude_trial(now),
            Epoch {
                state: BreakerState::Open,
                ..
            } => None,
        }
    }

    fn count(&mut self, failed: bool, took: Duration, now: u64) {
        let epoch = self.epoch();
        let (slow, slow_matters) = match self.limits() {
            Some((_, _, slow_rate, slow_after)) => (took > slow_after, slow_rate <= 1.0),
            None => (false, false),
        };
        let trial = self.state() == BreakerState::HalfOpen;
        let first = self.counted.iter().all(|c| c.epoch != epoch);
        self.looked = if first { now } else { now.max(self.looked) };
        self.counted.push(Counted {
            epoch,
            at: self.looked,
            failed: failed || (trial && slow && slow_matters),
            slow,
        });
    }

    fn conclude_trial(&mut self, now: u64) -> Option<Transition> {
        let epoch = self.epoch();
        let of_now = || self.counted.iter().filter(|c| c.epoch == epoch);
        if of_now().any(|c| c.failed) {
            return self.open(now);
        }
        let enough = of_now().count() >= self.config.successes as usize;
        enough.then(|| self.go(CLOSED, None)).flatten()
    }

    pub fn force(
        &mut self,
        forced: Option<Forced>,
        until: Option<u64>,
        now: u64,
    ) -> Option<Transition> {
        let over = until.is_some_and(|until| until <= now);
        let Some(kind) = forced.filter(|_| !over) else {
            let held = self.now_in().forced.is_some();
            return held.then(|| self.go(CLOSED, None)).flatten();
        };
        let state = match kind {
            Forced::Open => BreakerState::Open,
            Forced::Closed | Forced::Disabled => BreakerState::Closed,
        };
        let next = Epoch {
            state,
            until,
            forced,
        };
        let left = until
            .filter(|_| kind == Forced::Open)
            .map(|until| until - now);
        self.go(next, left)
    }

    pub fn view(&mut self, now: u64) -> BreakerView {
        let mut view = BreakerView {
            state: BreakerState::Closed,
            failures_in_a_row: 0,
            retry_after: None,
            forced: None,
            calls: 0,
            failure_rate: None,
            slow_rate: None,
        };
        if self.lapsed(now) {
            return view;
        }
        self.looked = self.looked.max(now);
        let Epoch {
            state,
            until,
            forced,
        } = self.now_in();
        let window = self.window(now);
        let share = |part: usize| (!window.is_empty()).then(|| part as f64 / window.len() as f64);
        view.state = state;
        view.failures_in_a_row = self.failures_in_a_row();
        view.forced = forced;
        view.calls = window.len() as u32;
        view.failure_rate = share(window.iter().filter(|c| c.failed).count());
        view.slow_rate = share(window.iter().filter(|c| c.slow).count());
        if state == BreakerState::Open {
            view.retry_after = until.map(|until| MS(until.saturating_sub(now)));
        }
        view
    }
}
