//! What the lab asks of the service: fixtures, reset, sample data.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use common::{As, Shop};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn fixtures_are_products_with_restocked_units() {
    let shop = Shop::with_samples().await;
    shop.get("/api/products/").await;
    let made = shop
        .control(
            "/lab/fixtures",
            json!({ "products": 30, "units": 5000, "run": "r1" }),
        )
        .await;
    assert_eq!(made.status, 200, "{}", made.body);
    let products = made.body["products"].as_array().unwrap();
    assert_eq!(products.len(), 30);
    for product in products {
        let id = i32::try_from(product["id"].as_i64().unwrap()).unwrap();
        let info = shop.info(id).await.unwrap();
        assert_eq!(
            (&json!(info.name), &json!(info.price)),
            (&product["name"], &product["price"])
        );
        assert_eq!(
            (info.inventory_count, &product["units"]),
            (5000, &json!(5000))
        );
    }
    let first = i32::try_from(products[0]["id"].as_i64().unwrap()).unwrap();
    assert_eq!(
        shop.ledger(first).await,
        (5000, vec![("restock".to_owned(), 5000)])
    );
    assert_eq!(
        shop.get("/api/products/").await.body["count"],
        50,
        "the list knows them at once"
    );
    assert_eq!(
        shop.list(&[("category", "fixture")]).await.body["count"],
        30
    );
    let wrong = shop
        .control("/lab/fixtures", json!({ "products": 0, "units": 1 }))
        .await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body["error"].is_string());
}

#[tokio::test]
async fn a_reset_empties_the_cache() {
    let shop = Shop::with_samples().await;
    assert_eq!(
        shop.get("/api/products/6/").await.body["name"],
        "Wireless Mouse"
    );
    let db = shop.db().await;
    sqlx::query("UPDATE products SET name = 'Behind its back' WHERE id = 6")
        .execute(&db.write)
        .await
        .unwrap();
    assert_eq!(
        shop.get("/api/products/6/").await.body["name"],
        "Wireless Mouse",
        "ten seconds fresh"
    );
    assert_eq!(shop.control("/lab/reset", Value::Null).await.status, 200);
    assert_eq!(
        shop.get("/api/products/6/").await.body["name"],
        "Behind its back"
    );
}

#[tokio::test]
async fn seeding_again_changes_nothing() {
    let shop = Shop::with_samples().await;
    shop.reserve("k", &[(6, 1)]).await.unwrap();
    shop.admin(Method::PATCH, "/api/products/7/", json!({ "name": "Mine" }))
        .await;
    shop.seed().await;
    assert_eq!(shop.get("/api/products/").await.body["count"], 20);
    assert_eq!((shop.units(6).await, shop.ledger(6).await.0), (149, 149));
    assert_eq!(shop.info(7).await.unwrap().name, "Mine");
    let next = shop
        .call(
            As::Admin,
            Method::POST,
            "/api/products/",
            Some(json!({ "name": "N", "price": 1 })),
        )
        .await;
    assert_eq!(next.body["id"], 21, "new ids come after the samples'");
}

#[tokio::test]
async fn seeding_a_database_without_samples_makes_them() {
    let shop = Shop::empty().await;
    assert_eq!(shop.get("/api/products/").await.body["count"], 0);
    shop.seed().await;
    shop.control("/lab/reset", Value::Null).await;
    assert_eq!(shop.get("/api/products/").await.body["count"], 20);
}
