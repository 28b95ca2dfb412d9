use super::*;
use crate::synthetic::{self, Model};

fn model() -> Model {
    Model {
        refusal_ms: 80,
        stumbles: 1,
        lost: 2,
        busy: true,
        ..Model::default()
    }
}

fn differences(all: &[Compared]) -> Vec<&Compared> {
    all.iter().filter(|c| !c.agrees()).collect()
}

#[test]
fn every_figure_of_the_result_follows_from_the_two_files() {
    let dir = synthetic::folder(&model());
    let all = compared(dir.path()).unwrap();
    assert!(differences(&all).is_empty(), "{:#?}", differences(&all));
    let result = RunResult::load(dir.path()).unwrap();
    assert!(!result.void_trials.is_empty(), "a try was void");
    // Three arms, three repeats, all phases; and nothing was compared with nothing.
    let of = |figure: &str, phase: &str| {
        let of = |c: &&Compared| c.figure == figure && c.phase == phase;
        let values: Vec<f64> = all.iter().filter(of).filter_map(|c| c.stated).collect();
        assert_eq!(values.len(), 9, "{figure} {phase}");
        values.iter().sum::<f64>()
    };
    for phase in ["total", "before", "during", "recovering", "after"] {
        for figure in [
            "requests",
            "success_rate",
            "goodput_rps",
            "max_ms",
            "attempts",
            "retries",
            "hedges",
            "shed",
            "wasted_work_s",
            "calls.order-product",
            "calls.order-user",
            "attempts_by_link.order-user",
            "amplification.order-product",
        ] {
            assert!(of(figure, phase) > 0.0, "{figure} {phase}");
        }
    }
    for figure in [
        "p99_ms",
        "in_flight",
        "fault.acted",
        "fault.seen",
        "faults.slow.acted",
        "faults.outage.acted",
        "faults.outage.seen",
    ] {
        assert!(of(figure, "total") > 0.0, "{figure}");
    }
    let named = |name: &str| all.iter().any(|c| c.figure == name && c.stated.is_some());
    for name in [
        "recovery_s",
        "breaker.order-product.opened_at_s",
        "breaker.order-product.open_s",
        "retry_after",
    ] {
        assert!(named(name), "{name}");
    }
}

/// A figure that nobody taught this module is a difference, and so is one that is missing.
#[test]
fn a_difference_shows() {
    let dir = synthetic::folder(&model());
    let path = dir.path().join("result.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut result: Value = serde_json::from_str(&text).unwrap();
    let repeat = &mut result["arms"][1]["repeats"][0];
    let attempts = repeat["phases"]["during"]["attempts"].as_u64().unwrap();
    repeat["phases"]["during"]["attempts"] = (attempts + 1).into();
    repeat["total"]["calls"]["order-elsewhere"] = 3.into();
    repeat["total"]["recovery_s"] = Value::Null;
    std::fs::write(&path, result.to_string()).unwrap();
    let all = compared(dir.path()).unwrap();
    let found: Vec<(&str, &str)> = differences(&all)
        .iter()
        .map(|c| (c.phase.as_str(), c.figure.as_str()))
        .collect();
    let expected = [
        ("total", "calls.order-elsewhere"),
        ("total", "recovery_s"),
        ("during", "attempts"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_older_folder_is_an_error_in_words() {
    let dir = synthetic::folder(&model());
    let older = r#"{"trial":0,"arm":"none","repeat":1,"t_us":5,"service":"order","kind":"fault_expired","fault":"x"}"#;
    std::fs::write(dir.path().join(decisions::FILE), older).unwrap();
    let error = compared(dir.path()).unwrap_err().to_string();
    assert!(error.contains("an older version wrote it"), "{error}");
}
