//! Whole runs against a fake shop on free ports, in real time: a run measures on
//! `CLOCK_MONOTONIC`, which no test can pause.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

use crate::fake;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chaos_engine::{
    EngineError, Options, Progress, RunResult, Scenario, Silent, Update, Verdict, run,
};
use fake::Wrong;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// One second of calm, one of outage, and the recovery of a breaker with a reset
/// of half a second.
const SCENARIO: &str = r#"
schema_version = 1
name = "fake-outage"
shows = "the engine itself"
hypothesis = "a fake shop does as its policies say"
repeats = 1
[load]
warm_up = "2s"
duration = "6s"
[[load.stream]]
mix = "order"
rate = 40
arrivals = "constant"
[[load.stream]]
mix = "browse"
rate = 20
[[timeline]]
name = "outage"
at = "1s"
for = "1500ms"
link = "order-product"
action = "down"
[arms.fast]
order-product = { preset = "fast", breaker = { reset = "500ms" } }
[[check]]
id = "healthy"
that = "unsuccessful(*) == 0 before outage"
because = "nothing is wrong yet"
[[check]]
id = "recovered"
that = "unsuccessful(*) == 0 after recovery"
because = "nothing is wrong any more"
[[check]]
id = "opens"
that = "opened_after_failures(fast) == 5"
because = "five in a row"
[[check]]
id = "refuses-fast"
that = "share_under(fast, 1s, refused) >= 99%"
because = "a refusal waits for nothing"
[[check]]
id = "spares"
that = "amplification(fast) < 0.9 during outage"
because = "most calls are refused"
[[check]]
id = "closes"
that = "closed_within(fast) <= reset + 2s after clear"
because = "one success closes"
[[check]]
id = "browsing"
that = "unsuccessful(*, browse) == 0"
because = "it does not use the link"
[[check]]
id = "orders"
that = "lost_orders == 0"
because = "acknowledged is kept"
[[check]]
id = "stock"
that = "oversold + duplicate_orders == 0"
because = "units add up"
"#;

struct Ran {
    shop: Arc<fake::Shop>,
    result: RunResult,
    _dir: tempfile::TempDir,
}

async fn ran(scenario: &str, wrong: Wrong) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let (shop, target) = fake::start(wrong).await;
    let scenario = Scenario::parse(scenario, "fake.toml").unwrap_or_else(|e| panic!("{e}"));
    let options = Options {
        seed: Some(11),
        out: dir.path().join("run"),
        ..Options::default()
    };
    let result = run(
        &scenario,
        &target,
        &options,
        &Silent,
        CancellationToken::new(),
    )
    .await;
    Ran {
        shop,
        result: result.unwrap_or_else(|e| panic!("{e}")),
        _dir: dir,
    }
}

