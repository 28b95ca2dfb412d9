//! How a figure becomes an interval, and an interval a decision.
//!
//! **Three repeats or more.** The interval (95 %) of a figure is Student's t
//! over its values in the repeats; repeats are what varies independently, so
//! they are the sample, not the thousands of requests inside one. Between arms
//! it is Student's t over the *paired differences*: the repeats share seeds, so
//! what a repeat does to both arms cancels ([`student_t`]).
//!
//! **Shares** (success rate, share under a limit) use Clopper–Pearson's exact
//! binomial interval on the pooled counts, so that "none of 500 failed" is
//! not "none can fail" ([`clopper_pearson`]). Requests of one repeat share its
//! fate, so n is first divided by the design effect (the variance between
//! repeats over the binomial one) scaled by the squared ratio of t quantiles
//! of Korn and Graubard ("Confidence intervals for proportions with small
//! expected number of positive counts", Survey Methodology 24, 1998), since
//! few repeats know little about their own spread; where they show none beyond
//! chance, by the ratio alone ([`share`]). Between arms a share's paired
//! differences are never taken for surer than the draw of the requests allows
//! ([`student_t_above`]).
//!
//! **Percentiles** are median-unbiased in each repeat (Hyndman and Fan's type
//! 8: with the plain order statistic the mean over ten repeats would miss the
//! 99th percentile by a standard error). Where a repeat alone has too few
//! requests for one, the interval is read off that of the share under it
//! ([`quantile_interval`]).
//!
//! **One or two repeats** (`--quick`). Resampling one-second blocks inside the
//! run, with replacement, 2 000 times (percentile bootstrap; the seconds of
//! paired arms are drawn together). That says how steady the figure was in this
//! run, not how it would differ in another: such verdicts are marked "this run
//! only" ([`bootstrap`]).
//!
//! **The decision** ([`decide`]): interval wholly on the right side of the bound
//! is a pass, wholly on the wrong side a fail, across it inconclusive.

mod special;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The confidence level of every interval.
pub const LEVEL: f64 = 0.95;

/// How many resamples the bootstrap draws.
pub const DRAWS: usize = 2_000;

/// A point estimate with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate itself.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Where an interval lies against what was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Wholly on the right side.
    Right,
    /// Wholly on the wrong side.
    Wrong,
    /// Across the bound.
    Across,
}

/// The two-sided quantile of Student's t for [`LEVEL`].
#[must_use]
pub fn t_two_sided(df: usize) -> f64 {
    special::t_quantile(0.5 + LEVEL / 2.0, df as f64)
}

/// Student's t interval of the mean. `None` for fewer than two values or a
/// value that is no number.
#[must_use]
pub fn student_t(values: &[f64]) -> Option<Interval> {
    let n = values.len();
    if n < 2 || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let half = t_two_sided(n - 1) * (variance(values) / n as f64).sqrt();
    let value = mean(values);
    Some(Interval {
        value,
        low: value - half,
        high: value + half,
    })
}

/// The same, but never narrower than the draw of what is inside the repeats explains:
/// `floor` is the variance of the mean by that alone.
#[must_use]
pub fn student_t_above(values: &[f64], floor: f64) -> Option<Interval> {
    let found = student_t(values)?;
    let half = (found.high - found.value).max(NORMAL * floor.sqrt());
    Some(Interval {
        value: found.value,
        low: found.value - half,
        high: found.value + half,
    })
}

/// The variance of a share by chance, with one success and one failure more than were seen
/// (Agresti and Caffo, The American Statistician 54, 2000), since none seen is not none
/// possible.
#[must_use]
pub fn share_variance(k: f64, n: f64) -> f64 {
    let (k, n) = (k + 1.0, n + 2.0);
    k / n * (1.0 - k / n) / n
}

/// The two-sided quantile of the normal distribution for [`LEVEL`].
const NORMAL: f64 = 1.959_963_984_540_054;

/// The interval of the difference of two means, `b` less `a`, of repeats that have nothing to
/// do with each other (Welch, Biometrika 34, 1947), at the given level. `None` for fewer than
/// two values on a side.
#[must_use]
pub fn welch(a: &[f64], b: &[f64], level: f64) -> Option<Interval> {
    let fit = |v: &[f64]| v.len() >= 2 && v.iter().all(|x| x.is_finite());
    if !fit(a) || !fit(b) {
        return None;
    }
    let of = |v: &[f64]| (variance(v) / v.len() as f64, v.len() as f64 - 1.0);
    let ((va, dfa), (vb, dfb)) = (of(a), of(b));
    let sum = va + vb;
    let df = if sum > 0.0 {
        sum * sum / (va * va / dfa + vb * vb / dfb)
    } else {
        dfa + dfb
    };
    let half = special::t_quantile(0.5 + level / 2.0, df) * sum.sqrt();
    let value = mean(b) - mean(a);
    Some(Interval {
        value,
        low: value - half,
        high: value + half,
    })
}

