use super::*;
use crate::synthetic::{self, Model, OUTAGE};

fn result(model: &Model) -> RunResult {
    RunResult::from_entries(&synthetic::run(model)).unwrap_or_else(|e| panic!("{e}"))
}

fn of(result: &RunResult, verdict: Verdict) -> Vec<&str> {
    result
        .checks
        .iter()
        .filter(|c| c.verdict == verdict)
        .map(|c| c.id.as_str())
        .collect()
}

fn check<'a>(result: &'a RunResult, id: &str) -> &'a CheckResult {
    result.checks.iter().find(|c| c.id == id).unwrap()
}

fn quick() -> Model {
    Model {
        quick: true,
        repeats: 1,
        ..Model::default()
    }
}

#[test]
fn a_shop_that_does_as_it_should_passes() {
    let r = result(&Model::default());
    assert_eq!(r.verdict, Verdict::Pass, "{}", r.table());
    assert_eq!((r.exit_code(), r.checks.len(), r.reasons.len()), (0, 11, 0));
    let naive = check(&r, "naive-triples");
    assert_eq!(
        (naive.measured, naive.bound, naive.n),
        (Some(3.0), Some(3.0), 3)
    );
    let opened = check(&r, "breaker-opens-at-five");
    assert_eq!(
        (opened.measured, opened.low, opened.high),
        (Some(5.0), Some(5.0), Some(5.0))
    );
    let refused = check(&r, "refused-fast");
    assert!(refused.low.unwrap() > 0.99 && refused.measured == Some(1.0) && refused.n > 500);
    assert!(r.checks.iter().all(|c| !c.this_run_only));
}

#[test]
fn a_quick_run_passes_and_speaks_of_itself_only() {
    let r = result(&quick());
    assert_eq!(r.verdict, Verdict::Pass, "{}", r.table());
    let estimates: Vec<_> = r
        .checks
        .iter()
        .filter(|c| c.this_run_only)
        .map(|c| c.id.as_str())
        .collect();
    assert_eq!(
        estimates,
        ["naive-triples", "refused-fast", "breaker-spares-the-link"]
    );
    assert!(r.table().contains("this run only"));
}

#[test]
fn without_its_breaker_the_fast_arm_fails_its_checks() {
    let off = "order-product = { preset = \"fast\", breaker = \"off\" }";
    for base in [Model::default(), quick()] {
        let source = OUTAGE.replacen("order-product = \"fast\"", off, 1);
        assert_ne!(source, OUTAGE);
        let r = result(&Model {
            source,
            no_breaker: true,
            ..base
        });
        assert_eq!((r.verdict, r.exit_code()), (Verdict::Fail, 1));
        let failed = of(&r, Verdict::Fail);
        assert_eq!(
            failed,
            [
                "breaker-opens-at-five",
                "breaker-spares-the-link",
                "breaker-closes"
            ]
        );
        assert_eq!(of(&r, Verdict::Inconclusive), ["refused-fast"]);
        let table = r.table();
        assert!(table.starts_with("FAIL"), "{table}");
        assert!(
            failed
                .iter()
                .all(|id| table.lines().next().unwrap().contains(id))
        );
    }
}

#[test]
fn a_fault_that_is_never_injected_is_inconclusive() {
    for (from, to) in [
        ("at = \"10s\"", "at = \"1000s\""),
        ("action = \"down\" ", "inject = false\naction = \"down\" "),
    ] {
        let source = OUTAGE.replacen(from, to, 1);
        // Even though a check fails for good.
        let r = result(&Model {
            source,
            injected: false,
            lost: 1,
            ..Model::default()
        });
        assert_eq!((r.verdict, r.exit_code()), (Verdict::Inconclusive, 2));
        assert!(r.reasons[0].contains("never injected"), "{:?}", r.reasons);
        assert!(of(&r, Verdict::Fail).contains(&"no-order-lost"));
    }
}

#[test]
fn a_fault_that_does_nothing_is_inconclusive() {
    let r = result(&Model {
        idle: true,
        ..Model::default()
    });
    assert_eq!(r.verdict, Verdict::Inconclusive);
    assert!(
        r.reasons[0].contains("did not act on order-product"),
        "{:?}",
        r.reasons
    );
}

