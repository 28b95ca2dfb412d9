//! Placing orders while dependencies, the network, the database or the client
//! fail.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use std::time::Duration;

use common::{
    BUYER, Shop, Wish, assert_error,
    fakes::Fault::{Fail, Hang, LoseReply},
    order_body, poll, read, read_response,
};
use proto::product::ReservationState;
use reqwest::Response;
use serde_json::Value;
use tokio::time::Instant;
use tonic::Code;

async fn send(shop: &Shop) -> Response {
    shop.post(BUYER, &[(1, 1)]).send().await.unwrap()
}

/// The service answered 503 with this error and a hint when to come back.
async fn assert_unavailable(answer: Response, error: &str) -> Value {
    let retry_after = answer.headers().get("retry-after").cloned();
    let (status, body) = read_response(answer).await;
    assert_eq!(status, 503, "{body}");
    assert_error(&body, error);
    let seconds: u64 = retry_after.unwrap().to_str().unwrap().parse().unwrap();
    assert!(seconds >= 1);
    for inside in ["127.0.0.1", "tcp", "transport", "h2"] {
        assert!(
            !body.to_string().to_lowercase().contains(inside),
            "{inside} in {body}"
        );
    }
    body
}

#[tokio::test]
async fn what_fails_twice_is_tried_a_third_time() {
    let shop = Shop::open().await;
    shop.products.calls.plan(
        "GetProducts",
        [Fail(Code::Unavailable), Fail(Code::Unavailable)],
    );
    shop.users
        .calls
        .plan("ValidateUser", [Fail(Code::DeadlineExceeded)]);
    shop.order(BUYER, &[(1, 1)]).await;
    assert_eq!(shop.users.calls.count("ValidateUser"), 2);
    assert_eq!(shop.products.calls.count("GetProducts"), 3);
    let previous: Vec<_> = shop
        .products
        .calls
        .seen()
        .iter()
        .map(|seen| seen.previous_attempts.clone())
        .collect();
    assert_eq!(
        previous[..3],
        [None, Some("1".to_owned()), Some("2".to_owned())]
    );
}

#[tokio::test]
async fn after_three_attempts_the_answer_is_a_communication_error() {
    let shop = Shop::open().await;
    shop.products
        .calls
        .plan("GetProducts", vec![Fail(Code::Unavailable); 3]);
    let body = assert_unavailable(send(&shop).await, "Service communication error").await;
    assert_eq!(body["code"], "service_communication_error");
    assert_eq!(shop.products.calls.count("GetProducts"), 3);
    assert_eq!(shop.products.calls.count("ReserveStock"), 0);
    // The same for the other link.
    shop.users
        .calls
        .plan("ValidateUser", vec![Fail(Code::Unavailable); 3]);
    assert_unavailable(send(&shop).await, "Service communication error").await;
    assert_eq!(shop.users.calls.count("ValidateUser"), 1 + 3);
}

#[tokio::test]
async fn what_can_not_be_mended_by_a_retry_is_tried_once() {
    let shop = Shop::open().await;
    shop.products
        .calls
        .plan("GetProducts", [Fail(Code::Internal)]);
    assert_unavailable(send(&shop).await, "Service communication error").await;
    assert_eq!(shop.products.calls.count("GetProducts"), 1);
}

