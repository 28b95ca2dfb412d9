//! An order's life after it was made: the staff's steps, cancellation, and the mails.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use common::{BUYER, Shop, Wish, fakes::Fault::Fail, poll, read};
use proto::product::ReservationState;
use serde_json::json;
use tonic::Code;

async fn mails(shop: &Shop, expected: &[&str]) {
    poll("mails", || async {
        (shop.mails() == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_staff_takes_an_order_along_its_way_and_its_owner_hears_of_it() {
    let shop = Shop::open().await;
    let order = shop.order(BUYER, &[(1, 2)]).await;
    for to in ["confirmed", "processing", "shipped", "delivered"] {
        let (status, body) = read(shop.patch(1, to)).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["status"], to);
        assert_eq!(
            (&body["items"], &body["created_at"]),
            (&order["items"], &order["created_at"])
        );
    }
    let expected = ["confirmed", "delivered", "pending", "processing", "shipped"];
    mails(&shop, &expected).await;
    let dir = shop.dir().join("outbox");
    let mail = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mail = mail
        .into_iter()
        .find(|path| path.to_string_lossy().contains(".shipped."));
    let text = std::fs::read_to_string(mail.unwrap()).unwrap();
    assert!(text.contains("To: user987654318@example.com"), "{text}");
    assert!(text.contains("Your order 1 over 3.00 is shipped"), "{text}");
}

#[tokio::test]
async fn no_other_step_is_taken() {
    let shop = Shop::open().await;
    let all = [
        "pending",
        "confirmed",
        "processing",
        "shipped",
        "delivered",
        "cancelled",
    ];
    let way = ["confirmed", "processing", "shipped", "delivered"];
    shop.order(BUYER, &[(1, 1)]).await;
    for (at, next) in way.iter().enumerate() {
        let early = at < 2;
        for to in all
            .iter()
            .filter(|to| *to != next && !(early && **to == "cancelled"))
        {
            let (status, body) = read(shop.patch(1, to)).await;
            assert_eq!(
                (status, &body["code"]),
                (400, &"status_not_allowed".into()),
                "{to}"
            );
            assert!(body["status"].is_array(), "{body}");
        }
        assert_eq!(read(shop.patch(1, next)).await.0, 200);
    }
    for (body, code) in [
        (json!({}), "invalid"),
        (json!({ "status": "lost" }), "invalid"),
    ] {
        let patch = shop.patch(1, "x").json(&body);
        let (status, answer) = read(patch).await;
        assert_eq!((status, &answer["code"]), (400, &code.into()), "{answer}");
    }
    assert_eq!(read(shop.patch(99, "confirmed")).await.0, 404);
    // Nobody but the staff, whatever the order.
    let url = shop.url("/api/orders/1/status/");
    let patch = reqwest::Client::new().patch(url);
    let patch = patch.bearer_auth(shop.keys.token(BUYER, &[]));
    assert_eq!(
        read(patch.json(&json!({ "status": "confirmed" }))).await.0,
        403
    );
}

#[tokio::test]
async fn a_cancelled_orders_stock_and_payment_go_back_once() {
    let shop = Shop::with(Wish {
        payments: true,
        ..Wish::default()
    })
    .await;
    shop.order(BUYER, &[(1, 3), (2, 1)]).await;
    shop.settled().await;
    assert_eq!(shop.payments.paid(), 700);
    shop.products
        .calls
        .plan("ReturnReservation", [Fail(Code::Internal)]);
    let (status, body) = read(shop.cancel(BUYER, 1)).await;
    assert_eq!(
        (status, &body["status"]),
        (200, &"cancelled".into()),
        "{body}"
    );
    // The first try failed: recovery goes on.
    shop.settled().await;
    assert_eq!((shop.products.units(1), shop.products.units(2)), (100, 100));
    assert_eq!(shop.products.states(), [ReservationState::Returned]);
    assert_eq!(shop.payments.paid(), 0);
    for _ in 0..2 {
        let (status, body) = read(shop.cancel(BUYER, 1)).await;
        assert_eq!((status, &body["code"]), (400, &"status_not_allowed".into()));
    }
    assert_eq!(shop.products.units(1), 100);
    mails(&shop, &["cancelled", "pending"]).await;
}

#[tokio::test]
async fn of_many_cancels_at_once_one_wins() {
    let shop = Shop::patient().await;
    shop.order(BUYER, &[(1, 3)]).await;
    let all = (0..16).map(|_| tokio::spawn(shop.cancel(BUYER, 1).send()));
    let mut won = 0;
    for one in all.collect::<Vec<_>>() {
        won += usize::from(one.await.unwrap().unwrap().status() == 200);
    }
    shop.settled().await;
    assert_eq!((won, shop.products.units(1)), (1, 100));
}

// attack(others' orders): cancelling another's order -> 404, as for one that nobody has
#[tokio::test]
async fn only_its_owner_cancels_an_order_and_only_while_nothing_is_packed() {
    let shop = Shop::open().await;
    shop.order(BUYER, &[(1, 1)]).await;
    assert_eq!(read(shop.cancel(4, 1)).await.0, 404);
    assert_eq!(read(shop.cancel(BUYER, 2)).await.0, 404);
    assert_eq!(read(shop.patch(1, "confirmed")).await.0, 200);
    assert_eq!(read(shop.patch(1, "processing")).await.0, 200);
    let (status, body) = read(shop.cancel(BUYER, 1)).await;
    assert_eq!((status, &body["code"]), (400, &"status_not_allowed".into()));
    assert_eq!(shop.products.units(1), 99);
    // The staff may call off what is confirmed, too.
    shop.order(BUYER, &[(2, 1)]).await;
    assert_eq!(read(shop.patch(2, "cancelled")).await.0, 200);
    shop.settled().await;
    assert_eq!(shop.products.units(2), 100);
}
