//! What deciding a check takes and gives.

use serde::Serialize;

use super::Unit;
use crate::measure::Trial;
use crate::verdict::Verdict;

/// A check with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckResult {
    /// Its name.
    pub id: String,
    /// What it states.
    pub statement: String,
    /// Why it should hold.
    pub because: String,
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
