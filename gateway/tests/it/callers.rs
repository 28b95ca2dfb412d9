//! What the gateway does as a caller: retries, breaker, deadlines, replicas.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    routing::any,
};
use common::{Gateway, Service, poll};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Answers each request with the next of these statuses, the last one again and again; a 503 says
/// when to come back.
struct Script {
    statuses: Mutex<Vec<u16>>,
    seen: Mutex<Vec<HeaderMap>>,
}

impl Script {
    fn of(statuses: &[u16]) -> Arc<Self> {
        let mut statuses = statuses.to_vec();
        statuses.reverse();
        Arc::new(Self {
            statuses: Mutex::new(statuses),
            seen: Mutex::default(),
        })
    }

    fn answer(&self, headers: HeaderMap) -> (StatusCode, HeaderMap, Json<Value>) {
        self.seen.lock().push(headers);
        let mut statuses = self.statuses.lock();
        let status = match &mut statuses[..] {
            [last] => *last,
            _ => statuses.pop().unwrap(),
        };
        let mut headers = HeaderMap::new();
        if status == 503 {
            headers.insert("retry-after", "60".parse().unwrap());
        }
        (
            StatusCode::from_u16(status).unwrap(),
            headers,
            Json(json!({ "status": status })),
        )
    }

    fn count(&self) -> usize {
        self.seen.lock().len()
    }

    fn attempts(&self) -> Vec<String> {
        let seen = self.seen.lock();
        let number = |headers: &HeaderMap| headers["x-attempt"].to_str().unwrap().to_owned();
        seen.iter().map(number).collect()
    }
}

/// The script of a service, and a gateway before that service.
async fn scripted(statuses: &[u16]) -> (Arc<Script>, Gateway) {
    let script = Script::of(statuses);
    let answering = Arc::clone(&script);
    let app = Router::new().fallback(any(move |headers: HeaderMap| {
        let answer = answering.answer(headers);
        async move { answer }
    }));
    let gateway = Gateway::start(&Service::start(app).await.url).await;
    (script, gateway)
}

/// `naive` with limits that no slowness of a busy machine reaches.
fn patient(obey_pushback: bool) -> Value {
    json!({
        "preset": "naive", "deadline": "30s", "attempt_timeout": "10s",
        "retry": {"obey_pushback": obey_pushback},
    })
}

