//! The load's own policy: the slot `load`.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers may panic as the test itself may"
)]

use crate::common;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::{Seen, Shop, drain, plan};
use loadtest::{Effect, LoadTarget, Orders, Outcome, Record, clock, run};
use parking_lot::Mutex;
use resilience::observe::{Event, Observer};
use resilience::{Policy, SlotSpec};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn policies(json: &str) -> Vec<(u32, Policy)> {
    let spec: SlotSpec = serde_json::from_str(json).unwrap();
    spec.resolve().unwrap()
}

/// Three attempts one after the other, no deadline of its own.
fn naive() -> Vec<(u32, Policy)> {
    policies(r#"{"preset": "naive", "deadline": "off", "attempt_timeout": "off"}"#)
}

async fn load(target: LoadTarget, mix: &str, n: u32) -> Vec<Record> {
    let (sink, records) = mpsc::channel(4_000);
    let start = clock::now_ns() + 20_000_000;
    let plan = plan(mix, n, 3);
    run(&plan, target, sink, start, CancellationToken::new())
        .await
        .unwrap();
    drain(records).await
}

/// Fails the first two requests with the same id.
fn third_time_lucky(status: StatusCode) -> impl Fn(&Seen) -> Response + Send + Sync {
    let asked = Mutex::new(HashMap::<String, u32>::new());
    move |seen| {
        let id = seen.header("x-request-id").unwrap().to_owned();
        let mut asked = asked.lock();
        let n = asked.entry(id).or_default();
        *n += 1;
        if *n < 3 {
            return status.into_response();
        }
        r#"{"id":7}"#.into_response()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_repeated_under_the_same_id_and_say_which_attempt_they_are() {
    let shop = Shop::open(third_time_lucky(StatusCode::SERVICE_UNAVAILABLE)).await;
    let target = LoadTarget {
        policies: naive(),
        ..shop.target()
    };
    let records = load(target, "quote", 10).await;
    assert_eq!(records.len(), 10);
    for record in &records {
        let told = (record.outcome, record.status, record.attempts);
        assert_eq!(told, (Outcome::Ok, 200, 3));
    }
    let seen = shop.seen.lock().await;
    assert_eq!(seen.len(), 30);
    for record in &records {
        let id = Some(record.request_id.as_str());
        let same = seen.iter().filter(|r| r.header("x-request-id") == id);
        let mut attempts: Vec<_> = same.map(|r| r.header("x-attempt")).collect();
        attempts.sort_unstable();
        assert_eq!(attempts, [None, Some("2"), Some("3")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_not_repeated_unless_surely_not_sent() {
    let shop = Shop::open(third_time_lucky(StatusCode::SERVICE_UNAVAILABLE)).await;
    let target = LoadTarget {
        policies: naive(),
        ..shop.target()
    };
    for record in load(target.clone(), "order", 5).await {
        assert_eq!((record.status, record.attempts), (503, 1));
        assert_eq!(record.effect(), Effect::Unknown);
    }
    // A port where nobody listens: no attempt can have left.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let base = base.parse().unwrap();
    for record in load(LoadTarget { base, ..target }, "order", 5).await {
        assert_eq!((record.attempts, record.sent), (3, false));
        assert!(record.error.as_deref().unwrap().starts_with("connect: "));
        assert_eq!(record.effect(), Effect::None);
    }
}

/// The keys that the attempts of each request came with.
async fn keys(orders: Orders) -> Vec<Vec<Option<String>>> {
    let shop = Shop::open(third_time_lucky(StatusCode::BAD_GATEWAY)).await;
    let target = LoadTarget {
        policies: naive(),
        orders,
        ..shop.target()
    };
    let records = load(target, "order", 6).await;
    assert!(
        records
            .iter()
            .all(|r| (r.status, r.attempts, r.order_id) == (200, 3, Some(7)))
    );
    let seen = shop.seen.lock().await;
    let of = |record: &Record| {
        let id = Some(record.request_id.as_str());
        let attempts = seen.iter().filter(|r| r.header("x-request-id") == id);
        let keys = attempts.map(|r| r.header("idempotency-key").map(str::to_owned));
        keys.collect::<Vec<_>>()
    };
    records.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_repeated_where_that_is_asked_for_and_a_key_is_each_requests_own() {
    for attempts in keys(Orders::Repeated).await {
        assert_eq!(attempts, [None, None, None]);
    }
    let keyed = keys(Orders::Keyed).await;
    let mut all = HashSet::new();
    for attempts in &keyed {
        let key = attempts[0].clone().unwrap();
        assert_eq!(attempts.len(), 3);
        assert!(attempts.iter().all(|other| other.as_ref() == Some(&key)));
        all.insert(key);
    }
    assert_eq!(all.len(), keyed.len(), "no two requests share one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_own_mistake_is_a_success_of_the_target() {
    let shop = Shop::open(|_| StatusCode::NOT_FOUND.into_response()).await;
    let target = LoadTarget {
        policies: naive(),
        ..shop.target()
    };
    for record in load(target, "view", 5).await {
        let told = (record.outcome, record.status, record.attempts);
        assert_eq!(told, (Outcome::Failed, 404, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_waited_for() {
    let asked = Mutex::new(0);
    let shop = Shop::open(move |_| {
        let mut asked = asked.lock();
        *asked += 1;
        if *asked > 1 {
            return "{}".into_response();
        }
        let wait = [("retry-after", "1")];
        (StatusCode::TOO_MANY_REQUESTS, wait).into_response()
    });
    let shop = shop.await;
    let target = LoadTarget {
        policies: naive(),
        ..shop.target()
    };
    let records = load(target, "view", 1).await;
    assert_eq!((records[0].outcome, records[0].attempts), (Outcome::Ok, 2));
    assert!(records[0].latency() >= Duration::from_secs(1));
    assert!(!records[0].retry_after, "the final answer said nothing");
}

/// Keeps what it hears, in a line each.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn on(&self, event: &Event<'_>) {
        let line = match event {
            Event::Attempt {
                attempt,
                ok,
                status,
                ..
            } => format!("attempt {attempt} {ok} {status}"),
            Event::Refused { reason, .. } => format!("refused {}", reason.as_str()),
            Event::Call {
                outcome, attempts, ..
            } => format!("call {} {attempts}", outcome.as_str()),
            Event::Breaker { transition, .. } => format!("breaker {}", transition.to.as_str()),
            _ => return,
        };
        assert_eq!(
            (event.slot().link.as_str(), event.slot().service.as_str()),
            ("load", "load")
        );
        self.0.lock().push(line);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_told_and_an_open_breaker_refuses() {
    let shop = Shop::open(|_| StatusCode::BAD_GATEWAY.into_response()).await;
    let heard = Arc::new(Heard::default());
    let consecutive = r#"{"preset": "fast", "retry": "off", "budget": "off", "bulkhead": "off"}"#;
    let target = LoadTarget {
        policies: policies(consecutive),
        observer: heard.clone(),
        ..shop.target()
    };
    let failures = policies(r#""fast""#)[0].1.breaker.is_some();
    assert!(failures, "this test is about a preset with a breaker");
    let records = load(target, "view", 20).await;
    let refused: Vec<_> = records.iter().filter(|r| r.attempts == 0).collect();
    assert!(!refused.is_empty());
    for record in &refused {
        assert_eq!(
            (record.outcome, record.status, record.sent),
            (Outcome::Rejected, 0, false)
        );
        assert_eq!(record.error.as_deref(), Some("refused: breaker"));
    }
    let asked = shop.seen.lock().await.len();
    assert_eq!(asked + refused.len(), 20);
    let heard = heard.0.lock();
    let count = |line: &str| heard.iter().filter(|l| *l == line).count();
    assert_eq!(count("attempt 1 false 502"), asked);
    assert_eq!(count("refused breaker"), refused.len());
    assert_eq!(count("call rejected 0"), refused.len());
    assert!(count("breaker open") >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_cut_short_may_have_been_sent() {
    let shop = Shop::hanging().await;
    let target = LoadTarget {
        policies: policies(r#"{"preset": "none", "deadline": "100ms"}"#),
        ..shop.target()
    };
    for record in load(target, "order", 5).await {
        let told = (record.error.as_deref(), record.status, record.attempts);
        assert_eq!(told, (Some("timeout"), 0, 1));
        assert_eq!(record.effect(), Effect::Unknown);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_policy_nothing_is_decided_and_nothing_told() {
    let shop = Shop::open(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let heard = Arc::new(Heard::default());
    let target = LoadTarget {
        observer: heard.clone(),
        ..shop.target()
    };
    for record in load(target, "view", 10).await {
        assert_eq!((record.status, record.attempts), (503, 1));
    }
    assert!(heard.0.lock().is_empty());
}
