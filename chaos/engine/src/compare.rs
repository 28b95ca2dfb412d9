//! Two runs of a scenario side by side: what got better, what got worse, and of what nothing
//! can be said. `lab report compare BASE NEW` shows it, and `--gate` fails on a regression.
//!
//! A figure's difference has a 95 % interval: Student's t over paired differences where the
//! runs share the seeds of their repeats, else Welch's. It is named when the interval leaves
//! out zero *and* the difference is worth naming ([`Row::least`]); with a single repeat on a
//! side nothing can be said, and the row has a `~`.
//!
//! **A regression** is a check that passed and now fails, orders lost, doubled or oversold
//! that were not before, or a figure that got worse beyond what chance does to *any* of the
//! figures compared (the level is divided among them, Bonferroni's way): at 95 % each, a
//! hundred figures would stop every other build for nothing.

mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::recompute::ELSEWHERE;
use crate::result::{ArmResult, RunResult};
use crate::stats::{self, LEVEL};
use crate::verdict::Verdict;

/// Two runs, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The scenario of both.
    pub scenario: String,
    /// The run that is compared with.
    pub base: Side,
    /// The run that is looked at.
    pub new: Side,
    /// Whether their repeats share their seeds, so that they are compared pair by pair.
    pub paired: bool,
    /// The arms that are in both, figure by figure.
    pub arms: Vec<ArmRows>,
    /// The checks of either.
    pub checks: Vec<CheckRow>,
    /// What got worse for certain, in words; empty is what `--gate` wants.
    pub regressions: Vec<String>,
    /// What makes the comparison lame.
    pub notes: Vec<String>,
}

/// One of the two.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// The engine's version.
    pub version: String,
    /// When it was made.
    pub started_at: String,
    /// Its seed.
    pub seed: u64,
    /// Its verdict.
    pub verdict: Verdict,
}

/// The figures of an arm.
#[derive(Clone, Debug, Serialize)]
pub struct ArmRows {
    /// The arm.
    pub name: String,
    /// Its figures, by name.
    pub rows: Vec<Row>,
}

/// A figure in both runs: the mean over the repeats that count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name, as in `summary`: `during.success_rate`.
    pub figure: String,
    /// In the base.
    pub base: f64,
    /// In the new run.
    pub new: f64,
    /// Lower end of the difference's interval, new less base; null where nothing can be said.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// The least difference that is worth naming.
    pub least: f64,
    /// What became of it.
    pub change: Change,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Nothing can be said: `~`.
    Unknown,
    /// No difference that is worth naming.
    Same,
    /// A difference that is neither good nor bad by itself.
    Different,
    /// A difference for the better.
    Better,
    /// A difference for the worse.
    Worse,
}

/// A check in both runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckRow {
    /// Its name.
    pub id: String,
    /// Its verdict in the base, if it was there.
    pub base: Option<Verdict>,
    /// Its verdict in the new run.
    pub new: Option<Verdict>,
}

/// Compares two runs of one scenario.
///
/// # Errors
/// In words, why they can't be compared: they are of different scenarios, or share no arm.
pub fn compare(base: &RunResult, new: &RunResult) -> Result<Comparison, String> {
    if base.scenario != new.scenario {
        return Err(format!(
            "the runs are of different scenarios, {} and {}: compare two of the same",
            base.scenario, new.scenario
        ));
    }
    let both: Vec<(&ArmResult, &ArmResult)> = base
        .arms
        .iter()
        .filter_map(|b| Some((b, new.arms.iter().find(|n| n.name == b.name)?)))
        .collect();
    if both.is_empty() {
        return Err("the runs have no arm in common".to_owned());
    }
    let paired = both.iter().all(|(b, n)| seeds(b) == seeds(n));
    let at_once = both.iter().map(|(b, n)| common(b, n).len()).sum::<usize>();
    let gate = Gate {
        paired,
        level: 1.0 - (1.0 - LEVEL) / at_once.max(1) as f64,
    };
    let checks = checks(base, new);
    let mut regressions: Vec<String> = checks
        .iter()
        .filter(|c| (c.base, c.new) == (Some(Verdict::Pass), Some(Verdict::Fail)))
        .map(|c| format!("the check {} passed and fails", c.id))
        .collect();
    let mut arms = Vec::new();
    for (b, n) in both {
        let (rows, worse) = gate.arm(b, n);
        regressions.extend(worse);
        arms.push(ArmRows {
            name: b.name.clone(),
            rows,
        });
    }
    Ok(Comparison {
        scenario: base.scenario.clone(),
        base: side(base),
        new: side(new),
        paired,
        arms,
        checks,
        regressions,
        notes: notes(base, new),
    })
}

impl Comparison {
    /// Whether anything got worse for certain.
    #[must_use]
    pub fn regressed(&self) -> bool {
        !self.regressions.is_empty()
    }