/// A run with a condition, of which its injector counted so much.
fn under_a_condition(acted: Option<u64>) -> RunResult {
    let mut entries = Vec::new();
    for entry in synthetic::run(&Model::default()) {
        let began = match &entry {
            Entry::Trial(start) => Some(start.trial),
            _ => None,
        };
        entries.push(entry);
        let Some(trial) = began else { continue };
        entries.push(Entry::Condition {
            trial,
            name: "capacity".to_owned(),
            link: "gateway-product".to_owned(),
        });
        entries.extend(acted.map(|acted| Entry::Acted {
            trial,
            fault: "capacity".to_owned(),
            by: "l7".to_owned(),
            matched: None,
            acted,
        }));
    }
    RunResult::from_entries(&entries).unwrap()
}

#[test]
fn a_condition_needs_proof_too() {
    for (acted, why) in [
        (None, "no injector counts it"),
        (Some(0), "its injector counted nothing"),
    ] {
        let r = under_a_condition(acted);
        assert_eq!(r.verdict, Verdict::Inconclusive);
        let want = format!(
            "the condition `capacity` did not act on gateway-product in arm none, repeat 1, 2, 3: {why}"
        );
        assert_eq!(r.reasons[0], want);
    }
    let r = under_a_condition(Some(5));
    assert_eq!(r.verdict, Verdict::Pass, "{:?}", r.reasons);
    let total = &r.arms[0].repeats[0].total;
    assert_eq!(total.faults["capacity"].acted, Some(5));
    assert_eq!(total.fault.acted, Some(5));
    assert!(total.faults["outage"].acted.is_none() && total.faults["outage"].seen > 0);
}

/// The same but for the last digit of a number, which reading may round.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(v, w)| same(v, w))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
        }
        _ => a == b,
    }
}

#[test]
fn the_result_can_be_read_back() {
    let r = result(&Model::default());
    let dir = tempfile::tempdir().unwrap();
    let json = r.to_json().unwrap();
    std::fs::write(dir.path().join("result.json"), &json).unwrap();
    let again = RunResult::load(dir.path()).unwrap();
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert!(same(&value(&again.to_json().unwrap()), &value(&json)));
    let old = json.replacen("\"schema_version\": 1", "\"schema_version\": 99", 1);
    std::fs::write(dir.path().join("result.json"), old).unwrap();
    assert!(
        RunResult::load(dir.path())
            .unwrap_err()
            .to_string()
            .contains("version 99")
    );
}

#[test]
fn facts_are_decided_on_every_repeat() {
    let r = result(&Model {
        lost: 2,
        ..Model::default()
    });
    assert_eq!(r.verdict, Verdict::Fail);
    let lost = check(&r, "no-order-lost");
    assert_eq!(
        (lost.verdict, lost.arm.as_deref()),
        (Verdict::Fail, Some("none"))
    );
    assert_eq!((lost.measured, lost.bound), (Some(2.0), Some(0.0)));
    assert!(
        lost.evidence
            .contains("0, 2, 0 by repeat: does not hold in 1 of 3"),
        "{}",
        lost.evidence
    );
}

#[test]
fn slow_refusals_fail() {
    let r = result(&Model {
        refusal_ms: 80,
        ..Model::default()
    });
    assert_eq!(of(&r, Verdict::Fail), ["refused-fast"]);
    assert_eq!(check(&r, "refused-fast").measured, Some(0.0));
}

#[test]
fn a_void_repeat_outweighs_everything() {
    let r = result(&Model {
        void: true,
        lost: 2,
        ..Model::default()
    });
    assert_eq!(r.verdict, Verdict::Inconclusive);
    assert_eq!(
        r.reasons,
        ["naive: 2 of 3 repeats count; arrivals were late"]
    );
    assert_eq!(r.arms[1].repeats.len(), 2);
}

