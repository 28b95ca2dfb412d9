//! Every scenario's checks on recorded runs: on one that held they hold, and on one of its
//! negative control those that `[negative_control]` names don't. What was measured is in the
//! log; what is judged is the scenario as it stands now.
//!
//! A scenario with `[load.history]` has no recording: what the integrity checker said is in its log
//! as facts, so judging that again would only repeat them. It runs live, by `lab test integrity`,
//! with its defects.
//!
//! `lab test --night controls` makes the runs again, live. `RECORD=DIR cargo test -p chaos-engine
//! --test recorded` keeps those of a folder: `DIR/held/NAME` and `DIR/control/NAME`.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

use std::path::{Path, PathBuf};

use chaos_engine::runlog::{Entry, Header};
use chaos_engine::{RunResult, Scenario, Verdict};

const LEVEL: i32 = 19;

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn scenarios() -> Vec<Scenario> {
    let files = std::fs::read_dir(folder("../scenarios")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let scenarios = files.filter(|path| path.extension().is_some_and(|e| e == "toml"));
    let mut scenarios: Vec<_> = scenarios
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            Scenario::parse(&text, &name).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect();
    scenarios.retain(|scenario| scenario.full.history.is_none());
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    scenarios
}

/// Where a recording of this kind (`held` or `control`) is kept.
fn recording(kind: &str, name: &str) -> PathBuf {
    folder("tests/recorded").join(format!("{name}.{kind}.ndjson.zst"))
}

fn keep(from: &Path) {
    let mut kept = 0;
    for scenario in scenarios() {
        for kind in ["held", "control"] {
            let log = from.join(kind).join(&scenario.name).join("run.ndjson");
            let Ok(text) = std::fs::read(&log) else {
                continue;
            };
            let packed = zstd::encode_all(&*text, LEVEL).unwrap();
            std::fs::write(recording(kind, &scenario.name), packed).unwrap();
            kept += 1;
        }
    }
    let from = from.display();
    assert!(
        kept > 0,
        "RECORD={from} has no runs; name it from the root, /…: tests run in their crate"
    );
}

fn read(kind: &str, scenario: &Scenario) -> Vec<Entry> {
    let path = recording(kind, &scenario.name);
    let packed = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let text = String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap();
    let lines = text.lines().map(serde_json::from_str::<Entry>);
    let mut entries = lines.collect::<Result<Vec<_>, _>>().unwrap();
    let Some(Entry::Run(header)) = entries.first_mut() else {
        panic!("{}: no header", path.display())
    };
    same_run(header, scenario);
    header.source.clone_from(&scenario.source);
    entries
}

/// The recording is of what the file describes today, but for its words and checks.
fn same_run(header: &Header, now: &Scenario) {
    let then = header.scenario().unwrap_or_else(|e| panic!("{e}"));
    let changed = now.without_protection();
    let now = changed
        .as_ref()
        .filter(|_| header.negative_control)
        .unwrap_or(now);
    let same = then.schedule(header.quick) == now.schedule(header.quick) && then.arms == now.arms;
    let name = &now.name;
    assert!(
        same,
        "{name} was changed since it was recorded: record it again (see the head of this test)"
    );
}

#[test]
fn every_check_holds_with_its_protection_and_those_of_the_control_not_without() {
    if let Some(from) = std::env::var_os("RECORD") {
        keep(Path::new(&from));
    }
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        let held = RunResult::from_entries(&read("held", &scenario)).unwrap();
        if held.verdict != Verdict::Pass {
            wrong.push(held.table());
        }
        let control = scenario.negative_control.as_ref().unwrap();
        let without = RunResult::from_entries(&read("control", &scenario)).unwrap();
        let objections = control.objections(&without);
        if !objections.is_empty() {
            wrong.push(format!("{objections:?}\n{}", without.table()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
