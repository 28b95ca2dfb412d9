//! The metrics that a check can name.

use std::fmt;

/// A measured quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the module's reference table explains each")]
pub enum Metric {
    Requests,
    Degraded,
    Failed,
    Rejected,
    Unsuccessful,
    SuccessRate,
    ShareUnder,
    P50,
    P90,
    P99,
    P999,
    Max,
    Goodput,
    RetryAfterShare,
    Calls,
    Attempts,
    Retries,
    Hedges,
    Amplification,
    AttemptsPerCall,
    FirstWaitMean,
    FirstWaitMax,
    SecondWaitMean,
    SecondWaitMax,
    Shed,
    WastedWork,
    InFlight,
    PeakRequests,
    PeakAttempts,
    Opens,
    Transitions,
    OpenedAfterFailures,
    OpenedAfterCalls,
    OpenedWithin,
    ClosedWithin,
    AttemptsWhileOpen,
    TrialsAtOnce,
    Recovery,
    Acted,
    LostOrders,
    DuplicateOrders,
    Oversold,
    Violations,
}

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// A share of one.
    Share,
    /// So many times.
    Ratio,
    /// A second.
    PerSecond,
    /// A duration, in seconds.
    Seconds,
}

/// What a metric is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Requests of the load (or calls, given a link), in a part of the repeat.
    Requests,
    /// Calls over one link, in a part of the repeat.
    Link,
    /// Work at any door or over any link, in a part of the repeat.
    Work,
    /// Requests coming and going, in a part of the repeat.
    Traffic,
    /// Attempts coming and going over one link, in a part of the repeat.
    LinkTraffic,
    /// The breaker of one link.
    Breaker,
    /// The whole repeat.
    Repeat,
}

use Metric as M;

