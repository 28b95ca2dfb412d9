//! Faults of the lab against the real service, over REST and gRPC.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::time::Duration;

use common::{As, Shop};
use futures_util::future::join_all;
use proto::product::{GetProductsRequest, ProductInfoRequest, StockLine};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::{Code, Request, Status};

const PRODUCTS: &str = "GET /api/products/";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn lab(shop: &Shop, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let url = format!("http://{}{path}", shop.running.control.unwrap());
    let request = reqwest::Client::new().request(method, url);
    let answer = request.bearer_auth("test-token").json(&body).send().await;
    let answer = answer.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Holds the fault `f` and answers with it.
async fn hold(shop: &Shop, link: &str, action: Value) -> Value {
    hold_for(shop, json!({ "link": link, "action": action })).await
}

async fn hold_for(shop: &Shop, fault: Value) -> Value {
    let mut body = json!({ "id": "f", "seed": 11 });
    let (Some(all), Some(more)) = (body.as_object_mut(), fault.as_object()) else {
        panic!("objects")
    };
    all.extend(more.clone());
    let (status, held) = lab(shop, Method::POST, "/lab/faults", body).await;
    assert_eq!(status, 201, "{held}");
    held
}

async fn release(shop: &Shop) -> Value {
    let (status, last) = lab(shop, Method::DELETE, "/lab/faults/f", Value::Null).await;
    assert_eq!(status, 200, "{last}");
    last
}

/// A call with what a caller says of itself.
fn call<T>(message: T, id: &str, attempt: u32) -> Request<T> {
    let mut request = Request::new(message);
    let told = request.metadata_mut();
    told.insert("x-request-id", id.parse().unwrap());
    told.insert("x-caller", "order".parse().unwrap());
    told.insert("x-attempt", attempt.into());
    request
}

fn third() -> ProductInfoRequest {
    ProductInfoRequest {
        product_id: 3,
        requesting_service: "test".into(),
    }
}

async fn info(shop: &Shop, id: &str, attempt: u32) -> Result<(), Status> {
    let request = call(third(), id, attempt);
    shop.grpc.clone().get_product_info(request).await.map(drop)
}

fn browse(shop: &Shop, id: &str) -> reqwest::RequestBuilder {
    reqwest::Client::new()
        .get(format!("http://{}/api/products/", shop.running.http))
        .header("x-request-id", id)
}

/// The events of the service from now on.
struct Events(reqwest::Response, Vec<u8>);

impl Events {
    async fn of(shop: &Shop) -> Self {
        let url = format!("http://{}/lab/events", shop.running.control.unwrap());
        let request = reqwest::Client::new().get(url).bearer_auth("test-token");
        let mut events = Self(request.send().await.unwrap(), Vec::new());
        events.next("hello").await;
        events
    }

    /// The next of that kind.
    async fn next(&mut self, kind: &str) -> Value {
        let next = async {
            loop {
                while let Some(end) = self.1.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = self.1.drain(..=end).collect();
                    let event: Value = serde_json::from_slice(&line).unwrap();
                    if event["kind"] == kind {
                        return event;
                    }
                }
                let chunk = self.0.chunk().await.unwrap().unwrap();
                self.1.extend_from_slice(&chunk);
            }
        };
        timeout(PATIENCE, next)
            .await
            .unwrap_or_else(|_| panic!("no event {kind:?}"))
    }
}

