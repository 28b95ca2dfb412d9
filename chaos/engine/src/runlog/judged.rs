//! What the integrity checker says of a trial's history (docs/INTEGRITY_CHECKER.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A judgement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// `held`, `broken` or `inconclusive`.
    pub verdict: String,
    /// The file with the history, in the run's folder.
    pub history: String,
    /// How much was done: operations, orders, faults, …
    pub counts: BTreeMap<String, u64>,
    /// Acknowledged operations a second while no fault was on.
    pub calm_rate: f64,
    /// Each rule, by number.
    pub rules: Vec<RuleJudged>,
    /// Why the history proves nothing, if so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inconclusive: Vec<String>,
    /// The shortest story of each of the first violations of each rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stories: Vec<StoryTold>,
}

/// What became of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleJudged {
    /// Its number in reliability.md.
    pub number: u8,
    /// What it promises.
    pub words: String,
    /// `held`, `broken` or `not judged`.
    pub result: String,
    /// How often it was broken.
    pub violations: u64,
    /// Why it was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A broken rule as the shortest story that still breaks it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryTold {
    /// The rule, with its number.
    pub rule: String,
    /// What was broken.
    pub what: String,
    /// One line an operation, a fault, or a thing found at rest.
    pub lines: Vec<String>,
    /// How many operations tell it, of how many.
    pub ops: (u64, u64),
}

impl Judged {
    /// A count by its name; 0 when there is none.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// The rules that were broken, as `4 ×2, 6`.
    #[must_use]
    pub fn broken(&self) -> String {
        let broken = self.rules.iter().filter(|rule| rule.violations > 0);
        let words = broken.map(|rule| match rule.violations {
            1 => rule.number.to_string(),
            n => format!("{} ×{n}", rule.number),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}
