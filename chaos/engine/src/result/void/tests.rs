use serde_json::Value;

use crate::checks::CheckResult;
use crate::result::RunResult;
use crate::runlog::Entry;
use crate::synthetic::{self, Model};
use crate::verdict::Verdict;

fn result(model: &Model) -> RunResult {
    RunResult::from_entries(&synthetic::run(model)).unwrap_or_else(|e| panic!("{e}"))
}

fn check<'a>(result: &'a RunResult, id: &str) -> &'a CheckResult {
    result.checks.iter().find(|c| c.id == id).unwrap()
}

/// A request that failed before the fault, in the first tries of one repeat.
fn stumbled(tries: u32) -> RunResult {
    result(&Model {
        stumbles: tries,
        ..Model::default()
    })
}

/// Tries are kept apart: what a void one measured is in no figure, and its repeat
/// keeps its place beside those of the other arms.
#[test]
fn a_repeat_that_counts_at_a_later_try_leaves_no_trace_in_the_figures() {
    let clean = result(&Model::default());
    for tries in [1, 2] {
        let r = stumbled(tries);
        assert_eq!(r.verdict, Verdict::Pass, "{}", r.table());
        assert_eq!(r.run.trials.len(), 9 + tries as usize);
        for (arm, as_if) in r.arms.iter().zip(&clean.arms) {
            assert_eq!(arm.summary, as_if.summary, "{}", arm.name);
            let repeats: Vec<u32> = arm.repeats.iter().map(|r| r.repeat).collect();
            assert_eq!(repeats, [1, 2, 3]);
        }
        for (check, as_if) in r.checks.iter().zip(&clean.checks).skip(1) {
            assert_eq!(check, as_if);
        }
        let unclean: Vec<usize> = r.arms[1].repeats.iter().map(|r| r.void.len()).collect();
        assert_eq!(unclean, [0, tries as usize, 0]);
    }
}

#[test]
fn void_trials_are_told_everywhere() {
    const WHY: &str = "precondition healthy-before: unsuccessful 1, expected 0";
    let r = stumbled(1);
    let check = check(&r, "healthy-before");
    assert!(check.precondition && check.verdict == Verdict::Pass);
    assert!(
        check
            .evidence
            .ends_with("; 1 trial was void because of it and was run again"),
        "{}",
        check.evidence
    );
    let line = format!("  1 trial was void and was run again: naive, repeat 2: {WHY}\n");
    let table = r.table();
    assert!(table.contains(&line), "{table}");
    assert!(table.contains("precondition: "), "{table}");
    let json: Value = serde_json::from_str(&r.to_json().unwrap()).unwrap();
    let listed = serde_json::json!([{"arm": "naive", "repeat": 2, "try": 1, "reason": WHY}]);
    assert_eq!(json["void_trials"], listed);
    assert_eq!(json["checks"][0]["precondition"], true);
    assert_eq!(json["checks"][1]["precondition"], false);

    let twice = stumbled(2).table();
    let head = "  2 trials were void and were run again:\n";
    let lines = format!("{head}    naive, repeat 2: {WHY}\n    naive, repeat 2, try 2: {WHY}\n");
    assert!(twice.contains(&lines), "{twice}");
    let clean = result(&Model::default());
    assert!(clean.void_trials.is_empty() && !clean.table().contains("void"));
}

#[test]
fn a_precondition_that_never_holds_is_inconclusive_and_no_failure() {
    let r = stumbled(3);
    assert_eq!(r.verdict, Verdict::Inconclusive);
    assert_eq!(
        r.reasons,
        ["naive: 2 of 3 repeats count; precondition healthy-before: unsuccessful 1, expected 0"]
    );
    let tries: Vec<(u32, bool)> = r
        .void_trials
        .iter()
        .map(|v| (v.number, v.run_again))
        .collect();
    assert_eq!(tries, [(1, true), (2, true), (3, false)]);
    let evidence = &check(&r, "healthy-before").evidence;
    assert!(
        evidence.ends_with("3 trials were void because of it, 2 of them run again"),
        "{evidence}"
    );
    // What the void tries saw after the fault has failed nothing either.
    let failed = r.checks.iter().any(|c| c.verdict == Verdict::Fail);
    assert!(!failed, "{}", r.table());
}

/// A log that says that such a trial counts (another engine's) fails no policy. Of
/// two tries that count it is the first that does.
#[test]
fn a_broken_precondition_in_a_trial_that_counts_is_inconclusive() {
    let mut entries = synthetic::run(&Model {
        stumbles: 1,
        ..Model::default()
    });
    for entry in &mut entries {
        if let Entry::TrialEnd { void, .. } = entry {
            *void = None;
        }
    }
    let r = RunResult::from_entries(&entries).unwrap();
    let check = check(&r, "healthy-before");
    assert_eq!(
        (check.verdict, check.measured),
        (Verdict::Inconclusive, Some(1.0))
    );
    let tries: Vec<u32> = r.trials("naive").iter().map(|t| t.start.go).collect();
    assert_eq!(tries, [1, 1, 1]);
}

/// A repeat that was void first and then counted is not why another is missing.
#[test]
fn the_reason_is_that_of_the_repeat_that_is_missing() {
    let mut entries = synthetic::run(&Model {
        stumbles: 1,
        ..Model::default()
    });
    let third = |e: &Entry| matches!(e, Entry::Trial(s) if s.repeat == 3);
    let end = entries.pop().unwrap();
    entries.truncate(entries.iter().position(third).unwrap());
    entries.push(end);
    let r = RunResult::from_entries(&entries).unwrap();
    assert_eq!(
        r.reasons[1],
        "naive: 2 of 3 repeats count; the others were not run"
    );
}

/// Arms are compared repeat by repeat: as many are not enough if they are others.
#[test]
fn arms_with_different_repeats_are_not_paired() {
    let mut entries = synthetic::run(&Model::default());
    for (arm, repeat) in [("naive", 1), ("fast", 2)] {
        let mut inside = false;
        for entry in &mut entries {
            match entry {
                Entry::Trial(s) => inside = s.arm == arm && s.repeat == repeat,
                Entry::TrialEnd { void, .. } if inside => *void = Some("late".to_owned()),
                _ => {}
            }
        }
    }
    let r = RunResult::from_entries(&entries).unwrap();
    let paired = check(&r, "breaker-spares-the-link");
    assert_eq!(
        (paired.verdict, paired.measured),
        (Verdict::Inconclusive, None)
    );
}
