//! Runs with each kind of fault against the fake shop: what it is told, what is counted,
//! and that nothing stays, however the run ends.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

use crate::fake;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chaos_engine::runlog::Entry;
use chaos_engine::{
    EngineError, Options, Progress, RunResult, Scenario, Silent, Target, Update, run,
};
use fake::{Shop, Wrong};
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

/// A load of orders, with what the test puts in.
fn scenario(faults: &str) -> Scenario {
    let text = format!(
        r#"
schema_version = 1
name = "fake"
shows = "the engine itself"
hypothesis = "the injectors do as they are told"
repeats = 1
[load]
warm_up = "2s"
duration = "4s"
[[load.stream]]
mix = "order"
rate = 40
arrivals = "constant"
{faults}
[arms.none]
order-product = "none"
[[check]]
id = "some"
that = "requests(none) > 0"
because = "there is load"
"#
    );
    Scenario::parse(&text, "fake.toml").unwrap_or_else(|e| panic!("{e}"))
}

fn options(dir: &tempfile::TempDir) -> Options {
    Options {
        seed: Some(11),
        out: dir.path().to_owned(),
        ..Options::default()
    }
}

/// Runs it to its end; what the log says of what was counted, as (fault, by, acted).
async fn ran(faults: &str) -> (Arc<Shop>, RunResult, Vec<(String, String, u64)>) {
    let dir = tempfile::tempdir().unwrap();
    let (shop, target) = fake::start(Wrong::default()).await;
    let never = CancellationToken::new();
    let made = run(&scenario(faults), &target, &options(&dir), &Silent, never).await;
    let result = made.unwrap_or_else(|e| panic!("{e}"));
    let log = chaos_engine::runlog::read(&dir.path().join("run.ndjson")).unwrap();
    let acted = log.into_iter().filter_map(|entry| match entry {
        Entry::Acted {
            fault, by, acted, ..
        } => Some((fault, by, acted)),
        _ => None,
    });
    let acted = acted.collect();
    assert!(shop.is_clean());
    (shop, result, acted)
}

