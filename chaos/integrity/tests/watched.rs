//! Whoever watches is told of every request of a customer, also of one that was given up.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use integrity::Shop as _;
use integrity::http::{HttpShop, Person, Places, Sent, Watch};
use parking_lot::Mutex;
use serde_json::json;

#[derive(Default)]
struct Seen(Mutex<Vec<Sent>>);

impl Watch for Seen {
    fn ended(&self, request: Sent) {
        self.0.lock().push(request);
    }
}

/// Answers an order to the first request and none to the second; the third never gets an answer.
async fn read(Path(id): Path<i64>, headers: HeaderMap) -> Response {
    let expected = format!("r1-{}", id - 1);
    assert_eq!(headers["x-request-id"], expected.as_str());
    match id {
        1 => Json(json!({
            "id": 1, "user_id": "7", "status": "pending", "total_amount": "9.90",
            "items": [{"product_id": "1", "quantity": 1, "price_at_purchase": "9.90"}],
        }))
        .into_response(),
        2 => (StatusCode::NOT_FOUND, Json(json!({ "code": "not_found" }))).into_response(),
        _ => std::future::pending().await,
    }
}

#[tokio::test]
async fn every_request_of_a_customer_is_told_once_it_has_ended() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let entry = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/api/orders/{id}/", get(read));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let person = || Person {
        token: "t".to_owned(),
        address: None,
    };
    let places = Places {
        entry: entry.clone(),
        product: entry.clone(),
        order: entry,
        payment: None,
        lab_token: "secret".to_owned(),
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let seen = Arc::new(Seen::default());
    let customers = BTreeMap::from([(7, person())]);
    let shop = HttpShop::new(client, places, customers, person(), person())
        .watched("r1", Arc::clone(&seen) as Arc<dyn Watch>);
    assert!(shop.read(7, 1).await.done().is_some());
    assert!(shop.read(7, 2).await.done().is_none());
    let given_up = tokio::time::timeout(Duration::from_millis(50), shop.read(7, 3)).await;
    assert!(given_up.is_err());
    let told: Vec<_> = seen.0.lock().clone();
    let short = |s: &Sent| (s.status, s.done, s.sent, s.why.clone());
    let told: Vec<_> = told.iter().map(short).collect();
    let words = |of: &str| of.to_owned();
    assert_eq!(
        told,
        [
            (200, true, true, words("")),
            (404, false, true, words("not_found")),
            (0, false, true, words("timeout")),
        ]
    );
}
