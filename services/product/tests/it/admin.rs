//! Admins' writes over REST.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use common::{As, Shop};
use reqwest::Method;
use serde_json::{Value, json};

// attack: a product changed by nobody, a customer or staff -> 401 or 403, nothing changes
#[tokio::test]
async fn only_admins_write() {
    let shop = Shop::with_samples().await;
    let body = || Some(json!({ "name": "A", "price": 1, "inventory_count": 1 }));
    for (method, path) in [
        (Method::POST, "/api/products/"),
        (Method::PUT, "/api/products/1/"),
        (Method::PATCH, "/api/products/1/"),
        (Method::DELETE, "/api/products/1/"),
    ] {
        for (who, status) in [(As::Nobody, 401), (As::Customer, 403), (As::Staff, 403)] {
            let answer = shop.call(who, method.clone(), path, body()).await;
            assert_eq!(answer.status, status, "{method} {who:?}");
        }
    }
    let anonymous = shop
        .call(As::Nobody, Method::DELETE, "/api/products/1/", None)
        .await;
    assert_eq!(
        anonymous.headers["www-authenticate"],
        "Bearer realm=\"api\""
    );
    assert_eq!(
        shop.get("/api/products/1/").await.body["name"],
        "ThinkBook 14 Laptop"
    );
    assert_eq!(shop.get("/api/products/").await.body["count"], 20);
}

#[tokio::test]
async fn a_post_makes_a_product_with_defaults() {
    let shop = Shop::empty().await;
    let made = shop
        .admin(
            Method::POST,
            "/api/products/",
            json!({ "name": "Mug", "price": 9.9 }),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_i64().unwrap();
    let expected = [
        ("name", json!("Mug")),
        ("description", json!("")),
        ("price", json!("9.90")),
        ("inventory_count", json!(10)),
        ("is_available", json!(true)),
        ("category", Value::Null),
        ("rating", Value::Null),
        ("review_count", json!(0)),
        ("image", Value::Null),
    ];
    for (key, value) in expected {
        assert_eq!(made.body[key], value, "{key}");
    }
    assert_eq!(
        shop.get(&format!("/api/products/{id}/")).await.body,
        made.body
    );
    assert_eq!(shop.list(&[]).await.ids(), [id]);
    let id = i32::try_from(id).unwrap();
    assert_eq!(
        shop.ledger(id).await,
        (10, vec![("initial".to_owned(), 10)])
    );
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let shop = Shop::empty().await;
    let cases = [
        (json!({ "price": 1 }), "name"),
        (json!({ "name": "", "price": 1 }), "name"),
        (json!({ "name": "x".repeat(201), "price": 1 }), "name"),
        (json!({ "name": "a", "price": "0.00" }), "price"),
        (json!({ "name": "a", "price": 123_456_789.5 }), "price"),
        (json!({ "name": "a", "price": "NaN" }), "price"),
        (
            json!({ "name": "a", "price": 1, "inventory_count": -1 }),
            "inventory_count",
        ),
        (
            json!({ "name": "a", "price": 1, "category": "x".repeat(101) }),
            "category",
        ),
        (
            json!({ "name": "a", "price": 1, "description": ["a"] }),
            "description",
        ),
        (json!({ "name": "a\0", "price": 1 }), "name"),
    ];
    for (body, field) in cases {
        let answer = shop.admin(Method::POST, "/api/products/", body).await;
        assert_eq!(answer.status, 400, "{field}");
        assert!(answer.body[field].is_array(), "{field}: {}", answer.body);
        assert_eq!(answer.body["code"], "invalid");
    }
    assert_eq!(shop.list(&[]).await.body["count"], 0);
}

#[tokio::test]
async fn a_put_needs_the_stock_and_a_patch_needs_nothing() {
    let shop = Shop::with_samples().await;
    let path = "/api/products/6/";
    let without = shop
        .admin(
            Method::PUT,
            path,
            json!({ "name": "Mouse", "price": "19.90" }),
        )
        .await;
    assert_eq!(without.status, 400);
    assert!(without.body["inventory_count"].is_array());
    assert_eq!(shop.units(6).await, 150, "the stock was not thrown away");

    let put =
        json!({ "name": "Mouse", "price": "19.90", "inventory_count": 20, "category": "rodents" });
    let put = shop.admin(Method::PUT, path, put).await;
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(
        (
            &put.body["name"],
            &put.body["inventory_count"],
            &put.body["category"]
        ),
        (&json!("Mouse"), &json!(20), &json!("rodents"))
    );
    assert_eq!(
        put.body["description"],
        "Quiet wireless mouse, two years on one battery."
    );
    assert!(put.body["updated_at"].as_str() > put.body["created_at"].as_str());

    let patch = shop
        .admin(
            Method::PATCH,
            path,
            json!({ "price": "18", "category": null }),
        )
        .await;
    assert_eq!(
        (
            &patch.body["price"],
            &patch.body["category"],
            &patch.body["name"]
        ),
        (&json!("18.00"), &Value::Null, &json!("Mouse"))
    );
    let nothing = shop.admin(Method::PATCH, path, json!({})).await;
    assert_eq!(
        (nothing.status.as_u16(), &nothing.body["price"]),
        (200, &json!("18.00"))
    );
    for method in [Method::PUT, Method::PATCH] {
        let body = json!({ "name": "a", "price": 1, "inventory_count": 1 });
        assert_eq!(
            shop.admin(method, "/api/products/999/", body).await.status,
            404
        );
    }
}

#[tokio::test]
async fn a_change_of_stock_is_a_restock_in_the_ledger() {
    let shop = Shop::empty().await;
    let id = shop.product("Mug", 10).await;
    let path = format!("/api/products/{id}/");
    shop.reserve("k", &[(id, 4)]).await.unwrap();
    for units in [50, 50, 3] {
        let answer = shop
            .admin(Method::PATCH, &path, json!({ "inventory_count": units }))
            .await;
        assert_eq!(answer.body["inventory_count"], units);
    }
    let rows: Vec<(String, i64)> = [
        ("initial", 10),
        ("reserve", -4),
        ("restock", 44),
        ("restock", -47),
    ]
    .map(|(reason, delta)| (reason.to_owned(), delta))
    .into();
    assert_eq!(shop.ledger(id).await, (3, rows));
}

#[tokio::test]
async fn a_deleted_product_is_gone_from_everywhere_and_its_history_stays() {
    let shop = Shop::with_samples().await;
    let path = "/api/products/6/";
    shop.get(path).await;
    shop.reserve("held", &[(6, 5)]).await.unwrap();
    let gone = shop.call(As::Admin, Method::DELETE, path, None).await;
    assert_eq!(gone.status, 204);
    assert_eq!(shop.get(path).await.status, 404);
    assert_eq!(shop.get("/api/products/").await.body["count"], 19);
    assert_eq!(shop.list(&[("search", "mouse")]).await.ids().len(), 0);
    assert_eq!(shop.info(6).await, None);
    let refused = shop.reserve("late", &[(6, 1)]).await.unwrap();
    assert!(!refused.reserved && !refused.shortages[0].exists);
    assert_eq!(
        shop.call(As::Admin, Method::DELETE, path, None)
            .await
            .status,
        404
    );
    assert_eq!(
        shop.admin(Method::PATCH, path, json!({ "name": "b" }))
            .await
            .status,
        404
    );
    shop.release("held").await;
    assert_eq!(
        shop.ledger(6).await.0,
        150,
        "held units went back to the deleted row"
    );
    shop.seed().await;
    assert_eq!(
        shop.get(path).await.status,
        404,
        "seeding does not raise the dead"
    );
}
