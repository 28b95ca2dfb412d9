//! How long to wait before the next attempt.
//!
//! With `expo = min(cap, base · multiplier^n)`:
//!
//! | jitter | wait |
//! |---|---|
//! | none | expo |
//! | full | U(0, expo) |
//! | equal | expo/2 + U(0, expo/2) |
//! | decorrelated | min(cap, U(base, 3 · previous)), previous = base at first |
//! | proportional(r) | expo · U(1 − r, 1 + r) |
//!
//! **Use** full jitter unless you know better: clients that failed together must not come back
//! together, and it needs the fewest calls for about the least time. **It harms** to have none:
//! the waits then only move the herd. No back-off lowers the load of an open-loop overload, it
//! merely delays it; that takes a budget, a breaker or shedding.
//!
//! Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015, for the
//! first four; gRFC A6 for the proportional one (r = 0.2).

use std::time::Duration;

use rand::{Rng, RngExt as _};
use serde::Serialize;

/// How chance enters a wait. See the [module](self) for the formulas.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// No chance at all.
    None,
    /// Anywhere between zero and the exponential wait.
    Full,
    /// The upper half of it.
    Equal,
    /// Between base and three times the wait before.
    Decorrelated,
    /// The exponential wait, give or take this share of it (0 to 1).
    Proportional(f64),
}

/// The sequence of waits of one call.
///
/// It is per call and not shared: `decorrelated` depends on the wait before, and the generator is
/// the caller's, so that no two calls draw from one state.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: f64,
    multiplier: f64,
    cap: f64,
    jitter: Jitter,
    first: u32,
    n: u32,
    previous: f64,
}

impl Backoff {
    /// A sequence whose first wait has n = 0, that is, `base`.
    pub fn new(base: Duration, multiplier: f64, cap: Duration, jitter: Jitter) -> Self {
        let base = base.as_secs_f64();
        Self {
            base,
            multiplier,
            cap: cap.as_secs_f64(),
            jitter,
            first: 0,
            n: 0,
            previous: base,
        }
    }

    /// The same with another n for the first wait. The contention figures of the AWS article need
    /// 1: its authors' code counts the first conflict before it computes the wait.
    #[must_use]
    pub fn starting_at(mut self, n: u32) -> Self {
        self.first = n;
        self.n = n;
        self
    }

    /// Starts again, as gRFC A6 asks for after a server's pushback.
    pub fn restart(&mut self) {
        self.n = self.first;
        self.previous = self.base;
    }

    /// The next wait.
    pub fn next<R: Rng + ?Sized>(&mut self, rng: &mut R) -> Duration {
        let expo = self.expo();
        self.n = self.n.saturating_add(1);
        let wait = match self.jitter {
            Jitter::None => expo,
            Jitter::Full => uniform(rng, 0.0, expo),
            Jitter::Equal => expo / 2.0 + uniform(rng, 0.0, expo / 2.0),
            Jitter::Decorrelated => uniform(rng, self.base, 3.0 * self.previous).min(self.cap),
            Jitter::Proportional(r) => expo * uniform(rng, 1.0 - r, 1.0 + r),
        };
        self.previous = wait;
        Duration::try_from_secs_f64(wait).unwrap_or(Duration::ZERO)
    }

    fn expo(&self) -> f64 {
        // 0 · ∞ is not a number, and a base of zero means no wait whatever the exponent.
        if self.base == 0.0 {
            return 0.0;
        }
        let n = i32::try_from(self.n).unwrap_or(i32::MAX);
        (self.base * self.multiplier.powi(n)).min(self.cap)
    }
}