fn failed(result: &RunResult) -> Vec<&str> {
    let of = result.checks.iter().filter(|c| c.verdict == Verdict::Fail);
    of.map(|c| c.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_shop_passes_and_leaves_its_files() {
    let r = ran(SCENARIO, Wrong::default()).await;
    assert_eq!(r.result.verdict, Verdict::Pass, "{}", r.result.table());
    assert!(!r.shop.down.load(Ordering::Relaxed));
    let json = std::fs::read_to_string(r.result.dir.join("result.json")).unwrap();
    assert_eq!(json.trim_end(), r.result.to_json().unwrap());
    let again = RunResult::from_dir(&r.result.dir).unwrap();
    assert_eq!(again.to_json().unwrap(), r.result.to_json().unwrap());
    let arm = &r.result.arms[0];
    assert_eq!(arm.policies["order-product"]["breaker"]["reset"], "500ms");
    let total = &arm.repeats[0].total;
    // 6 s of 40 orders and about 20 browses.
    assert_eq!(total.figures.calls["order-product"], 240);
    assert!(
        (300..450).contains(&total.figures.requests),
        "{}",
        total.figures.requests
    );
    let figures = chaos_engine::recompute::compared(&r.result.dir).unwrap();
    let differ: Vec<_> = figures.iter().filter(|c| !c.agrees()).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    let phases: u64 = arm.repeats[0].phases.values().map(|f| f.requests).sum();
    assert_eq!(phases, total.figures.requests);
    assert!(total.fault.seen >= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_fail_when_the_breaker_is_off_and_orders_are_lost() {
    let on = "breaker = { reset = \"500ms\" }";
    let source = SCENARIO.replace(on, "breaker = \"off\"");
    let r = ran(
        &source,
        Wrong {
            loses_one_in: Some(20),
            ..Wrong::default()
        },
    )
    .await;
    assert_eq!(r.result.exit_code(), 1, "{}", r.result.table());
    assert_eq!(failed(&r.result), ["opens", "spares", "closes", "orders"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_gets_too_bad_is_broken_off_and_leaves_nothing_injected() {
    let guard = "[abort_when]\nserved_below = 0.99\nfor = \"1s\"\n";
    let r = ran(&format!("{SCENARIO}\n{guard}"), Wrong::default()).await;
    assert_eq!(r.result.exit_code(), 2, "{}", r.result.table());
    let reason = &r.result.reasons[0];
    assert!(
        reason.contains("aborted: ") && reason.contains("in a row"),
        "{reason}"
    );
    assert_eq!(r.result.run.trials.len(), 1, "it is not tried again");
    assert!(!r.shop.down.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_does_not_act_is_inconclusive() {
    let r = ran(
        SCENARIO,
        Wrong {
            proxy_pretends: true,
            ..Wrong::default()
        },
    )
    .await;
    assert_eq!(r.result.exit_code(), 2, "{}", r.result.table());
    assert!(
        r.result.reasons[0].contains("did not act"),
        "{:?}",
        r.result.reasons
    );
    assert_eq!(r.result.arms[0].repeats[0].phases["during"].failed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn void_trials_are_tried_again_and_then_end_the_run() {
    for (wrong, why) in [
        (
            Wrong {
                rate_limits: true,
                ..Wrong::default()
            },
            "429",
        ),
        (
            Wrong {
                events_end_after: Some(30),
                ..Wrong::default()
            },
            "events of a part were lost",
        ),
        (
            Wrong {
                sick: true,
                ..Wrong::default()
            },
            "not steady",
        ),
    ] {
        let r = ran(SCENARIO, wrong).await;
        assert_eq!(r.result.verdict, Verdict::Inconclusive);
        assert!(
            r.result.reasons[0].contains(why),
            "{why}: {:?}",
            r.result.reasons
        );
        assert_eq!(r.result.run.trials.len(), 3, "one go and two more");
        assert!(r.result.arms[0].repeats.is_empty());
    }
}

/// Cancels the run as soon as the fault is on.
struct CancelInFault(CancellationToken, Mutex<Vec<String>>);

impl Progress for CancelInFault {
    fn on(&self, update: &Update) {
        self.1.lock().push(format!("{update:?}"));
        if matches!(
            update,
            Update::Phase {
                phase: chaos_engine::runlog::Phase::During,
                ..
            }
        ) {
            self.0.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_clears_its_fault_and_closes_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let (shop, target) = fake::start(Wrong::default()).await;
    let scenario = Scenario::parse(SCENARIO, "fake.toml").unwrap();
    let options = Options {
        out: dir.path().to_owned(),
        ..Options::default()
    };
    let cancel = CancellationToken::new();
    let watch = CancelInFault(cancel.clone(), Mutex::default());
    let result = run(&scenario, &target, &options, &watch, cancel)
        .await
        .unwrap();
    assert!(!shop.down.load(Ordering::Relaxed), "the fault is still on");
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(
        result.reasons[0].contains("cancelled"),
        "{:?}",
        result.reasons
    );
    assert!(dir.path().join("result.json").exists());
    let news = watch.1.into_inner().join("\n");
    assert!(news.contains("Started") && news.contains("WarmUp") && news.contains("Second"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_dropped_in_a_fault_clears_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let (shop, target) = fake::start(Wrong::default()).await;
    let scenario = Scenario::parse(SCENARIO, "fake.toml").unwrap();
    let options = Options {
        out: dir.path().to_owned(),
        ..Options::default()
    };
    let in_fault = CancellationToken::new();
    let watch = CancelInFault(in_fault.clone(), Mutex::default());
    tokio::select! {
        _ = run(&scenario, &target, &options, &watch, CancellationToken::new()) => panic!("it ended"),
        () = in_fault.cancelled() => {}
    }
    let resets = shop.resets.load(Ordering::Relaxed);
    let cleared = async {
        while shop.resets.load(Ordering::Relaxed) == resets {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), cleared)
        .await
        .unwrap();
    assert!(!shop.down.load(Ordering::Relaxed));
}

#[tokio::test]
async fn what_the_target_lacks_is_told_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (_shop, target) = fake::start(Wrong::default()).await;
    let scenario = Scenario::parse(SCENARIO, "fake.toml").unwrap();
    let go =
        async |scenario: &Scenario, target: &chaos_engine::Target, arms: Option<Vec<String>>| {
            let options = Options {
                out: dir.path().to_owned(),
                arms,
                ..Options::default()
            };
            run(
                scenario,
                target,
                &options,
                &Silent,
                CancellationToken::new(),
            )
            .await
            .unwrap_err()
        };
    let unknown = go(&scenario, &target, Some(vec!["fats".to_owned()])).await;
    assert!(
        unknown.to_string().contains("did you mean `fast`?"),
        "{unknown}"
    );
    assert_eq!(unknown.exit_code(), 3);

    let elsewhere = SCENARIO.replace("\"order-product\"", "\"order-user\"");
    let elsewhere = Scenario::parse(&elsewhere, "f.toml").unwrap();
    let missing = go(&elsewhere, &target, None).await;
    assert!(
        matches!(&missing, EngineError::Missing { part, .. } if part == "order-user"),
        "{missing}"
    );

    let mut no_gateway = target.clone();
    no_gateway.control.remove("gateway");
    let slot = go(&scenario, &no_gateway, None).await;
    assert!(
        matches!(&slot, EngineError::UnknownSlot { slot, .. } if slot.starts_with("gateway-")),
        "{slot}"
    );

    let mut nobody = target;
    nobody.proxy_api = Some("http://127.0.0.1:1".parse().unwrap());
    assert!(matches!(
        go(&scenario, &nobody, None).await,
        EngineError::Http { .. }
    ));
}

#[test]
fn a_target_is_read_as_it_is_written_and_keeps_its_token_to_itself() {
    let text = r#"{"schema_version": 1, "kind": "embedded", "entry": "http://127.0.0.1:8080/", "lab_token": "s3cret",
        "control": {"user": "http://127.0.0.1:9201/"}, "proxy_api": "http://127.0.0.1:8474/"}"#;
    let target: chaos_engine::Target = serde_json::from_str(text).unwrap();
    let again = serde_json::to_string(&target).unwrap();
    let back: chaos_engine::Target = serde_json::from_str(&again).unwrap();
    assert_eq!(back.control, target.control);
    assert!(!format!("{target:?}").contains("s3cret"));
    let odd = text.replace("http://127.0.0.1:9201/", "nowhere");
    assert!(
        serde_json::from_str::<chaos_engine::Target>(&odd)
            .unwrap_err()
            .to_string()
            .contains("nowhere")
    );
}