#[test]
fn a_run_that_was_stopped_or_killed_says_so() {
    let r = result(&Model {
        stopped: true,
        ..Model::default()
    });
    assert_eq!(r.verdict, Verdict::Inconclusive);
    assert!(r.reasons[0].contains("cancelled"));
    let mut entries = synthetic::run(&Model::default());
    entries.pop();
    let r = RunResult::from_entries(&entries).unwrap();
    assert!(r.reasons[0].contains("no end"), "{:?}", r.reasons);
    entries.truncate(60);
    assert_eq!(
        RunResult::from_entries(&entries).unwrap().verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn result_json_has_the_fields_of_the_specification() {
    let r = result(&Model::default());
    let json: Value = serde_json::from_str(&r.to_json().unwrap()).unwrap();
    for key in [
        "schema_version",
        "scenario",
        "seed",
        "environment",
        "arms",
        "checks",
        "verdict",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["verdict"], "pass");
    let repeat = &json["arms"][2]["repeats"][0];
    for phase in ["before", "during", "recovering", "after"] {
        let figures = &repeat["phases"][phase];
        for key in [
            "requests",
            "ok",
            "degraded",
            "rejected",
            "failed",
            "success_rate",
            "goodput_rps",
            "p50_ms",
            "p90_ms",
            "p99_ms",
            "p999_ms",
            "calls",
            "attempts",
            "retries",
            "amplification",
            "wasted_work_s",
        ] {
            assert!(figures.get(key).is_some(), "{phase}.{key}");
            assert!(repeat["total"].get(key).is_some(), "total.{key}");
        }
        assert!(figures.get("breaker").is_none());
    }
    let total = &repeat["total"];
    for key in ["opened_at_s", "closed_at_s", "opens", "open_s"] {
        assert!(
            total["breaker"]["order-product"].get(key).is_some(),
            "{key}"
        );
    }
    for key in [
        "recovery_s",
        "fault",
        "lost_orders",
        "duplicate_orders",
        "oversold",
    ] {
        assert!(total.get(key).is_some(), "{key}");
    }
    assert!(total["fault"]["seen"].as_u64().unwrap() >= 5 && total["fault"]["acted"].is_null());
    for key in [
        "id",
        "statement",
        "verdict",
        "measured",
        "low",
        "high",
        "bound",
        "n",
        "evidence",
    ] {
        assert!(json["checks"][0].get(key).is_some(), "{key}");
    }
    for key in ["median", "low", "high"] {
        assert!(json["arms"][1]["summary"]["during.amplification.order-product"][key].is_number());
    }
}

#[test]
fn the_figures_are_those_of_the_model() {
    let r = result(&Model::default());
    let naive = &r.arms[1].repeats[0];
    let before = &naive.phases["before"];
    // 10 s of 20 orders and 50 browses; those that overlap 10 s are `during`.
    assert_eq!(
        (before.requests, before.failed, before.success_rate),
        (700, 0, Some(1.0))
    );
    assert!((before.goodput_rps.unwrap() - 70.0).abs() < 1e-9);
    assert_eq!((before.p99_ms, before.p50_ms.is_some()), (None, true));
    let during = &naive.phases["during"];
    assert_eq!((during.failed, during.calls["order-product"]), (200, 200));
    assert_eq!((during.attempts, during.retries), (600, 400));
    assert_eq!(during.amplification["order-product"], 3.0);
    let fast = &r.arms[2].repeats[0];
    let life = fast.total.breaker["order-product"];
    // Opened by the fifth failure and again by the failed trial at 15 s, closed
    // by the trial after the clearing.
    assert_eq!(life.opens, 2);
    assert!(
        (10.0..10.3).contains(&life.opened_at_s.unwrap()),
        "{life:?}"
    );
    assert!(
        (20.0..20.4).contains(&life.closed_at_s.unwrap()),
        "{life:?}"
    );
    assert!((9.9..10.1).contains(&life.open_s), "{life:?}");
    assert!((0.5..2.0).contains(&fast.total.recovery_s.unwrap()));
    assert!((r.arms[0].repeats[0].total.recovery_s.unwrap()) < 0.1);
    assert_eq!(fast.usage.as_ref().unwrap().generator_cpu_share, 0.015);
}

/// The log is all there is: written and read back, it is the same, and so is what
/// is folded from it.
#[test]
fn the_fold_of_the_written_file_is_the_live_one() {
    let entries = synthetic::run(&Model {
        void: true,
        ..Model::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.ndjson");
    let mut log = runlog::RunLog::create(&path).unwrap();
    entries.iter().for_each(|e| log.append(e).unwrap());
    assert_eq!(runlog::read(&path).unwrap(), entries);
    let live = RunResult::from_entries(&entries).unwrap();
    let folded = RunResult::from_dir(dir.path()).unwrap();
    assert_eq!(folded.to_json().unwrap(), live.to_json().unwrap());
}

#[test]
fn the_table_explains_itself() {
    let table = result(&Model::default()).table();
    assert!(
        table.starts_with("PASS  product-outage: all 11 checks hold"),
        "{table}"
    );
    for word in [
        "arm", "phase", "requests", "served", "refused", "failed", "p50 ms", "p99 ms", "calls",
        "attempts", "per call",
    ] {
        assert!(
            table.matches(word).count() >= 2,
            "`{word}` is not explained:\n{table}"
        );
    }
    assert!(table.contains("after 5 failures in a row"), "{table}");
    assert!(table.contains("The faulted link is order-product."));
}

#[test]
fn a_log_that_is_none_is_refused() {
    assert!(RunResult::from_entries(&[]).is_err());
    assert!(RunResult::from_entries(&[Entry::End { stopped: None }]).is_err());
}
