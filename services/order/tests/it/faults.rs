//! The order service over a database that the lab breaks.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use std::time::Duration;

use common::{BUYER, Shop, assert_error, poll, read, read_response};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

async fn lab(shop: &Shop, method: Method, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", shop.control());
    let request = reqwest::Client::new().request(method, url);
    read(request.bearer_auth("test-token").json(&body)).await
}

async fn hold(shop: &Shop, methods: Value, action: Value) {
    let fault = json!({
        "id": "db", "seed": 5, "link": "order-database", "methods": methods, "action": action,
    });
    let (status, held) = lab(shop, Method::POST, "/lab/faults", fault).await;
    assert_eq!(status, 201, "{held}");
}

async fn release(shop: &Shop) -> Value {
    lab(shop, Method::DELETE, "/lab/faults/db", Value::Null)
        .await
        .1
}

#[tokio::test]
async fn without_its_database_it_answers_503_and_health_shows_it() {
    let shop = Shop::open().await;
    let order = shop.order(BUYER, &[(1, 1)]).await;
    hold(&shop, Value::Null, json!({"fail": {"share": 1}})).await;
    let path = format!("/api/orders/{}/", order["id"]);
    let answer = shop.get(BUYER, &path).send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
    let (status, body) = read_response(answer).await;
    assert_eq!(status, 503, "{body}");
    assert_error(&body, "Service temporarily unavailable");
    let (status, health) = read(shop.get_anonymously("/health/")).await;
    assert_eq!((status, &health["status"]), (503, &json!("unhealthy")));
    release(&shop).await;
    assert_eq!(read(shop.get(BUYER, &path)).await.0, 200);
    assert_eq!(read(shop.get_anonymously("/health/")).await.0, 200);
}

#[tokio::test]
async fn an_order_that_can_not_be_stored_gives_its_stock_back() {
    let shop = Shop::open().await;
    let before = shop.products.units(1);
    // The insert belongs to a task of its own, which the fault knows by the request all the same.
    hold(
        &shop,
        json!(["insert_order"]),
        json!({"fail": {"first": 1, "of": "call"}}),
    )
    .await;
    let request = shop.post(BUYER, &[(1, 2)]).header("x-attempt", "1");
    let (status, body) = read(request).await;
    assert_eq!(status, 503, "{body}");
    poll("the stock is back", || async {
        (shop.products.units(1) == before).then_some(())
    })
    .await;
    let again = shop.post(BUYER, &[(1, 2)]).header("x-attempt", "2");
    let (status, body) = read(again).await;
    assert_eq!(status, 201, "{body}");
    let last = release(&shop).await;
    assert_eq!((&last["matched"], &last["acted"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_slow_database_slows_its_own_endpoints_only() {
    let shop = Shop::open().await;
    hold(&shop, Value::Null, json!({"delay": {"time": "300ms"}})).await;
    let begun = Instant::now();
    let (status, _) = read(shop.get(BUYER, "/api/orders/")).await;
    assert_eq!(status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let before = release(&shop).await["acted"].clone();
    hold(&shop, Value::Null, json!({"hang": {}})).await;
    let quote = shop.get(BUYER, "/api/orders/quote/?items=1x1");
    let (status, body) = read(quote).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        release(&shop).await["acted"],
        0,
        "a quote needs no database"
    );
    assert!(before.as_u64() >= Some(1));
}

#[tokio::test]
async fn there_is_no_cache_to_break() {
    let shop = Shop::open().await;
    let fault = json!({"id": "c", "link": "order-cache", "action": {"hang": {}}});
    let (status, body) = lab(&shop, Method::POST, "/lab/faults", fault).await;
    assert_eq!(status, 400);
    assert!(
        body["error"].as_str().unwrap().contains("order-database"),
        "{body}"
    );
}
