//! Scenarios can be mistyped, can fail, and can be undecided, and the exit status says which.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Lab, text};

const SCENARIO: &str = "product-outage";

fn scenario_text() -> String {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chaos/scenarios");
    std::fs::read_to_string(scenarios.join(format!("{SCENARIO}.toml"))).unwrap()
}

/// A copy of the scenario with its arm `fast` alone, for a third of the time, and something changed.
fn variant(lab: &Lab, change: impl FnOnce(&mut toml::Table)) -> PathBuf {
    let mut scenario: toml::Table = scenario_text().parse().unwrap();
    let arms = scenario["arms"].as_table_mut().unwrap();
    arms.retain(|name, _| name == "fast");
    let checks = scenario["check"].as_array_mut().unwrap();
    checks.retain(|check| !check["that"].as_str().unwrap().contains("naive"));
    assert!(checks.len() > 5);
    // It speaks of checks that are gone.
    scenario.remove("negative_control");
    change(&mut scenario);
    let file = lab.data().join("variant.toml");
    std::fs::write(&file, toml::to_string(&scenario).unwrap()).unwrap();
    file
}

/// Runs it in its quick form: status, words, and `result.json`.
fn run_quick(lab: &Lab, file: &Path) -> (Option<i32>, String, Value) {
    let out = lab.data().join("out");
    let run = lab.run(&[
        "chaos",
        "run",
        file.to_str().unwrap(),
        "--quick",
        "--seed",
        "11",
        "--out",
        out.to_str().unwrap(),
    ]);
    let said = text(&run);
    let result = std::fs::read(out.join("result.json"))
        .unwrap_or_else(|error| panic!("no result.json ({error}) after:\n{said}"));
    (
        run.status.code(),
        said,
        serde_json::from_slice(&result).unwrap(),
    )
}

fn checks<'a>(result: &'a Value, verdict: &str) -> Vec<&'a str> {
    let all = result["checks"].as_array().unwrap();
    all.iter()
        .filter(|c| c["verdict"] == verdict)
        .map(|c| c["id"].as_str().unwrap())
        .collect()
}

#[test]
fn a_mistyped_scenario_gets_a_suggestion() {
    let lab = Lab::new();
    let refused = lab.run(&["chaos", "run", "product-outge"]);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("did you mean \"product-outage\"?"), "{said}");
}

#[test]
fn every_scenario_that_is_listed_can_be_checked() {
    let lab = Lab::new();
    let list = lab.run(&["chaos", "list"]);
    assert_eq!(list.status.code(), Some(0));
    assert!(text(&list).contains(SCENARIO));
    let check = lab.run(&["chaos", "check", "all"]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check));
    assert!(text(&check).contains("OK"));
}

#[test]
fn a_misspelt_check_is_refused_with_line_column_and_suggestion() {
    let lab = Lab::new();
    let sound = scenario_text();
    let misspelt = sound.replacen("opened_after_failures", "opened_after_failurs", 1);
    assert_ne!(sound, misspelt);
    let line = 1 + misspelt
        .lines()
        .position(|l| l.contains("opened_after_failurs("))
        .unwrap();
    let column = 1 + misspelt
        .lines()
        .nth(line - 1)
        .unwrap()
        .find("opened_after_failurs(")
        .unwrap();
    let file = lab.data().join("misspelt.toml");
    std::fs::write(&file, misspelt).unwrap();
    for command in ["check", "run"] {
        let refused = lab.run(&["chaos", command, file.to_str().unwrap()]);
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert!(
            said.contains(&format!("misspelt.toml:{line}:{column}")),
            "{said}"
        );
        assert!(
            said.contains("did you mean `opened_after_failures`?"),
            "{said}"
        );
    }
}

#[test]
fn a_breaker_that_is_off_fails_the_checks_about_it_and_names_them() {
    let lab = Lab::new();
    let file = variant(&lab, |scenario| {
        let off: toml::Table = "preset = \"fast\"\nbreaker = \"off\"".parse().unwrap();
        let arms = scenario["arms"].as_table_mut().unwrap();
        arms["fast"]
            .as_table_mut()
            .unwrap()
            .insert("order-product".to_owned(), off.into());
    });
    let (status, said, result) = run_quick(&lab, &file);
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(result["verdict"], "fail");
    let failed = checks(&result, "fail");
    assert!(!failed.is_empty());
    assert!(
        failed.iter().all(|id| said.contains(id)),
        "{failed:?} in {said}"
    );
}

#[test]
fn a_fault_that_is_never_injected_decides_nothing() {
    let lab = Lab::new();
    let file = variant(&lab, |scenario| {
        for fault in scenario["timeline"].as_array_mut().unwrap() {
            fault
                .as_table_mut()
                .unwrap()
                .insert("inject".to_owned(), false.into());
        }
    });
    let (status, said, result) = run_quick(&lab, &file);
    assert_eq!(status, Some(2), "{said}");
    assert_eq!(result["verdict"], "inconclusive");
    assert!(
        result["reasons"][0].as_str().unwrap().contains("outage"),
        "{}",
        result["reasons"]
    );
    assert!(
        checks(&result, "pass").contains(&"healthy-before"),
        "whatever else it measured"
    );
}

#[test]
fn an_arm_that_is_not_there_is_refused_before_anything_starts() {
    let lab = Lab::new();
    let refused = lab.run(&["chaos", "run", SCENARIO, "--arms", "fats"]);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("did you mean \"fast\"?"), "{said}");
    assert!(!lab.data().join("shops").exists());
}

/// What the verdict is, the scenario's own step in `lab test` decides; here, that it is told alike.
#[test]
fn a_run_leaves_its_files_and_no_shop() {
    let lab = Lab::new();
    let file = variant(&lab, |_| {});
    let (status, said, result) = run_quick(&lab, &file);
    let told = match result["verdict"].as_str() {
        Some("pass") => 0,
        Some("inconclusive") => 2,
        other => panic!("a sound scenario ended with {other:?}:\n{said}"),
    };
    assert_eq!(status, Some(told), "{said}");
    assert_eq!(result["seed"], 11);
    let out = lab.data().join("out");
    assert!(out.join("run.ndjson").exists());
    assert!(
        said.contains(out.join("result.json").to_str().unwrap()),
        "{said}"
    );
    assert_eq!(
        std::fs::read_dir(lab.data().join("shops")).unwrap().count(),
        0
    );
}

#[test]
fn a_map_of_a_scenario_that_has_none_is_refused_before_anything_starts() {
    let lab = Lab::new();
    let refused = |args: &[&str]| {
        let run = lab.run(&[&["chaos", "run"], args].concat());
        assert_eq!(run.status.code(), Some(3), "{}", text(&run));
        text(&run)
    };
    let said = refused(&[SCENARIO, "--map"]);
    assert!(said.contains("has no [map]"), "{said}");
    let said = refused(&["all", "--map"]);
    assert!(said.contains("one scenario"), "{said}");
    let said = refused(&["retry-storm", "--map", "--arms", "breaker"]);
    assert!(said.contains("[map] has no arm \"breaker\""), "{said}");
    assert!(!lab.data().join("runs").exists(), "nothing was begun");
}
