use super::*;
use crate::requests;
use crate::runlog::RunLog;
use crate::synthetic::{self, Model, T0};

/// The hit of a fault on every `every`-th order, as the fault layer tells it.
fn hits(made: &synthetic::Made, every: usize) -> Vec<(TrialStart, Event)> {
    let orders = made
        .rows
        .iter()
        .filter(|(_, c)| c.record.op == loadtest::Op::Order);
    let hit = |(trial, counted): &(TrialStart, crate::reducer::Counted)| {
        let event = Event {
            seq: 0,
            t_ns: counted.record.started_ns,
            service: "product".to_owned(),
            kind: Kind::Fault {
                fault: "flaky".to_owned(),
                call: CallRef {
                    link: "order-product".to_owned(),
                    method: "GetProducts".to_owned(),
                    request_id: counted.record.request_id.clone(),
                },
                attempt: 1,
                action: "fail".to_owned(),
                delay_us: None,
            },
        };
        (trial.clone(), event)
    };
    orders.step_by(every).map(hit).collect()
}

/// A run's folder.
fn folder(model: &Model, every: usize) -> tempfile::TempDir {
    let made = synthetic::make(model);
    let dir = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(&dir.path().join("run.ndjson")).unwrap();
    made.entries.iter().for_each(|e| log.append(e).unwrap());
    let mut rows = requests::Writer::create(&dir.path().join(requests::FILE)).unwrap();
    for (trial, counted) in &made.rows {
        rows.write(trial, counted).unwrap();
    }
    rows.finish().unwrap();
    let mut writer = Writer::create(&dir.path().join(FILE)).unwrap();
    for (trial, event) in made.events.iter().chain(&hits(&made, every)) {
        writer.write(trial, T0, event).unwrap();
    }
    writer.finish().unwrap();
    dir
}

fn decisions(dir: &Path) -> Vec<Decision> {
    let text = std::fs::read_to_string(dir.join(FILE)).unwrap();
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn decisions_are_written_and_what_is_none_is_not() {
    let dir = folder(&Model::default(), 10);
    let all = decisions(dir.path());
    let refused = all
        .iter()
        .find(|d| matches!(d.what, What::Refused { .. }))
        .unwrap();
    assert_eq!(
        (refused.arm.as_str(), refused.service.as_str()),
        ("fast", "order")
    );
    assert!((10_000_000..20_000_000).contains(&refused.t_us));
    assert!(all.iter().any(|d| matches!(
        &d.what,
        What::Breaker { link, to: BreakerState::Open, .. } if link == "order-product"
    )));
    let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
    assert!(text.contains(
        r#""kind":"fault","fault":"flaky","link":"order-product","method":"GetProducts""#
    ));
    assert!(!text.contains(r#""kind":"attempt""#) && !text.contains(r#""kind":"call""#));
}

#[test]
fn every_decision_survives_the_file() {
    let on = On {
        link: "order-product".to_owned(),
        method: "GetProducts".to_owned(),
        request_id: "r-1".to_owned(),
    };
    let (attempt, call, reason) = (2, on, "limit".to_owned());
    for what in [
        What::Wait {
            call: call.clone(),
            attempt,
            wait_us: 7,
        },
        What::Hedge {
            call: call.clone(),
            attempt,
            after_us: 9,
        },
        What::HedgeWon {
            call: call.clone(),
            attempt,
        },
        What::Shed {
            call: call.clone(),
            priority: Some("critical".to_owned()),
            reason: reason.clone(),
        },
        What::Refused {
            call: call.clone(),
            attempt,
            reason,
        },
        What::FaultExpired {
            fault: "flaky".to_owned(),
        },
        What::Fault {
            fault: "slow".to_owned(),
            call,
            attempt,
            action: "delay".to_owned(),
            delay_us: Some(800),
        },
    ] {
        let decision = Decision {
            trial: 3,
            arm: "fast".to_owned(),
            repeat: 1,
            t_us: -5,
            service: "order".to_owned(),
            what,
        };
        let line = serde_json::to_string(&decision).unwrap();
        assert_eq!(
            serde_json::from_str::<Decision>(&line).unwrap(),
            decision,
            "{line}"
        );
    }
}

#[test]
fn a_rerun_hits_the_same_requests() {
    let (a, b) = (folder(&Model::default(), 10), folder(&Model::default(), 10));
    let found = compare_hits(a.path(), b.path()).unwrap();
    assert!(
        found.all.same() && found.all.share() == Some(1.0),
        "{found:?}"
    );
    assert!(found.all.equal > 300);
    assert_eq!(found.faults["flaky"], found.all);
    assert_eq!(found.requests_in_both, found.all);
}

#[test]
fn a_rerun_that_hits_others_shows_how_many() {
    let (a, b) = (folder(&Model::default(), 10), folder(&Model::default(), 20));
    let found = compare_hits(a.path(), b.path()).unwrap().all;
    assert!(
        !found.same() && found.only_a > 0 && found.only_b == 0,
        "{found:?}"
    );
    assert!(found.equal.abs_diff(found.only_a) <= 1, "{found:?}");
}

/// What a void try hit is no part of it: the other run need not have had one.
#[test]
fn void_tries_are_left_out() {
    let stumbled = Model {
        stumbles: 1,
        ..Model::default()
    };
    let (a, b) = (folder(&Model::default(), 1), folder(&stumbled, 1));
    let found = compare_hits(a.path(), b.path()).unwrap().all;
    assert!(found.same(), "{found:?}");
}
