//! The rules that are compared, with what theory says of them, and real breakers put to the test.

use std::time::Duration;

use rand::RngExt as _;
use resilience::breaker::{Breaker, BreakerConfig};

use crate::kernel::SimRng;

/// How long a breaker would stay open: nothing comes after that here.
const RESET: Duration = Duration::from_secs(1);

/// A rule under comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// So many failures in a row.
    Consecutive(u32),
    /// A share of the last calls.
    Window(Window),
}

/// A count window that must be full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) calls: u32,
    /// The share of failures that opens it.
    pub(super) threshold: f64,
}

impl Rule {
    pub(super) fn name(self) -> String {
        match self {
            Self::Consecutive(failures) => format!("consecutive({failures})"),
            Self::Window(Window { calls, threshold }) => {
                format!("window({calls}, {}%)", round(threshold * 100.0))
            }
        }
    }

    /// The mean number of calls until it opens; `None`: no closed form.
    pub(super) fn calls_expected(self, failure: f64) -> Option<f64> {
        match self {
            Self::Consecutive(failures) => Some(super::closed_form(failure, failures)),
            Self::Window(_) => None,
        }
    }

    /// About how many calls it takes, to know beforehand how long it would be watched.
    pub(super) fn calls_about(self, failure: f64) -> f64 {
        match self {
            Self::Consecutive(failures) => super::closed_form(failure, failures),
            Self::Window(window) => window.calls_about(failure),
        }
    }

    fn breaker(self) -> Breaker {
        Breaker::new(match self {
            Self::Consecutive(failures) => BreakerConfig::consecutive(failures, RESET),
            Self::Window(Window { calls, threshold }) => {
                BreakerConfig::count_window(calls, threshold, RESET)
            }
        })
    }

    /// Calls until a fresh breaker opened, the last one included.
    pub(super) fn calls_to_open(self, failure: f64, chance: &mut SimRng) -> f64 {
        let breaker = self.breaker();
        let mut calls = 0_u64;
        while call(&breaker, failure, chance) {
            calls += 1;
        }
        calls as f64
    }
}

impl Window {
    /// Whether the first full window of a fresh breaker opens it.
    pub(super) fn opens_when_full(self, failure: f64, chance: &mut SimRng) -> bool {
        let breaker = Rule::Window(self).breaker();
        for _ in 0..self.calls {
            call(&breaker, failure, chance);
        }
        breaker.try_acquire().is_err()
    }

    /// The chance of that: P(X ≥ k) for X ~ Bin(calls, failure).
    pub(super) fn full_expected(self, failure: f64) -> f64 {
        let tail = (self.needed()..=self.calls).map(|k| binomial(self.calls, k, failure));
        tail.sum::<f64>().min(1.0)
    }

    /// Failures that open it.
    fn needed(self) -> u32 {
        // The breaker's own arithmetic, so that no rounding can come between the two.
        let reaches = |failures: &u32| f64::from(*failures) / f64::from(self.calls);
        let enough = (1..=self.calls).find(|failures| reaches(failures) >= self.threshold);
        enough.unwrap_or(self.calls)
    }

    /// It slides past its threshold when it stands one below, loses a success, and gains a failure;
    /// the reciprocal of that chance is a lower bound, for such moments come in clusters.
    fn calls_about(self, failure: f64) -> f64 {
        let below = binomial(self.calls - 1, self.needed() - 1, failure);
        let once = below * failure * (1.0 - failure);
        let full = self.full_expected(failure);
        f64::from(self.calls) + (1.0 - full) / once.max(f64::MIN_POSITIVE)
    }
}

/// One call that fails with `failure`; whether the breaker let it through.
fn call(breaker: &Breaker, failure: f64, chance: &mut SimRng) -> bool {
    let Ok(permit) = breaker.try_acquire() else {
        return false;
    };
    if chance.random::<f64>() < failure {
        permit.failure();
    } else {
        permit.success();
    }
    true
}

/// The chance of exactly k in n. In logarithms, for a large n has powers smaller than any number.
fn binomial(n: u32, k: u32, p: f64) -> f64 {
    if p >= 1.0 {
        return if k == n { 1.0 } else { 0.0 };
    }
    let ways: f64 = (1..=k)
        .map(|i| (f64::from(n - k + i) / f64::from(i)).ln())
        .sum();
    (ways + f64::from(k) * p.ln() + f64::from(n - k) * (-p).ln_1p()).exp()
}

