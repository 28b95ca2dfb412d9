//! The service's door, over REST and gRPC: who is turned away, and what they are told.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use common::{As, Shop};
use proto::product::ProductInfoRequest;
use reqwest::{Method, StatusCode};
use resilience::{Classify as _, FailureKind, Pushback};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

/// A door that lets nobody in who is sheddable, and everybody else.
fn no_sheddable() -> Value {
    json!({
        "preset": "shed",
        "shed": {"critical_plus": 1.0, "critical": 1.0, "sheddable_plus": 1.0, "sheddable": 0.0},
    })
}

fn control(shop: &Shop, path: &str) -> String {
    format!("http://{}{path}", shop.running.control.unwrap())
}

async fn set(shop: &Shop, policy: Value) -> (StatusCode, Value) {
    let request = reqwest::Client::new()
        .put(control(shop, "/lab/policies/product.server"))
        .bearer_auth("test-token")
        .json(&policy);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn read(shop: &Shop, path: &str) -> Value {
    let request = reqwest::Client::new()
        .get(control(shop, path))
        .bearer_auth("test-token");
    request.send().await.unwrap().json().await.unwrap()
}

async fn browse(shop: &Shop, path: &str, priority: &str) -> reqwest::Response {
    let request = reqwest::Client::new()
        .get(format!("http://{}{path}", shop.running.http))
        .header("x-request-priority", priority);
    request.send().await.unwrap()
}

async fn info(shop: &Shop, priority: &str) -> Result<(), Status> {
    let mut request = Request::new(ProductInfoRequest {
        product_id: 3,
        requesting_service: "test".into(),
    });
    let priority = priority.parse().unwrap();
    request
        .metadata_mut()
        .insert("x-request-priority", priority);
    shop.grpc.clone().get_product_info(request).await.map(drop)
}

#[tokio::test]
async fn what_matters_least_is_turned_away_and_told_when_to_come_back() {
    let shop = Shop::with_samples().await;
    let (status, policy) = set(&shop, no_sheddable()).await;
    assert_eq!(
        (status, &policy["shed"]["sheddable"]),
        (StatusCode::OK, &json!(0.0))
    );
    let refused = browse(&shop, "/api/products/", "sheddable").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"], "Service temporarily unavailable", "{body}");
    for priority in ["critical", "critical-plus", "nonsense"] {
        assert_eq!(
            browse(&shop, "/api/products/", priority).await.status(),
            200,
            "{priority}"
        );
    }
    let health = browse(&shop, "/health/", "sheddable").await;
    assert_eq!(health.status(), 200, "who watches must see it");
}

#[tokio::test]
async fn a_grpc_caller_is_told_in_the_ways_of_grpc() {
    let shop = Shop::with_samples().await;
    set(&shop, no_sheddable()).await;
    let status = info(&shop, "sheddable").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.failure(), FailureKind::Exhausted);
    assert!(
        matches!(status.pushback(), Some(Pushback::Wait(wait)) if !wait.is_zero()),
        "{status:?}"
    );
    info(&shop, "critical").await.unwrap();
    set(&shop, json!("unlimited")).await;
    info(&shop, "sheddable").await.unwrap();
}

#[tokio::test]
async fn the_control_api_shows_and_checks_a_servers_policy() {
    let shop = Shop::with_samples().await;
    assert_eq!(
        read(&shop, "/lab/policies/product.server").await["preset"],
        "unlimited"
    );
    set(&shop, json!("gradient2")).await;
    let state = read(&shop, "/lab/policies/product.server/state").await;
    assert!(state["limit"].as_u64() > Some(0), "{state}");
    assert_eq!(
        (&state["inflight"], &state["waiting"]),
        (&json!(0), &json!(0))
    );
    for (wrong, told) in [
        (json!("fast"), "is a caller's"),
        (json!("gradient3"), "gradient2"),
        (
            json!({"preset": "static", "limit": {"max": 0}}),
            "limit.max",
        ),
        (json!({"preset": "static", "qeue": "off"}), "queue"),
        (json!(7), "policy"),
    ] {
        let (status, body) = set(&shop, wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body["error"].as_str().unwrap().contains(told), "{body}");
    }
    assert_eq!(
        read(&shop, "/lab/policies/product.server").await["preset"],
        "gradient2"
    );
    shop.call(As::Nobody, Method::GET, "/api/products/", None)
        .await;
    let state = read(&shop, "/lab/policies/product.server/state").await;
    assert_eq!(state["inflight"], 0, "every place is given back");
}
