//! Additive increase, multiplicative decrease.
//!
//! Chiu and Jain showed that of the linear rules only this one brings several that share a
//! resource to equal shares of all of it. The step up is one a window (TCP's: one a round trip),
//! the step down a share, at most once a window however many failed in it: a burst of refusals is
//! one event, and answering each would throw the limit to its minimum.

use std::time::Duration;

use super::{Bounds, Sample, idle, sane};

#[derive(Clone, Debug)]
pub(super) struct Aimd {
    limit: f64,
    bounds: Bounds,
    backoff: f64,
    slow_after: Duration,
}

impl Aimd {
    pub(super) fn new(initial: u32, bounds: Bounds, backoff: f64, slow_after: Duration) -> Self {
        Self {
            limit: bounds.clamp(f64::from(initial)),
            bounds,
            backoff: sane(backoff, 0.0, 1.0, 0.9),
            slow_after,
        }
    }

    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    pub(super) fn step(&mut self, window: Sample) {
        let next = if window.dropped || window.rtt > self.slow_after {
            self.limit * self.backoff
        } else if idle(window.inflight, self.limit) {
            return;
        } else {
            self.limit + 1.0
        };
        self.limit = self.bounds.clamp(next);
    }
}
