//! The sample orders.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use std::collections::BTreeMap;

use common::{Shop, Wish, fakes::Fault::Fail, poll, read};
use proto::product::ReservationState;
use serde_json::{Value, json};
use tonic::Code;

async fn made(shop: &Shop) {
    poll("the sample orders", || async {
        let (status, health) = read(shop.get_anonymously("/health/")).await;
        assert_eq!(status, 200, "waiting makes nobody unhealthy: {health}");
        (health["checks"]["sample-data"] == "ok").then_some(())
    })
    .await;
}

async fn all(shop: &Shop) -> Vec<Value> {
    let (status, page) = read(shop.get_as_staff("/api/orders/?page_size=100")).await;
    assert_eq!(status, 200, "{page}");
    page["results"].as_array().unwrap().clone()
}

/// Units that live orders have, and those that the catalogue gave away.
async fn assert_stock_adds_up(shop: &Shop) {
    let mut sold = BTreeMap::<i32, i32>::new();
    for order in all(shop)
        .await
        .iter()
        .filter(|order| order["status"] != "cancelled")
    {
        for item in order["items"].as_array().unwrap() {
            let id = item["product_id"].as_str().unwrap().parse().unwrap();
            *sold.entry(id).or_default() +=
                i32::try_from(item["quantity"].as_i64().unwrap()).unwrap();
        }
    }
    for id in 1..=60 {
        assert_eq!(
            100 - shop.products.units(id),
            sold.get(&id).copied().unwrap_or(0),
            "{id}"
        );
    }
    assert!(
        shop.products
            .states()
            .iter()
            .all(|state| *state == ReservationState::Committed)
    );
}

#[tokio::test]
async fn thirty_orders_are_made_once_the_other_services_answer() {
    let mut shop = Shop::with(Wish {
        seed: true,
        alone: true,
        ..Wish::default()
    })
    .await;
    let (status, health) = read(shop.get_anonymously("/health/")).await;
    assert_eq!(
        (status, &health["status"]),
        (200, &"degraded".into()),
        "{health}"
    );
    // The first tries fail in ways that time mends.
    shop.users
        .calls
        .plan("ValidateUser", [Fail(Code::Unavailable)]);
    shop.products
        .calls
        .plan("CommitReservation", [Fail(Code::Unavailable)]);
    shop.serve_all();
    made(&shop).await;
    let orders = all(&shop).await;
    assert_eq!(orders.len(), 30);
    assert!(
        shop.reservations()
            .await
            .iter()
            .all(|(_, state)| state != "held")
    );
    assert_stock_adds_up(&shop).await;
    let mut statuses = BTreeMap::<&str, usize>::new();
    for order in &orders {
        *statuses
            .entry(order["status"].as_str().unwrap())
            .or_default() += 1;
        for item in order["items"].as_array().unwrap() {
            let price = format!("{}.50", item["product_id"].as_str().unwrap());
            assert_eq!(
                item["price_at_purchase"],
                price.as_str(),
                "priced by the catalogue"
            );
        }
    }
    assert_eq!(statuses.len(), 6, "{statuses:?}");
    for user in 3..=12 {
        let (_, page) = read(shop.get(user, "/api/orders/")).await;
        assert_eq!(page["count"], 3, "user{}", user - 3);
    }
    let times: Vec<&str> = orders
        .iter()
        .map(|order| order["created_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|newer, older| newer > older));
}

#[tokio::test]
async fn a_restart_makes_none_twice_and_another_machine_makes_the_same() {
    let mut shop = Shop::with(Wish {
        seed: true,
        ..Wish::default()
    })
    .await;
    made(&shop).await;
    let first = all(&shop).await;
    let calls = shop.products.calls.seen().len();
    shop.restart().await;
    made(&shop).await;
    assert_eq!(all(&shop).await, first);
    assert_eq!(
        shop.products.calls.seen().len(),
        calls,
        "nothing was left to do"
    );
    let other = Shop::with(Wish {
        seed: true,
        ..Wish::default()
    })
    .await;
    made(&other).await;
    assert_eq!(all(&other).await, first);
}

#[tokio::test]
async fn waiting_for_others_opens_no_breaker() {
    // One failure on a link would refuse its calls for a minute.
    let nervous = json!({ "preset": "fast", "breaker": { "failures": 1, "reset": "60s" } });
    let policy = Some(nervous);
    let mut shop = Shop::with(Wish {
        seed: true,
        alone: true,
        policy,
        ..Wish::default()
    })
    .await;
    shop.users
        .calls
        .plan("ValidateUser", [Fail(Code::Unavailable)]);
    shop.products
        .calls
        .plan("GetProducts", [Fail(Code::Unavailable)]);
    shop.serve_all();
    made(&shop).await;
    assert!(
        shop.products.calls.count("GetProducts") > 30,
        "a try failed"
    );
    shop.order(3, &[(1, 1)]).await;
    assert_stock_adds_up(&shop).await;
}

#[tokio::test]
async fn accounts_that_are_not_the_samples_get_no_sample_orders() {
    let mut shop = Shop::with(Wish {
        seed: true,
        alone: true,
        ..Wish::default()
    })
    .await;
    *shop.users.prefix.lock() = "customer";
    shop.serve_all();
    poll("the end of the tries", || async {
        let (_, health) = read(shop.get_anonymously("/health/")).await;
        let state = health["checks"]["sample-data"].as_str()?.to_owned();
        state.contains("could not be made").then_some(())
    })
    .await;
    assert!(all(&shop).await.is_empty());
    assert_eq!(shop.products.calls.count("ReserveStock"), 0);
}

#[tokio::test]
async fn without_the_wish_there_is_none() {
    let shop = Shop::open().await;
    assert!(all(&shop).await.is_empty());
    let (_, health) = read(shop.get_anonymously("/health/")).await;
    assert!(health["checks"].get("sample-data").is_none(), "{health}");
}
