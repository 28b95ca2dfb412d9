//! The breaker against a model that keeps no counters, under any sequence of calls that begin,
//! end, are cancelled or come back too late, of forced states, and of time.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use crate::breaker_support;

use std::time::Duration;

use breaker_support::{End, MS, Model};
use proptest::prelude::*;
use resilience::FailureKind;
use resilience::breaker::{
    Breaker, BreakerConfig, BreakerState, FailureSet, Forced, Permit, Rule, Transition,
};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    /// Ends one of the attempts under way.
    End(usize, End),
    Advance(u64),
    /// Holds a state by hand, for so many milliseconds or for good.
    Force(Option<Forced>, Option<u64>),
}

fn kinds() -> impl Strategy<Value = FailureKind> {
    prop::sample::select(FailureKind::ALL.as_slice())
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        2 => Just(End::Success),
        4 => Just(End::Failure),
        4 => (prop::option::weighted(0.7, kinds()), 0u64..12).prop_map(|(kind, took)| End::Timed(kind, took)),
        2 => Just(End::Cancel),
    ]
}

/// Forces are rare, or nothing else would be seen.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let forced = prop::sample::select(vec![
        None,
        Some(Forced::Open),
        Some(Forced::Closed),
        Some(Forced::Disabled),
    ]);
    let step = prop_oneof![
        40 => Just(Step::Acquire),
        60 => (any::<usize>(), ends()).prop_map(|(i, end)| Step::End(i, end)),
        25 => (1u64..40).prop_map(Step::Advance),
        2 => (forced, prop::option::of(0u64..60)).prop_map(|(forced, ms)| Step::Force(forced, ms)),
    ];
    prop::collection::vec(step, 1..150)
}

/// Rates in eighths: shares of small windows then reach them exactly or clearly not.
fn rules() -> impl Strategy<Value = Rule> {
    let rate = || (1u32..=9).prop_map(|eighths| f64::from(eighths) / 8.0);
    let limits = || (1u32..6, rate(), rate(), (0u64..12).prop_map(MS));
    prop_oneof![
        (1u32..5).prop_map(|failures| Rule::Consecutive { failures }),
        (1u32..9, limits()).prop_map(
            |(calls, (min_calls, failure_rate, slow_rate, slow_after))| {
                Rule::CountWindow {
                    calls,
                    min_calls,
                    failure_rate,
                    slow_rate,
                    slow_after,
                }
            }
        ),
        (1u64..12, limits()).prop_map(
            |(width, (min_calls, failure_rate, slow_rate, slow_after))| {
                let window = MS(width * 20);
                Rule::TimeWindow {
                    window,
                    min_calls,
                    failure_rate,
                    slow_rate,
                    slow_after,
                }
            }
        ),
    ]
}

fn configs() -> impl Strategy<Value = BreakerConfig> {
    let counts = prop_oneof![
        Just(FailureSet::default()),
        prop::collection::vec(kinds(), 0..10).prop_map(FailureSet::from_iter),
    ];
    let open = (1u64..60, 1u32..4, 0u64..500);
    (rules(), open, 1u32..4, 1u32..4, counts).prop_map(
        |(rule, (reset, growth, more), trials, successes, counts)| BreakerConfig {
            rule,
            reset: MS(reset),
            growth: f64::from(growth),
            max_reset: MS(reset + more),
            trials,
            successes,
            counts,
        },
    )
}

/// The breaker and its model, side by side.
struct Pair {
    config: BreakerConfig,
    breaker: Breaker,
    model: Model,
    start: Instant,
    /// Milliseconds since `start`.
    now: u64,
    permits: Vec<(u64, Permit)>,
    next: u64,
}

impl Pair {
    fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            breaker: Breaker::new(config),
            model: Model::new(config),
            start: Instant::now(),
            now: 0,
            permits: vec![],
            next: 0,
        }
    }

    async fn step(&mut self, step: Step) {
        let before = self.model.state();
        let (seen, expected) = match step {
            Step::Acquire => self.acquire(),
            Step::End(i, end) => self.end(i, end),
            Step::Force(forced, after) => self.force(forced, after),
            Step::Advance(ms) => {
                self.now += ms;
                tokio::time::advance(MS(ms)).await;
                (None, None)
            }
        };
        assert_eq!(seen, expected, "{step:?}");
        // A transition is told exactly when there was one, and it begins where things stood.
        let after = self.model.state();
        let ends = seen.map(|transition| (transition.from, transition.to));
        assert_eq!(
            ends,
            (before != after).then_some((before, after)),
            "{step:?}"
        );
        assert_eq!(self.breaker.view(), self.model.view(self.now), "{step:?}");
        assert!(self.model.trials_running() <= self.config.trials as usize);
    }

    fn acquire(&mut self) -> (Option<Transition>, Option<Transition>) {
        let id = self.next;
        self.next += 1;
        let expected = self.model.acquire(id, self.now);
        let permit = self.breaker.try_acquire();
        let seen = permit.as_ref().map(|p| (p.admitted(), p.transition()));
        assert_eq!(seen, expected.as_ref().copied());
        let transition = expected.ok().and_then(|(_, transition)| transition);
        let told = permit.as_ref().ok().and_then(Permit::transition);
        self.permits.extend(permit.ok().map(|permit| (id, permit)));
        (told, transition)
    }

    fn end(&mut self, i: usize, end: End) -> (Option<Transition>, Option<Transition>) {
        let Some(i) = i.checked_rem(self.permits.len()) else {
            return (None, None);
        };
        let (id, permit) = self.permits.remove(i);
        let expected = self.model.record(id, end, self.now);
        let seen = match end {
            End::Success => permit.success(),
            End::Failure => permit.failure(),
            End::Timed(kind, took) => permit.record_timed(kind, MS(took)),
            End::Cancel => {
                drop(permit);
                None
            }
        };
        (seen, expected)
    }

    fn force(
        &mut self,
        forced: Option<Forced>,
        after: Option<u64>,
    ) -> (Option<Transition>, Option<Transition>) {
        let until = after.map(|ms| self.now + ms);
        let expected = self.model.force(forced, until, self.now);
        let until = until.map(|ms| self.start + MS(ms));
        (self.breaker.force(forced, until), expected)
    }
}