type Row = (&'static str, Metric, Unit, Scope);

#[rustfmt::skip]
const TABLE: [Row; 43] = [
    ("requests", M::Requests, Unit::Count, Scope::Requests),
    ("degraded", M::Degraded, Unit::Count, Scope::Requests),
    ("failed", M::Failed, Unit::Count, Scope::Requests),
    ("rejected", M::Rejected, Unit::Count, Scope::Requests),
    ("unsuccessful", M::Unsuccessful, Unit::Count, Scope::Requests),
    ("success_rate", M::SuccessRate, Unit::Share, Scope::Requests),
    ("share_under", M::ShareUnder, Unit::Share, Scope::Requests),
    ("p50", M::P50, Unit::Seconds, Scope::Requests),
    ("p90", M::P90, Unit::Seconds, Scope::Requests),
    ("p99", M::P99, Unit::Seconds, Scope::Requests),
    ("p999", M::P999, Unit::Seconds, Scope::Requests),
    ("max", M::Max, Unit::Seconds, Scope::Requests),
    ("goodput", M::Goodput, Unit::PerSecond, Scope::Requests),
    ("retry_after_share", M::RetryAfterShare, Unit::Share, Scope::Requests),
    ("calls", M::Calls, Unit::Count, Scope::Link),
    ("attempts", M::Attempts, Unit::Count, Scope::Link),
    ("retries", M::Retries, Unit::Count, Scope::Link),
    ("hedges", M::Hedges, Unit::Count, Scope::Link),
    ("amplification", M::Amplification, Unit::Ratio, Scope::Link),
    ("attempts_per_call", M::AttemptsPerCall, Unit::Ratio, Scope::Link),
    ("first_wait_mean", M::FirstWaitMean, Unit::Seconds, Scope::Link),
    ("first_wait_max", M::FirstWaitMax, Unit::Seconds, Scope::Link),
    ("second_wait_mean", M::SecondWaitMean, Unit::Seconds, Scope::Link),
    ("second_wait_max", M::SecondWaitMax, Unit::Seconds, Scope::Link),
    ("shed", M::Shed, Unit::Count, Scope::Work),
    ("wasted_work", M::WastedWork, Unit::Seconds, Scope::Work),
    ("in_flight", M::InFlight, Unit::Count, Scope::Traffic),
    ("peak_requests", M::PeakRequests, Unit::Count, Scope::Traffic),
    ("peak_attempts", M::PeakAttempts, Unit::Count, Scope::LinkTraffic),
    ("opens", M::Opens, Unit::Count, Scope::Breaker),
    ("transitions", M::Transitions, Unit::Count, Scope::Breaker),
    ("opened_after_failures", M::OpenedAfterFailures, Unit::Count, Scope::Breaker),
    ("opened_after_calls", M::OpenedAfterCalls, Unit::Count, Scope::Breaker),
    ("opened_within", M::OpenedWithin, Unit::Seconds, Scope::Breaker),
    ("closed_within", M::ClosedWithin, Unit::Seconds, Scope::Breaker),
    ("attempts_while_open", M::AttemptsWhileOpen, Unit::Count, Scope::Breaker),
    ("trials_at_once", M::TrialsAtOnce, Unit::Count, Scope::Breaker),
    ("recovery_s", M::Recovery, Unit::Seconds, Scope::Repeat),
    ("acted", M::Acted, Unit::Count, Scope::Repeat),
    ("lost_orders", M::LostOrders, Unit::Count, Scope::Repeat),
    ("duplicate_orders", M::DuplicateOrders, Unit::Count, Scope::Repeat),
    ("oversold", M::Oversold, Unit::Count, Scope::Repeat),
    ("violations", M::Violations, Unit::Count, Scope::Repeat),
];

impl Metric {
    /// Every name there is.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.0)
    }

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    fn row(self) -> &'static Row {
        // The table has a row for every variant (a test counts them), so the
        // fallback is never taken.
        TABLE.iter().find(|row| row.1 == self).unwrap_or(&TABLE[0])
    }

    /// Its name in a check.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What its number means.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.row().2
    }

    /// What it is taken of.
    #[must_use]
    pub fn scope(self) -> Scope {
        self.row().3
    }

    /// Whether it is a fact of a repeat, decided on each, and not an estimate.
    #[must_use]
    pub fn is_fact(self) -> bool {
        matches!(self.scope(), Scope::Breaker | Scope::Repeat)
            || matches!(
                self,
                M::Failed | M::Rejected | M::Degraded | M::Unsuccessful
            )
    }

    /// Whether it is the greatest of many, which no resampling can tell more of: it is
    /// decided on every repeat, unless arms are compared over several.
    #[must_use]
    pub fn is_extreme(self) -> bool {
        matches!(self.scope(), Scope::Traffic | Scope::LinkTraffic)
            || matches!(self, M::Max | M::FirstWaitMax | M::SecondWaitMax)
    }

    /// Whether that of two stretches is the sum of both.
    #[must_use]
    pub fn adds_up(self) -> bool {
        matches!(self.unit(), Unit::Count | Unit::PerSecond) || self == M::WastedWork
    }

    /// Whether it is a share of independent trials (success or not).
    #[must_use]
    pub fn is_share(self) -> bool {
        self.unit() == Unit::Share
    }

    /// The quantile, for a latency percentile.
    #[must_use]
    pub fn quantile(self) -> Option<f64> {
        match self {
            M::P50 => Some(0.5),
            M::P90 => Some(0.9),
            M::P99 => Some(0.99),
            M::P999 => Some(0.999),
            _ => None,
        }
    }
}

/// How many requests a percentile needs: ten beyond it.
pub(crate) fn percentile_needs(metric: Metric) -> Option<u64> {
    match metric {
        Metric::P50 => Some(20),
        Metric::P90 => Some(100),
        Metric::P99 => Some(1_000),
        Metric::P999 => Some(10_000),
        _ => None,
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Unit {
    /// A value of this unit for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        if value.is_infinite() {
            return "never".to_owned();
        }
        match self {
            Self::Count if value.fract() == 0.0 => format!("{value:.0}"),
            Self::Count => format!("{value:.1}"),
            // Shares near one differ in their last digits.
            Self::Share => format!("{:.2} %", value * 100.0),
            Self::Ratio => format!("{value:.3}"),
            Self::PerSecond => format!("{value:.1}/s"),
            Self::Seconds if value.abs() < 1.0 => format!("{:.1} ms", value * 1e3),
            Self::Seconds => format!("{value:.2} s"),
        }
    }
}