fn uniform<R: Rng + ?Sized>(rng: &mut R, low: f64, high: f64) -> f64 {
    if high > low {
        rng.random_range(low..=high)
    } else {
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn waits(jitter: Jitter, count: usize) -> Vec<Duration> {
        let mut rng = Streams::new(3).next();
        let mut backoff = Backoff::new(MS(100), 2.0, MS(1_000), jitter);
        (0..count).map(|_| backoff.next(&mut rng)).collect()
    }

    #[test]
    fn none_doubles_up_to_the_cap() {
        assert_eq!(
            waits(Jitter::None, 6),
            [100, 200, 400, 800, 1_000, 1_000].map(MS)
        );
    }

    #[test]
    fn n_can_start_at_one_and_start_again() {
        let mut rng = Streams::new(3).next();
        let mut backoff = Backoff::new(MS(5), 2.0, MS(2_000), Jitter::None).starting_at(1);
        assert_eq!(backoff.next(&mut rng), MS(10));
        assert_eq!(backoff.next(&mut rng), MS(20));
        backoff.restart();
        assert_eq!(backoff.next(&mut rng), MS(10));
    }

    #[test]
    fn a_base_of_zero_never_waits() {
        for jitter in [
            Jitter::None,
            Jitter::Full,
            Jitter::Equal,
            Jitter::Decorrelated,
        ] {
            let mut rng = Streams::new(3).next();
            let mut backoff = Backoff::new(Duration::ZERO, 1e9, MS(1_000), jitter);
            for _ in 0..200 {
                assert_eq!(backoff.next(&mut rng), Duration::ZERO, "{jitter:?}");
            }
        }
    }

    /// Smallest, mean and largest of the third wait of many calls, in milliseconds.
    fn third_wait(jitter: Jitter) -> (f64, f64, f64) {
        let streams = Streams::new(11);
        let sample: Vec<f64> = (0..40_000)
            .map(|_| {
                let mut rng = streams.next();
                let mut backoff = Backoff::new(MS(100), 2.0, MS(1_000), jitter);
                backoff.next(&mut rng);
                backoff.next(&mut rng);
                backoff.next(&mut rng).as_secs_f64() * 1e3
            })
            .collect();
        let low = sample.iter().copied().fold(f64::INFINITY, f64::min);
        let high = sample.iter().copied().fold(0.0, f64::max);
        (low, sample.iter().sum::<f64>() / sample.len() as f64, high)
    }

    /// Ranges and means are the textbook's for a uniform distribution; expo is 400 ms. The
    /// tolerance is over four standard errors of 40 000 samples.
    #[test]
    fn each_jitter_has_its_range_and_mean() {
        for (jitter, low, mean, high) in [
            (Jitter::None, 400.0, 400.0, 400.0),
            (Jitter::Full, 0.0, 200.0, 400.0),
            (Jitter::Equal, 200.0, 300.0, 400.0),
            (Jitter::Proportional(0.2), 320.0, 400.0, 480.0),
        ] {
            let (seen_low, seen_mean, seen_high) = third_wait(jitter);
            assert!(
                (seen_mean - mean).abs() < 3.0,
                "{jitter:?}: mean {seen_mean}"
            );
            assert!(
                (low..low + 1.0).contains(&seen_low),
                "{jitter:?}: low {seen_low}"
            );
            assert!(
                seen_high <= high && high - seen_high < 1.0,
                "{jitter:?}: high {seen_high}"
            );
        }
    }

    /// The first decorrelated wait is U(b, 3b), mean 2b; the second, given the first w, is
    /// U(b, 3w) with mean (b + 3w)/2, so 3.5b on average: 350 ms. Nothing is capped before the
    /// third.
    #[test]
    fn decorrelated_grows_from_the_wait_before() {
        let streams = Streams::new(5);
        let mut sums = [0.0; 2];
        for _ in 0..40_000 {
            let mut rng = streams.next();
            let mut backoff = Backoff::new(MS(100), 2.0, MS(1_000), Jitter::Decorrelated);
            let first = backoff.next(&mut rng);
            let second = backoff.next(&mut rng);
            assert!((MS(100)..=MS(300)).contains(&first), "{first:?}");
            assert!(
                second >= MS(100) && second <= first * 3,
                "{first:?} then {second:?}"
            );
            sums[0] += first.as_secs_f64() * 1e3 / 40_000.0;
            sums[1] += second.as_secs_f64() * 1e3 / 40_000.0;
        }
        assert!((sums[0] - 200.0).abs() < 3.0, "{sums:?}");
        assert!((sums[1] - 350.0).abs() < 5.0, "{sums:?}");
    }

    proptest! {
        #[test]
        fn every_wait_lies_in_its_range(
            seed: u64,
            base in 0u64..5_000,
            more in 0u64..60_000,
            multiplier in 1.0f64..10.0,
            r in 0.0f64..=1.0,
            which in 0usize..5,
        ) {
            let jitter = [
                Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated,
                Jitter::Proportional(r),
            ][which];
            let (base, cap) = (base as f64 / 1e3, (base + more) as f64 / 1e3);
            let mut rng = Streams::new(seed).next();
            let mut backoff = Backoff::new(
                Duration::from_secs_f64(base), multiplier, Duration::from_secs_f64(cap), jitter,
            );
            let mut previous = base;
            for n in 0..100 {
                let wait = backoff.next(&mut rng).as_secs_f64();
                let expo = if base == 0.0 { 0.0 } else { (base * multiplier.powi(n)).min(cap) };
                let (low, high) = match jitter {
                    Jitter::None => (expo, expo),
                    Jitter::Full => (0.0, expo),
                    Jitter::Equal => (expo / 2.0, expo),
                    Jitter::Decorrelated => (base, cap.min(3.0 * previous)),
                    Jitter::Proportional(r) => (expo * (1.0 - r), expo * (1.0 + r)),
                };
                let slack = 2e-9;
                prop_assert!(wait >= low - slack && wait <= high + slack, "{wait} not in {low}..{high}");
                previous = wait;
            }
        }
    }
}
