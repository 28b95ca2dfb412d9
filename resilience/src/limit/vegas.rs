//! Vegas: keep a small queue inside the server, and no more.
//!
//! With the best time seen taken for the time of an idle server, `limit · (1 − best / recent)` of
//! what is under way is waiting inside. Below `alpha` = 3·log₁₀(limit) of those there is room and
//! the limit grows by log₁₀(limit), above `beta` = 6·log₁₀(limit) it shrinks by as much; with
//! next to nothing waiting it grows by `beta` at once.
//!
//! A best time can't be kept for ever, or a server that has become slower would be strangled. Every
//! 30 · limit windows the recent time becomes the best one. Netflix draws a share of that at random
//! to keep many servers from probing together; here it is the fixed middle of the range, since the
//! limit's own walk sets servers apart.

use super::{Bounds, Sample, idle, sane};

/// Windows between two probes, times the limit: 30, times the mean of U(0.5, 1).
const PROBE_EVERY: f64 = 30.0 * 0.75;

#[derive(Clone, Debug)]
pub(super) struct Vegas {
    limit: f64,
    bounds: Bounds,
    smoothing: f64,
    /// The best time seen since the last probe, in seconds.
    best: Option<f64>,
    since_probe: u32,
}

impl Vegas {
    pub(super) fn new(initial: u32, bounds: Bounds, smoothing: f64) -> Self {
        Self {
            limit: bounds.clamp(f64::from(initial)),
            bounds,
            smoothing: sane(smoothing, 0.0, 1.0, 1.0),
            best: None,
            since_probe: 0,
        }
    }

    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    pub(super) fn step(&mut self, window: Sample) {
        if window.dropped {
            return self.move_to(self.limit - self.log());
        }
        let recent = window.rtt.as_secs_f64();
        if recent <= 0.0 || self.takes_for_best(recent) {
            return;
        }
        if idle(window.inflight, self.limit) {
            return;
        }
        let best = self.best.unwrap_or(recent);
        let waiting = (self.limit * (1.0 - best / recent)).ceil();
        let log = self.log();
        let (alpha, beta) = (3.0 * log, 6.0 * log);
        if waiting <= log {
            self.move_to(self.limit + beta);
        } else if waiting < alpha {
            self.move_to(self.limit + log);
        } else if waiting > beta {
            self.move_to(self.limit - log);
        }
    }

    /// Whether the recent time becomes the best: it is, or a probe is due.
    fn takes_for_best(&mut self, recent: f64) -> bool {
        self.since_probe = self.since_probe.saturating_add(1);
        let probe = f64::from(self.since_probe) >= PROBE_EVERY * self.limit;
        if probe {
            self.since_probe = 0;
        }
        let best = probe || self.best.is_none_or(|best| recent < best);
        if best {
            self.best = Some(recent);
        }
        best
    }

    fn move_to(&mut self, limit: f64) {
        let limit = self.bounds.clamp(limit);
        self.limit = self
            .bounds
            .clamp(self.limit * (1.0 - self.smoothing) + limit * self.smoothing);
    }

    /// The whole part of the limit's decimal logarithm, at least 1.
    fn log(&self) -> f64 {
        self.limit.log10().floor().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(micros: u64, inflight: u32) -> Sample {
        Sample {
            rtt: Duration::from_micros(micros),
            inflight,
            dropped: false,
        }
    }

    #[test]
    fn the_limit_follows_the_estimated_queue() {
        let mut law = Vegas::new(20, Bounds::new(4, 1_000), 1.0);
        // (recent time, limit), by hand: log₁₀ is 1, alpha 3, beta 6.
        for (micros, limit) in [
            (10_000, 20.0), // the best time
            (10_000, 26.0), // nothing waits: + beta
            (10_800, 27.0), // 2 wait: below alpha
            (12_000, 27.0), // 5 wait: as it should be
            (20_000, 26.0), // 14 wait: above beta
            (9_000, 26.0),  // a better time
        ] {
            law.step(window(micros, 30));
            assert_eq!(law.limit(), limit, "{micros} µs");
        }
        law.step(Sample {
            dropped: true,
            ..window(0, 1)
        });
        assert_eq!(law.limit(), 25.0, "a refusal shrinks it, used or not");
    }

    #[test]
    fn steps_grow_with_the_limits_logarithm_and_are_smoothed() {
        let mut law = Vegas::new(100, Bounds::new(4, 1_000), 0.5);
        law.step(window(10_000, 100));
        law.step(window(10_000, 100));
        assert_eq!(law.limit(), 106.0, "half of 6 · 2");
        law.step(window(20_000, 100));
        assert_eq!(law.limit(), 105.0, "half of 2");
    }

    #[test]
    fn it_does_not_move_while_less_than_half_is_used() {
        let mut law = Vegas::new(20, Bounds::new(4, 1_000), 1.0);
        law.step(window(10_000, 20));
        law.step(window(10_000, 9));
        assert_eq!(law.limit(), 20.0);
        law.step(window(10_000, 10));
        assert_eq!(law.limit(), 26.0);
    }

    #[test]
    fn now_and_then_the_recent_time_becomes_the_best() {
        let mut law = Vegas::new(1, Bounds::new(1, 1), 1.0);
        law.step(window(10_000, 1));
        for _ in 2..=22 {
            law.step(window(20_000, 1));
        }
        assert_eq!(law.best, Some(0.010));
        law.step(window(20_000, 1));
        assert_eq!(law.best, Some(0.020), "22.5 windows times a limit of 1");
    }
}