#[tokio::test]
async fn a_dead_product_service_opens_the_breaker_of_its_link_alone() {
    let mut shop = Shop::open().await;
    shop.order(BUYER, &[(1, 1)]).await;
    shop.kill_products().await;
    assert_unavailable(send(&shop).await, "Service communication error").await;
    // The fifth failed attempt in a row opens it, in the midst of the second call.
    let body = assert_unavailable(send(&shop).await, "Service temporarily unavailable").await;
    assert_eq!(body["code"], "service_unavailable");
    let asked = Instant::now();
    assert_unavailable(send(&shop).await, "Service temporarily unavailable").await;
    assert!(
        asked.elapsed() < Duration::from_millis(250),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(
        shop.users.calls.count("ValidateUser"),
        4,
        "the other link goes on"
    );
    // History is there all the same.
    let (status, body) = read(shop.get(BUYER, "/api/orders/")).await;
    assert_eq!((status, &body["count"]), (200, &1.into()));
    // And the quote meets the same breaker.
    let quote = shop
        .get(BUYER, "/api/orders/quote/?items=1x1")
        .send()
        .await
        .unwrap();
    assert_unavailable(quote, "Service temporarily unavailable").await;
}

#[tokio::test]
async fn a_dead_user_service_stops_an_order_before_any_stock_is_touched() {
    let mut shop = Shop::open().await;
    shop.kill_users().await;
    assert_unavailable(send(&shop).await, "Service communication error").await;
    assert!(shop.products.calls.seen().is_empty());
}

#[tokio::test]
async fn the_callers_deadline_bounds_all_and_travels_on() {
    let shop = Shop::open().await;
    shop.products.calls.plan("GetProducts", vec![Hang; 3]);
    let asked = Instant::now();
    let answer = shop
        .post(BUYER, &[(1, 1)])
        .header("x-request-deadline", "200")
        .send()
        .await
        .unwrap();
    let (status, body) = read_response(answer).await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(body["error"], "Service communication error");
    assert!(
        asked.elapsed() < Duration::from_millis(900),
        "{:?}",
        asked.elapsed()
    );
    let seen = [shop.users.calls.seen(), shop.products.calls.seen()].concat();
    for call in seen {
        let timeout = call.timeout.unwrap();
        let (digits, unit) = timeout.split_at(timeout.len() - 1);
        let scale = match unit {
            "n" => 1,
            "u" => 1_000,
            "m" => 1_000_000,
            _ => u64::MAX,
        };
        assert!(
            digits.parse::<u64>().unwrap() * scale <= 200_000_000,
            "{timeout}"
        );
    }
}

#[tokio::test]
async fn a_lost_reply_takes_the_stock_once() {
    let shop = Shop::open().await;
    shop.products
        .calls
        .plan("ReserveStock", [LoseReply, LoseReply]);
    shop.products.calls.plan("CommitReservation", [LoseReply]);
    shop.order(BUYER, &[(1, 4)]).await;
    assert_eq!(shop.products.calls.count("ReserveStock"), 3);
    assert_eq!(shop.products.calls.count("CommitReservation"), 2);
    assert_eq!(shop.products.units(1), 96);
    assert_eq!(shop.products.states(), [ReservationState::Committed]);
}

#[tokio::test]
async fn stock_that_may_have_been_taken_goes_back() {
    let shop = Shop::open().await;
    shop.products.calls.plan("ReserveStock", vec![LoseReply; 3]);
    assert_unavailable(send(&shop).await, "Service communication error").await;
    poll("released", || async {
        (shop.products.states() == [ReservationState::Released]).then_some(())
    })
    .await;
    assert_eq!(shop.products.units(1), 100);
    assert!(shop.reservations().await.is_empty());
}

#[tokio::test]
async fn an_order_whose_stock_is_not_known_to_be_final_is_not_acknowledged_and_recovered() {
    let shop = Shop::open().await;
    shop.products
        .calls
        .plan("CommitReservation", vec![Fail(Code::Unavailable); 3]);
    assert_unavailable(send(&shop).await, "Service communication error").await;
    // Nobody sees it until its stock is final.
    shop.all_committed(1).await;
    shop.settled().await;
    assert_eq!(shop.sagas().await, ["done"]);
    assert_eq!(shop.products.states(), [ReservationState::Committed]);
    assert_eq!(shop.products.calls.count("ReleaseReservation"), 0);
    let (status, order) = read(shop.get(BUYER, "/api/orders/1/")).await;
    assert_eq!((status, &order["status"]), (200, &"pending".into()));
}

#[tokio::test]
async fn an_answer_that_breaks_its_contract_is_a_communication_error() {
    let shop = Shop::open().await;
    shop.products.stock.lock().get_mut(&1).unwrap().price = "cheap".into();
    assert_unavailable(send(&shop).await, "Service communication error").await;
    shop.products.stock.lock().get_mut(&1).unwrap().price = "-1.00".into();
    assert_unavailable(send(&shop).await, "Service communication error").await;
    assert_eq!(shop.products.calls.count("ReserveStock"), 0);
}

#[tokio::test]
async fn health_says_which_dependency_is_down_and_serves_on() {
    let mut shop = Shop::open().await;
    let (status, body) = read(shop.get_anonymously("/health/")).await;
    assert_eq!(
        (status, &body["status"]),
        (200, &"healthy".into()),
        "{body}"
    );
    assert_eq!(body["service"], "order");
    shop.kill_products().await;
    let (status, body) = read(shop.get_anonymously("/health/")).await;
    assert_eq!(
        (status, &body["status"]),
        (200, &"degraded".into()),
        "{body}"
    );
    assert_eq!(body["checks"]["user-service"], "ok");
    assert_eq!(body["checks"]["product-service"], "Unavailable");
    // Asking how it is opened no breaker.
    for _ in 0..10 {
        read(shop.get_anonymously("/health/")).await;
    }
    assert_unavailable(send(&shop).await, "Service communication error").await;
}

#[tokio::test]
async fn a_policy_is_swapped_while_the_service_runs() {
    let shop = Shop::open().await;
    let control = |path: &str| format!("{}{path}", shop.control());
    let client = reqwest::Client::new();
    let put = client
        .put(control("/lab/policies/order-product"))
        .bearer_auth("test-token")
        .json(&serde_json::json!("none"));
    assert_eq!(put.send().await.unwrap().status(), 200);
    shop.products
        .calls
        .plan("GetProducts", [Fail(Code::Unavailable)]);
    assert_unavailable(send(&shop).await, "Service communication error").await;
    assert_eq!(
        shop.products.calls.count("GetProducts"),
        1,
        "none retries nothing"
    );
    let (_, policies) = read(
        client
            .get(control("/lab/policies"))
            .bearer_auth("test-token"),
    )
    .await;
    let mut slots: Vec<_> = policies["slots"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    slots.sort();
    let known = [
        "order-database",
        "order-product",
        "order-user",
        "order.server",
    ];
    assert_eq!(slots, known);
}

#[tokio::test]
async fn a_fifth_of_all_attempts_failing_is_hidden_from_buyers() {
    let shop = Shop::open().await;
    for n in 0..20 {
        if n % 5 == 0 {
            shop.products
                .calls
                .plan("ReserveStock", [Fail(Code::Unavailable)]);
        }
        let (status, body) = read(shop.post_raw(BUYER, &order_body(&[(1, 1)]))).await;
        assert_eq!(status, 201, "{body}");
    }
    assert_eq!(shop.products.calls.count("ReserveStock"), 24);
    assert_eq!(shop.products.units(1), 80);
}

#[tokio::test]
async fn attempts_and_orders_are_counted() {
    let shop = Shop::with(Wish {
        metrics: true,
        ..Wish::default()
    })
    .await;
    shop.products
        .calls
        .plan("GetProducts", [Fail(Code::Unavailable)]);
    shop.order(BUYER, &[(1, 1)]).await;
    let (status, _) = read(shop.post(BUYER, &[(1, 1000)])).await;
    assert_eq!(status, 400);
    let text = shop.metrics().await;
    let value = |name: &str, labels: &[&str]| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
        let line = line.unwrap_or_else(|| panic!("no {name} {labels:?} in {text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    // Other tests of this binary count too.
    assert!(value("shop_orders_total", &["status=\"created\""]) >= 1.0);
    assert!(value("shop_orders_total", &["status=\"out_of_stock\""]) >= 1.0);
    let link = [
        "service=\"order\"",
        "dependency=\"product\"",
        "method=\"GetProducts\"",
    ];
    assert!(value("resilience_attempts_total", &link) >= 3.0);
    assert!(value("resilience_retries_total", &link) >= 1.0);
    assert!(
        value(
            "resilience_calls_total",
            &[link[1], link[2], "outcome=\"ok\""]
        ) >= 2.0
    );
    let insert = ["service=\"order\"", "operation=\"insert_order\""];
    assert!(value("db_client_operation_duration_seconds_count", &insert) >= 1.0);
}