/// Student's t over paired differences, `b` less `a`, at the given level.
#[must_use]
pub fn paired(a: &[f64], b: &[f64], level: f64) -> Option<Interval> {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let n = differences.len();
    let finite = differences.iter().all(|d| d.is_finite());
    if n < 2 || a.len() != b.len() || !finite {
        return None;
    }
    let t = special::t_quantile(0.5 + level / 2.0, n as f64 - 1.0);
    let half = t * (variance(&differences) / n as f64).sqrt();
    let value = mean(&differences);
    Some(Interval {
        value,
        low: value - half,
        high: value + half,
    })
}

/// Clopper–Pearson's exact interval for `k` of `n`, both possibly fractional
/// after a design effect. `None` without observations.
#[must_use]
pub fn clopper_pearson(k: f64, n: f64) -> Option<Interval> {
    if n.is_nan() || n <= 0.0 || !(0.0..=n).contains(&k) {
        return None;
    }
    let tail = (1.0 - LEVEL) / 2.0;
    let low = if k <= 0.0 {
        0.0
    } else {
        special::beta_quantile(tail, k, n - k + 1.0)
    };
    let high = if k >= n {
        1.0
    } else {
        special::beta_quantile(1.0 - tail, k + 1.0, n - k)
    };
    Some(Interval {
        value: k / n,
        low,
        high,
    })
}

/// The interval of a share over repeats, each `(k, n)`, and its effective n.
#[must_use]
pub fn share(repeats: &[(f64, f64)]) -> Option<(Interval, f64)> {
    let k: f64 = repeats.iter().map(|r| r.0).sum();
    let n: f64 = repeats.iter().map(|r| r.1).sum();
    if n <= 0.0 {
        return None;
    }
    let effective = n / design_effect(repeats, k / n, n);
    let interval = clopper_pearson(k / n * effective, effective)?;
    Some((interval, effective))
}

/// How many times larger the variance of the pooled share is than if every
/// request were independent; at least 1.
fn design_effect(repeats: &[(f64, f64)], p: f64, n: f64) -> f64 {
    let m = repeats.len();
    let binomial = p * (1.0 - p) / n;
    if m < 2 || binomial <= 0.0 {
        return 1.0;
    }
    // The ratio estimator's variance over clusters of unequal size (Cochran,
    // Sampling Techniques, 3rd ed., 3.34).
    let squares: f64 = repeats
        .iter()
        .map(|(k_r, n_r)| (k_r - p * n_r).powi(2))
        .sum();
    let between = m as f64 / (m as f64 - 1.0) * squares / (n * n);
    let few = t_two_sided(m - 1) / NORMAL;
    match between / binomial {
        // Nothing to learn a spread from: all repeats agree, as all do that saw no failure.
        0.0 => 1.0,
        // A few repeats agree by luck now and then; so much keeps the coverage (see the
        // tests) and is little where there are many.
        effect if effect <= 1.0 => few,
        effect => effect * few * few,
    }
}

/// The interval of a percentile over repeats that are each too small for it: from the least
/// latency that the share under it can still be `q` at, to the greatest (Woodruff, JASA 47,
/// 1952, with [`share`]'s intervals). A repeat is its latencies with their counts, in order.
#[must_use]
pub fn quantile_interval(repeats: &[Vec<(f64, u64)>], q: f64) -> Option<Interval> {
    let mut all: Vec<f64> = repeats.iter().flatten().map(|bin| bin.0).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    let under = |limit: f64| -> Vec<(f64, f64)> {
        let count = |r: &Vec<(f64, u64)>| {
            let n: u64 = r.iter().map(|bin| bin.1).sum();
            let k: u64 = r
                .iter()
                .take_while(|bin| bin.0 <= limit)
                .map(|bin| bin.1)
                .sum();
            (k as f64, n as f64)
        };
        repeats.iter().map(count).collect()
    };
    let pooled = |limit: f64| {
        let counts = under(limit);
        let (k, n) = counts
            .iter()
            .fold((0.0, 0.0), |s, c| (s.0 + c.0, s.1 + c.1));
        k / n
    };
    // Each of these only grows with the latency, so a search by halves finds where it
    // reaches `q`.
    let first = |reaches: &dyn Fn(f64) -> bool| {
        let at = all.partition_point(|x| !reaches(*x));
        all.get(at).copied()
    };
    let top = |x: f64| share(&under(x)).map_or(0.0, |s| s.0.high);
    let bottom = |x: f64| share(&under(x)).map_or(0.0, |s| s.0.low);
    Some(Interval {
        value: first(&|x| pooled(x) >= q)?,
        low: first(&|x| top(x) >= q)?,
        // Where no latency is surely beyond it there is no upper end.
        high: first(&|x| bottom(x) >= q).unwrap_or(f64::INFINITY),
    })
}