#[tokio::test]
async fn a_share_of_the_calls_fails_and_the_same_ones_again() {
    let shop = Shop::with_samples().await;
    hold(
        &shop,
        "order-product",
        json!({"fail": {"share": 0.3, "status": "UNAVAILABLE"}}),
    )
    .await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut failed = Vec::new();
        for n in 0..400 {
            match info(&shop, &format!("share-{n}"), 1).await {
                Ok(()) => {}
                Err(status) if status.code() == Code::Unavailable => failed.push(n),
                Err(status) => panic!("{status}"),
            }
        }
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
    let share = runs[0].len() as f64 / 400.0;
    // Four standard deviations.
    assert!(
        (share - 0.3).abs() < 4.0 * (0.3_f64 * 0.7 / 400.0).sqrt(),
        "{share}"
    );
    let last = release(&shop).await;
    assert_eq!(last["matched"], 800);
    assert_eq!(last["acted"], 2 * runs[0].len());
    info(&shop, &format!("share-{}", runs[0][0]), 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_first_attempts_of_each_call_fail_on_that_method_of_that_caller() {
    let shop = Shop::with_samples().await;
    hold_for(
        &shop,
        json!({
            "link": "order-product", "methods": ["GetProductInfo"],
            "action": {"fail": {"first": 2, "of": "call", "status": "ABORTED"}},
        }),
    )
    .await;
    for id in ["a", "b"] {
        for attempt in 1..=2 {
            let status = info(&shop, id, attempt).await.unwrap_err();
            assert_eq!(status.code(), Code::Aborted);
        }
        info(&shop, id, 3).await.unwrap();
    }
    let others = GetProductsRequest {
        product_ids: vec![3],
        requesting_service: "test".into(),
    };
    shop.grpc
        .clone()
        .get_products(call(others, "a", 1))
        .await
        .unwrap();
    shop.grpc.clone().get_product_info(third()).await.unwrap();
    assert_eq!(browse(&shop, "a").send().await.unwrap().status(), 200);
    assert_eq!(release(&shop).await["acted"], 4);
}

#[tokio::test]
async fn a_failure_over_rest_is_an_error_of_the_contract_without_retry_after() {
    let shop = Shop::with_samples().await;
    hold_for(
        &shop,
        json!({
            "link": "gateway-product", "methods": ["GET /api/products/{id}/"],
            "action": {"fail": {"share": 1, "status": "RESOURCE_EXHAUSTED"}},
        }),
    )
    .await;
    let refused = shop.get("/api/products/3/").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.body["code"], "injected_fault");
    for key in ["detail", "error", "message", "trace_id"] {
        assert!(refused.body[key].is_string(), "{key}: {}", refused.body);
    }
    assert!(!refused.headers.contains_key("retry-after"));
    assert_eq!(shop.get("/api/products/").await.status, 200);
    assert_eq!(shop.get("/health/").await.status, 200);
}

#[tokio::test]
async fn one_user_alone_is_hit() {
    let shop = Shop::with_samples().await;
    hold_for(
        &shop,
        json!({"link": "*-product", "users": [7], "action": {"fail": {"share": 1, "status": 500}}}),
    )
    .await;
    let of = async |who| {
        shop.call(who, Method::GET, "/api/products/", None)
            .await
            .status
    };
    assert_eq!(
        (of(As::Customer).await, of(As::Nobody).await),
        (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK)
    );
    let mut request = call(third(), "u", 1);
    request
        .metadata_mut()
        .insert("x-user-id", "7".parse().unwrap());
    let status = shop
        .grpc
        .clone()
        .get_product_info(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    info(&shop, "u", 1).await.unwrap();
}

#[tokio::test]
async fn a_delay_comes_before_the_answer_and_is_told() {
    let shop = Shop::with_samples().await;
    hold(&shop, "order-product", json!({"delay": {"time": "200ms"}})).await;
    let mut events = Events::of(&shop).await;
    let begun = Instant::now();
    info(&shop, "slow", 2).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200));
    let event = events.next("fault").await;
    for (key, value) in [
        ("fault", json!("f")),
        ("link", json!("order-product")),
        ("method", json!("GetProductInfo")),
        ("request_id", json!("slow")),
        ("attempt", json!(2)),
        ("action", json!("delay")),
        ("delay_us", json!(200_000)),
    ] {
        assert_eq!(event[key], value, "{key}");
    }
}