/// Without the tail that sums of tenths have in binary.
fn round(percent: f64) -> f64 {
    (percent * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Seed, world};
    use crate::stats::{Sample, deviation};

    const HALF_OF_20: Window = Window {
        calls: 20,
        threshold: 0.5,
    };

    /// The figures of `resilience.md`.
    #[test]
    fn half_of_twenty_opens_as_the_specification_says() {
        for (failure, chance) in [(0.3, 0.048), (0.5, 0.588), (0.7, 0.983), (1.0, 1.0)] {
            let expected = HALF_OF_20.full_expected(failure);
            assert!((expected - chance).abs() < 5e-4, "{failure}: {expected}");
        }
    }

    #[test]
    fn a_threshold_between_two_counts_needs_the_upper_one() {
        let needed = |calls, threshold| Window { calls, threshold }.needed();
        assert_eq!(needed(20, 0.5), 10);
        assert_eq!(needed(20, 0.51), 11);
        assert_eq!(needed(10, 0.3), 3);
        assert_eq!(needed(3, 0.01), 1);
        assert_eq!(needed(1, 1.0), 1);
    }

    #[test]
    fn a_binomial_distribution_sums_to_one_however_large() {
        for n in [1, 20, 1_000] {
            for p in [0.001, 0.5, 0.999, 1.0] {
                let sum: f64 = (0..=n).map(|k| binomial(n, k, p)).sum();
                assert!((sum - 1.0).abs() < 1e-9, "{n}, {p}: {sum}");
            }
        }
    }

    /// The mean number of calls until a sliding window opens, exactly: the chain of all that its last
    /// calls can have been (a bit each, the oldest on top), less those that opened it.
    fn sliding_exactly(window: Window, p: f64) -> f64 {
        let (n, needed) = (window.calls, window.needed());
        let states = 1_usize << n;
        let opens = |state: usize| state.count_ones() >= needed;
        let chance = |state: usize| {
            let failures = state.count_ones() as i32;
            p.powi(failures) * (1.0 - p).powi(n as i32 - failures)
        };
        let closed = |state: usize| if opens(state) { 0.0 } else { chance(state) };
        let mut shares: Vec<f64> = (0..states).map(closed).collect();
        let mut calls = f64::from(n);
        loop {
            let still: f64 = shares.iter().sum();
            calls += still;
            if still < 1e-12 {
                return calls;
            }
            let before = |state: usize| shares[state / 2] + shares[state / 2 + states / 2];
            let last = |state: usize| if state % 2 == 1 { p } else { 1.0 - p };
            let step = |state| match opens(state) {
                true => 0.0,
                false => before(state) * last(state),
            };
            shares = (0..states).map(step).collect();
        }
    }

    /// Within 4 standard errors of the exact mean, in small windows, where that is quickly known; for
    /// `HALF_OF_20` the same chain gives 144.75 calls at p = 0.3 and 25.38 at 0.5.
    #[test]
    fn a_sliding_window_opens_when_the_exact_chain_says() {
        let small = |calls, threshold| Window { calls, threshold };
        let mut chance = Seed::new(5).rng();
        for (window, p) in [
            (small(8, 0.5), 0.3),
            (small(8, 0.5), 0.5),
            (small(10, 0.7), 0.5),
            (small(2, 1.0), 0.2),
        ] {
            let rule = Rule::Window(window);
            let mut open = |_| rule.calls_to_open(p, &mut chance);
            let calls: Sample = world(|_| async move { (0..2_000).map(&mut open).collect() });
            let exact = sliding_exactly(window, p);
            let z = deviation(calls.mean(), exact, calls.standard_error());
            assert!(
                z.abs() < 4.0,
                "{window:?}, {p}: {} for {exact}",
                calls.mean()
            );
        }
        // Two of two are two in a row, which has a closed form.
        let both = sliding_exactly(small(2, 1.0), 0.2);
        assert!((both - 30.0).abs() < 1e-6, "{both}");
    }

    #[test]
    fn names_are_short() {
        assert_eq!(Rule::Consecutive(5).name(), "consecutive(5)");
        assert_eq!(Rule::Window(HALF_OF_20).name(), "window(20, 50%)");
        let odd = Window {
            calls: 7,
            threshold: 0.07,
        };
        assert_eq!(Rule::Window(odd).name(), "window(7, 7%)");
    }
}
