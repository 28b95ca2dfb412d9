//! The payment step: authorise before the order is stored, capture after it exists.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use common::{
    BUYER, Shop, Wish, assert_error,
    fakes::Fault::{Fail, LoseReply},
    poll, read,
};
use proto::{payment::PaymentState, product::ReservationState};
use tonic::Code;

async fn open() -> Shop {
    Shop::with(Wish {
        payments: true,
        ..Wish::default()
    })
    .await
}

#[tokio::test]
async fn an_order_is_authorised_and_captured_once_with_two_more_calls() {
    let shop = open().await;
    shop.order(BUYER, &[(1, 2)]).await;
    shop.settled().await;
    assert_eq!(shop.payments.states(), [PaymentState::Captured]);
    assert_eq!(shop.payments.paid(), 300);
    assert_eq!(shop.payments.calls.methods(), ["Authorize", "Capture"]);
    let methods = ["GetProducts", "ReserveStock", "CommitReservation"];
    assert_eq!(shop.products.calls.methods(), methods);
}

#[tokio::test]
async fn lost_replies_are_asked_again_and_move_money_once() {
    let shop = open().await;
    shop.payments
        .calls
        .plan("Authorize", [LoseReply, LoseReply]);
    shop.payments.calls.plan("Capture", vec![LoseReply; 3]);
    shop.order(BUYER, &[(1, 2)]).await;
    shop.settled().await;
    assert_eq!(shop.payments.paid(), 300);
    // Recovery asks before it captures again.
    assert!(shop.payments.calls.count("GetStatus") >= 1);
    assert_eq!(shop.payments.calls.count("Capture"), 3);
}

#[tokio::test]
async fn a_declined_payment_leaves_nothing_behind() {
    let shop = open().await;
    *shop.payments.limit.lock() = Some(299);
    let (status, body) = read(shop.post(BUYER, &[(1, 2)])).await;
    assert_eq!(status, 400, "{body}");
    assert_error(&body, "Payment declined");
    shop.settled().await;
    assert_eq!(shop.products.states(), [ReservationState::Released]);
    assert!(shop.reservations().await.is_empty());
    assert_eq!(shop.products.units(1), 100);
}

#[tokio::test]
async fn without_the_payment_service_stock_goes_back_and_later_the_payment_too() {
    let mut shop = open().await;
    shop.payments.calls.plan("Authorize", vec![LoseReply; 3]);
    shop.payments
        .calls
        .plan("Void", vec![Fail(Code::Unavailable); 3]);
    let (status, body) = read(shop.post(BUYER, &[(1, 2)])).await;
    assert_eq!(status, 503, "{body}");
    poll("released", || async {
        (shop.products.states() == [ReservationState::Released]).then_some(())
    })
    .await;
    shop.settled().await;
    assert_eq!(shop.payments.states(), [PaymentState::Voided]);
    shop.kill_payments().await;
    let (status, body) = read(shop.post(BUYER, &[(1, 2)])).await;
    assert_eq!(status, 503, "{body}");
    // By the breaker, which the failed attempts have opened by now.
    assert_eq!(body["error"], "Service temporarily unavailable");
    assert!(shop.reservations().await.is_empty());
}

#[tokio::test]
async fn without_its_address_there_is_no_payment_step() {
    let shop = Shop::open().await;
    shop.order(BUYER, &[(1, 1)]).await;
    assert_eq!(shop.sagas().await, ["done"]);
    assert!(shop.payments.calls.seen().is_empty());
}
