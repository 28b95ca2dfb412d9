//! Policies of the callers by hand: split, forced, looked at.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use common::{BUYER, Shop, fakes::Fault::Fail, order_body, read};
use serde_json::{Value, json};
use tonic::Code;

async fn put(shop: &Shop, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", shop.control());
    let request = reqwest::Client::new().put(url);
    read(request.bearer_auth("test-token").json(&body)).await
}

async fn state(shop: &Shop) -> Value {
    let url = format!("{}/lab/policies/order-product/state", shop.control());
    let request = reqwest::Client::new().get(url);
    read(request.bearer_auth("test-token")).await.1
}

#[tokio::test]
async fn a_forced_breaker_refuses_until_it_is_let_go() {
    let shop = Shop::open().await;
    let breaker = "/lab/policies/order-product/breaker";
    let (status, shown) = put(&shop, breaker, json!({"force": "open", "lease": "10s"})).await;
    assert_eq!(status, 200, "{shown}");
    let forced = &shown["alternatives"][0]["breaker"];
    assert_eq!(
        (&forced["state"], &forced["forced"]),
        (&json!("open"), &json!("open"))
    );
    let (status, body) = read(shop.post_raw(BUYER, &order_body(&[(1, 1)]))).await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(
        shop.products.calls.count("GetProducts"),
        0,
        "nothing reached it"
    );
    let (status, _) = put(&shop, breaker, json!({"force": "none"})).await;
    assert_eq!(status, 200);
    shop.order(BUYER, &[(1, 1)]).await;
    for (wrong, told) in [
        (json!({"force": "opne"}), "opne"),
        (json!({"force": "open", "lease": "16s"}), "15 s"),
        (json!({"force": "open", "leese": "1s"}), "leese"),
    ] {
        let (status, body) = put(&shop, breaker, wrong).await;
        assert_eq!(status, 400);
        assert!(body["error"].as_str().unwrap().contains(told), "{body}");
    }
    put(&shop, "/lab/policies/order-product", json!("none")).await;
    let (status, body) = put(&shop, breaker, json!({"force": "open"})).await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn two_policies_share_the_requests_and_are_told_apart() {
    let shop = Shop::open().await;
    let split = json!([
        {"weight": 1, "policy": "none"},
        {"weight": 1, "policy": {"preset": "fast", "breaker": "off"}},
    ]);
    let (status, set) = put(&shop, "/lab/policies/order-product", split).await;
    assert_eq!(status, 200, "{set}");
    assert_eq!(set[1]["policy"]["breaker"], "off");
    let shown = state(&shop).await;
    let labels: Vec<_> = shown["alternatives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["policy"].clone())
        .collect();
    assert_eq!(labels, ["none", "fast"]);
    // Of requests whose first attempt fails, those under `fast` go through and those under `none`
    // don't: which is which the request's id alone decides.
    let mut outcomes = Vec::new();
    for n in 0..24 {
        shop.products
            .calls
            .plan("GetProducts", [Fail(Code::Unavailable)]);
        let id = format!("split-{}", n / 2);
        let request = shop
            .post_raw(BUYER, &order_body(&[(1, 1)]))
            .header("x-request-id", id);
        outcomes.push(read(request).await.0);
    }
    assert!(
        outcomes.contains(&201) && outcomes.contains(&503),
        "{outcomes:?}"
    );
    for pair in outcomes.chunks(2) {
        assert_eq!(pair[0], pair[1], "one request, one policy: {outcomes:?}");
    }
}
