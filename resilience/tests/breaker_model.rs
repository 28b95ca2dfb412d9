//! The breaker against a model that keeps no counters: everything it says is read off the history.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::time::Duration;

use proptest::prelude::*;
use resilience::breaker::{Breaker, BreakerConfig, BreakerState, Permit};

#[derive(Clone, Copy, Debug)]
struct Rules {
    failures: u32,
    reset_ms: u64,
    trials: u32,
    successes: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    Success(usize),
    Failure(usize),
    Cancel(usize),
    Advance(u64),
}

/// What happened so far. `epochs` are the states in their order; a permit remembers in which of
/// them it was given.
struct Model {
    rules: Rules,
    now: u64,
    epochs: Vec<(BreakerState, u64)>,
    /// Results that counted, with the epoch they counted in.
    counted: Vec<(usize, bool)>,
    /// The epochs of the permits still out.
    out: Vec<usize>,
}

impl Model {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: 0,
            epochs: vec![(BreakerState::Closed, 0)],
            counted: vec![],
            out: vec![],
        }
    }

    fn epoch(&self) -> usize {
        self.epochs.len() - 1
    }

    fn state(&self) -> BreakerState {
        self.epochs[self.epoch()].0
    }

    fn failures_in_a_row(&self) -> u32 {
        self.counted.iter().rev().take_while(|(_, ok)| !ok).count() as u32
    }

    fn until_trial(&self) -> Option<u64> {
        let (state, since) = self.epochs[self.epoch()];
        (state == BreakerState::Open)
            .then(|| (since + self.rules.reset_ms).saturating_sub(self.now))
    }

    fn acquire(&mut self) -> bool {
        if self.until_trial() == Some(0) {
            self.epochs.push((BreakerState::HalfOpen, self.now));
        }
        let epoch = self.epoch();
        let admitted = match self.state() {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => {
                let running = self.out.iter().filter(|of| **of == epoch).count();
                running < self.rules.trials as usize
            }
        };
        if admitted {
            self.out.push(epoch);
        }
        admitted
    }

    fn record(&mut self, index: usize, result: Option<bool>) {
        let epoch = self.out.remove(index);
        let Some(ok) = result.filter(|_| epoch == self.epoch()) else {
            return;
        };
        self.counted.push((epoch, ok));
        let succeeded = self
            .counted
            .iter()
            .filter(|(of, ok)| *of == epoch && *ok)
            .count();
        let next = match (self.state(), ok) {
            (BreakerState::Closed, false) if self.failures_in_a_row() >= self.rules.failures => {
                BreakerState::Open
            }
            (BreakerState::HalfOpen, false) => BreakerState::Open,
            (BreakerState::HalfOpen, true) if succeeded >= self.rules.successes as usize => {
                BreakerState::Closed
            }
            _ => return,
        };
        self.epochs.push((next, self.now));
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => Just(Step::Acquire),
        2 => any::<usize>().prop_map(Step::Success),
        5 => any::<usize>().prop_map(Step::Failure),
        1 => any::<usize>().prop_map(Step::Cancel),
        3 => (1u64..40).prop_map(Step::Advance),
    ];
    proptest::collection::vec(step, 1..200)
}

fn rules() -> impl Strategy<Value = Rules> {
    (1u32..5, 1u64..60, 1u32..4, 1u32..4).prop_map(|(failures, reset_ms, trials, successes)| {
        Rules {
            failures,
            reset_ms,
            trials,
            successes,
        }
    })
}

async fn compare(rules: Rules, steps: Vec<Step>) -> Vec<(BreakerState, u64)> {
    let breaker = Breaker::new(BreakerConfig::Consecutive {
        failures: rules.failures,
        reset: Duration::from_millis(rules.reset_ms),
        trials: rules.trials,
        successes: rules.successes,
    });
    let mut model = Model::new(rules);
    let mut permits: Vec<Permit> = Vec::new();
    for step in steps {
        let before = model.state();
        let index = |i: usize| i.checked_rem(permits.len());
        let transition = match step {
            Step::Acquire => {
                let got = breaker.try_acquire();
                assert_eq!(got.is_ok(), model.acquire(), "{step:?}");
                match got {
                    Ok(permit) => {
                        let transition = permit.transition();
                        assert_eq!(permit.admitted(), model.state());
                        permits.push(permit);
                        transition
                    }
                    Err(refused) => {
                        assert_eq!(
                            refused.retry_after,
                            model.until_trial().map(Duration::from_millis)
                        );
                        None
                    }
                }
            }
            Step::Success(i) => index(i).and_then(|i| {
                model.record(i, Some(true));
                permits.remove(i).success()
            }),
            Step::Failure(i) => index(i).and_then(|i| {
                model.record(i, Some(false));
                permits.remove(i).failure()
            }),
            Step::Cancel(i) => {
                if let Some(i) = index(i) {
                    model.record(i, None);
                    drop(permits.remove(i));
                }
                None
            }
            Step::Advance(ms) => {
                model.now += ms;
                tokio::time::advance(Duration::from_millis(ms)).await;
                None
            }
        };
        let view = breaker.view();
        assert_eq!(view.state, model.state(), "{step:?}");
        assert_eq!(
            view.failures_in_a_row,
            model.failures_in_a_row(),
            "{step:?}"
        );
        assert_eq!(
            view.retry_after,
            model.until_trial().map(Duration::from_millis),
            "{step:?}"
        );
        // A transition is reported exactly when there was one, with its two ends.
        let seen = transition.map(|t| (t.from, t.to));
        let expected = (before != model.state()).then(|| (before, model.state()));
        assert_eq!(seen, expected, "{step:?}");
    }
    model.epochs
}

fn on_paused_clock<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_breaker_equals_its_model(rules in rules(), steps in steps()) {
        on_paused_clock(compare(rules, steps));
    }
}

/// The property above would hold vacuously if the sequences never got anywhere.
#[test]
fn the_sequences_reach_every_transition() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use std::collections::HashSet;

    let mut runner = TestRunner::deterministic();
    let mut seen = HashSet::new();
    for _ in 0..300 {
        let (rules, steps) = (rules(), steps()).new_tree(&mut runner).unwrap().current();
        let epochs = on_paused_clock(compare(rules, steps));
        seen.extend(epochs.windows(2).map(|pair| (pair[0].0, pair[1].0)));
    }
    let (closed, open, half) = (
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::HalfOpen,
    );
    for expected in [(closed, open), (open, half), (half, open), (half, closed)] {
        assert!(seen.contains(&expected), "{expected:?} never happened");
    }
}
