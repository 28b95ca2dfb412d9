//! Counts and latencies of a selection, and the figures that follow.

use std::collections::BTreeMap;

use crate::checks::Metric;
use crate::latency::Latency;
use crate::runlog::{LinkCounts, Outcomes};

/// Counts and latencies of some requests or calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Outcomes of the requests, or of the calls of a link.
    pub outcomes: Outcomes,
    /// Requests without success that were told when to come back.
    pub retry_after: u64,
    /// Calls and attempts, for a link.
    pub counts: LinkCounts,
    /// Latencies of the requests, or durations of the calls.
    pub latency: Latency,
    /// Waits, by the number of the attempt that came after.
    pub waits: BTreeMap<u32, Waited>,
}

/// Waits before attempts of one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// How many.
    pub n: u64,
    /// Together.
    pub sum_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Waited {
    fn mean_s(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum_us as f64 / self.n as f64 / 1e6)
    }
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
            total.retry_after += part.retry_after;
            for (attempt, more) in &part.waits {
                let waited = total.waits.entry(*attempt).or_default();
                waited.n += more.n;
                waited.sum_us += more.sum_us;
                waited.max_us = waited.max_us.max(more.max_us);
            }
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

    /// Failed and rejected.
    #[must_use]
    pub fn unsuccessful(&self) -> u64 {
        self.outcomes.failed + self.outcomes.rejected
    }

    /// The successes and trials of a share; `limit` is that of `share_under`.
    #[must_use]
    pub fn share(&self, metric: Metric, limit: Option<f64>) -> (f64, f64) {
        let of_all = |k: u64| (k as f64, self.requests() as f64);
        match (metric, limit) {
            (Metric::ShareUnder, Some(limit)) => of_all(self.latency.within(limit)),
            (Metric::RetryAfterShare, _) => (self.retry_after as f64, self.unsuccessful() as f64),
            _ => of_all(self.outcomes.success()),
        }
    }

    /// A figure of these requests or calls; `None` without data for it.
    /// `length_s` is the length of the window.
    #[must_use]
    pub fn figure(&self, metric: Metric, limit: Option<f64>, length_s: f64) -> Option<f64> {
        let o = &self.outcomes;
        let any = |count: u64| (self.requests() > 0).then_some(count as f64);
        match metric {
            Metric::Requests => any(self.requests()),
            Metric::Degraded => any(o.degraded),
            Metric::Failed => any(o.failed),
            Metric::Rejected => any(o.rejected),
            Metric::Unsuccessful => any(self.unsuccessful()),
            Metric::SuccessRate | Metric::ShareUnder | Metric::RetryAfterShare => {
                let (k, n) = self.share(metric, limit);
                (n > 0.0).then_some(k / n)
            }
            Metric::P50 | Metric::P90 | Metric::P99 | Metric::P999 => {
                self.latency.percentile(metric.quantile()?)
            }
            Metric::Max => self.latency.max(),
            Metric::Goodput => (length_s > 0.0).then(|| o.success() as f64 / length_s),
            _ => self.of_calls(metric),
        }
    }

    fn of_calls(&self, metric: Metric) -> Option<f64> {
        let calls = |count: u64| (self.counts.calls > 0).then_some(count as f64);
        let waited = |attempt| self.waits.get(&attempt).filter(|w| w.n > 0);
        let longest = |attempt| Some(waited(attempt)?.max_us as f64 / 1e6);
        match metric {
            Metric::Calls => calls(self.counts.calls),
            Metric::Attempts => calls(self.counts.attempts),
            Metric::Retries => calls(self.counts.retries),
            Metric::Hedges => calls(self.counts.hedges),
            Metric::Amplification => ratio(self.counts.attempts, self.counts.calls),
            Metric::AttemptsPerCall => ratio(self.counts.attempts, self.counts.tried),
            Metric::Shed => Some(self.counts.shed as f64),
            Metric::WastedWork => Some(self.counts.wasted_us as f64 / 1e6),
            Metric::FirstWaitMean => waited(2)?.mean_s(),
            Metric::FirstWaitMax => longest(2),
            Metric::SecondWaitMean => waited(3)?.mean_s(),
            Metric::SecondWaitMax => longest(3),
            _ => None,
        }
    }
}

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}
