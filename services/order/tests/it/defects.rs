//! The seeded defects that no other test switches on: each acts when it is on, and not otherwise.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use common::{BUYER, Shop, poll, read};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

async fn put(shop: &Shop, path: &str, body: Value) {
    let url = format!("{}/lab/{path}", shop.control());
    let put = reqwest::Client::new().put(url).bearer_auth("test-token");
    let (status, answer) = read(put.json(&body)).await;
    assert_eq!(status, 200, "{answer}");
}

async fn switch_on(shop: &Shop, defect: &str) {
    put(shop, &format!("defects/{defect}"), json!({})).await;
}

/// How often each defect that is on has acted.
async fn acted(shop: &Shop) -> Value {
    let url = format!("{}/lab/defects", shop.control());
    let get = reqwest::Client::new().get(url).bearer_auth("test-token");
    read(get).await.1["on"][0]["acted"].clone()
}

/// Lets a request stop right after its commit; the statuses in the outbox then.
async fn outbox_when_stopped(
    shop: &Shop,
    point: &str,
    request: RequestBuilder,
    done: &str,
) -> Vec<String> {
    put(
        shop,
        &format!("failpoints/{point}"),
        json!({ "action": "hang" }),
    )
    .await;
    let request = tokio::spawn(request.send());
    let sql = shop.sql().await;
    poll(done, || async {
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(done.to_owned()))
            .fetch_one(&sql)
            .await
            .unwrap();
        (found == 1).then_some(())
    })
    .await;
    // What was committed stands; the request is as dead as a process would be.
    request.abort();
    sqlx::query_scalar("SELECT status FROM outbox ORDER BY id")
        .fetch_all(&sql)
        .await
        .unwrap()
}

const PLACED: &str = "SELECT COUNT(*) FROM orders";
const CONFIRMED: &str = "SELECT COUNT(*) FROM orders WHERE status = 'confirmed'";

#[tokio::test]
async fn a_mail_after_the_commit_is_lost_by_a_crash_between_them() {
    let shop = Shop::open().await;
    switch_on(&shop, "outbox_after_commit").await;
    let order = shop.post(BUYER, &[(1, 1)]);
    let written = outbox_when_stopped(&shop, "order.place.after_commit", order, PLACED).await;
    assert!(written.is_empty(), "{written:?}");

    let shop = Shop::open().await;
    shop.order(BUYER, &[(1, 1)]).await;
    switch_on(&shop, "outbox_after_commit").await;
    let step = shop.patch(1, "confirmed");
    let written = outbox_when_stopped(&shop, "order.status.after_commit", step, CONFIRMED).await;
    assert_eq!(written, ["pending"]);
}

#[tokio::test]
async fn without_the_defect_a_crash_after_the_commit_loses_no_mail() {
    let shop = Shop::open().await;
    let order = shop.post(BUYER, &[(1, 1)]);
    let written = outbox_when_stopped(&shop, "order.place.after_commit", order, PLACED).await;
    assert_eq!(written, ["pending"]);

    let shop = Shop::open().await;
    shop.order(BUYER, &[(1, 1)]).await;
    let step = shop.patch(1, "confirmed");
    let written = outbox_when_stopped(&shop, "order.status.after_commit", step, CONFIRMED).await;
    assert_eq!(written, ["pending", "confirmed"]);
}

async fn price(shop: &Shop) -> Value {
    shop.order(BUYER, &[(1, 1)]).await["items"][0]["price_at_purchase"].clone()
}

fn reprice(shop: &Shop, price: &str) {
    shop.products.stock.lock().get_mut(&1).unwrap().price = price.to_owned();
}

#[tokio::test]
async fn a_stale_price_is_the_first_one_seen_while_the_defect_is_on() {
    let shop = Shop::open().await;
    assert_eq!(price(&shop).await, "1.50");
    reprice(&shop, "2.50");
    assert_eq!(price(&shop).await, "2.50", "the defect is off");
    switch_on(&shop, "stale_price").await;
    assert_eq!(price(&shop).await, "2.50", "first seen");
    reprice(&shop, "3.50");
    assert_eq!(price(&shop).await, "2.50");
    assert_eq!(acted(&shop).await, 2);
    let url = format!("{}/lab/defects", shop.control());
    let mended = reqwest::Client::new().delete(url).bearer_auth("test-token");
    assert_eq!(read(mended).await.0, 200);
    assert_eq!(price(&shop).await, "3.50");
}

#[tokio::test]
async fn a_status_edge_is_skipped_while_the_defect_is_on() {
    let shop = Shop::open().await;
    shop.order(BUYER, &[(1, 1)]).await;
    let (status, body) = read(shop.patch(1, "delivered")).await;
    assert_eq!((status, &body["code"]), (400, &json!("status_not_allowed")));
    switch_on(&shop, "status_edge_skipped").await;
    // A step that is allowed is none of its deeds.
    assert_eq!(read(shop.patch(1, "confirmed")).await.0, 200);
    assert_eq!(acted(&shop).await, 0);
    let (status, body) = read(shop.patch(1, "delivered")).await;
    assert_eq!(
        (status, &body["status"]),
        (200, &json!("delivered")),
        "{body}"
    );
    assert_eq!(read(shop.patch(1, "shipped")).await.0, 200, "backwards too");
    assert_eq!(acted(&shop).await, 2);
}
