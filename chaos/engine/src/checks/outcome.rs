//! What deciding a check takes and gives.

use serde::{Deserialize, Serialize};

use super::Unit;
use crate::measure::Trial;
use crate::verdict::Verdict;

/// A check with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Its name.
    pub id: String,
    /// What it states.
    pub statement: String,
    /// Why it should hold.
    pub because: String,
    /// Whether it decided which trials count. It is then never failed: a trial
    /// that doesn't meet it is void.
    pub precondition: bool,
    /// What became of it.
    pub verdict: Verdict,
    /// The measured quantity; `None` without data, or for what never happened.
    pub measured: Option<f64>,
    /// Lower end of its interval (or the least of the repeats).
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// What it was compared with.
    pub bound: Option<f64>,
    /// How much stands behind it: repeats, or requests for a share.
    pub n: u64,
    /// The arm that the figures are of, where the check is about each arm.
    pub arm: Option<String>,
    /// Whether it says something about this run only.
    pub this_run_only: bool,
    /// How many more repeats would decide, if it is inconclusive.
    pub more_repeats: Option<usize>,
    /// What the verdict rests on, in words.
    pub evidence: String,
    /// How to show `measured`, `low`, `high` and `bound`.
    #[serde(skip)]
    pub unit: Option<Unit>,
}

/// What a check is decided from.
pub struct Measurements<'a> {
    /// The arms that were run, with the trials that count.
    pub arms: Vec<ArmTrials<'a>>,
    /// The measured part of a repeat, in seconds.
    pub duration_s: f64,
    /// Seeds the bootstrap, so that a report can be made again.
    pub seed: u64,
}

/// One arm's trials.
pub struct ArmTrials<'a> {
    /// The arm.
    pub name: &'a str,
    /// Its breaker reset on the faulted links, in seconds.
    pub reset_s: f64,
    /// Its counted trials, by repeat.
    pub trials: Vec<&'a Trial>,
}

impl ArmTrials<'_> {
    /// The numbers of the repeats that count.
    pub(super) fn repeats(&self) -> Vec<u32> {
        self.trials.iter().map(|t| t.start.repeat).collect()
    }
}

/// What a check came to for one arm.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    pub(super) measured: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) bound: Option<f64>,
    pub(super) n: u64,
    pub(super) this_run_only: bool,
    pub(super) more_repeats: Option<usize>,
    pub(super) words: String,
}

impl Decision {
    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Inconclusive,
            measured: None,
            low: None,
            high: None,
            bound: None,
            n: 0,
            this_run_only: false,
            more_repeats: None,
            words: why.into(),
        }
    }

    /// A precondition says nothing of a policy, so it can't fail one.
    pub(super) fn never_failed(mut self) -> Self {
        if self.verdict == Verdict::Fail {
            self.verdict = Verdict::Inconclusive;
        }
        self
    }
}