#[tokio::test]
async fn what_hangs_ends_at_the_callers_deadline_or_with_the_fault() {
    let shop = Shop::with_samples().await;
    hold(&shop, "*-product", json!({"hang": {}})).await;
    let late = browse(&shop, "late").header("x-request-deadline", "200");
    let late = late.send().await.unwrap();
    assert_eq!(late.status(), 503);
    let body: Value = late.json().await.unwrap();
    assert_eq!(body["code"], "deadline_exceeded", "{body}");
    let mut request = call(third(), "late", 1);
    request.set_timeout(Duration::from_millis(200));
    let status = shop
        .grpc
        .clone()
        .get_product_info(request)
        .await
        .unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status}"
    );
    let hung = tokio::spawn(browse(&shop, "hung").send());
    acted(&shop, 3).await;
    assert!(!hung.is_finished());
    release(&shop).await;
    assert_eq!(hung.await.unwrap().unwrap().status(), 200);
}

/// Until the fault `f` has acted so often.
async fn acted(shop: &Shop, times: u64) {
    let enough = async {
        loop {
            let (_, shown) = lab(shop, Method::GET, "/lab/faults/f", Value::Null).await;
            if shown["acted"].as_u64() >= Some(times) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, enough).await.expect("the fault acts");
}

#[tokio::test]
async fn work_outlives_its_caller_unless_it_knows_the_deadline() {
    let shop = Shop::with_samples().await;
    hold(&shop, "*-product", json!({"work": {"time": "400ms"}})).await;
    let mut events = Events::of(&shop).await;
    // Deadlines that travel: the work stops at them, and none of it is wasted.
    let mut request = call(third(), "known", 1);
    request.set_timeout(Duration::from_millis(100));
    shop.grpc
        .clone()
        .get_product_info(request)
        .await
        .unwrap_err();
    let known = browse(&shop, "known").header("x-request-deadline", "100");
    assert_eq!(known.send().await.unwrap().status(), 503);
    // Callers who leave without a word, over gRPC and over REST.
    for over_rest in [false, true] {
        let id = format!("left-{over_rest}");
        let left = async {
            if over_rest {
                browse(&shop, &id).send().await.map(drop).unwrap();
            } else {
                info(&shop, &id, 1).await.unwrap();
            }
        };
        assert!(timeout(Duration::from_millis(100), left).await.is_err());
        let wasted = events.next("wasted").await;
        assert_eq!(wasted["request_id"], id, "{wasted}");
        assert!(wasted["took_us"].as_u64() >= Some(400_000), "{wasted}");
    }
    // Who waits gets his answer.
    info(&shop, "patient", 1).await.unwrap();
}

#[tokio::test]
async fn capacity_serves_one_after_the_other_and_refuses_when_the_queue_is_full() {
    let shop = Shop::with_samples().await;
    let capacity =
        |queue: u32| json!({"capacity": {"at_once": 1, "service_time": "100ms", "queue": queue}});
    hold(&shop, "*-product", capacity(100)).await;
    let begun = Instant::now();
    let ids: Vec<String> = (0..5).map(|n| format!("queued-{n}")).collect();
    let answers = join_all(ids.iter().map(|id| info(&shop, id, 1))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(begun.elapsed() >= Duration::from_millis(500));
    hold(
        &shop,
        "*-product",
        json!({"capacity": {"at_once": 1, "service_time": "2s", "queue": 1}}),
    )
    .await;
    let answers = join_all(ids.iter().map(|id| browse(&shop, id).send())).await;
    let statuses: Vec<u16> = answers
        .into_iter()
        .map(|a| a.unwrap().status().as_u16())
        .collect();
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(503)), (2, 3), "{statuses:?}");
}

