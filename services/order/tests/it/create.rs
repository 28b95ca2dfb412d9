//! Placing orders: every outcome that does not need a broken dependency.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use common::{BUYER, Shop, assert_error, order_body, read};
use proto::product::ReservationState;
use serde_json::{Value, json};

/// An order was refused with a 400 and left nothing behind.
async fn assert_refused(shop: &Shop, answer: (u16, Value), error: &str) -> String {
    let (status, body) = answer;
    assert_eq!(status, 400, "{body}");
    assert_error(&body, error);
    assert!(shop.reservations().await.is_empty(), "an order was stored");
    let taken = shop.products.states();
    assert!(
        taken
            .iter()
            .all(|state| *state == ReservationState::Released),
        "{taken:?}"
    );
    body["detail"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_order_is_priced_by_the_catalogue_and_its_stock_is_final() {
    let shop = Shop::open().await;
    let body = shop.order(BUYER, &[(2, 3), (7, 1)]).await;
    assert_eq!(body["user_id"], BUYER.to_string());
    assert_eq!(body["status"], "pending");
    assert_eq!(body["total_amount"], "15.00");
    assert_eq!(body["id"], 1);
    assert!(
        body["created_at"].as_str().unwrap().ends_with('Z'),
        "{body}"
    );
    assert_eq!(body["created_at"], body["updated_at"]);
    assert_eq!(
        body["items"],
        json!([
            { "id": 1, "product_id": "2", "product_name": "Thing 2", "quantity": 3,
              "price_at_purchase": "2.50", "subtotal": "7.50" },
            { "id": 2, "product_id": "7", "product_name": "Thing 7", "quantity": 1,
              "price_at_purchase": "7.50", "subtotal": "7.50" },
        ])
    );
    assert!(body.get("item_count").is_none(), "that is for lists");
    assert_eq!((shop.products.units(2), shop.products.units(7)), (97, 99));
    assert_eq!(shop.products.states(), [ReservationState::Committed]);
    shop.all_committed(1).await;
}

#[tokio::test]
async fn an_order_costs_four_calls_whatever_its_length() {
    let shop = Shop::open().await;
    let every: Vec<(i32, i32)> = (1..=50).map(|id| (id, 1)).collect();
    for lines in [&every[..1], &every[..]] {
        let before = shop.users.calls.seen().len() + shop.products.calls.seen().len();
        shop.order(BUYER, lines).await;
        let after = shop.users.calls.seen().len() + shop.products.calls.seen().len();
        assert_eq!(after - before, 4, "{} lines", lines.len());
    }
    assert_eq!(shop.users.calls.methods(), ["ValidateUser"; 2]);
    let methods = ["GetProducts", "ReserveStock", "CommitReservation"];
    assert_eq!(shop.products.calls.methods(), methods.repeat(2));
}

#[tokio::test]
async fn lines_of_one_product_are_merged() {
    let shop = Shop::open().await;
    let body = shop.order(BUYER, &[(5, 1), (2, 1), (5, 2)]).await;
    let lines: Vec<(&str, i64)> = body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["product_id"].as_str().unwrap(),
                item["quantity"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(lines, [("5", 3), ("2", 1)]);
    assert_eq!(shop.products.units(5), 97);
}

// attack(price and owner in a body): price, total, `user_id` and status in an order's body -> ignored
#[tokio::test]
async fn price_owner_and_status_in_a_body_are_ignored() {
    let shop = Shop::open().await;
    let wish = json!({
        "items": [{ "product_id": 4, "quantity": 1, "price": "0.01", "price_at_purchase": 0 }],
        "user_id": 1, "status": "delivered", "total_amount": "0.01",
    });
    let (status, body) = read(shop.post_raw(BUYER, &wish)).await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(body["total_amount"], "4.50");
    assert_eq!(body["user_id"], BUYER.to_string());
    assert_eq!(body["status"], "pending");
}

#[tokio::test]
async fn a_body_that_is_no_order_is_refused_without_asking_anybody() {
    let shop = Shop::open().await;
    let line = |id: Value, n: Value| json!({ "items": [{ "product_id": id, "quantity": n }] });
    let bad = [
        json!({}),
        json!({ "items": null }),
        json!({ "items": [] }),
        json!({ "items": "1x2" }),
        json!({ "items": [7] }),
        line(json!(0), json!(1)),
        line(json!(1), json!(0)),
        line(json!(1), json!(-3)),
        line(json!(1), json!(1.5)),
        line(json!(1), json!(2_147_483_648_i64)),
        line(json!(2_147_483_648_i64), json!(1)),
        line(json!("one"), json!(1)),
        order_body(&[(1, 1); 101]),
        order_body(&[(1, i32::MAX), (1, 1)]),
    ];
    for body in bad {
        let (status, answer) = read(shop.post_raw(BUYER, &body)).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert_error(&answer, "Validation failed");
        let problems = answer["detail"]["items"].as_array().unwrap();
        assert!(!problems.is_empty(), "{answer}");
        assert_eq!(answer["items"], answer["detail"]["items"]);
    }
    assert!(shop.users.calls.seen().is_empty() && shop.products.calls.seen().is_empty());
    assert!(shop.reservations().await.is_empty());
}

#[tokio::test]
async fn a_long_idempotency_key_is_refused() {
    let shop = Shop::open().await;
    let post = |key: String| shop.post(BUYER, &[(1, 1)]).header("idempotency-key", key);
    let (status, body) = read(post("k".repeat(256))).await;
    assert_eq!(status, 400, "{body}");
    assert_eq!(body["code"], "idempotency_key_too_long");
    let (status, body) = read(post("k".repeat(255))).await;
    assert_eq!(status, 201, "{body}");
}

#[tokio::test]
async fn a_user_who_may_not_order_is_refused() {
    let shop = Shop::open().await;
    shop.users.banned.lock().push(11);
    let detail = assert_refused(
        &shop,
        read(shop.post(11, &[(1, 1)])).await,
        "User validation failed",
    )
    .await;
    assert_eq!(detail, "The account is inactive.");
    // An id that the wire between services can't carry is nobody's.
    let beyond = read(shop.post(1 << 40, &[(1, 1)])).await;
    assert_refused(&shop, beyond, "User validation failed").await;
    assert_eq!(shop.users.calls.count("ValidateUser"), 1);
    assert!(shop.products.calls.seen().is_empty());
}

#[tokio::test]
async fn an_unknown_product_is_named() {
    let shop = Shop::open().await;
    let answer = read(shop.post(BUYER, &[(1, 1), (77, 1), (88, 1)])).await;
    let detail = assert_refused(&shop, answer, "Product validation failed").await;
    assert!(detail.contains("77") && detail.contains("88"), "{detail}");
    assert_eq!(shop.products.calls.methods(), ["GetProducts"]);
}

#[tokio::test]
async fn too_little_stock_is_named_with_what_is_left() {
    let shop = Shop::open().await;
    let answer = read(shop.post(BUYER, &[(1, 1), (2, 101)])).await;
    let detail = assert_refused(&shop, answer, "Insufficient inventory").await;
    assert!(
        detail.contains("product 2") && detail.contains("100 left"),
        "{detail}"
    );
    assert_eq!(shop.products.calls.methods(), ["GetProducts"]);
    // Lines are counted together.
    let answer = read(shop.post(BUYER, &[(2, 60), (2, 60)])).await;
    assert_refused(&shop, answer, "Insufficient inventory").await;
    assert_eq!((shop.products.units(1), shop.products.units(2)), (100, 100));
}

#[tokio::test]
async fn the_reservation_decides_when_others_were_faster() {
    let shop = Shop::open().await;
    *shop.products.meanwhile.lock() = Some((2, Some(1)));
    let answer = read(shop.post(BUYER, &[(1, 1), (2, 2)])).await;
    let detail = assert_refused(&shop, answer, "Insufficient inventory").await;
    assert!(
        detail.contains("product 2") && detail.contains("1 left"),
        "{detail}"
    );
    assert_eq!(shop.products.units(1), 100, "all lines or none");

    *shop.products.meanwhile.lock() = Some((3, None));
    let answer = read(shop.post(BUYER, &[(1, 1), (3, 2)])).await;
    let detail = assert_refused(&shop, answer, "Product validation failed").await;
    assert!(detail.contains('3'), "{detail}");
}

#[tokio::test]
async fn a_total_that_can_not_be_counted_is_refused() {
    let shop = Shop::open().await;
    for id in 1..=3 {
        let mut stock = shop.products.stock.lock();
        let product = stock.get_mut(&id).unwrap();
        product.price = "99999999999999.99".into();
        product.units = i32::MAX;
    }
    let answer = read(shop.post(BUYER, &[(1, i32::MAX), (2, i32::MAX)])).await;
    assert_refused(&shop, answer, "Validation failed").await;
    assert_eq!(shop.products.calls.methods(), ["GetProducts"]);
}

#[tokio::test]
async fn nobody_orders_anonymously() {
    let shop = Shop::open().await;
    let url = shop.url("/api/orders/");
    let client = reqwest::Client::new();
    let anonymous = client
        .post(&url)
        .json(&order_body(&[(1, 1)]))
        .send()
        .await
        .unwrap();
    assert_eq!(anonymous.status(), 401);
    assert_eq!(
        anonymous.headers()["www-authenticate"],
        "Bearer realm=\"api\""
    );
    let forged = client
        .post(&url)
        .bearer_auth("a.b.c")
        .json(&order_body(&[(1, 1)]));
    let (status, body) = read(forged).await;
    assert_eq!((status, &body["code"]), (401, &json!("token_not_valid")));
    assert!(shop.users.calls.seen().is_empty());
}

#[tokio::test]
async fn a_body_that_is_no_json_and_other_methods_get_json_errors() {
    let shop = Shop::open().await;
    let post = |kind: &str, text: &'static str| {
        reqwest::Client::new()
            .post(shop.url("/api/orders/"))
            .bearer_auth(shop.keys.token(BUYER, &[]))
            .header("content-type", kind)
            .body(text)
    };
    for (kind, text, expected) in [
        ("application/json", "{", 400),
        ("application/json", "[]", 400),
        ("text/plain", "{}", 415),
    ] {
        let (status, body) = read(post(kind, text)).await;
        assert_eq!(status, expected, "{kind} {text}: {body}");
        assert!(
            body["trace_id"].is_string() && body["code"].is_string(),
            "{body}"
        );
    }
    let delete = reqwest::Client::new().delete(shop.url("/api/orders/"));
    let answer = delete
        .bearer_auth(shop.keys.token(BUYER, &[]))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 405);
    assert!(answer.headers().contains_key("allow"));
}

#[tokio::test]
async fn the_request_id_travels_to_both_services() {
    let shop = Shop::open().await;
    let answer = shop
        .post(BUYER, &[(1, 1)])
        .header("x-request-id", "r-42")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-request-id"], "r-42");
    let seen = [shop.users.calls.seen(), shop.products.calls.seen()].concat();
    assert_eq!(seen.len(), 4);
    assert!(
        seen.iter().all(|call| call.request_id == "r-42"),
        "{seen:?}"
    );
}
