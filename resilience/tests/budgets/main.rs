//! Budgets never exceed their bounds, whatever calls do, in whatever order, cancellation included.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod models;

use std::time::Duration;

use models::{Active, Bucket, Hold, Model, Ratio, Throttle};
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus};
use resilience::FailureKind;
use resilience::budget::{Budget, BudgetCall, BudgetConfig, Extra, Reservation};

#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    EndCall(usize),
    /// An attempt that is no extra one ended.
    Record(usize, Result<(), FailureKind>),
    Never(usize),
    Reserve(usize, Option<FailureKind>),
    Begin(usize),
    Cancel(usize),
    /// An extra attempt ended, `None`: it was dropped.
    Finish(usize, Option<Result<(), FailureKind>>),
    Advance(u64),
}

fn failure() -> impl Strategy<Value = FailureKind> {
    prop_oneof![
        3 => Just(FailureKind::Unavailable),
        2 => Just(FailureKind::Timeout),
        1 => Just(FailureKind::Caller),
        1 => Just(FailureKind::Cancelled),
    ]
}

fn result() -> impl Strategy<Value = Result<(), FailureKind>> {
    prop_oneof![Just(Ok(())), failure().prop_map(Err)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = any::<usize>;
    let step = prop_oneof![
        6 => Just(Step::Call),
        2 => which().prop_map(Step::EndCall),
        5 => (which(), result()).prop_map(|(i, result)| Step::Record(i, result)),
        1 => which().prop_map(Step::Never),
        8 => (which(), proptest::option::of(failure())).prop_map(|(i, f)| Step::Reserve(i, f)),
        4 => which().prop_map(Step::Begin),
        2 => which().prop_map(Step::Cancel),
        3 => (which(), proptest::option::of(result())).prop_map(|(i, r)| Step::Finish(i, r)),
        3 => (1u64..400).prop_map(Step::Advance),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A call, and whether it has begun an extra attempt. Calls are never removed, so that a number
/// names one for good.
struct Call {
    call: Option<BudgetCall>,
    extras: bool,
}

/// A reservation or an extra attempt: the model's view of its grant, and whose it is.
struct Held<T> {
    it: T,
    hold: Hold,
    call: usize,
}

struct World<M> {
    budget: Budget,
    model: M,
    calls: Vec<Call>,
    reserved: Vec<Held<Reservation>>,
    running: Vec<Held<Extra>>,
    granted: u32,
    refused: u32,
}

/// Takes one of `from`, if there is one.
fn pick<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
    let index = which.checked_rem(from.len())?;
    Some(from.swap_remove(index))
}

impl<M: Model> World<M> {
    fn new(model: M) -> Self {
        Self {
            budget: Budget::new(model.config()),
            model,
            calls: vec![],
            reserved: vec![],
            running: vec![],
            granted: 0,
            refused: 0,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Call => {
                self.model.call_began();
                let call = Some(self.budget.call());
                let extras = false;
                self.calls.push(Call { call, extras });
            }
            Step::Advance(ms) => {
                self.model.advance(ms);
                tokio::time::advance(Duration::from_millis(ms)).await;
            }
            Step::EndCall(i) | Step::Record(i, _) | Step::Never(i) | Step::Reserve(i, _) => {
                let alive = |i: &usize| self.calls[*i].call.is_some();
                let alive: Vec<usize> = (0..self.calls.len()).filter(alive).collect();
                if let Some(i) = i.checked_rem(alive.len()) {
                    self.of_call(alive[i], step);
                }
            }
            Step::Begin(_) | Step::Cancel(_) | Step::Finish(..) => self.of_extra(step),
        }
        self.check();
    }

    fn of_call(&mut self, i: usize, step: Step) {
        let Call { call: slot, extras } = &mut self.calls[i];
        let call = slot.as_ref().unwrap();
        match step {
            Step::EndCall(_) => {
                *slot = None;
                self.model.call_ended();
            }
            Step::Record(_, result) => {
                call.record(result, None);
                self.model.ended(result, None, *extras);
            }
            Step::Never(_) => {
                call.record_never(None);
                self.model.never();
            }
            Step::Reserve(_, after) => {
                let it = call.reserve(after);
                let hold = self.model.judge(after, it.is_some());
                self.granted += u32::from(it.is_some());
                self.refused += u32::from(it.is_none());
                let held = |it| Held { it, hold, call: i };
                self.reserved.extend(it.map(held));
            }
            _ => unreachable!("no step of a call"),
        }
    }

    fn of_extra(&mut self, step: Step) {
        match step {
            Step::Begin(i) => {
                let begun = pick(&mut self.reserved, i).map(|Held { it, hold, call }| {
                    self.calls[call].extras = true;
                    let it = it.begin();
                    Held { it, hold, call }
                });
                self.running.extend(begun);
            }
            Step::Cancel(i) => {
                if let Some(Held { it, hold, .. }) = pick(&mut self.reserved, i) {
                    drop(it);
                    self.model.given_back(hold);
                }
            }
            Step::Finish(i, result) => {
                if let Some(extra) = pick(&mut self.running, i) {
                    self.finish(extra, result);
                }
            }
            _ => unreachable!("no step of an extra attempt"),
        }
    }

    fn finish(&mut self, extra: Held<Extra>, result: Option<Result<(), FailureKind>>) {
        match (&self.calls[extra.call].call, result) {
            (Some(call), Some(result)) => {
                call.record(result, Some(extra.it));
                self.model.ended(result, Some(extra.hold), true);
            }
            _ => drop(extra.it),
        }
        self.model.extra_dropped();
    }

    /// What is left is the model's, and asking for an extra attempt and not making it is as if
    /// nobody had asked.
    fn check(&self) {
        let left = self.budget.left();
        assert!(left >= 0.0 && left.is_finite(), "{left}");
        if let Some(expected) = self.model.left() {
            assert!((left - expected).abs() < 1e-9, "{left} for {expected}");
        }
        if let Some(call) = self.calls.iter().find_map(|call| call.call.as_ref()) {
            for after in [None, Some(FailureKind::Timeout)] {
                drop(call.reserve(after));
                assert_eq!(self.budget.left(), left, "a cancelled wait cost something");
            }
        }
    }
}

fn run<M: Model>(model: M, steps: Vec<Step>) -> World<M> {
    let mut world = World::new(model);
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(async {
            for step in steps {
                world.step(step).await;
            }
        });
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn throttling_never_grants_at_half_or_below(model in Throttle::any(), steps in steps()) {
        run(model, steps);
    }

    #[test]
    fn a_ratio_holds_over_any_window(model in Ratio::any(), steps in steps()) {
        run(model, steps);
    }

    #[test]
    fn a_bucket_never_pays_more_than_it_got(model in Bucket::any(), steps in steps()) {
        run(model, steps);
    }

    #[test]
    fn a_share_of_active_calls_is_never_exceeded(model in Active::any(), steps in steps()) {
        run(model, steps);
    }
}

/// The properties above would hold vacuously if nothing were granted, or nothing refused.
#[test]
fn the_sequences_grant_and_refuse() {
    fn both<M: Model + std::fmt::Debug>(models: impl Strategy<Value = M>) {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;

        let mut runner = TestRunner::deterministic();
        let (mut granted, mut refused) = (0, 0);
        for _ in 0..100 {
            let (model, steps) = (&models, steps()).new_tree(&mut runner).unwrap().current();
            let world = run(model, steps);
            granted += world.granted;
            refused += world.refused;
        }
        assert!(granted > 200 && refused > 200, "{granted} and {refused}");
    }
    both(Throttle::any());
    both(Ratio::any());
    both(Bucket::any());
    both(Active::any());
}

const CALLS: u32 = 200_000;

/// Calls of up to four attempts, each of which fails with probability `p`. Returns attempts and
/// successes to a call.
fn load_and_success(p: f64, budget: Option<BudgetConfig>) -> (f64, f64) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(17);
    let budget = budget.map(Budget::new);
    let (mut attempts, mut successes) = (0, 0);
    for _ in 0..CALLS {
        let call = budget.as_ref().map(Budget::call);
        let mut extra = None;
        for attempt in 1..=4 {
            attempts += 1;
            let failed = rng.random::<f64>() < p;
            let result = if failed {
                Err(FailureKind::Unavailable)
            } else {
                Ok(())
            };
            if let Some(call) = &call {
                call.record(result, extra.take());
            }
            if !failed {
                successes += 1;
                break;
            }
            if attempt == 4 {
                break;
            }
            if let Some(call) = &call {
                let Some(reserved) = call.reserve(Some(FailureKind::Unavailable)) else {
                    break;
                };
                extra = Some(reserved.begin());
            }
        }
    }
    let each = |count: u32| f64::from(count) / f64::from(CALLS);
    (each(attempts), each(successes))
}

/// A bucket that retries only pay from, 0.1 a success, cost 1. Attempts are as many as the first
/// ones and what successes pay for: load = 1 + 0.1 · success, success = (1 − p) · load; against
/// (1 − p⁴)/(1 − p) and 1 − p⁴ without. The tolerance is over four standard errors of 200 000 calls
/// (at most 0.0011 each, load at p = 0.5 without a budget: 0.0024) and the ten tokens of the start.
#[test]
fn a_token_budget_matches_its_closed_form() {
    for (p, with, without) in [
        (0.1, (1.099, 0.989), (1.111, 0.9999)),
        (0.5, (1.053, 0.526), (1.875, 0.938)),
        (1.0, (1.0, 0.0), (4.0, 0.0)),
    ] {
        let budget = BudgetConfig::Bucket {
            capacity: 10.0,
            retry_cost: 1.0,
            timeout_cost: 1.0,
            deposit: 0.1,
            refund: false,
        };
        let near = |seen: (f64, f64), expected: (f64, f64), tolerance: f64| {
            let (load, success) = (seen.0 - expected.0, seen.1 - expected.1);
            assert!(load.abs() < tolerance, "p {p}: load {seen:?}");
            assert!(success.abs() < tolerance, "p {p}: success {seen:?}");
        };
        near(load_and_success(p, Some(budget)), with, 0.005);
        near(load_and_success(p, None), without, 0.01);
    }
}
