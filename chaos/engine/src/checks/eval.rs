//! Deciding a check from what was measured.

use super::estimate::Estimate;
use super::metric::percentile_needs;
use super::outcome::{ArmTrials, CheckResult, Decision, Measurements};
use super::parser::measured_in;
use super::{ArmRef, Check, Claim, Comparison, Expr, Measured, Predicate, Unit};
use crate::stats::{self, Side};
use crate::verdict::Verdict;

/// Decides a check.
#[must_use]
pub fn evaluate(check: &Check, data: &Measurements<'_>) -> CheckResult {
    let each = measured_in(&check.predicate.claim)
        .iter()
        .any(|m| m.arm == ArmRef::Each);
    let bindings: Vec<Option<&str>> = if each {
        data.arms.iter().map(|a| Some(a.name)).collect()
    } else {
        vec![None]
    };
    let mut decided: Vec<(Option<&str>, Decision)> = bindings
        .into_iter()
        .map(|arm| {
            let bound = Bound::new(&check.predicate, data, arm);
            (arm, bound.decide(check.precondition))
        })
        .collect();
    // The worst arm speaks for the check: fail before inconclusive before pass.
    decided.sort_by_key(|(_, d)| d.verdict.badness());
    let evidence: Vec<String> = decided
        .iter()
        .map(|(arm, d)| arm.map_or(d.words.clone(), |a| format!("{a}: {}", d.words)))
        .collect();
    let unit = measured_in(&check.predicate.claim)
        .first()
        .map(|m| m.metric.unit());
    let (arm, worst) = match decided.into_iter().next() {
        Some((arm, d)) => (arm.map(str::to_owned), d),
        None => (None, Decision::unknown("no arm was run")),
    };
    let finite = |x: Option<f64>| x.filter(|x| x.is_finite());
    CheckResult {
        id: check.id.clone(),
        statement: check.that.clone(),
        because: check.because.clone(),
        precondition: check.precondition,
        verdict: worst.verdict,
        measured: finite(worst.measured),
        low: finite(worst.low),
        high: finite(worst.high),
        bound: finite(worst.bound),
        n: worst.n,
        arm,
        this_run_only: worst.this_run_only,
        more_repeats: worst.more_repeats,
        evidence: evidence.join("; "),
        unit,
    }
}

/// A check bound to one arm, where it is about each.
pub(super) struct Bound<'a> {
    pub(super) check: &'a Predicate,
    pub(super) data: &'a Measurements<'a>,
    arm: Option<&'a str>,
}

impl<'a> Bound<'a> {
    pub(super) const fn new(
        check: &'a Predicate,
        data: &'a Measurements<'a>,
        arm: Option<&'a str>,
    ) -> Self {
        Self { check, data, arm }
    }
}

