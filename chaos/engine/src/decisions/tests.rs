use super::*;
use crate::event::{CallRef, Kind};
use crate::runlog::BreakerState;
use crate::synthetic::{self, Model};

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

/// A run's folder, with a fault that hit every so-manyth order.
fn folder(model: &Model, every: usize) -> tempfile::TempDir {
    let made = synthetic::make(model);
    let dir = tempfile::tempdir().unwrap();
    synthetic::write(model, &made, &hits(&made, every), dir.path());
    dir
}

fn decisions(dir: &Path) -> Vec<Decision> {
    read(&dir.join(FILE)).unwrap().map(|d| d.unwrap()).collect()
}

#[test]
fn decisions_are_written_and_what_came_of_them() {
    let dir = folder(&Model::default(), 10);
    let all = decisions(dir.path());
    let What::Trial { arm, repeat, .. } = &all[0].what else {
        panic!("{:?}", all[0])
    };
    assert_eq!((arm.as_str(), *repeat), ("none", 1));
    let refused = all
        .iter()
        .find(|d| matches!(d.what, What::Refused { .. }))
        .unwrap();
    let of_fast = |d: &&Decision| matches!(&d.what, What::Trial { arm, .. } if arm == "fast");
    let fast = all.iter().find(of_fast).unwrap();
    assert_eq!(
        (refused.trial, refused.service.as_str()),
        (fast.trial, "order")
    );
    assert!((10_000_000..20_000_000).contains(&refused.t_us.unwrap()));
    assert!(all.iter().any(|d| matches!(
        &d.what,
        What::Breaker { link, to: BreakerState::Open, .. } if link == "order-product"
    )));
    let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
    for part in [
        r#""kind":"fault","fault":"flaky","link":"order-product","method":"GetProducts""#,
        // A success says no more than that it was one.
        r#""attempt":1,"started_us":30000}"#,
        r#""ok":false,"status":"UNAVAILABLE","failure":"not_processed"}"#,
        r#""attempts":1,"started_us":30000,"outcome":"ok"}"#,
        r#""t_us":10000000,"service":"lab","kind":"inject","fault":"outage","link":"order-product","done_us":10002000}"#,
        r#"{"trial":0,"service":"lab","kind":"trial_end","void":null}"#,
    ] {
        assert!(text.contains(part), "{part}");
    }
}

/// Most lines of a run are calls and attempts that went well.
#[test]
fn a_line_is_short() {
    let dir = folder(&Model::default(), 10);
    let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
    let well = |l: &&str| {
        l.ends_with("\"outcome\":\"ok\"}")
            || l.contains("\"attempt\"") && l.contains("\"started_us\"") && !l.contains("\"ok\"")
    };
    let lines: Vec<&str> = text.lines().filter(well).collect();
    assert!(lines.len() > 5_000);
    let bytes = lines.iter().map(|l| l.len()).sum::<usize>() / lines.len();
    assert!(bytes < 180, "{bytes} bytes a line");
}

#[test]
fn lines_of_older_and_newer_runs_are_read() {
    let older = r#"{"trial":0,"arm":"fast","repeat":1,"t_us":-5,"service":"order","kind":"fault_expired","fault":"flaky"}"#;
    let older: Decision = serde_json::from_str(older).unwrap();
    assert_eq!((older.trial, older.t_us), (0, Some(-5)));
    let newer = r#"{"trial":0,"t_us":1,"service":"order","kind":"not_yet","with":{"more":1}}"#;
    let newer: Decision = serde_json::from_str(newer).unwrap();
    assert_eq!(newer.what, What::Other);
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
        What::Attempt {
            call: call.clone(),
            attempt,
            started_us: -9,
            ok: false,
            status: Some("CANCELLED".to_owned()),
            failure: None,
            cancelled: true,
        },
        What::Attempt {
            call: call.clone(),
            attempt: 1,
            started_us: -9,
            ok: true,
            status: None,
            failure: None,
            cancelled: false,
        },
        What::Call {
            call: call.clone(),
            attempts: 2,
            started_us: -9,
            outcome: "ok".to_owned(),
        },
        What::Wasted {
            call: call.clone(),
            took_us: 81,
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
            t_us: Some(-5),
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
