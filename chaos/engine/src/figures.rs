//! The figures of a phase, as `result.json` gives them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checks::{Metric, Selector, Window};
use crate::measure::{BreakerLife, Lengths, Tally, Trial};
use crate::runlog::Phase;

/// The figures of one phase, or of a whole repeat.
///
/// `ok` is a 2xx or an expected 4xx; `degraded` was answered by a fallback;
/// `rejected` is a 429 or a 503 by refusal; `failed` the rest; success is ok +
/// degraded. Latencies run from when a request was due to when its answer had been
/// read; a percentile is `null` with fewer than ten requests beyond it (20, 100,
/// 1 000, 10 000 requests for p50, p90, p99, p999).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests.
    pub requests: u64,
    /// Answered.
    pub ok: u64,
    /// Answered by a fallback.
    pub degraded: u64,
    /// Refused.
    pub rejected: u64,
    /// The rest.
    pub failed: u64,
    /// (ok + degraded) / requests; `null` without requests.
    pub success_rate: Option<f64>,
    /// ok + degraded, a second of the phase.
    pub goodput_rps: Option<f64>,
    /// Median latency, milliseconds.
    pub p50_ms: Option<f64>,
    /// 90th percentile.
    pub p90_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// 99.9th percentile.
    pub p999_ms: Option<f64>,
    /// The longest latency, to three digits; `null` without requests.
    pub max_ms: Option<f64>,
    /// Requests without success that were told when to come back.
    pub retry_after: u64,
    /// The most requests under way at the end of any tenth of a second; `null` when the
    /// phase did not come.
    pub in_flight: Option<u64>,
    /// Logical calls by link, refused ones included.
    pub calls: BTreeMap<String, u64>,
    /// Attempts over all links.
    pub attempts: u64,
    /// Attempts after a call's first, over all links, hedges included.
    pub retries: u64,
    /// Second copies of slow attempts, over all links.
    pub hedges: u64,
    /// Requests that servers turned away at their doors.
    pub shed: u64,
    /// Attempts by link.
    pub attempts_by_link: BTreeMap<String, u64>,
    /// Attempts / calls by link: what the link sees of what is wanted of it.
    pub amplification: BTreeMap<String, f64>,
    /// Work done for callers who had left, in seconds; `null` when no part told anything.
    pub wasted_work_s: Option<f64>,
}

/// A whole repeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Total {
    /// The figures over all phases.
    #[serde(flatten)]
    pub figures: Figures,
    /// Breakers that moved, by link.
    pub breaker: BTreeMap<String, BreakerLife>,
    /// From the clearing to the first of three seconds at 99 % of `before`'s
    /// success; `null` without a fault, or when it never came.
    pub recovery_s: Option<f64>,
    /// What the faults did, conditions included, together.
    pub fault: FaultFigures,
    /// The same of each.
    pub faults: BTreeMap<String, FaultFigures>,
    /// Acknowledged orders that the shop doesn't have.
    pub lost_orders: Option<u64>,
    /// Orders that no request explains.
    pub duplicate_orders: Option<u64>,
    /// Units sold beyond what there was, or by which stock and orders disagree.
    pub oversold: Option<u64>,
    /// How often a rule of the integrity checker was broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violations: Option<u64>,
}

/// What a fault did, or all of a repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultFigures {
    /// What the injectors counted; `null` where none can count.
    pub acted: Option<u64>,
    /// Attempts on the faults' links, inside their windows, that failed or took
    /// longer than the 99th percentile before.
    pub seen: u64,
}

impl Figures {
    /// The figures of a trial's window.
    #[must_use]
    pub fn of(trial: &Trial, window: &Window, lengths: Lengths) -> Self {
        let t = trial.tally(window, &Selector::All);
        let o = t.outcomes;
        let spans = trial.spans(window, lengths);
        let length_s = trial.length(window, lengths).unwrap_or(0.0);
        let mut figures = Self {
            requests: t.requests(),
            ok: o.ok,
            degraded: o.degraded,
            rejected: o.rejected,
            failed: o.failed,
            success_rate: t.success_rate(),
            goodput_rps: t.figure(Metric::Goodput, None, length_s),
            p50_ms: percentile_ms(&t, Metric::P50),
            p90_ms: percentile_ms(&t, Metric::P90),
            p99_ms: percentile_ms(&t, Metric::P99),
            p999_ms: percentile_ms(&t, Metric::P999),
            max_ms: t.latency.max().map(|s| s * 1e3),
            retry_after: t.retry_after,
            in_flight: spans.and_then(|spans| trial.in_flight(&spans)),
            ..Self::default()
        };
        for link in trial.links_seen() {
            figures.add_link(trial, window, link);
        }
        figures
    }

    fn add_link(&mut self, trial: &Trial, window: &Window, link: String) {
        let t = trial.tally(window, &Selector::Link(link.clone()));
        self.attempts += t.counts.attempts;
        self.retries += t.counts.retries;
        self.hedges += t.counts.hedges;
        self.shed += t.counts.shed;
        *self.wasted_work_s.get_or_insert(0.0) += t.counts.wasted_us as f64 / 1e6;
        if t.counts.calls > 0 {
            self.calls.insert(link.clone(), t.counts.calls);
        }
        if t.counts.attempts > 0 {
            self.attempts_by_link
                .insert(link.clone(), t.counts.attempts);
        }
        if let Some(times) = t.figure(Metric::Amplification, None, 0.0) {
            self.amplification.insert(link, times);
        }
    }

