//! Counts and latencies of a selection, and the figures that follow.

use crate::checks::Metric;
use crate::latency::Latency;
use crate::runlog::{LinkCounts, Outcomes};

/// Counts and latencies of some requests or calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Outcomes of the requests, or of the calls of a link.
    pub outcomes: Outcomes,
    /// Calls and attempts, for a link.
    pub counts: LinkCounts,
    /// Latencies of the requests, or durations of the calls.
    pub latency: Latency,
}

impl Tally {
    /// All of these together.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Self> + Clone) -> Self {
        let mut total = Self {
            latency: Latency::sum(parts.clone().into_iter().map(|p| &p.latency)),
            ..Self::default()
        };
        for part in parts {
            total.outcomes.add(part.outcomes);
            total.counts.add(part.counts);
        }
        total
    }

    /// How many requests or calls.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.outcomes.total()
    }

    /// (ok + degraded) / requests.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        ratio(self.outcomes.success(), self.requests())
    }

    /// The trials and successes of a share; `limit` is that of `share_under`.
    #[must_use]
    pub fn share(&self, metric: Metric, limit: Option<f64>) -> (f64, f64) {
        let k = match limit.filter(|_| metric == Metric::ShareUnder) {
            Some(limit) => self.latency.within(limit),
            None => self.outcomes.success(),
        };
        (k as f64, self.requests() as f64)
    }

    /// A figure of these requests or calls; `None` without data for it.
    /// `length_s` is the length of the window.
    #[must_use]
    pub fn figure(&self, metric: Metric, limit: Option<f64>, length_s: f64) -> Option<f64> {
        let o = &self.outcomes;
        let any = |count: u64| (self.requests() > 0).then_some(count as f64);
        let calls = |count: u64| (self.counts.calls > 0).then_some(count as f64);
        match metric {
            Metric::Requests => any(self.requests()),
            Metric::Degraded => any(o.degraded),
            Metric::Failed => any(o.failed),
            Metric::Rejected => any(o.rejected),
            Metric::Unsuccessful => any(o.failed + o.rejected),
            Metric::SuccessRate | Metric::ShareUnder => {
                let (k, n) = self.share(metric, limit);
                (n > 0.0).then_some(k / n)
            }
            Metric::P50 | Metric::P90 | Metric::P99 | Metric::P999 => {
                self.latency.quantile(metric.quantile()?)
            }
            Metric::Goodput => (length_s > 0.0).then(|| o.success() as f64 / length_s),
            Metric::Calls => calls(self.counts.calls),
            Metric::Attempts => calls(self.counts.attempts),
            Metric::Retries => calls(self.counts.retries),
            Metric::Amplification => ratio(self.counts.attempts, self.counts.calls),
            Metric::AttemptsPerCall => ratio(self.counts.attempts, self.counts.tried),
            _ => None,
        }
    }
}

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}