/// Runs both through the steps, and then lets go of all permits. Returns the states they were in.
fn compare(config: BreakerConfig, steps: Vec<Step>) -> Vec<BreakerState> {
    on_paused_clock(async move {
        let mut pair = Pair::new(config);
        for step in steps {
            pair.step(step).await;
        }
        while !pair.permits.is_empty() {
            pair.step(Step::End(0, End::Cancel)).await;
        }
        assert_eq!(pair.model.permits_out(), 0);
        assert_eq!(pair.model.trials_running(), 0);
        pair.model.states().collect()
    })
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
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn the_breaker_equals_its_model(config in configs(), steps in steps()) {
        compare(config, steps);
    }
}

/// A sequence that once told a transition where there was none: a second trial that succeeds when
/// the first has closed the breaker already.
#[test]
fn the_second_of_two_trials_comes_too_late() {
    let config = BreakerConfig {
        trials: 2,
        ..BreakerConfig::consecutive(2, MS(1))
    };
    let open = [
        Step::Acquire,
        Step::End(0, End::Failure),
        Step::Acquire,
        Step::End(0, End::Failure),
    ];
    let trials = [
        Step::Advance(1),
        Step::Acquire,
        Step::Acquire,
        Step::End(0, End::Success),
        Step::End(0, End::Success),
        Step::Acquire,
        Step::End(0, End::Failure),
    ];
    let states = compare(config, [open.as_slice(), trials.as_slice()].concat());
    let (closed, open, half) = ENDS;
    assert_eq!(states, [closed, open, half, closed]);
}

const ENDS: (BreakerState, BreakerState, BreakerState) = (
    BreakerState::Closed,
    BreakerState::Open,
    BreakerState::HalfOpen,
);

/// The property above would hold vacuously if the sequences never got anywhere: under each rule
/// they must take every way there is, the forced ones included.
#[test]
fn the_sequences_reach_every_transition() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use std::collections::{HashMap, HashSet};
    use std::mem::{Discriminant, discriminant};

    type Ways = HashSet<(BreakerState, BreakerState)>;
    let mut runner = TestRunner::deterministic();
    let mut seen: HashMap<Discriminant<Rule>, Ways> = HashMap::new();
    for _ in 0..600 {
        let (config, steps) = (configs(), steps())
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let states = compare(config, steps);
        let ways = seen.entry(discriminant(&config.rule)).or_default();
        ways.extend(states.windows(2).map(|pair| (pair[0], pair[1])));
    }
    assert_eq!(seen.len(), 3);
    let (closed, open, half) = ENDS;
    for ways in seen.values() {
        for way in [
            (closed, open),
            (open, half),
            (half, open),
            (half, closed),
            (open, closed),
            (closed, closed),
        ] {
            assert!(ways.contains(&way), "{way:?} never happened");
        }
    }
}

/// A future that holds a permit may be dropped at any of its awaits: a call through the breaker
/// that is cut off after `ms` leaves no trace unless it had ended.
#[test]
fn a_call_cut_off_at_any_time_leaves_no_trace() {
    #[derive(Debug)]
    struct Never;
    impl resilience::Classify for Never {
        fn failure(&self) -> FailureKind {
            FailureKind::Unavailable
        }
        fn code(&self) -> &str {
            "UNAVAILABLE"
        }
    }
    for cut in 0..8u64 {
        on_paused_clock(async move {
            let breaker = Breaker::new(BreakerConfig::consecutive(1, MS(5)));
            breaker.try_acquire().unwrap().failure();
            tokio::time::advance(MS(5)).await;
            let call = breaker.call(|| async {
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err::<(), _>(Never)
            });
            let ended = tokio::time::timeout(MS(cut), call).await.is_ok();
            // It sleeps for 4 ms, give or take the tick that tokio's timers round to.
            assert!(
                if ended { cut >= 4 } else { cut <= 5 },
                "cut after {cut} ms"
            );
            let expected = if ended {
                BreakerState::Open
            } else {
                BreakerState::HalfOpen
            };
            assert_eq!(breaker.view().state, expected, "cut after {cut} ms");
            if !ended {
                assert!(breaker.try_acquire().is_ok(), "the trial's place is free");
            }
        });
    }
}