    /// Every number by name, for the summary over repeats.
    pub(crate) fn numbers(&self) -> Vec<(String, f64)> {
        let counts = [
            ("requests", self.requests),
            ("ok", self.ok),
            ("degraded", self.degraded),
            ("rejected", self.rejected),
            ("failed", self.failed),
            ("attempts", self.attempts),
            ("retries", self.retries),
            ("retry_after", self.retry_after),
            ("hedges", self.hedges),
            ("shed", self.shed),
        ];
        let rates = [
            ("success_rate", self.success_rate),
            ("goodput_rps", self.goodput_rps),
            ("p50_ms", self.p50_ms),
            ("p90_ms", self.p90_ms),
            ("p99_ms", self.p99_ms),
            ("p999_ms", self.p999_ms),
            ("max_ms", self.max_ms),
            ("in_flight", self.in_flight.map(|n| n as f64)),
            ("wasted_work_s", self.wasted_work_s),
        ];
        let mut all: Vec<(String, f64)> = counts
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n as f64))
            .collect();
        all.extend(
            rates
                .iter()
                .filter_map(|(name, x)| Some(((*name).to_owned(), (*x)?))),
        );
        all.extend(
            self.calls
                .iter()
                .map(|(l, n)| (format!("calls.{l}"), *n as f64)),
        );
        all.extend(
            self.amplification
                .iter()
                .map(|(l, x)| (format!("amplification.{l}"), *x)),
        );
        all
    }
}

fn percentile_ms(t: &Tally, metric: Metric) -> Option<f64> {
    let need = crate::checks::percentile_needs(metric)?;
    let seconds = (t.requests() >= need).then(|| t.figure(metric, None, 0.0))?;
    seconds.map(|s| s * 1e3)
}

impl Total {
    /// The totals of a trial.
    #[must_use]
    pub fn of(trial: &Trial, lengths: Lengths) -> Self {
        let life = |link: String| Some((link.clone(), trial.breaker(&link)?));
        let faults = faults(trial);
        Self {
            figures: Figures::of(trial, &Window::Whole, lengths),
            breaker: trial.breaker_links().into_iter().filter_map(life).collect(),
            recovery_s: trial.recovery_s(&Selector::All).filter(|s| s.is_finite()),
            fault: FaultFigures {
                acted: trial.acted(None),
                seen: faults.values().map(|f| f.seen).sum(),
            },
            faults,
            lost_orders: trial.facts.map(|f| f.lost_orders),
            duplicate_orders: trial.facts.map(|f| f.duplicate_orders),
            oversold: trial.facts.map(|f| f.oversold),
            violations: trial.facts.and_then(|f| f.violations),
        }
    }

    pub(crate) fn numbers(&self) -> Vec<(String, f64)> {
        let mut all = self.figures.numbers();
        for (link, life) in &self.breaker {
            let times = [
                ("opened_at_s", life.opened_at_s),
                ("closed_at_s", life.closed_at_s),
                ("opens", Some(life.opens as f64)),
                ("open_s", Some(life.open_s)),
            ];
            let named =
                |(name, x): &(&str, Option<f64>)| Some((format!("breaker.{link}.{name}"), (*x)?));
            all.extend(times.iter().filter_map(named));
        }
        let facts = [
            ("recovery_s", self.recovery_s),
            ("fault.acted", self.fault.acted.map(|n| n as f64)),
            ("fault.seen", Some(self.fault.seen as f64)),
            ("lost_orders", self.lost_orders.map(|n| n as f64)),
            ("duplicate_orders", self.duplicate_orders.map(|n| n as f64)),
            ("oversold", self.oversold.map(|n| n as f64)),
            ("violations", self.violations.map(|n| n as f64)),
        ];
        all.extend(
            facts
                .iter()
                .filter_map(|(name, x)| Some(((*name).to_owned(), (*x)?))),
        );
        all
    }
}

/// What each fault and condition of a trial did.
fn faults(trial: &Trial) -> BTreeMap<String, FaultFigures> {
    let conditions = trial.conditions.iter().map(|(name, _)| name);
    let names = trial
        .seen
        .keys()
        .chain(conditions)
        .chain(trial.acted.keys());
    let figures = |name: &String| {
        let seen = trial.seen.get(name).map_or(0, |s| s.failed + s.slow);
        let acted = trial.acted(Some(name));
        (name.clone(), FaultFigures { acted, seen })
    };
    names.map(figures).collect()
}

/// The window of a counted phase.
#[must_use]
pub fn window_of(phase: Phase) -> Window {
    match phase {
        Phase::WarmUp | Phase::Before => Window::Before,
        Phase::During => Window::During,
        Phase::Recovering => Window::Recovering,
        Phase::After => Window::After,
    }
}
