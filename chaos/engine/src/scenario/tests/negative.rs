//! `[negative_control]`.

use super::{OUTAGE, error, outage};
use crate::result::RunResult;
use crate::scenario::Scenario;
use crate::synthetic::{self, Model};
use crate::verdict::Verdict;

fn with(section: &str) -> String {
    let (before, _) = OUTAGE.split_once("\n[negative_control]").unwrap();
    format!("{before}\n[negative_control]\nbecause = \"x\"\n{section}\n")
}

#[test]
fn it_changes_the_arms_and_faults_it_names_and_nothing_else() {
    let arms = "arms = { fast = { order-product = \"naive\" } }\nfails = [\"breaker-closes\"]";
    let s = Scenario::parse(&with(arms), "f.toml").unwrap();
    let changed = s.without_protection().unwrap();
    assert_eq!(changed.arm("fast").unwrap().specs["order-product"], "naive");
    assert_eq!(changed.arm("none"), s.arm("none"));
    assert_eq!((&changed.full, &changed.quick), (&s.full, &s.quick));
    assert_eq!(changed.checks, s.checks);

    let omit = "omit = [\"outage\"]\nfails = [\"naive-triples\"]";
    let s = Scenario::parse(&with(omit), "f.toml").unwrap();
    let changed = s.without_protection().unwrap();
    assert_eq!(changed.arms, s.arms);
    assert_eq!(changed.full.injected().count(), 0);
    assert_eq!(changed.quick.unwrap().injected().count(), 0);
    assert_eq!(s.full.injected().count(), 1);
}

#[test]
fn names_that_are_not_there_are_told_with_their_place() {
    let slips = [
        (
            "arms = { fast =",
            "arms = { fats =",
            "unknown arm `fats`; did you mean `fast`?",
        ),
        (
            "\"breaker-closes\"]",
            "\"breaker-close\"]",
            "unknown check `breaker-close`; did you mean `breaker-closes`?",
        ),
        (
            "arms = { fast = { order-product = \"naive\" } }",
            "omit = [\"outrage\"]",
            "unknown fault `outrage`; did you mean `outage`?",
        ),
        (
            "arms = { fast = { order-product = \"naive\" } }",
            "",
            "takes nothing away",
        ),
    ];
    for (from, to, told) in slips {
        let (_, _, text) = error(from, to);
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn a_control_whose_checks_hold_has_shown_nothing() {
    let control = outage().negative_control.unwrap();
    let held = RunResult::from_entries(&synthetic::run(&Model::default())).unwrap();
    assert_eq!(held.verdict, Verdict::Pass);
    assert_eq!(control.objections(&held).len(), control.fails.len());
    let void = Model {
        void: true,
        ..Model::default()
    };
    let void = RunResult::from_entries(&synthetic::run(&void)).unwrap();
    assert!(!control.objections(&void).is_empty(), "{}", void.table());
}
