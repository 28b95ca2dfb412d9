//! What goes over the wire, and how answers are read.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers may panic as the test itself may"
)]

use crate::common;

use std::collections::HashSet;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use bytes::Bytes;
use common::{Seen, Shop, drain, plan};
use http_body_util::Full;
use loadtest::client::{HttpClient, TransportError};
use loadtest::{LoadTarget, Op, Outcome, Priority, Record, clock, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

async fn load(target: LoadTarget, mix: &str, n: u32, seed: u64) -> Vec<Record> {
    let (sink, records) = mpsc::channel(4_000);
    let start = clock::now_ns() + 20_000_000;
    run(
        &plan(mix, n, seed),
        target,
        sink,
        start,
        CancellationToken::new(),
    )
    .await
    .unwrap();
    drain(records).await
}

/// The requests of one load, without what differs from connection to connection.
async fn seen(mix: &str, n: u32, seed: u64) -> (Vec<Seen>, Vec<Record>) {
    let shop = Shop::open(|_| r#"{"id":7}"#.into_response()).await;
    let records = load(shop.target(), mix, n, seed).await;
    let mut seen = shop.seen.lock().await.clone();
    for request in &mut seen {
        request.port = 0;
        request.headers.retain(|(name, _)| name != "host");
    }
    seen.sort_by_key(|request| request.header("x-request-id").map(str::to_owned));
    (seen, records)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_sends_the_same_requests() {
    let (first, records) = seen("shopping", 120, 5).await;
    let (again, _) = seen("shopping", 120, 5).await;
    let (other, _) = seen("shopping", 120, 6).await;
    assert_eq!((first.len(), records.len()), (120, 120));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let ids = |seen: &[Seen]| -> HashSet<String> {
        seen.iter()
            .filter_map(|r| r.header("x-request-id").map(str::to_owned))
            .collect()
    };
    assert_eq!(
        ids(&first),
        records.iter().map(|r| r.request_id.clone()).collect()
    );
    assert_eq!(
        (
            ids(&first).len(),
            ids(&first).intersection(&ids(&other)).count()
        ),
        (120, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_operation_is_written_as_the_contract_says() {
    for op in Op::ALL {
        let (seen, records) = seen(op.as_str(), 20, 3).await;
        assert_eq!((seen.len(), records.len()), (20, 20), "{op}");
        for (request, record) in seen.iter().zip(&records) {
            let customer = usize::try_from(record.customer).unwrap() - 1;
            check(op, request, record, customer);
            assert_eq!(
                request.header("x-request-id"),
                Some(record.request_id.as_str())
            );
            assert_eq!(request.header("x-lab-token"), Some("lab-token"));
            let address = loadtest::customer_address(customer).to_string();
            assert_eq!(request.header("x-forwarded-for"), Some(address.as_str()));
            assert_eq!(record.outcome, Outcome::Ok);
        }
    }
}

fn check(op: Op, request: &Seen, record: &Record, customer: usize) {
    let bearer = format!("Bearer token{customer}");
    let authorised = request.header("authorization") == Some(bearer.as_str());
    let call = (request.method.as_str(), request.uri.as_str());
    let json = || serde_json::from_str::<serde_json::Value>(&request.body).unwrap();
    let items: Vec<String> = record
        .lines
        .iter()
        .map(|l| format!("{}x{}", l.product_id, l.quantity))
        .collect();
    match op {
        Op::Browse => {
            assert!(matches!(
                call,
                ("GET", "/api/products/?page=1" | "/api/products/?page=2")
            ));
        }
        Op::Page => assert_eq!(call, ("GET", "/api/products/?page=1&page_size=100")),
        Op::Search => assert!(request.uri.starts_with("/api/products/?search=")),
        Op::View => {
            let id = request
                .uri
                .strip_prefix("/api/products/")
                .unwrap()
                .strip_suffix('/')
                .unwrap();
            assert!((1..=30).contains(&id.parse::<i64>().unwrap()));
        }
        Op::Login => {
            assert_eq!(call, ("POST", "/api/token/"));
            let name = format!("customer{customer}");
            assert_eq!(
                json(),
                serde_json::json!({"username": name, "password": "password123"})
            );
        }
        Op::Order => {
            assert_eq!(call, ("POST", "/api/orders/"));
            assert_eq!(json(), serde_json::json!({"items": record.lines}));
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(record.order_id, Some(7));
        }
        Op::History => assert_eq!(call, ("GET", "/api/orders/")),
        Op::Quote => {
            let uri = format!("/api/orders/quote/?items={}", items.join(","));
            assert_eq!(call, ("GET", uri.as_str()));
        }
    }
    assert_eq!(
        authorised,
        matches!(op, Op::Order | Op::History | Op::Quote),
        "{op}"
    );
    assert_eq!(items.is_empty(), !matches!(op, Op::Order | Op::Quote));
    assert_eq!(
        request.body.is_empty(),
        !matches!(op, Op::Order | Op::Login)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_read_whole_up_to_a_mebibyte() {
    let shop = Shop::open(|request| {
        let page = request.uri.ends_with("page=1");
        let size = if page { 1 << 20 } else { (1 << 20) + 1 };
        "x".repeat(size).into_response()
    });
    let shop = shop.await;
    let records = load(shop.target(), "browse", 20, 1).await;
    let whole = records
        .iter()
        .filter(|record| record.outcome == Outcome::Ok)
        .count();
    let cut = records
        .iter()
        .filter(|record| record.status == 200 && record.error.is_some());
    assert!(
        cut.clone()
            .all(|record| record.error.as_deref().unwrap().starts_with("too_large"))
    );
    assert!(whole > 0 && cut.clone().count() > 0 && whole + cut.count() == 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_degraded_answers_are_told_apart() {
    let shop = Shop::open(|request| match request.uri.as_str() {
        "/api/orders/" => {
            let body =
                r#"{"error":"Service temporarily unavailable","code":"service_unavailable"}"#;
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [("retry-after", "3")],
                body,
            )
                .into_response()
        }
        _ => ([("x-degraded", "stale"), ("age", "9")], "{}").into_response(),
    });
    let shop = shop.await;
    for record in load(shop.target(), "order", 5, 1).await {
        assert_eq!((record.outcome, record.status), (Outcome::Rejected, 503));
        assert_eq!(record.code.as_deref(), Some("service_unavailable"));
        assert!(record.retry_after && record.bytes > 50);
    }
    for record in load(shop.target(), "view", 5, 1).await {
        assert_eq!((record.outcome, record.degraded), (Outcome::Degraded, true));
        assert_eq!(
            (record.retry_after, record.bytes, record.attempts),
            (false, 2, 1)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_tell_their_name_and_send_their_priority() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let mut plan = plan("view", 10, 1);
    let first = plan.streams[0].clone();
    let second = first.clone().named("vital");
    plan.streams
        .push(second.with_priority(Priority::CriticalPlus));
    let (sink, records) = mpsc::channel(100);
    let (target, start) = (shop.target(), clock::now_ns() + 20_000_000);
    run(&plan, target, sink, start, CancellationToken::new())
        .await
        .unwrap();
    let records = drain(records).await;
    let seen = shop.seen.lock().await;
    let level = |id: &str| {
        let request = seen.iter().find(|r| r.header("x-request-id") == Some(id));
        request.unwrap().header("x-request-priority")
    };
    let of = |stream: &str| records.iter().filter(|r| r.stream == stream).count();
    assert_eq!((of("0"), of("vital")), (10, 10));
    for record in &records {
        let expected = (record.stream == "vital").then_some("critical-plus");
        assert_eq!(record.priority.as_deref(), expected);
        assert_eq!(level(&record.request_id), expected);
    }
}

#[tokio::test]
async fn connections_are_kept_alive() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let client = HttpClient::new();
    for _ in 0..20 {
        let request = http::Request::get(shop.base.as_str())
            .body(Full::new(Bytes::new()))
            .unwrap();
        let answer = client
            .send(request, Duration::from_secs(20), 1_000)
            .await
            .unwrap();
        assert_eq!(answer.body, "{}");
    }
    let ports: HashSet<u16> = shop
        .seen
        .lock()
        .await
        .iter()
        .map(|seen| seen.port)
        .collect();
    assert!(
        ports.len() < 10,
        "{} connections for 20 requests in a row",
        ports.len()
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_its_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1_024]).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 50\r\n\r\n{\"id\"")
            .await
            .unwrap();
    });
    let request = http::Request::get(&url)
        .body(Full::new(Bytes::new()))
        .unwrap();
    let broken = HttpClient::new()
        .send(request, Duration::from_secs(20), 1_000)
        .await
        .unwrap_err();
    assert_eq!(broken.status, Some(StatusCode::CREATED));
    assert!(
        matches!(broken.error, TransportError::Broken(_)),
        "{broken:?}"
    );
    server.await.unwrap();
}