impl Bound<'_> {
    fn decide(&self, precondition: bool) -> Decision {
        match self.check_data() {
            Err(why) => Decision::unknown(why),
            Ok(repeats) if precondition => self.on_every_repeat(repeats).never_failed(),
            Ok(repeats) if self.is_exact(repeats) => self.on_every_repeat(repeats),
            Ok(repeats) => match self.estimate(repeats) {
                Ok(estimate) => self.judge(&estimate, repeats),
                Err(why) => Decision::unknown(why),
            },
        }
    }

    pub(super) fn sides(&self) -> (&Expr, &Expr) {
        match &self.check.claim {
            Claim::Compare { left, right, .. } | Claim::Approx { left, right, .. } => (left, right),
        }
    }

    /// The number of repeats, if every arm has the same ones (they are compared
    /// pair by pair) and every percentile stands on enough requests.
    fn check_data(&self) -> Result<usize, String> {
        let mut repeats = None;
        for m in measured_in(&self.check.claim) {
            let arm = self.arm_of(&m.arm)?;
            let of_arm = arm.repeats();
            if of_arm.is_empty() || repeats.as_ref().is_some_and(|r| *r != of_arm) {
                let (name, n) = (arm.name, of_arm.len());
                return Err(format!("{name} has {n} repeats that count"));
            }
            repeats = Some(of_arm);
            self.enough_requests(m, arm)?;
        }
        repeats
            .map(|r| r.len())
            .ok_or_else(|| "nothing is measured".to_owned())
    }

    fn enough_requests(&self, m: &Measured, arm: &ArmTrials<'_>) -> Result<(), String> {
        let Some(need) = percentile_needs(m.metric) else {
            return Ok(());
        };
        let n: u64 = arm.trials.iter().map(|t| self.tally(t, m).requests()).sum();
        if n >= need {
            return Ok(());
        }
        let window = self.window(m).words();
        Err(format!(
            "{} needs {need} requests and there are {n} {window}: ask for share_under instead",
            m.metric
        ))
    }

    pub(super) fn arm_of(&self, arm: &ArmRef) -> Result<&ArmTrials<'_>, String> {
        let name = match (arm, self.arm) {
            (ArmRef::Named(name), _) => name.as_str(),
            (ArmRef::Each, Some(name)) => name,
            (ArmRef::Each, None) => return Err("no arm was run".to_owned()),
        };
        let found = self.data.arms.iter().find(|a| a.name == name);
        found.ok_or_else(|| format!("the arm `{name}` was not run"))
    }

    /// Facts, and counts that must be equal to something, are decided on every
    /// repeat. So are extremes, unless there are repeats enough to compare arms by.
    fn is_exact(&self, repeats: usize) -> bool {
        let all = measured_in(&self.check.claim);
        let pairwise = repeats >= 3 && all.iter().any(|m| m.arm != all[0].arm);
        let fact = |m: &&Measured| m.metric.is_fact() || (m.metric.is_extreme() && !pairwise);
        let facts = all.iter().all(fact);
        let counts = all.iter().all(|m| m.metric.unit() == Unit::Count);
        let equal = matches!(
            self.check.claim,
            Claim::Compare {
                op: Comparison::Equal | Comparison::NotEqual,
                ..
            }
        );
        facts || (equal && counts)
    }

    pub(super) fn value(
        &self,
        expr: &Expr,
        of: &mut dyn FnMut(&Measured) -> Result<f64, String>,
    ) -> Result<f64, String> {
        Ok(match expr {
            Expr::Number(n) => *n,
            Expr::Reset(arm) => self.arm_of(arm)?.reset_s,
            Expr::Measured(m) => of(m)?,
            Expr::Both(how, a, b) => how.apply(self.value(a, of)?, self.value(b, of)?),
        })
    }

    /// Both sides in each repeat.
    pub(super) fn pairs(&self, repeats: usize) -> Result<Vec<(f64, f64)>, String> {
        let (left, right) = self.sides();
        let pair = |r| {
            let mut of = |m: &Measured| self.measure(m, r);
            Ok((self.value(left, &mut of)?, self.value(right, &mut of)?))
        };
        (0..repeats).map(pair).collect()
    }

    /// Whether the claim holds for these sides as they are.
    pub(super) fn holds(&self, (left, right): (f64, f64)) -> bool {
        match &self.check.claim {
            Claim::Compare { op, .. } => op.holds(left, right),
            Claim::Approx { within, .. } => {
                (left - right).abs() <= within * right.abs() * (1.0 + 1e-9)
            }
        }
    }

    fn on_every_repeat(&self, repeats: usize) -> Decision {
        let pairs = match self.pairs(repeats) {
            Ok(pairs) => pairs,
            Err(why) => return Decision::unknown(why),
        };
        let wrong: Vec<&(f64, f64)> = pairs.iter().filter(|p| !self.holds(**p)).collect();
        let lefts: Vec<f64> = pairs.iter().map(|p| p.0).collect();
        let shown = wrong
            .first()
            .map_or((stats::median(&lefts), pairs[0].1), |p| (Some(p.0), p.1));
        let mut each: Vec<String> = lefts.iter().map(|v| self.show(*v)).collect();
        each.dedup();
        let words = match (each.as_slice(), wrong.len()) {
            ([one], 0) => format!("{one} in every repeat"),
            (_, 0) => format!("{}: holds in every repeat", each.join(", ")),
            (_, w) => {
                let all: Vec<String> = lefts.iter().map(|v| self.show(*v)).collect();
                format!(
                    "{} by repeat: does not hold in {w} of {repeats}",
                    all.join(", ")
                )
            }
        };
        Decision {
            verdict: if wrong.is_empty() {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            measured: shown.0,
            low: lefts.iter().copied().min_by(f64::total_cmp),
            high: lefts.iter().copied().max_by(f64::total_cmp),
            bound: Some(shown.1),
            n: repeats as u64,
            this_run_only: repeats < 3 && self.compares_extremes(),
            more_repeats: None,
            words,
        }
    }

    fn compares_extremes(&self) -> bool {
        let all = measured_in(&self.check.claim);
        all.iter().any(|m| m.metric.is_extreme()) && all.iter().any(|m| m.arm != all[0].arm)
    }

    pub(super) fn unit(&self) -> Unit {
        measured_in(&self.check.claim)
            .first()
            .map_or(Unit::Count, |m| m.metric.unit())
    }

    pub(super) fn show(&self, value: f64) -> String {
        self.unit().show(value)
    }

    fn judge(&self, e: &Estimate, repeats: usize) -> Decision {
        let side = self.side(e);
        let this_run_only = repeats < 3;
        let more_repeats = match side {
            Side::Across if this_run_only => Some(3 - repeats),
            Side::Across => e.more,
            _ => None,
        };
        let i = &e.interval;
        let mut words = format!(
            "{} [{} to {}] against {} ({})",
            self.show(i.value),
            self.show(i.low),
            self.show(i.high),
            self.show(e.bound),
            e.how
        );
        if side == Side::Across {
            words.push_str(&match (this_run_only, more_repeats) {
                (true, _) => "; run it with 3 repeats or more".to_owned(),
                (false, Some(n)) => format!("; about {n} more repeats would decide"),
                (false, None) => "; more repeats would hardly decide".to_owned(),
            });
        }
        Decision {
            verdict: match side {
                Side::Right => Verdict::Pass,
                Side::Wrong => Verdict::Fail,
                Side::Across => Verdict::Inconclusive,
            },
            measured: Some(i.value),
            low: Some(i.low),
            high: Some(i.high),
            bound: Some(e.bound),
            n: e.n,
            this_run_only,
            more_repeats,
            words,
        }
    }

    fn side(&self, e: &Estimate) -> Side {
        let (b, inf) = (e.bound, f64::INFINITY);
        match &self.check.claim {
            Claim::Approx { within, .. } => {
                let margin = within * b.abs();
                stats::decide(&e.interval, b - margin, b + margin, true)
            }
            Claim::Compare { op, .. } => match op {
                Comparison::AtLeast => stats::decide(&e.interval, b, inf, true),
                Comparison::Above => stats::decide(&e.interval, b, inf, false),
                Comparison::AtMost => stats::decide(&e.interval, -inf, b, true),
                Comparison::Below => stats::decide(&e.interval, -inf, b, false),
                Comparison::Equal => stats::decide(&e.interval, b, b, true),
                Comparison::NotEqual => match stats::decide(&e.interval, b, b, true) {
                    Side::Right => Side::Wrong,
                    Side::Wrong => Side::Right,
                    Side::Across => Side::Across,
                },
            },
        }
    }
}