#[tokio::test]
async fn a_get_is_retried_on_each_status_that_may_pass() {
    for status in [502, 503, 504] {
        let (script, gateway) = scripted(&[status, status, 200]).await;
        gateway.set("gateway-order", patient(false)).await;
        let quote = gateway.get("/api/orders/quote/?items=1x1").await;
        assert_eq!(quote.status(), 200, "{status}");
        assert_eq!(script.attempts(), ["1", "2", "3"], "{status}");
    }
    for status in [400, 404, 409, 500, 501] {
        let (script, gateway) = scripted(&[status]).await;
        gateway.set("gateway-order", patient(false)).await;
        let quote = gateway.get("/api/orders/quote/?items=1x1").await;
        assert_eq!(quote.status(), status, "passed on as it is");
        assert_eq!(script.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_post_that_was_answered_is_never_sent_again() {
    for status in [502, 503, 504] {
        let (script, gateway) = scripted(&[status, 201]).await;
        gateway.set("gateway-order", patient(false)).await;
        let answer = gateway.post("/api/orders/").await;
        assert_eq!(answer.status(), status);
        assert_eq!(script.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn the_servers_word_on_when_to_come_back_is_obeyed_unless_the_policy_says_otherwise() {
    // A minute's wait would end after the deadline.
    for (obey, requests, answer) in [(true, 1, 503), (false, 3, 200)] {
        let (script, gateway) = scripted(&[503, 503, 200]).await;
        gateway.set("gateway-order", patient(obey)).await;
        let quote = gateway.get("/api/orders/quote/?items=1x1").await;
        assert_eq!(quote.status(), answer);
        assert_eq!(script.count(), requests, "{obey}");
    }
}

#[tokio::test]
async fn the_breaker_counts_what_speaks_against_the_service_alone() {
    for (status, opens) in [
        (503, true),
        (504, true),
        (502, true),
        (404, false),
        (429, false),
    ] {
        let (script, gateway) = scripted(&[status]).await;
        let policy = json!({
            "preset": "fast", "retry": "off", "deadline": "30s", "attempt_timeout": "10s",
            "breaker": {"reset": "60s"},
        });
        gateway.set("gateway-order", policy).await;
        for _ in 0..8 {
            gateway.get("/api/orders/").await;
        }
        let sent = if opens { 5 } else { 8 };
        assert_eq!(script.count(), sent, "{status}");
    }
}

#[tokio::test]
async fn a_service_is_told_who_calls_and_a_stranger_can_not_say() {
    let (script, gateway) = scripted(&[200]).await;
    for token in ["wrong", "test-token"] {
        let request = gateway
            .request(reqwest::Method::GET, "/api/products/")
            .header("x-lab-token", token)
            .header("x-request-id", "3f/7~a.b")
            .header("x-caller", "order")
            .header("x-attempt", "3")
            .header("x-user-id", "1");
        request.send().await.unwrap();
        let seen = script.seen.lock().pop().unwrap();
        assert_eq!(
            (&seen["x-caller"], &seen["x-attempt"]),
            (&"gateway".parse().unwrap(), &"1".parse().unwrap())
        );
        assert!(!seen.contains_key("x-user-id"));
        assert_eq!(seen["x-request-id"], "3f/7~a.b", "as it was");
    }
}

/// Tells when a handler was dropped before it could answer.
struct Left(Arc<AtomicU32>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A service that never answers, behind the server of our own services.
async fn hanging() -> (String, Arc<AtomicU32>, Arc<Mutex<Vec<HeaderMap>>>) {
    let (left, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::default()));
    let (leaving, seeing) = (
        Arc::clone(&left),
        Arc::<Mutex<Vec<HeaderMap>>>::clone(&seen),
    );
    let app = Router::new().fallback(any(move |headers: HeaderMap| {
        let left = Left(Arc::clone(&leaving));
        seeing.lock().push(headers);
        async move {
            std::future::pending::<()>().await;
            drop(left);
        }
    }));
    (Service::start(app).await.url, left, seen)
}

#[tokio::test]
async fn the_service_sees_it_when_the_gateway_gives_up() {
    let (url, left, seen) = hanging().await;
    let gateway = Gateway::start(&url).await;
    let limited = json!({"preset": "naive", "deadline": "30s", "propagate_deadline": false, "attempt_timeout": "200ms"});
    gateway.set("gateway-order", limited).await;
    let begun = Instant::now();
    assert_eq!(gateway.get("/api/orders/").await.status(), 503);
    assert!(begun.elapsed() >= Duration::from_millis(600));
    poll("all three attempts end at the service", || async {
        left.load(Ordering::SeqCst) == 3
    })
    .await;
    for headers in seen.lock().iter() {
        assert!(!headers.contains_key("x-request-deadline"), "{headers:?}");
    }
}

#[tokio::test]
async fn a_slow_get_is_hedged_and_the_loser_is_let_go() {
    let (left, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (leaving, seeing) = (Arc::clone(&left), Arc::clone(&seen));
    let app = Router::new().fallback(any(move || {
        let left = Left(Arc::clone(&leaving));
        let number = seeing.fetch_add(1, Ordering::SeqCst);
        async move {
            if number == 0 {
                std::future::pending::<()>().await;
            }
            drop(left);
        }
    }));
    let gateway = Gateway::start(&Service::start(app).await.url).await;
    let hedge =
        json!({"preset": "none", "deadline": "30s", "hedge": {"kind": "fixed", "delay": "50ms"}});
    gateway.set("gateway-product", hedge).await;
    assert_eq!(gateway.get("/api/products/").await.status(), 200);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    poll("the first copy ends at the service", || async {
        left.load(Ordering::SeqCst) == 2
    })
    .await;
}

#[tokio::test]
async fn without_any_deadline_a_request_hangs_for_as_long_as_its_client_likes() {
    let (url, left, seen) = hanging().await;
    let gateway = Gateway::start(&url).await;
    let none = json!({"preset": "none", "deadline": "off"});
    gateway.set("gateway-order", none).await;
    // Longer than the deadline of a second that the slot had.
    let request = gateway
        .request(reqwest::Method::GET, "/api/orders/")
        .timeout(Duration::from_millis(1_300));
    assert!(request.send().await.unwrap_err().is_timeout());
    poll("the service sees the client go", || async {
        left.load(Ordering::SeqCst) == 1
    })
    .await;
    assert!(!seen.lock()[0].contains_key("x-request-deadline"));
}

/// Says who it is.
fn named(name: &'static str) -> Router {
    Router::new().fallback(any(move || async move { name }))
}

#[tokio::test]
async fn replicas_take_turns_and_a_dead_one_is_left_out_until_it_is_back() {
    let first = Service::start(named("one")).await;
    let mut second = Service::start(named("two")).await;
    let gateway = Gateway::start(&format!("{},{}", first.url, second.url)).await;
    gateway.set("gateway-product", patient(true)).await;
    let ask = || async {
        let answer = gateway.get("/api/products/").await;
        assert_eq!(answer.status(), 200, "every request is served");
        answer.text().await.unwrap()
    };
    let mut both = [ask().await, ask().await, ask().await, ask().await];
    both.sort();
    assert_eq!(both, ["one", "one", "two", "two"]);

    let mut events = gateway.events().await;
    second.kill().await;
    for _ in 0..20 {
        assert_eq!(ask().await, "one");
    }
    let seen = events.until(|line| line["kind"] == "call", 20).await;
    let of =
        |kind: &str| -> Vec<&Value> { seen.iter().filter(|line| line["kind"] == kind).collect() };
    let failures = of("attempt").iter().filter(|a| a["ok"] == false).count();
    // One attempt finds out; a slow machine may need more than that one second for the rest.
    assert!((1..10).contains(&failures), "{failures}");
    let to_second = of("routed").iter().filter(|r| r["replica"] == 2).count();
    assert_eq!(to_second, failures, "what went there failed");
    assert!(
        of("routed")
            .iter()
            .all(|line| line["link"] == "gateway-product")
    );

    let _back = Service::start_at(second.address(), named("two")).await;
    poll("the second one is asked again", || async {
        ask().await == "two"
    })
    .await;
}

#[tokio::test]
async fn health_is_good_while_one_replica_is() {
    let healthy = || {
        let report = Json(json!({ "status": "healthy" }));
        Router::new().fallback(any(move || async move { report }))
    };
    let mut first = Service::start(healthy()).await;
    let mut second = Service::start(healthy()).await;
    let gateway = Gateway::start(&format!("{},{}", first.url, second.url)).await;
    first.kill().await;
    assert_eq!(gateway.get("/health/order").await.status(), 200);
    second.kill().await;
    assert_eq!(gateway.get("/health/order").await.status(), 503);
}