#[tokio::test]
async fn a_reply_is_lost_after_the_work_was_done() {
    let shop = Shop::with_samples().await;
    let before = shop.units(3).await;
    hold(&shop, "*-product", json!({"lose_reply": {}})).await;
    let lines = vec![StockLine {
        product_id: 3,
        quantity: 1,
    }];
    let reserve = proto::product::ReserveStockRequest {
        ttl_ms: 0,
        order_key: "lost".into(),
        lines,
        requesting_service: "test".into(),
    };
    let answer = shop
        .grpc
        .clone()
        .reserve_stock(call(reserve, "lost", 1))
        .await;
    let status = answer.unwrap_err();
    assert!(
        !status.message().contains("injected"),
        "no answer at all: {status}"
    );
    let mut stream = TcpStream::connect(shop.running.http).await.unwrap();
    let body = json!({"name": "Lost and found", "price": "1.00"}).to_string();
    let request = format!(
        "POST /api/products/ HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        common::token(&["staff", "admin"]),
        body.len(),
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert_eq!(read.unwrap_or(0), 0, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(release(&shop).await["acted"], 2);
    assert_eq!(shop.units(3).await, before - 1);
    let found = shop.list(&[("search", "found")]).await;
    assert_eq!(found.names(), ["Lost and found"]);
}

#[tokio::test]
async fn a_fault_goes_when_nobody_renews_its_lease() {
    let shop = Shop::with_samples().await;
    let mut events = Events::of(&shop).await;
    let fault = json!({
        "link": "*-product", "lease": "10s", "methods": [PRODUCTS],
        "action": {"fail": {"share": 1, "status": 503}},
    });
    let held = hold_for(&shop, fault).await;
    assert!(held["expires_in_ms"].as_u64() > Some(5_000), "{held}");
    assert_eq!(shop.get("/api/products/").await.status, 503);
    let renew = json!({"lease": "50ms"});
    let (status, _) = lab(&shop, Method::PUT, "/lab/faults/f", renew.clone()).await;
    assert_eq!(status, 200);
    let expired = events.next("fault_expired").await;
    assert_eq!(
        (&expired["fault"], &expired["acted"]),
        (&json!("f"), &json!(1))
    );
    assert_eq!(shop.get("/api/products/").await.status, 200);
    let (status, body) = lab(&shop, Method::PUT, "/lab/faults/f", renew).await;
    assert_eq!(status, 404);
    assert!(body["error"].as_str().unwrap().contains("lease"), "{body}");
    let (_, all) = lab(&shop, Method::GET, "/lab/faults", Value::Null).await;
    assert_eq!(all, json!({"faults": []}));
}

#[tokio::test]
async fn what_can_not_be_held_is_refused_with_the_field_at_fault() {
    let shop = Shop::with_samples().await;
    for (wrong, told) in [
        (json!({"id": "f"}), "`link` is missing"),
        (
            json!({"id": "f", "link": "order-product"}),
            "`action` is missing",
        ),
        (
            json!({"id": "f", "link": "product-cash", "action": {"hang": {}}}),
            "product-cache",
        ),
        (
            json!({"id": "f", "link": "order-user", "action": {"hang": {}}}),
            "product-database",
        ),
        (
            json!({"id": "f", "link": "*-product", "lease": "16s", "action": {"hang": {}}}),
            "`lease`",
        ),
        (
            json!({"id": "f", "link": "*-product", "action": {"fail": {"share": 2}}}),
            "`action.fail.share`",
        ),
        (
            json!({"id": "f", "link": "*-product", "action": {"fial": {}}}),
            "did you mean `fail`",
        ),
        (json!([]), "object"),
    ] {
        let (status, body) = lab(&shop, Method::POST, "/lab/faults", wrong.clone()).await;
        assert_eq!(status, 400, "{wrong}");
        assert!(
            body["error"].as_str().unwrap().contains(told),
            "{wrong}: {body}"
        );
    }
    let url = format!("http://{}/lab/faults", shop.running.control.unwrap());
    for token in [None, Some("wrong")] {
        let request = reqwest::Client::new().get(&url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    assert_eq!(
        shop.get("/lab/faults").await.status,
        404,
        "on the internal port alone"
    );
}

#[tokio::test]
async fn faults_stay_through_a_reset_and_go_together() {
    let shop = Shop::with_samples().await;
    hold(
        &shop,
        "*-product",
        json!({"fail": {"share": 1, "status": 503}}),
    )
    .await;
    lab(&shop, Method::POST, "/lab/reset", Value::Null).await;
    assert_eq!(shop.get("/api/products/").await.status, 503);
    let (status, gone) = lab(&shop, Method::DELETE, "/lab/faults", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&gone["removed"][0]["id"], &gone["removed"][0]["acted"]),
        (&json!("f"), &json!(1))
    );
    assert_eq!(shop.get("/api/products/").await.status, 200);
    let metrics = reqwest::get(format!("http://{}/metrics", shop.running.metrics.unwrap()));
    let text = metrics.await.unwrap().text().await.unwrap();
    let counted =
        |line: &&str| line.starts_with("lab_fault_acted_total{") && line.contains("fault=\"f\"");
    assert!(text.lines().any(|line| counted(&line)), "{text}");
}

#[tokio::test]
async fn without_its_cache_the_service_goes_on() {
    let shop = Shop::with_samples().await;
    for action in [json!({"fail": {"share": 1}}), json!({"hang": {}})] {
        hold(&shop, "product-cache", action).await;
        for _ in 0..3 {
            let answer = shop.get("/api/products/3/").await;
            assert_eq!(
                (answer.status, answer.headers.get("x-degraded")),
                (StatusCode::OK, None)
            );
        }
        assert_eq!(shop.get("/api/products/").await.status, 200);
        // Each look-up fails, and nothing is put into a cache that does not answer.
        assert_eq!(release(&shop).await["acted"], 4);
    }
}

#[tokio::test]
async fn without_its_database_it_serves_what_is_kept_and_says_so() {
    let shop = Shop::with_samples().await;
    assert_eq!(shop.get("/api/products/3/").await.status, 200);
    hold(&shop, "product-database", json!({"fail": {"share": 1}})).await;
    let kept = shop.get("/api/products/3/").await;
    assert_eq!(kept.status, 200, "{}", kept.body);
    let unknown = shop.get("/api/products/4/").await;
    assert_eq!(
        (unknown.status, &unknown.body["code"]),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            &json!("service_unavailable")
        )
    );
    assert!(unknown.headers.contains_key("retry-after"));
    assert_eq!(
        info(&shop, "db", 1).await.unwrap_err().code(),
        Code::Unavailable
    );
    let health = shop.get("/health/").await;
    assert_eq!(
        (health.status, &health.body["status"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unhealthy"))
    );
    release(&shop).await;
    assert_eq!(shop.get("/health/").await.status, 200);
    assert_eq!(shop.get("/api/products/4/").await.status, 200);
}

#[tokio::test]
async fn a_slow_or_crowded_database_holds_its_operations_up() {
    let shop = Shop::with_samples().await;
    let only = |action: Value| json!({"link": "product-database", "methods": ["find_product"], "action": action});
    hold_for(&shop, only(json!({"delay": {"time": "200ms"}}))).await;
    let begun = Instant::now();
    info(&shop, "slow", 1).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200));
    hold_for(
        &shop,
        only(json!({"capacity": {"at_once": 1, "service_time": "100ms"}})),
    )
    .await;
    let begun = Instant::now();
    let ids = ["a", "b", "c"];
    let answers = join_all(ids.iter().map(|id| info(&shop, id, 1))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let mut events = Events::of(&shop).await;
    info(&shop, "d", 2).await.unwrap();
    let event = events.next("fault").await;
    assert_eq!(
        [
            &event["link"],
            &event["method"],
            &event["request_id"],
            &event["attempt"]
        ],
        [
            &json!("product-database"),
            &json!("find_product"),
            &json!("d"),
            &json!(2)
        ]
    );
}
