//! Netflix's Gradient2: the limit shrinks as the recent time grows against the long-run mean.
//!
//! ```text
//! gradient = clamp(tolerance · long / short, 0.5, 1)
//! new      = limit · gradient + queue
//! limit    = limit · (1 − smoothing) + new · smoothing
//! ```
//!
//! The mean, rather than the best time as in Vegas, because the best of many unlike requests is
//! the cheapest request and not an idle server. The price is that the mean learns: under an
//! overload that lasts, it rises to the loaded time within the long window, and the limit with it.
//!
//! One departure: Netflix's ignores refusals, so that a dependency that fails fast looks like a
//! quick one. Here a window with a refusal takes the steepest gradient, 0.5.

use super::{Bounds, Sample, idle, sane};

/// The steepest step down before smoothing: outliers shall not close the door.
const STEEPEST: f64 = 0.5;

/// When the long-run mean is this many times the recent time, a long overload has ended…
const OUTDATED: f64 = 2.0;

/// …and the mean is brought down faster than averaging would.
const FORGET: f64 = 0.95;

#[derive(Clone, Debug)]
pub(super) struct Gradient2 {
    limit: f64,
    bounds: Bounds,
    tolerance: f64,
    queue: f64,
    smoothing: f64,
    long: Mean,
}

/// See [`LimitConfig::Gradient2`](super::LimitConfig::Gradient2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    pub(super) tolerance: f64,
    pub(super) queue: u32,
    pub(super) smoothing: f64,
    pub(super) long_window: u32,
}

impl Gradient2 {
    pub(super) fn new(initial: u32, bounds: Bounds, constants: Constants) -> Self {
        Self {
            limit: bounds.clamp(f64::from(initial)),
            bounds,
            tolerance: sane(constants.tolerance, 1.0, f64::MAX, 1.5),
            queue: f64::from(constants.queue),
            smoothing: sane(constants.smoothing, 0.0, 1.0, 0.2),
            long: Mean::over(constants.long_window),
        }
    }

    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    pub(super) fn step(&mut self, window: Sample) {
        let gradient = self.gradient(window);
        if !window.dropped && idle(window.inflight, self.limit) {
            return;
        }
        let mut new = self.limit * gradient + self.queue;
        if window.dropped {
            // The queue it allows itself would outweigh the gradient in a small limit.
            new = new.min(self.limit);
        }
        let smooth = self.limit * (1.0 - self.smoothing) + new * self.smoothing;
        self.limit = self.bounds.clamp(smooth);
    }

    /// Takes the window's time into the mean whether or not the limit moves: an idle server shows
    /// its time best.
    fn gradient(&mut self, window: Sample) -> f64 {
        let short = window.rtt.as_secs_f64();
        if short <= 0.0 {
            return if window.dropped { STEEPEST } else { 1.0 };
        }
        let long = self.long.add(short);
        if long / short > OUTDATED {
            self.long.value *= FORGET;
        }
        if window.dropped {
            return STEEPEST;
        }
        (self.tolerance * long / short).clamp(STEEPEST, 1.0)
    }
}

/// An exponential mean that begins as a plain one, so that the first sample doesn't weigh for long.
#[derive(Clone, Debug)]
struct Mean {
    value: f64,
    count: u32,
    weight: f64,
}

impl Mean {
    const WARM_UP: u32 = 10;

    /// The usual weight for an average over `n`: 2 / (n + 1).
    fn over(n: u32) -> Self {
        Self {
            value: 0.0,
            count: 0,
            weight: 2.0 / (f64::from(n.max(1)) + 1.0),
        }
    }

    fn add(&mut self, sample: f64) -> f64 {
        if self.count < Self::WARM_UP {
            self.count += 1;
            self.value += (sample - self.value) / f64::from(self.count);
        } else {
            self.value += (sample - self.value) * self.weight;
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gradient2() -> Gradient2 {
        let constants = Constants {
            tolerance: 1.5,
            queue: 4,
            smoothing: 0.2,
            long_window: 600,
        };
        Gradient2::new(20, Bounds::new(4, 200), constants)
    }

    fn window(millis: u64, inflight: u32) -> Sample {
        Sample {
            rtt: Duration::from_millis(millis),
            inflight,
            dropped: false,
        }
    }

    #[track_caller]
    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-3, "{value}, not {expected}");
    }

    #[test]
    fn the_limit_follows_the_formula() {
        let mut law = gradient2();
        // (recent time, limit), by hand: the long-run time is the plain mean at first.
        for (millis, limit) in [
            (10, 20.8),      // gradient 1
            (10, 21.6),      // gradient 1
            (30, 21.68),     // long 16.67, gradient 0.8333, new 22
            (100, 20.583),   // long 37.5, gradient 0.5625, new 16.195
            (1_000, 19.325), // long 230, gradient 0.345, so 0.5, new 14.2915
        ] {
            law.step(window(millis, 20));
            near(law.limit(), limit);
        }
    }

    #[test]
    fn it_does_not_move_while_less_than_half_is_used() {
        let mut law = gradient2();
        law.step(window(10, 9));
        near(law.limit(), 20.0);
        near(law.long.value, 0.010);
        law.step(window(10, 10));
        near(law.limit(), 20.8);
    }

    #[test]
    fn after_a_long_overload_the_mean_is_brought_down() {
        let mut law = gradient2();
        for _ in 0..10 {
            law.step(window(100, 1));
        }
        near(law.long.value, 0.1);
        law.step(window(10, 1));
        // 100 − 90 · 2/601, and that · 0.95.
        near(law.long.value * 1_000.0, 94.715_5);
    }

    #[test]
    fn a_refusal_further_in_is_the_steepest_step_and_never_one_up() {
        let mut law = gradient2();
        let dropped = Sample {
            dropped: true,
            ..window(0, 1)
        };
        law.step(dropped);
        near(law.limit(), 18.8);
        let mut small = gradient2();
        small.limit = 5.0;
        small.step(dropped);
        assert!(small.limit() <= 5.0, "{}", small.limit());
    }

    #[test]
    fn under_an_overload_that_lasts_it_drifts_up() {
        // The harm that the module's guide names, so that nobody has to believe it: ten workers of
        // 20 ms, always more work than they can do.
        let mut law = gradient2();
        let step = |law: &mut Gradient2| {
            let inflight = law.limit();
            let millis = 20.0 * (inflight / 10.0).max(1.0);
            law.step(window(millis as u64, inflight as u32));
        };
        (0..50).for_each(|_| step(&mut law));
        let soon = law.limit();
        (0..3_000).for_each(|_| step(&mut law));
        assert!(soon < 60.0, "{soon}");
        assert!(law.limit() > 2.0 * soon, "{} after {soon}", law.limit());
    }
}