const FLAKY: &str = r#"
[[timeline]]
name = "flaky"
at = "1s"
for = "2s"
link = "order-product"
action = { fail = { share = 0.5, status = "UNAVAILABLE" } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_per_request_goes_to_every_replica_and_is_counted() {
    let (shop, result, acted) = ran(FLAKY).await;
    assert!(result.reasons.is_empty(), "{:?}", result.reasons);
    for layer in &shop.layers {
        let posted = layer.posted.lock();
        assert_eq!(posted.len(), 1);
        let body = &posted[0];
        assert_eq!(
            (&body["id"], &body["link"]),
            (&"flaky".into(), &"order-product".into())
        );
        assert_eq!(body["lease"], "15s");
        assert_eq!(body["action"]["fail"]["status"], "UNAVAILABLE");
        // The repeat's seed, so that paired arms meet the same fate.
        assert_eq!(body["seed"], result.run.trials[0].start.seed);
    }
    let seeds = shop.proxy_seeds.lock().clone();
    assert_eq!(seeds, [result.run.trials[0].start.seed]);
    let during = result.arms[0].repeats[0].phases["during"].failed;
    let [(fault, by, n)] = acted.as_slice() else {
        panic!("{acted:?}")
    };
    assert_eq!((fault.as_str(), by.as_str()), ("flaky", "l7"));
    // Half of 80 orders, and both replicas' counts together.
    assert!(
        (30..=50).contains(n) && n.abs_diff(during) <= 2,
        "{n} of {during}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_is_in_force_from_the_warm_up_to_the_end() {
    let condition = FLAKY.replace("[[timeline]]", "[[condition]]");
    let condition = condition.replace("at = \"1s\"\nfor = \"2s\"\n", "");
    let (shop, result, acted) = ran(&condition).await;
    // Failing from the warm-up on is what the scenario wants: no reason to be void.
    assert!(result.void_trials.is_empty(), "{:?}", result.reasons);
    // 6 s of 40 orders, the warm-up included.
    assert!((110..=130).contains(&acted[0].2), "{acted:?}");
    assert!(shop.layers[0].renewed.load(Ordering::Relaxed) >= 1);
    assert_eq!(
        result.arms[0].repeats[0].phases["during"].requests, 0,
        "no fault, no phase"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_is_started_and_has_its_policies_again() {
    let (shop, result, acted) = ran(r#"
[[timeline]]
name = "crash"
at = "1s"
for = "1s"
part = "order-service"
action = "kill"
"#)
    .await;
    // Its event stream ended, and that was planned.
    assert!(result.void_trials.is_empty(), "{:?}", result.reasons);
    assert_eq!(
        *shop.processes.lock(),
        ["kill order-service", "start order-service"]
    );
    assert_eq!(acted, [("crash".to_owned(), "process".to_owned(), 1)]);
    let put = shop.policies_put.lock();
    let of: Vec<&str> = put
        .iter()
        .filter(|(slot, _)| slot == "order-product")
        .map(|(_, policy)| policy.as_str().unwrap())
        .collect();
    // The arm's at the start, again after the crash, and what was there before.
    assert_eq!(of, ["none", "none", "shop"]);
    assert!(result.arms[0].repeats[0].phases["during"].failed > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_flaps_is_one_fault() {
    let (shop, result, acted) = ran(r#"
[[timeline]]
name = "flap"
at = "500ms"
for = "300ms"
every = "600ms"
times = 3
link = "order-product"
action = "down"
"#)
    .await;
    assert_eq!(result.run.trials[0].injected.len(), 3);
    // This proxy does not count; the attempts speak.
    assert!(acted.is_empty(), "{acted:?}");
    assert!(result.reasons.is_empty(), "{:?}", result.reasons);
    assert!(shop.proxy_leases.load(Ordering::Relaxed) >= 3);
}

const EVERY_KIND: &str = r#"
[[timeline]]
name = "flaky"
at = "500ms"
for = "3s"
link = "order-product"
action = { fail = { share = 0.5, status = "UNAVAILABLE" } }
[[timeline]]
name = "down"
at = "500ms"
for = "3s"
link = "order-product"
action = "down"
[[timeline]]
name = "stopped"
at = "500ms"
for = "3s"
part = "order-service"
action = "pause"
"#;

/// Waits until a fault of every kind is on.
async fn all_on(shop: &Shop) {
    let on = async {
        while shop.is_clean()
            || !shop.down.load(Ordering::Relaxed)
            || !shop.paused.load(Ordering::Relaxed)
            || shop.layers.iter().any(|l| l.faults.lock().is_empty())
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), on)
        .await
        .unwrap();
}

/// Waits until nothing is broken and the policies are what they were.
async fn all_clean(shop: &Shop) {
    let clean = async {
        loop {
            let of_slot = |slot: &str| {
                let put = shop.policies_put.lock();
                put.iter()
                    .rev()
                    .find(|(s, _)| s == slot)
                    .map(|(_, p)| p.clone())
            };
            if shop.is_clean() && of_slot("order-product") == Some("shop".into()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), clean)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_it_clears_every_kind_of_fault_and_puts_the_policies_back() {
    let dir = tempfile::tempdir().unwrap();
    let (shop, target) = fake::start(Wrong::default()).await;
    let cancel = CancellationToken::new();
    let cancelling = async {
        all_on(&shop).await;
        cancel.cancel();
    };
    let (scenario, options) = (scenario(EVERY_KIND), options(&dir));
    let running = run(&scenario, &target, &options, &Silent, cancel.clone());
    let (result, ()) = tokio::join!(running, cancelling);
    assert!(shop.is_clean());
    assert!(result.unwrap().reasons[0].contains("cancelled"));
    all_clean(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_it_does_so_too() {
    let dir = tempfile::tempdir().unwrap();
    let (shop, target) = fake::start(Wrong::default()).await;
    let (scenario, options) = (scenario(EVERY_KIND), options(&dir));
    tokio::select! {
        _ = run(&scenario, &target, &options, &Silent, CancellationToken::new()) => panic!("it ended"),
        () = all_on(&shop) => {}
    }
    all_clean(&shop).await;
}

/// Panics when the fault is on.
struct Panics(Arc<Shop>);

impl Progress for Panics {
    fn on(&self, update: &Update) {
        let on = !self.0.is_clean() && self.0.down.load(Ordering::Relaxed);
        assert!(
            !(on && matches!(update, Update::Second { .. })),
            "a bug, on purpose"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_panic_nothing_stays_either() {
    let dir = tempfile::tempdir().unwrap();
    let (shop, target) = fake::start(Wrong::default()).await;
    let watch = Panics(Arc::clone(&shop));
    let (scenario, options) = (scenario(EVERY_KIND), options(&dir));
    let never = CancellationToken::new();
    let running = run(&scenario, &target, &options, &watch, never);
    assert!(AssertUnwindSafe(running).catch_unwind().await.is_err());
    all_clean(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_left_is_cleared_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (shop, target) = fake::start(Wrong::default()).await;
    shop.down.store(true, Ordering::Relaxed);
    let left = fake::layer::Held {
        share: 1.0,
        matched: 0,
        acted: 0,
    };
    shop.layers[1].faults.lock().insert("left".to_owned(), left);
    let never = CancellationToken::new();
    let result = run(&scenario(""), &target, &options(&dir), &Silent, never)
        .await
        .unwrap();
    assert_eq!(result.arms[0].repeats[0].total.figures.failed, 0);
    assert!(shop.is_clean());
}

async fn refused(faults: &str, change: impl FnOnce(&mut Target)) -> EngineError {
    let dir = tempfile::tempdir().unwrap();
    let (_shop, mut target) = fake::start(Wrong::default()).await;
    change(&mut target);
    let never = CancellationToken::new();
    let made = run(&scenario(faults), &target, &options(&dir), &Silent, never).await;
    made.map(drop).unwrap_err()
}

#[tokio::test]
async fn what_can_not_be_done_here_is_told_before_anything_runs() {
    let crash = "[[timeline]]\nname = \"x\"\nat = \"1s\"\nfor = \"1s\"\npart = \"user-service\"\naction = \"kill\"";
    let error = refused(crash, |target| target.processes = None).await;
    assert!(matches!(&error, EngineError::NoProcesses { part } if part == "user-service"));
    assert!(error.to_string().contains("without --attach"), "{error}");

    let gateway = crash.replace("user-service", "gateway");
    let error = refused(&gateway, |_| {}).await;
    assert!(
        matches!(
            &error,
            EngineError::Missing {
                what: "process",
                ..
            }
        ),
        "{error}"
    );

    let replicas = "[topology]\nreplicas = { order-service = 3 }";
    let error = refused(replicas, |_| {}).await;
    assert!(error.to_string().contains("order-service.2"), "{error}");

    let error = refused("", |target| {
        target.entry = "http://192.0.2.1/".parse().unwrap();
    })
    .await;
    assert!(error.to_string().contains("--i-may-break-this"), "{error}");
}
