//! What does not count, and why.

use serde::{Deserialize, Serialize};

use crate::checks::{self, Check, CheckResult, Measurements, precondition};
use crate::measure::{Run, Trial};

/// A trial that does not count: one try at one repeat of one arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidTrial {
    /// The arm.
    pub arm: String,
    /// The repeat, from 1.
    pub repeat: u32,
    /// Which try at this repeat, from 1.
    #[serde(rename = "try")]
    pub number: u32,
    /// Why it doesn't count, in words.
    pub reason: String,
    /// Whether the repeat was tried once more.
    #[serde(skip)]
    pub run_again: bool,
    /// The preconditions that it doesn't meet, if that is why.
    #[serde(skip)]
    pub preconditions: Vec<String>,
}

/// The trials that don't count, in the order in which they were run.
pub(super) fn trials(run: &Run) -> Vec<VoidTrial> {
    let void = |(i, trial): (usize, &Trial)| {
        let start = &trial.start;
        Some(VoidTrial {
            arm: start.arm.clone(),
            repeat: start.repeat,
            number: start.go,
            reason: trial.void.clone()?,
            run_again: run.trials[i + 1..].iter().any(|t| same(t, trial)),
            preconditions: trial.preconditions.clone(),
        })
    };
    run.trials.iter().enumerate().filter_map(void).collect()
}

fn same(a: &Trial, b: &Trial) -> bool {
    a.start.arm == b.start.arm && a.start.repeat == b.start.repeat
}

/// A check, decided. A precondition also says which trials it made void.
pub(super) fn decided(check: &Check, data: &Measurements<'_>, void: &[VoidTrial]) -> CheckResult {
    let mut result = checks::evaluate(check, data);
    let by_it = || void.iter().filter(|v| v.preconditions.contains(&check.id));
    let again = by_it().filter(|v| v.run_again).count();
    precondition::tell(&mut result, by_it().count(), again);
    result
}

/// Why the run did not measure what it should have.
pub(super) fn reasons(run: &Run) -> Vec<String> {
    let mut why = Vec::new();
    if let Some(stopped) = &run.stopped {
        why.push(format!("the run was stopped: {stopped}"));
    } else if !run.complete {
        why.push("the run log has no end: the lab was killed".to_owned());
    }
    why.extend(run.header.arms.iter().filter_map(|arm| missing(run, arm)));
    why
}

/// Why an arm has fewer repeats than it should have.
fn missing(run: &Run, arm: &str) -> Option<String> {
    let (counted, repeats) = (run.counted(arm), run.header.repeats);
    if counted.len() >= repeats as usize {
        return None;
    }
    // A void trial whose repeat counted at a later try is not the reason.
    let open = |t: &&Trial| {
        t.start.arm == arm && !counted.iter().any(|c| c.start.repeat == t.start.repeat)
    };
    let mut last = run.trials.iter().rev().filter(open);
    let because = last.find_map(|t| t.void.clone());
    let because = because.unwrap_or_else(|| "the others were not run".to_owned());
    let counted = counted.len();
    Some(format!(
        "{arm}: {counted} of {repeats} repeats count; {because}"
    ))
}

#[cfg(test)]
mod tests;
