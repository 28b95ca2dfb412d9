//! What every scenario keeps: the same seed gives the same bytes, whatever the machine; another
//! seed gives others; rows are JSON, and a picture is drawn.

use std::num::NonZeroUsize;
use std::time::Duration;

use chaos_sim::scenarios::{
    amplification, budgets, detection, herd, jitter, metastable, overload, tail,
};
use chaos_sim::{Outcome, Run, Scenario, catalogue};

/// Every scenario, small enough for a test.
fn small() -> Vec<Scenario> {
    vec![
        Scenario::Jitter(jitter::Params {
            clients: vec![3, 8],
            repetitions: 4,
        }),
        Scenario::Amplification(amplification::Params {
            calls: 100,
            ..amplification::Params::default()
        }),
        Scenario::Budgets(budgets::Params {
            failure: vec![0.5],
            calls: 1_000,
            ..budgets::Params::default()
        }),
        Scenario::Detection(detection::Params {
            failure: vec![0.5, 1.0],
            repetitions: 120,
            ..detection::Params::default()
        }),
        Scenario::Herd(herd::Params {
            clients: 100,
            ..herd::Params::default()
        }),
        Scenario::Metastable(metastable::Params {
            loads: vec![0.3, 0.8],
            triggers: vec![1.0],
            repetitions: 1,
        }),
        Scenario::Overload(overload::Params {
            loads: vec![0.5, 2.0],
            capacity: 50.0,
            duration: Duration::from_secs(5),
            ..overload::Params::default()
        }),
        Scenario::Tail(tail::Params {
            calls: 10_000,
            ..tail::Params::default()
        }),
    ]
}

fn outcome(scenario: &Scenario, seed: u64, threads: usize) -> Outcome {
    let threads = NonZeroUsize::new(threads).expect("a thread");
    scenario
        .run(&Run::new(seed).on(threads))
        .expect("valid parameters")
}

fn everything(outcome: &Outcome) -> [String; 3] {
    let svg = outcome.svg().expect("a picture");
    [outcome.text(), outcome.json(), svg]
}

#[test]
fn every_scenario_is_tried_here() {
    let tried: Vec<&str> = small().iter().map(Scenario::name).collect();
    let known: Vec<&str> = catalogue().iter().map(|entry| entry.name).collect();
    assert_eq!(tried, known);
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_threads() {
    for scenario in small() {
        let once = everything(&outcome(&scenario, 42, 1));
        for threads in [2, 5] {
            assert_eq!(once, everything(&outcome(&scenario, 42, threads)));
        }
    }
}

#[test]
fn another_seed_gives_other_figures() {
    for scenario in small() {
        let (a, b) = (outcome(&scenario, 1, 2), outcome(&scenario, 2, 2));
        assert_ne!(a.json(), b.json(), "{}", a.name);
    }
}

#[test]
fn rows_are_objects_with_the_same_keys() {
    for scenario in small() {
        let outcome = outcome(&scenario, 7, 2);
        let rows: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(&outcome.json()).expect("JSON");
        assert_eq!(rows.len(), outcome.rows.len());
        let keys = |row: &serde_json::Map<String, _>| row.keys().cloned().collect::<Vec<_>>();
        assert!(
            rows.iter().all(|row| keys(row) == keys(&rows[0])),
            "{}",
            outcome.name
        );
    }
}

/// The columns of the table in `resilience.md`, as `--json` promises them.
#[test]
fn jitters_rows_are_as_promised() {
    let rows: serde_json::Value =
        serde_json::from_str(&outcome(&small()[0], 1, 2).json()).expect("JSON");
    let rows = rows.as_array().expect("an array");
    let kinds: Vec<_> = rows[..5].iter().map(|row| row["jitter"].as_str()).collect();
    assert_eq!(
        kinds,
        ["exponential", "decorrelated", "equal", "full", "none"].map(Some)
    );
    for row in rows {
        assert!(row["clients"].is_u64() && row["completion_ms"].is_f64() && row["calls"].is_f64());
        assert_eq!(row.as_object().map(serde_json::Map::len), Some(4));
    }
}