/// The percentile bootstrap over `blocks` one-second blocks: `figure` gets the
/// drawn block indices. `None` when fewer than two blocks carry the figure.
#[must_use]
pub fn bootstrap(
    blocks: usize,
    seed: u64,
    mut figure: impl FnMut(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    if blocks < 2 {
        return None;
    }
    let all: Vec<usize> = (0..blocks).collect();
    let value = figure(&all)?;
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut drawn = vec![0; blocks];
    let mut values = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        drawn.fill_with(|| rng.random_range(0..blocks));
        // A draw without the figure (no such request in it) says nothing.
        values.extend(figure(&drawn).filter(|v| v.is_finite()));
    }
    if values.len() < DRAWS / 2 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - LEVEL) / 2.0;
    Some(Interval {
        value,
        low: quantile(&values, tail),
        high: quantile(&values, 1.0 - tail),
    })
}

/// The decision for "the quantity must lie in `[low, high]`", an end included
/// when `closed`. One-sided bounds use infinities.
#[must_use]
pub fn decide(interval: &Interval, low: f64, high: f64, closed: bool) -> Side {
    // Rounding in the last digits must not turn 3 = 3 into "across".
    let slack = 1e-9 * (1.0 + interval.low.abs().max(interval.high.abs()));
    let above = |x: f64, bound: f64| {
        if closed {
            x >= bound - slack
        } else {
            x > bound + slack
        }
    };
    let inside = |x: f64| above(x, low) && above(-x, -high);
    if inside(interval.low) && inside(interval.high) {
        return Side::Right;
    }
    let all_below = !above(interval.high, low);
    let all_above = !above(-interval.low, -high);
    if all_below || all_above {
        Side::Wrong
    } else {
        Side::Across
    }
}

/// How many more repeats would let a t interval of this spread decide against
/// `bound`. `None` when more than 200 in all would be needed.
#[must_use]
pub fn more_repeats(values: &[f64], bound: f64) -> Option<usize> {
    if values.len() < 2 {
        return None;
    }
    let gap = (mean(values) - bound).abs();
    let spread = variance(values).sqrt();
    (values.len() + 1..=200)
        .find(|&n| t_two_sided(n - 1) * spread / (n as f64).sqrt() < gap)
        .map(|n| n - values.len())
}

/// The same for a share: repeats like these until Clopper–Pearson decides.
#[must_use]
pub fn more_repeats_share(k: f64, n: f64, repeats: usize, bound: f64) -> Option<usize> {
    (repeats + 1..=200)
        .find(|&m| {
            let scale = m as f64 / repeats as f64;
            clopper_pearson(k * scale, n * scale).is_some_and(|i| i.low > bound || i.high < bound)
        })
        .map(|m| m - repeats)
}

/// The smallest count that chance alone exceeds in at most 2.5 % of windows of
/// `n` trials at probability `p`.
#[must_use]
pub fn binomial_limit(n: u64, p: f64) -> u64 {
    // P(X ≥ k) = I_p(k, n − k + 1).
    (1..=n)
        .find(|&k| special::beta_cdf(p, k as f64, (n - k) as f64 + 1.0) <= (1.0 - LEVEL) / 2.0)
        .unwrap_or(n + 1)
}

/// Arithmetic mean.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The middle value (mean of the two middle ones).
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mid = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[mid]),
        _ => Some(0.5 * (sorted[mid - 1] + sorted[mid])),
    }
}

fn variance(values: &[f64]) -> f64 {
    let m = mean(values);
    values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// Linear interpolation between order statistics (Hyndman and Fan's type 7).
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod tests;
