//! What the services behind are told, how long they are waited for, and which replica is asked.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::{sync::Arc, time::Duration};

use common::{
    BUYER, Shop, Wish,
    fakes::Fault::{Fail, Gate},
    poll, read,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tonic::Code;

const QUOTE: &str = "/api/orders/quote/?items=1x1";

async fn put(shop: &Shop, slot: &str, policy: &Value) {
    let url = format!("{}/lab/policies/{slot}", shop.control());
    let request = reqwest::Client::new().put(url).bearer_auth("test-token");
    let (status, body) = read(request.json(policy)).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_call_says_who_calls_for_whom_and_for_which_time() {
    let shop = Shop::patient().await;
    shop.products
        .calls
        .plan("GetProducts", [Fail(Code::Unavailable)]);
    let (status, body) = read(shop.get(BUYER, QUOTE)).await;
    assert_eq!(status, 200, "{body}");
    let seen = shop.products.calls.seen();
    let attempts: Vec<_> = seen.iter().map(|call| call.attempt.as_deref()).collect();
    assert_eq!(attempts, [Some("1"), Some("2")]);
    let user = BUYER.to_string();
    for call in &seen {
        assert_eq!(call.caller.as_deref(), Some("order"));
        assert_eq!(call.user.as_ref(), Some(&user));
    }
}

#[tokio::test]
async fn a_hedge_is_an_attempt_of_its_own() {
    let policy =
        json!({"preset": "none", "deadline": "30s", "hedge": {"kind": "fixed", "delay": "50ms"}});
    let shop = Shop::with(Wish {
        policy: Some(policy),
        ..Wish::default()
    })
    .await;
    let never = Arc::new(Semaphore::new(0));
    shop.products.calls.plan("GetProducts", [Gate(never)]);
    let (status, body) = read(shop.get(BUYER, QUOTE)).await;
    assert_eq!(status, 200, "{body}");
    let attempts: Vec<_> = shop.products.calls.seen();
    let attempts: Vec<_> = attempts
        .iter()
        .map(|call| call.attempt.as_deref())
        .collect();
    assert_eq!(attempts, [Some("1"), Some("2")]);
}

/// The deadline that GetProducts is told under this policy, and how long the caller waits for one
/// that never answers; `None`: longer than a second.
async fn deadlines(policy: Value) -> (Option<String>, Option<u16>) {
    let shop = Shop::with(Wish {
        policy: Some(policy),
        ..Wish::default()
    })
    .await;
    let gate = Arc::new(Semaphore::new(0));
    shop.products
        .calls
        .plan("GetProducts", [Gate(Arc::clone(&gate))]);
    let patient = shop.get(BUYER, QUOTE).timeout(Duration::from_secs(1));
    let status = match patient.send().await {
        Ok(answer) => Some(answer.status().as_u16()),
        Err(error) => {
            assert!(error.is_timeout(), "{error}");
            None
        }
    };
    // The caller has gone, of whatever cause: so has its call, and with it whoever waits there.
    poll("the callee sees it", || async {
        (Arc::strong_count(&gate) == 1).then_some(())
    })
    .await;
    let timeout = shop.products.calls.seen()[0].timeout.clone();
    (timeout, status)
}

#[tokio::test]
async fn a_deadline_can_be_none_at_all_or_the_callers_alone_or_travel() {
    let none = json!({"preset": "none", "deadline": "off"});
    assert_eq!(deadlines(none).await, (None, None));
    let own = json!({"preset": "none", "deadline": "300ms", "propagate_deadline": false});
    assert_eq!(deadlines(own).await, (None, Some(503)));
    let travels = json!({"preset": "none", "deadline": "300ms"});
    let (told, status) = deadlines(travels).await;
    assert!(told.is_some());
    assert_eq!(status, Some(503));
}

#[tokio::test]
async fn replicas_take_turns_and_a_dead_one_costs_no_request() {
    let mut shop = Shop::with(Wish {
        second: true,
        ..Wish::default()
    })
    .await;
    let policy = json!({"preset": "naive", "deadline": "30s", "attempt_timeout": "10s"});
    put(&shop, "order-product", &policy).await;
    let quote = async |shop: &Shop| {
        let (status, body) = read(shop.get(BUYER, QUOTE)).await;
        assert_eq!(status, 200, "{body}");
    };
    for _ in 0..10 {
        quote(&shop).await;
    }
    let asked = [&shop.products, &shop.second].map(|one| one.calls.count("GetProducts"));
    assert_eq!(asked, [5, 5]);

    shop.kill_products().await;
    for _ in 0..10 {
        quote(&shop).await;
    }
    assert_eq!(shop.second.calls.count("GetProducts"), 15);
    let (_, health) = read(shop.get_anonymously("/health/")).await;
    assert_eq!(health["checks"]["product-service"], "ok", "{health}");
}

#[tokio::test]
async fn a_slow_database_takes_every_place_unless_a_bulkhead_stops_it() {
    for bulkhead in [false, true] {
        let shop = Shop::patient().await;
        let door = json!({"preset": "static", "limit": {"max": 4}, "queue": "off"});
        put(&shop, "order.server", &door).await;
        if bulkhead {
            let place = json!({"max_concurrent": 1, "max_waiting": 0, "max_wait": "0s"});
            let policy = json!({"preset": "none", "deadline": "off", "bulkhead": place});
            put(&shop, "order-database", &policy).await;
        }
        let pool = shop.sql().await;
        let mut lock = pool.acquire().await.unwrap();
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut *lock)
            .await
            .unwrap();
        let mut orders: Vec<_> = (0..4)
            .map(|_| tokio::spawn(read(shop.post(BUYER, &[(1, 1)]))))
            .collect();
        poll("every order wants its saga to be stored", || async {
            (shop.products.calls.count("GetProducts") == 4).then_some(())
        })
        .await;
        if bulkhead {
            poll("three orders are refused", || async {
                let over = orders.iter().filter(|order| order.is_finished()).count();
                (over == 3).then_some(())
            })
            .await;
        }
        let (quote, body) = read(shop.get(BUYER, QUOTE)).await;
        assert_eq!(quote, if bulkhead { 200 } else { 503 }, "{body}");

        sqlx::query("ROLLBACK").execute(&mut *lock).await.unwrap();
        let mut answers = Vec::new();
        for order in orders.drain(..) {
            let (status, body) = order.await.unwrap();
            if status == 503 {
                assert_eq!(body["error"], "Service temporarily unavailable", "{body}");
            }
            answers.push(status);
        }
        answers.sort_unstable();
        let expected = if bulkhead {
            [201, 503, 503, 503]
        } else {
            [201; 4]
        };
        assert_eq!(answers, expected);
        let stored = expected.iter().filter(|status| **status == 201).count();
        shop.all_committed(stored).await;
        poll("refused orders have taken no stock", || async {
            let taken = i32::try_from(stored).unwrap();
            (shop.products.units(1) == 100 - taken).then_some(())
        })
        .await;
    }
}
