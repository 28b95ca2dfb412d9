//! `Idempotency-Key`: one key, one order, one answer.
//!
//! `CASES` sets how many keys are tried 32 times at once (100 otherwise; 1 000 at night).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use std::sync::Arc;

use common::{
    BUYER, Shop, assert_error,
    fakes::Fault::{Fail, Gate},
    poll, read,
};
use proto::product::ReservationState;
use tokio::sync::Semaphore;
use tonic::Code;

fn cases() -> i32 {
    std::env::var("CASES").map_or(100, |n| n.parse().unwrap())
}

async fn text(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_32_at_once_is_one_order() {
    let shop = Shop::patient().await;
    shop.products.stock.lock().get_mut(&1).unwrap().units = i32::MAX;
    for n in 0..cases() {
        let key = format!("key-{n}");
        let asks = (0..32).map(|_| tokio::spawn(text(shop.post_keyed(BUYER, &key, &[(1, 1)]))));
        let mut made = Vec::new();
        for ask in asks.collect::<Vec<_>>() {
            let (status, body) = ask.await.unwrap();
            match status {
                201 => made.push(body),
                409 => assert!(body.contains("idempotency_key_in_flight"), "{body}"),
                _ => panic!("{status} {body}"),
            }
        }
        assert!(!made.is_empty());
        assert!(made.iter().all(|body| *body == made[0]), "{made:?}");
        let (status, again) = text(shop.post_keyed(BUYER, &key, &[(1, 1)])).await;
        assert_eq!((status, again), (201, made[0].clone()));
    }
    let (_, page) = read(shop.get(BUYER, "/api/orders/?page_size=1")).await;
    assert_eq!(page["count"], cases());
    assert_eq!(shop.products.units(1), i32::MAX - cases());
}

#[tokio::test]
async fn the_first_answer_comes_again_byte_for_byte_whatever_has_changed() {
    let mut shop = Shop::open().await;
    let first = text(shop.post_keyed(BUYER, "k", &[(1, 1), (2, 1)])).await;
    assert_eq!(first.0, 201);
    let calls = shop.products.calls.methods().len();
    assert_eq!(read(shop.patch(1, "confirmed")).await.0, 200);
    shop.products.stock.lock().get_mut(&1).unwrap().price = "99.99".into();
    shop.users.banned.lock().push(i32::try_from(BUYER).unwrap());
    assert_eq!(
        text(shop.post_keyed(BUYER, "k", &[(1, 1), (2, 1)])).await,
        first
    );
    shop.restart().await;
    assert_eq!(
        text(shop.post_keyed(BUYER, "k", &[(1, 1), (2, 1)])).await,
        first
    );
    assert_eq!(
        shop.products.calls.methods().len(),
        calls,
        "nobody is asked again"
    );
}

#[tokio::test]
async fn the_same_key_for_other_lines_is_refused() {
    let shop = Shop::open().await;
    assert_eq!(text(shop.post_keyed(BUYER, "k", &[(1, 1)])).await.0, 201);
    let (status, body) = read(shop.post_keyed(BUYER, "k", &[(1, 2)])).await;
    assert_eq!(
        (status, &body["code"]),
        (422, &"idempotency_key_reused".into())
    );
    assert_error(&body, "Unprocessable Entity");
    // A field that is ignored makes no other body.
    let same = serde_json::json!({ "items": [{ "quantity": 1, "product_id": "1", "x": 1 }] });
    let same = shop.post_raw(BUYER, &same).header("idempotency-key", "k");
    assert_eq!(text(same).await.0, 201);
    assert_eq!(shop.reservations().await.len(), 1);
}

// attack(others' keys): another's idempotency key -> an order of one's own, neither is shown the other's answer
#[tokio::test]
async fn keys_are_per_user() {
    let shop = Shop::open().await;
    let mine = text(shop.post_keyed(BUYER, "k", &[(1, 1)])).await;
    let theirs = text(shop.post_keyed(4, "k", &[(2, 2)])).await;
    assert_eq!((mine.0, theirs.0), (201, 201));
    assert_ne!(mine.1, theirs.1);
    assert_eq!(shop.reservations().await.len(), 2);
}

#[tokio::test]
async fn while_the_first_request_is_under_way_a_repeat_is_told_so() {
    let shop = Shop::patient().await;
    let gate = Arc::new(Semaphore::new(0));
    shop.products
        .calls
        .plan("CommitReservation", [Gate(Arc::clone(&gate))]);
    let first = tokio::spawn(text(shop.post_keyed(BUYER, "k", &[(1, 1)])));
    poll("commit", || async {
        (shop.products.calls.count("CommitReservation") == 1).then_some(())
    })
    .await;
    // Its order is stored by now, but not yet acknowledged.
    let (status, body) = read(shop.post_keyed(BUYER, "k", &[(1, 1)])).await;
    assert_eq!(
        (status, &body["code"]),
        (409, &"idempotency_key_in_flight".into())
    );
    let (status, body) = read(shop.post_keyed(BUYER, "k", &[(9, 1)])).await;
    assert_eq!(status, 422, "{body}");
    let (_, page) = read(shop.get(BUYER, "/api/orders/")).await;
    assert_eq!(page["count"], 0);
    gate.add_permits(1);
    let first = first.await.unwrap();
    assert_eq!(first.0, 201);
    assert_eq!(text(shop.post_keyed(BUYER, "k", &[(1, 1)])).await, first);
}

#[tokio::test]
async fn a_key_whose_order_came_to_nothing_is_free_again() {
    let shop = Shop::open().await;
    let (status, _) = read(shop.post_keyed(BUYER, "k", &[(1, 101)])).await;
    assert_eq!(status, 400);
    // Lost to others between look and reservation.
    *shop.products.meanwhile.lock() = Some((1, Some(1)));
    let (status, _) = read(shop.post_keyed(BUYER, "k", &[(1, 2)])).await;
    assert_eq!(status, 400);
    shop.products
        .calls
        .plan("ReserveStock", vec![Fail(Code::Unavailable); 3]);
    let (status, _) = read(shop.post_keyed(BUYER, "k", &[(1, 1)])).await;
    assert_eq!(status, 503);
    let (status, body) = read(shop.post_keyed(BUYER, "k", &[(1, 1)])).await;
    assert_eq!(status, 201, "{body}");
    let committed = ReservationState::Committed;
    let states = shop.products.states();
    assert_eq!(states.iter().filter(|s| **s == committed).count(), 1);
    assert_eq!(shop.products.units(1), 0);
}

#[tokio::test]
async fn no_key_and_an_empty_one_make_an_order_each() {
    let shop = Shop::open().await;
    for _ in 0..2 {
        assert_eq!(text(shop.post(BUYER, &[(1, 1)])).await.0, 201);
        assert_eq!(text(shop.post_keyed(BUYER, "", &[(1, 1)])).await.0, 201);
    }
    assert_eq!(shop.reservations().await.len(), 4);
}

#[tokio::test]
async fn neither_key_nor_answer_is_kept_in_the_clear() {
    let shop = Shop::open().await;
    assert_eq!(
        text(shop.post_keyed(BUYER, "my-secret-key", &[(1, 1)]))
            .await
            .0,
        201
    );
    let dump: Vec<(String, String, String)> =
        sqlx::query_as("SELECT key_index, fingerprint, answer_cipher FROM idempotency_keys")
            .fetch_all(&shop.sql().await)
            .await
            .unwrap();
    let dump = format!("{dump:?}");
    for plain in ["my-secret-key", "1x1", &BUYER.to_string(), "Thing"] {
        assert!(!dump.contains(plain), "{plain} in {dump}");
    }
    assert!(dump.contains("v1.lab."), "{dump}");
}
