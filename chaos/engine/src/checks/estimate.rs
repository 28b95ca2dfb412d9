//! Estimates with their intervals: Student's t over repeats, Clopper-Pearson for
//! shares, a block bootstrap inside a run of one or two repeats.

use std::collections::{BTreeMap, BTreeSet};

use super::eval::Bound;
use super::metric::percentile_needs;
use super::outcome::ArmTrials;
use super::parser::measured_in;
use super::{Claim, Expr, Measured, Scope};
use crate::measure::{Tally, Trial};
use crate::stats::{self, Interval};

/// An interval with where it comes from.
pub(super) struct Estimate {
    pub(super) interval: Interval,
    /// The side it is compared with.
    pub(super) bound: f64,
    pub(super) n: u64,
    pub(super) more: Option<usize>,
    pub(super) how: String,
}

impl Bound<'_> {
    pub(super) fn estimate(&self, repeats: usize) -> Result<Estimate, String> {
        let pairs = self.pairs(repeats)?;
        if repeats < 3 {
            return self.bootstrapped(repeats, &pairs);
        }
        if let Some(m) = self.alone().filter(|m| m.metric.is_share()) {
            return self.share(m, repeats, &pairs);
        }
        if let Some(m) = self.alone().filter(|m| self.is_thin(m)) {
            return self.percentile(m, repeats, &pairs);
        }
        let bound = stats::mean(&pairs.iter().map(|p| p.1).collect::<Vec<_>>());
        let ratio = matches!(self.check.claim, Claim::Approx { .. });
        // approx is about left/right; a comparison about the paired difference.
        let values: Vec<f64> = pairs
            .iter()
            .map(|(l, r)| if ratio { l / r } else { l - r })
            .collect();
        let floor = self.sampling_variance(repeats, ratio);
        let found = stats::student_t_above(&values, floor).ok_or("a repeat has no finite value")?;
        let interval = on_scale(&found, bound, ratio);
        let each: Vec<String> = pairs.iter().map(|p| self.show(p.0)).collect();
        let more = stats::more_repeats(&values, self.nearest_edge(&found, ratio));
        let how = format!("{} by repeat; Student's t over {repeats}", each.join(", "));
        Ok(Estimate {
            interval,
            bound,
            n: repeats as u64,
            more,
            how,
        })
    }

    /// What is on the left side, when it is all there is to measure.
    fn alone(&self) -> Option<&Measured> {
        match measured_in(&self.check.claim).as_slice() {
            [m] if matches!(self.sides().0, Expr::Measured(_)) => Some(*m),
            _ => None,
        }
    }

    /// Whether it is a percentile that no single repeat has requests enough for.
    fn is_thin(&self, m: &Measured) -> bool {
        let Some(need) = percentile_needs(m.metric) else {
            return false;
        };
        let too_few = |t: &&Trial| self.tally(t, m).requests() < need;
        self.arm_of(&m.arm)
            .is_ok_and(|arm| arm.trials.iter().any(too_few))
    }

    fn percentile(
        &self,
        m: &Measured,
        repeats: usize,
        pairs: &[(f64, f64)],
    ) -> Result<Estimate, String> {
        let arm = self.arm_of(&m.arm)?;
        let latencies: Vec<Vec<(f64, u64)>> = arm
            .trials
            .iter()
            .map(|t| self.tally(t, m).latency.bins().collect())
            .collect();
        let q = m.metric.quantile().unwrap_or(0.5);
        let n: u64 = latencies.iter().flatten().map(|bin| bin.1).sum();
        let interval = stats::quantile_interval(&latencies, q)
            .ok_or_else(|| format!("{} has no interval over {n} requests", m.metric))?;
        let how = format!("{n} requests in {repeats} repeats; where the share under it can lie");
        Ok(Estimate {
            interval,
            bound: pairs[0].1,
            n,
            more: None,
            how,
        })
    }

    /// How much the mean over the repeats would vary by the draw of requests alone, as far
    /// as it is made of shares: a few repeats that happen to agree must not look certain.
    fn sampling_variance(&self, repeats: usize, ratio: bool) -> f64 {
        let measured = measured_in(&self.check.claim);
        let mut variance = 0.0;
        for m in measured.iter().filter(|m| m.metric.is_share()) {
            for r in 0..repeats {
                let Some((slope, of)) = self.slope(m, r, ratio) else {
                    continue;
                };
                variance += slope * slope * of / (repeats * repeats) as f64;
            }
        }
        variance
    }

    /// How the claim's value changes with one share in one repeat, and the variance of that
    /// share by chance.
    fn slope(&self, m: &Measured, repeat: usize, ratio: bool) -> Option<(f64, f64)> {
        const STEP: f64 = 1e-6;
        let arm = self.arm_of(&m.arm).ok()?;
        let (k, n) = self.tally(arm.trials[repeat], m).share(m.metric, m.limit);
        let at = |step: f64| {
            let mut of = |other: &Measured| {
                let value = self.measure(other, repeat)?;
                Ok(value + if std::ptr::eq(other, m) { step } else { 0.0 })
            };
            let (left, right) = self.sides();
            let (l, r) = (
                self.value(left, &mut of).ok()?,
                self.value(right, &mut of).ok()?,
            );
            Some(if ratio { l / r } else { l - r })
        };
        let slope = (at(STEP)? - at(-STEP)?) / (2.0 * STEP);
        slope
            .is_finite()
            .then(|| (slope, stats::share_variance(k, n)))
    }

    fn share(
        &self,
        m: &Measured,
        repeats: usize,
        pairs: &[(f64, f64)],
    ) -> Result<Estimate, String> {
        let arm = self.arm_of(&m.arm)?;
        let of = |t: &&Trial| self.tally(t, m).share(m.metric, m.limit);
        let counts: Vec<(f64, f64)> = arm.trials.iter().map(of).collect();
        let (interval, effective) =
            stats::share(&counts).ok_or_else(|| "no requests".to_owned())?;
        let (k, n) = counts
            .iter()
            .fold((0.0, 0.0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
        let bound = pairs[0].1;
        let scale = effective / n;
        let more = stats::more_repeats_share(k * scale, n * scale, repeats, bound);
        let how = format!(
            "{k:.0} of {n:.0} in {repeats} repeats; Clopper-Pearson on an effective n of {effective:.0}"
        );
        Ok(Estimate {
            interval,
            bound,
            n: n as u64,
            more,
            how,
        })
    }

    /// Resamples the seconds of the run; those of several arms together.
    fn bootstrapped(&self, repeats: usize, pairs: &[(f64, f64)]) -> Result<Estimate, String> {
        let series = self.series(repeats)?;
        let blocks: Vec<(usize, i64)> = {
            let all: BTreeSet<_> = series
                .iter()
                .flat_map(|s| s.by_block.keys().copied())
                .collect();
            all.into_iter().collect()
        };
        let ratio = matches!(self.check.claim, Claim::Approx { .. });
        let seed = self.data.seed;
        let figure = |drawn: &[usize]| {
            let (l, r) = self.resampled(&series, &blocks, drawn)?;
            Some(if ratio { l / r } else { l - r })
        };
        let found = stats::bootstrap(blocks.len(), seed, figure).ok_or_else(|| {
            format!(
                "too few seconds with data {} to resample",
                self.check.window.words()
            )
        })?;
        let bound = stats::mean(&pairs.iter().map(|p| p.1).collect::<Vec<_>>());
        let n = blocks.len() as u64;
        let how = format!("block bootstrap over {n} seconds of this run");
        Ok(Estimate {
            interval: on_scale(&found, bound, ratio),
            bound,
            n,
            more: None,
            how,
        })
    }

    fn series(&self, repeats: usize) -> Result<Vec<Series<'_>>, String> {
        let mut all = Vec::new();
        for m in measured_in(&self.check.claim) {
            let arm = self.arm_of(&m.arm)?;
            let mut by_block = BTreeMap::new();
            for (r, trial) in arm.trials.iter().enumerate().take(repeats) {
                for (second, tally) in self.tallies(trial, m) {
                    by_block.insert((r, second), tally);
                }
            }
            let fixed = match m.metric.scope() {
                Scope::Breaker | Scope::Repeat | Scope::Traffic | Scope::LinkTraffic => {
                    let each: Result<Vec<f64>, _> =
                        (0..repeats).map(|r| self.measure(m, r)).collect();
                    by_block.clear();
                    Some(stats::mean(&each?))
                }
                _ => None,
            };
            all.push(Series {
                measured: m,
                arm,
                by_block,
                fixed,
            });
        }
        Ok(all)
    }

    /// Both sides over the drawn seconds. Counts are given for one repeat.
    fn resampled(
        &self,
        series: &[Series<'_>],
        blocks: &[(usize, i64)],
        drawn: &[usize],
    ) -> Option<(f64, f64)> {
        let (left, right) = self.sides();
        let mut of = |m: &Measured| {
            let s = series.iter().find(|s| std::ptr::eq(s.measured, m));
            s.and_then(|s| self.drawn(s, blocks, drawn))
                .ok_or_else(String::new)
        };
        Some((
            self.value(left, &mut of).ok()?,
            self.value(right, &mut of).ok()?,
        ))
    }

    fn drawn(&self, s: &Series<'_>, blocks: &[(usize, i64)], drawn: &[usize]) -> Option<f64> {
        if let Some(fixed) = s.fixed {
            return Some(fixed);
        }
        let parts: Vec<&Tally> = drawn
            .iter()
            .filter_map(|i| s.by_block.get(&blocks[*i]))
            .collect();
        let tally = Tally::sum(parts.iter().copied());
        let value = self.figure(s.measured, s.arm, s.arm.trials[0], &tally)?;
        Some(if s.measured.metric.adds_up() {
            value / s.arm.trials.len() as f64
        } else {
            value
        })
    }

    /// The end of the allowed range that the estimate has to clear.
    fn nearest_edge(&self, found: &Interval, ratio: bool) -> f64 {
        match &self.check.claim {
            Claim::Approx { within, .. } if ratio => {
                if found.value >= 1.0 {
                    1.0 + within
                } else {
                    1.0 - within
                }
            }
            _ => 0.0,
        }
    }
}

/// One metric's seconds.
struct Series<'a> {
    measured: &'a Measured,
    arm: &'a ArmTrials<'a>,
    by_block: BTreeMap<(usize, i64), Tally>,
    /// Its value, if it is one of the whole repeat.
    fixed: Option<f64>,
}

/// An interval of a difference or ratio, on the scale of the left side.
fn on_scale(found: &Interval, bound: f64, ratio: bool) -> Interval {
    let to = |x: f64| if ratio { x * bound } else { x + bound };
    Interval {
        value: to(found.value),
        low: to(found.low),
        high: to(found.high),
    }
}
