//! What a run comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::check::{Findings, Judged, Rule, Steady, Subject, check, steady};
use crate::history::{Answer, Call, History, Record};
use crate::story::{self, Story};
use crate::types::{ProductId, Status};
use crate::workload::Limits;

/// The most stories of one rule.
const STORIES: usize = 3;

/// The run in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every rule that could be judged held, and the run was busy enough to say so.
    Held,
    /// A rule was broken; that holds however quiet the run was.
    Broken,
    /// Nothing was broken, and that proves nothing.
    Inconclusive,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Operations of any kind.
    pub operations: u64,
    /// Of these, done.
    pub acknowledged: u64,
    /// Of these, refused.
    pub failed: u64,
    /// Of these, of unknown fate.
    pub info: u64,
    /// Acknowledged orders.
    pub orders: u64,
    /// Requests to place an order under a key that was used before.
    pub repeated: u64,
    /// Orders that were called off.
    pub cancelled: u64,
    /// Orders that the shop showed its customers at rest.
    pub listed: u64,
    /// Faults.
    pub faults: u64,
}

/// A rule and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its number in reliability.md.
    pub number: u8,
    /// Which.
    pub rule: Rule,
    /// What it promises.
    pub words: &'static str,
    /// `held`, `broken` or `not judged`.
    pub result: &'static str,
    /// How often it was broken.
    pub violations: usize,
    /// Why it was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
}

/// What broken rules come to in orders and units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Acknowledged orders that are gone.
    pub lost: u64,
    /// Orders beyond the one that a key may have.
    pub duplicate: u64,
    /// Units by which the stock's books and the live orders disagree, product by product.
    pub oversold: u64,
}

/// What a run comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run's name.
    pub run: String,
    /// Its seed.
    pub seed: u64,
    /// The run in one word.
    pub verdict: Verdict,
    /// How much was done.
    pub counts: Counts,
    /// What broken rules come to.
    pub damage: Damage,
    /// How busy it was while no fault was on.
    pub steady: Steady,
    /// Each rule.
    pub rules: Vec<Row>,
    /// Why the run proves nothing, if so.
    pub inconclusive: Vec<String>,
    /// The shortest story of each of the first violations of each rule.
    pub stories: Vec<Story>,
}

impl Report {
    /// Judges a log. `trouble` is what kept the run from being whole.
    #[must_use]
    pub fn of(records: Vec<Record>, limits: &Limits, trouble: Vec<String>) -> Self {
        let history = History::of(records);
        Self::of_history(&history, limits, trouble)
    }

    /// Judges a history.
    #[must_use]
    pub fn of_history(history: &History, limits: &Limits, trouble: Vec<String>) -> Self {
        let findings = check(history, limits);
        let steady = steady(history);
        let mut inconclusive = trouble;
        if history.last.is_none() {
            inconclusive.push("the log ends before the shop was read at rest".to_owned());
        }
        if steady.rate() < limits.min_rate {
            inconclusive.push(format!(
                "{:.1} operations a second were acknowledged while no fault was on; it takes {}",
                steady.rate(),
                limits.min_rate
            ));
        }
        let verdict = match (findings.violations().next(), inconclusive.is_empty()) {
            (Some(_), _) => Verdict::Broken,
            (None, true) => Verdict::Held,
            (None, false) => Verdict::Inconclusive,
        };
        Self {
            run: history.run.clone(),
            seed: history.seed,
            verdict,
            counts: count(history),
            damage: damage(&findings),
            steady,
            rules: findings.judged.iter().map(row).collect(),
            inconclusive,
            stories: stories(history, limits, &findings),
        }
    }

    /// As JSON, for machines.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// As a table, for people, with the stories below it.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let c = &self.counts;
        let _ = writeln!(
            text,
            "integrity of {} (seed {}): {:?}",
            self.run, self.seed, self.verdict
        );
        let _ = writeln!(
            text,
            "{} operations: {} acknowledged, {} refused, {} unknown · {} orders, {} repeated, {} called off · {} faults · {:.0}/s in calm",
            c.operations,
            c.acknowledged,
            c.failed,
            c.info,
            c.orders,
            c.repeated,
            c.cancelled,
            c.faults,
            self.steady.rate()
        );
        for why in &self.inconclusive {
            let _ = writeln!(text, "inconclusive: {why}");
        }
        for row in &self.rules {
            let count = match row.violations {
                0 => String::new(),
                n => format!(" ×{n}"),
            };
            let why = row.why.map(|why| format!(" ({why})")).unwrap_or_default();
            let _ = writeln!(
                text,
                "{:>3}  {:<10} {}{count}{why}",
                row.number, row.result, row.words
            );
        }
        for story in &self.stories {
            let _ = writeln!(text, "\nrule {}", story.violation.rule);
            let _ = writeln!(text, "  {}", story.violation.what);
            let _ = writeln!(
                text,
                "  {} of {} operations tell it:",
                story.ops.len(),
                story.of
            );
            for line in &story.lines {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }
}

fn row((rule, judged): &(Rule, Judged)) -> Row {
    let (result, why) = match judged {
        Judged::Held => ("held", None),
        Judged::Broken(_) => ("broken", None),
        Judged::Not(why) => ("not judged", Some(*why)),
    };
    Row {
        number: rule.number(),
        rule: *rule,
        words: rule.words(),
        result,
        violations: judged.violations().len(),
        why,
    }
}

fn stories(history: &History, limits: &Limits, findings: &Findings) -> Vec<Story> {
    let of_rule = |judged: &Judged| {
        judged
            .violations()
            .iter()
            .take(STORIES)
            .cloned()
            .collect::<Vec<_>>()
    };
    let told = findings
        .judged
        .iter()
        .flat_map(|(_, judged)| of_rule(judged));
    told.map(|violation| story::tell(history, limits, &violation))
        .collect()
}

fn damage(findings: &Findings) -> Damage {
    let coded = |code| findings.violations().filter(|v| v.code == code).count() as u64;
    let mut off: BTreeMap<ProductId, u64> = BTreeMap::new();
    for violation in findings.violations() {
        let (Subject::Product(product), Rule::UnitsAddUp | Rule::LiveOrdersAreCommitted) =
            (&violation.subject, violation.rule)
        else {
            continue;
        };
        // One unit too many shows in several books.
        let most = off.entry(*product).or_default();
        *most = (*most).max(violation.amount.unsigned_abs());
    }
    Damage {
        lost: coded("lost"),
        duplicate: coded("duplicate"),
        oversold: off.values().sum(),
    }
}

fn count(history: &History) -> Counts {
    let mut counts = Counts {
        operations: history.ops.len() as u64,
        orders: history.acknowledged().len() as u64,
        faults: history.faults.len() as u64,
        listed: history
            .last
            .as_ref()
            .map_or(0, |last| last.orders.len() as u64),
        ..Counts::default()
    };
    let mut keys = std::collections::HashSet::new();
    for op in &history.ops {
        counts.acknowledged += u64::from(op.is_ok());
        counts.failed += u64::from(op.is_fail());
        counts.info += u64::from(op.is_info());
        if let Some((user, key, _)) = op.place() {
            counts.repeated += u64::from(!keys.insert((user, key)));
        }
        let off = |answer: &Answer| matches!(answer, Answer::Seen { order, .. } if order.status == Status::Cancelled);
        let asked = matches!(
            op.call,
            Call::Cancel { .. }
                | Call::Advance {
                    to: Status::Cancelled,
                    ..
                }
        );
        counts.cancelled += u64::from(asked && op.answer().is_some_and(off));
    }
    counts
}
