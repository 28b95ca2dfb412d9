//! Orders that something comes between: a database that fails, a client that
//! leaves, a shutdown, other buyers.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use std::sync::Arc;

use common::{BUYER, Shop, fakes::Fault::Gate, poll, read};
use proto::product::ReservationState;
use tokio::{net::TcpStream, sync::Semaphore};

#[tokio::test]
async fn an_order_that_can_not_be_stored_gives_its_stock_back() {
    let shop = Shop::open().await;
    sqlx::query("DROP TABLE order_items")
        .execute(&shop.sql().await)
        .await
        .unwrap();
    let (status, body) = read(shop.post(BUYER, &[(1, 1)])).await;
    assert_eq!(status, 500, "{body}");
    assert!(!body.to_string().contains("order_items"), "{body}");
    poll("released", || async {
        (shop.products.states() == [ReservationState::Released]).then_some(())
    })
    .await;
    assert_eq!(shop.products.units(1), 100);
    assert!(
        shop.reservations().await.is_empty(),
        "the order's row went with its lines"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_while_stock_is_taken_leaves_a_whole_order() {
    let shop = Shop::patient().await;
    let gate = Arc::new(Semaphore::new(0));
    shop.products
        .calls
        .plan("ReserveStock", [Gate(Arc::clone(&gate))]);
    leave_during(&shop, "ReserveStock").await;
    gate.add_permits(1);
    shop.all_committed(1).await;
    assert_eq!(shop.products.states(), [ReservationState::Committed]);
    assert_eq!(shop.products.units(1), 99);
    let (_, page) = read(shop.get(BUYER, "/api/orders/")).await;
    assert_eq!(page["count"], 1);
}

#[tokio::test]
async fn a_client_that_goes_away_before_stock_is_taken_leaves_nothing() {
    let shop = Shop::patient().await;
    let gate = Arc::new(Semaphore::new(0));
    shop.products
        .calls
        .plan("GetProducts", [Gate(Arc::clone(&gate))]);
    leave_during(&shop, "GetProducts").await;
    gate.add_permits(1);
    // A second order, placed and done after that, shows that the first is not
    // merely late.
    shop.order(4, &[(2, 1)]).await;
    assert_eq!(shop.products.calls.count("ReserveStock"), 1);
    assert_eq!(shop.reservations().await.len(), 1);
    assert_eq!(shop.products.units(1), 100);
}

/// Places an order and hangs up once a method has arrived.
async fn leave_during(shop: &Shop, method: &str) {
    let request = shop.post(BUYER, &[(1, 1)]);
    let asking = tokio::spawn(request.send());
    poll(method, || async {
        (shop.products.calls.count(method) == 1).then_some(())
    })
    .await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn a_shutdown_waits_for_the_order_under_way() {
    let mut shop = Shop::patient().await;
    let gate = Arc::new(Semaphore::new(0));
    shop.products
        .calls
        .plan("ReserveStock", [Gate(Arc::clone(&gate))]);
    leave_during(&shop, "ReserveStock").await;
    let address = shop.base.strip_prefix("http://").unwrap().to_owned();
    let opener = tokio::spawn(async move {
        poll("the shutdown", || async {
            TcpStream::connect(&address).await.is_err().then_some(())
        })
        .await;
        gate.add_permits(1);
    });
    shop.stop().await;
    opener.await.unwrap();
    assert_eq!(shop.reservations().await[0].1, "committed");
}

#[tokio::test]
async fn hundred_buyers_and_ten_units() {
    let shop = Shop::patient().await;
    shop.products.stock.lock().get_mut(&9).unwrap().units = 10;
    let asks = (0..100).map(|n| tokio::spawn(shop.post(100 + n, &[(9, 1)]).send()));
    let mut statuses = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        statuses.push(ask.await.unwrap().unwrap().status().as_u16());
    }
    let sold = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(sold, 10, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| matches!(status, 201 | 400)),
        "{statuses:?}"
    );
    assert_eq!(shop.products.units(9), 0);
    shop.all_committed(10).await;
}
