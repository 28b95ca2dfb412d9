//! How fast each rule sees a failing dependency: the figures of the module's table.

use rand::RngExt as _;

use super::*;
use crate::rng::Streams;

/// Calls until it opens, each failing with probability `p`.
fn calls_to_open(config: BreakerConfig, p: f64, rng: &mut impl rand::Rng) -> u32 {
    let breaker = Breaker::new(config);
    (1..)
        .find(|_| {
            let permit = breaker.try_acquire().unwrap();
            let failed = rng.random_bool(p);
            let transition = if failed {
                permit.failure()
            } else {
                permit.success()
            };
            transition.is_some()
        })
        .unwrap()
}

/// The mean wait for five failures in a row, (1 − p⁵)/((1 − p) p⁵), within four standard errors.
/// A wait spreads about as much as it lasts (it is nearly geometric), so a run's standard error is
/// at most the mean over the root of the runs.
#[test]
fn five_in_a_row_take_as_many_calls_as_the_formula_says() {
    const RUNS: u32 = 4_000;
    for (p, mean) in [(1.0, 5.0), (0.9, 6.935), (0.7, 16.5), (0.5, 62.0)] {
        let mut rng = Streams::new(62).next();
        let config = BreakerConfig::consecutive(5, RESET);
        let sum: u32 = (0..RUNS).map(|_| calls_to_open(config, p, &mut rng)).sum();
        let seen = f64::from(sum) / f64::from(RUNS);
        let limit = 4.0 * mean / f64::from(RUNS).sqrt();
        assert!((seen - mean).abs() < limit, "p = {p}: {seen}, not {mean}");
    }
}

/// P(Bin(20, p) ≥ 10), the chance that the first full window opens it.
#[test]
fn half_of_twenty_opens_on_a_full_window_as_often_as_the_binomial_says() {
    const RUNS: u32 = 6_000;
    for (p, chance) in [(0.3, 0.048), (0.5, 0.588), (0.7, 0.983)] {
        let mut rng = Streams::new(20).next();
        let config = BreakerConfig::count_window(20, 0.5, RESET);
        let at_first = (0..RUNS)
            .filter(|_| first_window_opens(config, p, &mut rng))
            .count();
        let seen = at_first as f64 / f64::from(RUNS);
        let limit = 4.0 * (chance * (1.0 - chance) / f64::from(RUNS)).sqrt();
        assert!(
            (seen - chance).abs() < limit,
            "p = {p}: {seen}, not {chance}"
        );
    }
}

fn first_window_opens(config: BreakerConfig, p: f64, rng: &mut impl rand::Rng) -> bool {
    let breaker = Breaker::new(config);
    let mut opened = (0..20).map(|_| {
        let failed = rng.random_bool(p);
        let kind = failed.then_some(FailureKind::Unavailable);
        let permit = breaker.try_acquire().unwrap();
        permit.record_timed(kind, Duration::ZERO).is_some()
    });
    let before = opened.by_ref().take(19).any(|opened| opened);
    assert!(!before, "nineteen calls are no full window");
    opened.next().unwrap()
}