    /// As JSON.
    ///
    /// # Errors
    /// None in practice: every field is plain data.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

fn side(run: &RunResult) -> Side {
    Side {
        version: run.environment.version.clone(),
        started_at: run.environment.started_at.clone(),
        seed: run.seed,
        verdict: run.verdict,
    }
}

fn notes(base: &RunResult, new: &RunResult) -> Vec<String> {
    let mut notes = Vec::new();
    if base.quick != new.quick {
        notes.push("one of the runs is a --quick run: their phases differ in length".to_owned());
    }
    if base.environment.cores != new.environment.cores || base.environment.os != new.environment.os
    {
        notes.push("the machines differ: latencies compare the machines too".to_owned());
    }
    if base.environment.kind != new.environment.kind {
        let (b, n) = (&base.environment.kind, &new.environment.kind);
        notes.push(format!("the targets differ: {b} and {n}"));
    }
    for (run, name) in [(base, "base"), (new, "new")] {
        if !run.reasons.is_empty() {
            notes.push(format!("{name}: {}", run.reasons.join("; ")));
        }
    }
    notes
}

fn checks(base: &RunResult, new: &RunResult) -> Vec<CheckRow> {
    let verdict = |run: &RunResult, id: &str| {
        let found = run.checks.iter().find(|c| c.id == id);
        found.map(|c| c.verdict)
    };
    let mut ids: Vec<&String> = base.checks.iter().map(|c| &c.id).collect();
    for check in &new.checks {
        if !ids.contains(&&check.id) {
            ids.push(&check.id);
        }
    }
    ids.into_iter()
        .map(|id| CheckRow {
            id: id.clone(),
            base: verdict(base, id),
            new: verdict(new, id),
        })
        .collect()
}

fn seeds(arm: &ArmResult) -> Vec<(u32, u64)> {
    arm.repeats.iter().map(|r| (r.repeat, r.seed)).collect()
}

/// The values of every figure, in the order of the repeats.
fn values(arm: &ArmResult) -> BTreeMap<String, Vec<f64>> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, x) in arm
        .repeats
        .iter()
        .flat_map(crate::result::RepeatResult::numbers)
    {
        all.entry(name).or_default().push(x);
    }
    all
}

type Pairs = Vec<(String, Vec<f64>, Vec<f64>)>;

/// The figures that both have.
fn common(base: &ArmResult, new: &ArmResult) -> Pairs {
    let mut of_new = values(new);
    let pair = |(name, b): (String, Vec<f64>)| {
        let n = of_new.remove(&name)?;
        Some((name, b, n))
    };
    values(base).into_iter().filter_map(pair).collect()
}

struct Gate {
    paired: bool,
    /// The level at which a figure is worse for certain.
    level: f64,
}

impl Gate {
    fn arm(&self, base: &ArmResult, new: &ArmResult) -> (Vec<Row>, Vec<String>) {
        let (mut rows, mut worse) = (Vec::new(), Vec::new());
        for (figure, b, n) in common(base, new) {
            let row = self.row(&figure, &b, &n);
            if self.regressed(&row, &b, &n) {
                worse.push(format!(
                    "{}: {figure} went from {} to {}",
                    base.name,
                    table::number(row.base),
                    table::number(row.new)
                ));
            }
            rows.push(row);
        }
        (rows, worse)
    }

    fn interval(&self, b: &[f64], n: &[f64], level: f64) -> Option<stats::Interval> {
        if self.paired && b.len() == n.len() {
            stats::paired(b, n, level)
        } else {
            stats::welch(b, n, level)
        }
    }

    fn row(&self, figure: &str, b: &[f64], n: &[f64]) -> Row {
        let (base, new) = (stats::mean(b), stats::mean(n));
        let least = least(figure, base);
        let interval = self.interval(b, n, LEVEL);
        let change = match interval {
            None => Change::Unknown,
            Some(i) if i.low <= 0.0 && i.high >= 0.0 => {
                // An interval that is small on both sides says that there is nothing.
                let nothing = i.high.max(-i.low) < least;
                if nothing {
                    Change::Same
                } else {
                    Change::Unknown
                }
            }
            Some(i) if i.value.abs() < least => Change::Same,
            Some(i) => match better(figure) {
                None => Change::Different,
                Some(more) if more == (i.value > 0.0) => Change::Better,
                Some(_) => Change::Worse,
            },
        };
        Row {
            figure: figure.to_owned(),
            base,
            new,
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
            least,
            change,
        }
    }

    fn regressed(&self, row: &Row, b: &[f64], n: &[f64]) -> bool {
        if is_fact(&row.figure) {
            let most = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
            return most(n) > most(b);
        }
        let Some(i) = self.interval(b, n, self.level) else {
            return false;
        };
        row.change == Change::Worse && (i.low > 0.0 || i.high < 0.0)
    }
}

/// The last part of a figure's name that says what it is: `p99_ms` of `during.p99_ms`.
fn kind(figure: &str) -> &str {
    let figure = ["before.", "during.", "recovering.", "after."]
        .iter()
        .find_map(|phase| figure.strip_prefix(phase))
        .unwrap_or(figure);
    match figure.split_once('.') {
        Some((what @ ("amplification" | "calls" | "fault"), _)) => what,
        Some((_, last)) => last.rsplit('.').next().unwrap_or(last),
        None => figure,
    }
}

/// Whether it was counted in the shop, and holds or does not on every repeat.
fn is_fact(figure: &str) -> bool {
    ELSEWHERE.contains(&kind(figure))
}

/// Whether more of it is better; `None` where neither is.
fn better(figure: &str) -> Option<bool> {
    match kind(figure) {
        "success_rate" | "goodput_rps" => Some(true),
        "failed" | "p50_ms" | "p90_ms" | "p99_ms" | "p999_ms" | "max_ms" | "in_flight"
        | "wasted_work_s" | "recovery_s" | "amplification" | "lost_orders" | "duplicate_orders"
        | "oversold" | "violations" => Some(false),
        _ => None,
    }
}

/// The least difference that is worth naming: a twentieth, but never less than what nobody
/// would notice.
fn least(figure: &str, base: f64) -> f64 {
    let kind = kind(figure);
    let unnoticed = match kind {
        // Of a share the twentieth would be far too much.
        "success_rate" => return 0.005,
        "amplification" => 0.02,
        k if k.ends_with("_ms") => 2.0,
        k if k.ends_with("_s") => 0.1,
        _ => 1.0,
    };
    (0.05 * base.abs()).max(unnoticed)
}

#[cfg(test)]
mod tests;
