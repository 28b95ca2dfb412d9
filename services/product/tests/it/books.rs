//! `GET /lab/integrity`: what the product service tells of stock and reservations.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::{sync::Arc, time::Duration};

use common::Shop;
use kit::{Common, cli::Service as _};
use product_service::{App, Config};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

fn row(books: &Value, product: i32) -> Value {
    let rows = books["stock"].as_array().unwrap();
    let row = rows.iter().find(|row| row["product"] == product);
    row.unwrap().clone()
}

fn reservation(books: &Value, key: &str) -> Value {
    let rows = books["reservations"].as_array().unwrap();
    let row = rows.iter().find(|row| row["order_key"] == key);
    row.unwrap().clone()
}

fn told(key: &str, state: &str, lines: Value, moved: [i64; 3]) -> Value {
    json!({
        "order_key": key, "state": state, "lines": lines,
        "taken": moved[0], "returned": moved[1], "expired": moved[2],
    })
}

async fn until_expired(shop: &Shop, key: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while reservation(&shop.books("").await.body, key)["state"] != "expired" {
        assert!(Instant::now() < end, "{key} does not expire");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_way_of_a_reservation_is_told_and_adds_up() {
    let shop = Shop::empty().await;
    let (a, b) = (shop.product("A", 20).await, shop.product("B", 5).await);
    for (key, lines) in [
        ("held", vec![(a, 1)]),
        ("sold", vec![(a, 2), (b, 1)]),
        ("released", vec![(a, 3)]),
        ("returned", vec![(b, 2)]),
        ("refused", vec![(a, 1), (b, 99)]),
    ] {
        shop.reserve(key, &lines).await.unwrap();
    }
    shop.reserve_for("expired", &[(a, 4)], 1).await.unwrap();
    shop.commit("sold").await;
    shop.release("released").await;
    shop.commit("returned").await;
    shop.give_back("returned").await;
    shop.release("tombstone").await;
    let path = format!("/api/products/{a}/");
    let more = json!({ "inventory_count": 30 });
    until_expired(&shop, "expired").await;
    assert_eq!(shop.admin(Method::PATCH, &path, more).await.status, 200);

    let books = shop.books("").await.body;
    // 20 made, 3 gone, then set to 30.
    let of_a = json!({
        "product": a, "initial": 20, "restocked": 13, "available": 30, "reserved": 1,
        "committed": 2, "ledger_sum": 30,
    });
    assert_eq!(row(&books, a), of_a);
    let of_b = json!({
        "product": b, "initial": 5, "restocked": 0, "available": 4, "reserved": 0,
        "committed": 1, "ledger_sum": 4,
    });
    assert_eq!(row(&books, b), of_b);
    let line = |product, quantity| json!({ "product": product, "quantity": quantity });
    for expected in [
        told("held", "held", json!([line(a, 1)]), [1, 0, 0]),
        told(
            "sold",
            "committed",
            json!([line(a, 2), line(b, 1)]),
            [3, 0, 0],
        ),
        told("released", "released", json!([line(a, 3)]), [3, 3, 0]),
        told("expired", "expired", json!([line(a, 4)]), [4, 4, 4]),
        told("returned", "returned", json!([line(b, 2)]), [2, 2, 0]),
        told(
            "refused",
            "refused",
            json!([line(a, 1), line(b, 99)]),
            [0, 0, 0],
        ),
        told("tombstone", "released", json!([]), [0, 0, 0]),
    ] {
        let key = expected["order_key"].as_str().unwrap();
        assert_eq!(reservation(&books, key), expected);
    }
    assert_eq!(books["reservations"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn what_is_wrong_in_the_rows_is_told_as_it_is() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;
    shop.reserve("k", &[(id, 4)]).await.unwrap();
    shop.release("k").await;
    shop.defect("double_release").await;
    shop.release("k").await;
    let told = row(&shop.books("").await.body, id);
    assert_eq!(
        (&told["available"], &told["ledger_sum"]),
        (&json!(14), &json!(10))
    );
    // Deleted products are told of too.
    let path = format!("/api/products/{id}/");
    shop.admin(Method::DELETE, &path, json!({})).await;
    assert_eq!(row(&shop.books("").await.body, id), told);
}

/// Without one transaction for all of it, a look would fall between two steps now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_belongs_to_one_moment() {
    let shop = Arc::new(Shop::empty().await);
    let id = shop.product("A", 1_000).await;
    let mut buyers = JoinSet::new();
    for buyer in 0..4 {
        let shop = Arc::clone(&shop);
        buyers.spawn(async move {
            for n in 0..40 {
                let key = format!("{buyer}-{n}");
                shop.reserve(&key, &[(id, 3)]).await.unwrap();
                match n % 3 {
                    0 => drop(shop.release(&key).await),
                    1 => drop(shop.commit(&key).await),
                    _ => {
                        shop.commit(&key).await;
                        shop.give_back(&key).await;
                    }
                }
            }
        });
    }
    let mut looks = 0;
    while buyers.try_join_next().is_none() {
        let books = shop.books("").await.body;
        let row = row(&books, id);
        let of = |name: &str| row[name].as_i64().unwrap();
        assert_eq!(
            of("available") + of("reserved") + of("committed"),
            1_000,
            "{row}"
        );
        assert_eq!(of("available"), of("ledger_sum"), "{row}");
        // Rows and reservations are of the same moment too.
        let reservations = books["reservations"].as_array().unwrap();
        let moved =
            |name: &str| -> i64 { reservations.iter().map(|r| r[name].as_i64().unwrap()).sum() };
        assert_eq!(1_000 - moved("taken") + moved("returned"), of("available"));
        looks += 1;
    }
    assert!(looks > 3, "{looks} looks");
    while let Some(buyer) = buyers.join_next().await {
        buyer.unwrap();
    }
}

#[tokio::test]
async fn a_part_alone_a_wrong_word_and_no_token() {
    let shop = Shop::with_samples().await;
    let stock = shop.books("?only=stock").await;
    assert_eq!(stock.status, 200);
    assert_eq!(stock.body["stock"].as_array().unwrap().len(), 20);
    assert!(stock.body.get("reservations").is_none());
    let wrong = shop.books("?only=sagas").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body["error"].as_str().unwrap().contains("stock"));
    let control = shop.running.control.unwrap();
    let bare = reqwest::get(format!("http://{control}/lab/integrity"))
        .await
        .unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(
        shop.get("/lab/integrity").await.status,
        404,
        "on the public port"
    );
}

#[tokio::test]
async fn a_fault_in_front_of_the_database_does_not_touch_it() {
    let shop = Shop::with_samples().await;
    let fault = json!({
        "id": "db", "seed": 1, "link": "product-database", "action": {"fail": {"share": 1}},
    });
    assert_eq!(shop.control("/lab/faults", fault).await.status, 201);
    assert_eq!(shop.get("/api/products/999/").await.status, 503);
    assert_eq!(shop.books("").await.status, 200);
}

#[tokio::test]
async fn outside_of_lab_mode_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("product.db");
    let mut common = Common::for_test("product");
    common.database_url = Some(format!("sqlite://{}?mode=rwc", file.display()));
    common.lab = None;
    let verifier = kit::auth::Verifier::remote("http://127.0.0.1:9");
    let running = App::start(Config { common, verifier }).await.unwrap();
    assert_eq!(running.control, None);
    let url = format!("http://{}/lab/integrity", running.http);
    assert_eq!(reqwest::get(url).await.unwrap().status(), 404);
    running.shutdown().await;
}
