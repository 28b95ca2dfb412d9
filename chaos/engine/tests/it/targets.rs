//! Runs on a system that isn't the shop: a page behind a proxy, and nothing else.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

use std::future::IntoFuture as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use chaos_engine::{EngineError, Options, Scenario, Silent, Target, Verdict, run};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Milliseconds that the toxic adds; 0 without one.
type Slow = Arc<AtomicU64>;

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}/")
}

async fn page(State(slow): State<Slow>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(slow.load(Ordering::Relaxed))).await;
    "hello"
}

async fn add(State(slow): State<Slow>, Json(toxic): Json<Value>) -> Json<Value> {
    let ms = toxic["attributes"]["latency"].as_u64().unwrap();
    slow.store(ms, Ordering::Relaxed);
    Json(toxic)
}

async fn clear(State(slow): State<Slow>) -> StatusCode {
    slow.store(0, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

/// As much of a Toxiproxy as the run needs; nothing under `/faultline`.
fn proxy() -> Router<Slow> {
    let list = get(|| async { Json(json!({"nginx": {"enabled": true, "toxics": []}})) });
    Router::new()
        .route("/proxies", list)
        .route("/proxies/nginx/toxics", post(add))
        .route("/proxies/nginx/toxics/{name}", axum::routing::delete(clear))
        .route("/reset", post(clear))
}

async fn target(dir: &Path) -> (Slow, Target) {
    let slow = Slow::default();
    let entry = serve(Router::new().route("/", get(page)).with_state(slow.clone())).await;
    let api = serve(proxy().with_state(slow.clone())).await;
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../targets/nginx.toml"
    ));
    let text = text.unwrap().replace("http://127.0.0.1:18081", &entry);
    let file = dir.join("target.toml");
    std::fs::write(&file, text.replace("http://127.0.0.1:18474", &api)).unwrap();
    (slow, Target::from_file(&file).unwrap())
}

/// The worked example with short phases.
fn scenario(checks: &str) -> Scenario {
    let text = format!(
        r#"
schema_version = 1
name = "nginx"
shows = "x"
hypothesis = "x"
repeats = 1
[topology]
links = ["client-nginx"]
[load]
warm_up = "2s"
duration = "6s"
[[load.stream]]
mix = "browse"
rate = 50
[[timeline]]
name = "slow"
at = "2s"
for = "2s"
link = "client-nginx"
action = {{ toxic = "latency", latency = 100 }}
# Away from the edges, where a request is under way while the toxic comes or goes.
[[window]]
name = "slow-proper"
at = "2500ms"
for = "1s"
[arms.plain]
{checks}
"#
    );
    Scenario::parse(&text, "nginx.toml").unwrap_or_else(|e| panic!("{e}"))
}

const HOLDS: &str = r#"
[[check]]
id = "nothing-fails"
that = "unsuccessful(*) == 0"
because = "a slow answer is an answer"
[[check]]
id = "slow-during"
that = "share_under(*, 95ms)@slow-proper <= 20%"
because = "all but those under way pass the toxic"
[[check]]
id = "fast-before"
that = "share_under(*, 95ms) >= 50% before slow"
because = "nothing is slow yet"
"#;

async fn ran(
    scenario: &Scenario,
    target: &Target,
    dir: &Path,
) -> Result<chaos_engine::RunResult, EngineError> {
    let options = Options {
        seed: Some(3),
        out: dir.join("run"),
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_behind_a_proxy_gets_its_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let (slow, target) = target(dir.path()).await;
    let result = ran(&scenario(HOLDS), &target, dir.path()).await.unwrap();
    // The load's own requests are the attempts that prove the fault.
    assert_eq!(result.verdict, Verdict::Pass, "{}", result.table());
    assert!(result.arms[0].repeats[0].total.fault.seen > 50);
    assert_eq!(slow.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_tells_of_is_inconclusive() {
    let dir = tempfile::tempdir().unwrap();
    let (_slow, target) = target(dir.path()).await;
    let checks = r#"
[[check]]
id = "breaker"
that = "opens(*, order-product) == 0"
because = "nobody knows"
[[check]]
id = "orders"
that = "lost_orders == 0"
because = "nobody counts"
"#;
    let result = ran(&scenario(checks), &target, dir.path()).await.unwrap();
    assert_eq!(result.verdict, Verdict::Inconclusive);
    for check in &result.checks {
        assert_eq!(check.verdict, Verdict::Inconclusive, "{}", check.id);
    }
    let evidence = &result.checks[0].evidence;
    assert!(
        evidence.contains("nobody on this target tells"),
        "{evidence}"
    );
}

#[tokio::test]
async fn too_much_for_a_target_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_slow, target) = target(dir.path()).await;
    let error = async |scenario: &Scenario| {
        let made = ran(scenario, &target, dir.path()).await;
        made.map(drop).unwrap_err().to_string()
    };
    let mut fast = scenario(HOLDS);
    fast.full.streams[0].source = loadtest::Source::Open {
        rate: 500.0.into(),
        arrivals: loadtest::Arrivals::Constant,
    };
    let said = error(&fast).await;
    assert!(said.contains("the target's ceiling is 200"), "{said}");

    let per_request = HOLDS.to_owned()
        + "[[condition]]\nname = \"x\"\nlink = \"order-product\"\naction = { hang = {} }";
    let said = error(&scenario(&per_request)).await;
    assert!(said.contains("no control API for `product`"), "{said}");

    let mut orders = scenario(HOLDS);
    orders.full.streams[0].mix = loadtest::Mix::only(loadtest::Op::Order);
    let said = error(&orders).await;
    assert!(said.contains("no request for `order`"), "{said}");
}

#[test]
fn the_worked_example_is_sound() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets");
    let target = Target::from_file(&Path::new(dir).join("nginx.toml")).unwrap();
    assert!(!target.is_shop());
    let text = std::fs::read_to_string(Path::new(dir).join("nginx-latency.toml")).unwrap();
    let scenario = Scenario::parse(&text, "nginx-latency.toml").unwrap_or_else(|e| panic!("{e}"));
    assert!(scenario.warnings.is_empty(), "{:?}", scenario.warnings);
}

#[test]
fn a_target_file_that_is_none_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.toml");
    let good = "schema_version = 1\nkind = \"x\"\nentry = \"http://127.0.0.1:1/\"\n";
    for (text, want) in [
        (good.replace("entry", "entri"), "line 3"),
        (
            good.replace("http://127.0.0.1:1/", "nowhere"),
            "`nowhere` is no URL",
        ),
        (
            good.replace("version = 1", "version = 9"),
            "this engine reads 1",
        ),
        (
            format!("{good}[load]\nrequests = {{}}"),
            "at least one request",
        ),
        (
            format!("{good}[load.requests.browse]\npath = \"x\""),
            "must begin with `/`",
        ),
        (
            format!("{good}[load.requests.browes]\npath = \"/\""),
            "browes",
        ),
    ] {
        std::fs::write(&file, &text).unwrap();
        let said = Target::from_file(&file).unwrap_err().to_string();
        assert!(
            said.contains(want) && said.contains("t.toml"),
            "{text}: {said}"
        );
    }
}
