//! Estimates with their intervals: Student's t over repeats, Clopper-Pearson for
//! shares, a block bootstrap inside a run of one or two repeats.

use std::collections::{BTreeMap, BTreeSet};

use super::eval::Bound;
use super::outcome::ArmTrials;
use super::parser::measured_in;
use super::{Claim, Expr, Measured, Scope, Unit};
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
        if let Some(share) = self.lone_share() {
            return self.share(share, repeats, &pairs);
        }
        let bound = stats::mean(&pairs.iter().map(|p| p.1).collect::<Vec<_>>());
        let ratio = matches!(self.check.claim, Claim::Approx { .. });
        // approx is about left/right; a comparison about the paired difference.
        let values: Vec<f64> = pairs
            .iter()
            .map(|(l, r)| if ratio { l / r } else { l - r })
            .collect();
        let found = stats::student_t(&values).ok_or("a repeat has no finite value")?;
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

    /// The share on one side, when it is all there is to measure.
    fn lone_share(&self) -> Option<&Measured> {
        match measured_in(&self.check.claim).as_slice() {
            [m] if m.metric.is_share() && matches!(self.sides().0, Expr::Measured(_)) => Some(*m),
            _ => None,
        }
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
                for (second, tally) in trial.tallies(&self.check.window, &m.selector) {
                    by_block.insert((r, second), tally);
                }
            }
            let fixed = match m.metric.scope() {
                Scope::Breaker | Scope::Repeat => {
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
        let per_repeat = matches!(s.measured.metric.unit(), Unit::Count | Unit::PerSecond);
        Some(if per_repeat {
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
