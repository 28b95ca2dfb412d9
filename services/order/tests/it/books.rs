//! `GET /lab/integrity`: what the order service tells of sagas, orders and mails.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use common::{BUYER, Shop, Wish, fakes::Fault::Fail, poll, read};
use kit::{
    Cents, Ctx,
    crypto::{FieldCipher, FieldKeys},
    db::Db,
};
use order_service::{
    config::Config,
    domain::{Basket, Item, NewOrder, Reservation, Status},
    outbox::Smtp,
    saga::{Begin, Begun, Journal as _, Lease, SagaState},
    store::{BookStore as _, Change, Changed, MIGRATIONS, OrderStore as _, SqlStore},
};
use serde_json::{Value, json};
use tonic::Code;

async fn ask(shop: &Shop, query: &str) -> (u16, Value) {
    let url = format!("{}/lab/integrity{query}", shop.control());
    read(reqwest::Client::new().get(url).bearer_auth("test-token")).await
}

/// At rest, with every mail noted.
async fn at_rest(shop: &Shop) -> Value {
    poll("rest", || async {
        let (_, open) = ask(shop, "?only=open").await;
        (open == json!({ "sagas": [], "undelivered": 0 })).then_some(())
    })
    .await;
    let (status, books) = ask(shop, "").await;
    assert_eq!(status, 200, "{books}");
    books
}

/// Number, status and deliveries of each event, sorted.
fn effects(books: &Value) -> Vec<(i64, String, i64)> {
    let effects = books["outbox"]["effects"].as_array().unwrap().iter();
    let mut effects: Vec<_> = effects
        .map(|effect| {
            let kind = effect["kind"].as_str().unwrap().to_owned();
            let (order, n) = (&effect["order"], &effect["delivered"]);
            (order.as_i64().unwrap(), kind, n.as_i64().unwrap())
        })
        .collect();
    effects.sort();
    effects
}

fn effect(order: i64, kind: &str, delivered: i64) -> (i64, String, i64) {
    (order, kind.to_owned(), delivered)
}

#[tokio::test]
async fn orders_their_keys_and_their_mails_are_told() {
    let shop = Shop::with(Wish {
        payments: true,
        ..Wish::default()
    })
    .await;
    for _ in 0..3 {
        shop.order(BUYER, &[(1, 1)]).await;
    }
    shop.settled().await;
    assert_eq!(read(shop.patch(1, "confirmed")).await.0, 200);
    assert_eq!(read(shop.cancel(BUYER, 2)).await.0, 200);
    let books = at_rest(&shop).await;
    let all = [
        "pending",
        "confirmed",
        "processing",
        "shipped",
        "delivered",
        "cancelled",
    ];
    assert_eq!(books["outbox"]["kinds"], json!(all));
    let expected = [
        effect(1, "confirmed", 1),
        effect(1, "pending", 1),
        effect(2, "cancelled", 1),
        effect(2, "pending", 1),
        effect(3, "pending", 1),
    ];
    assert_eq!(effects(&books), expected);
    let keys: Vec<Value> = shop
        .reservations()
        .await
        .iter()
        .zip(1..)
        .map(|((key, _), order)| json!({ "order": order, "order_key": key }))
        .collect();
    assert_eq!(books["keys"], json!(keys));
    assert_eq!(
        (&books["sagas"], &books["undelivered"]),
        (&json!([]), &json!(0))
    );
}

/// Effects are mails that lie there, whatever the rows say.
#[tokio::test]
async fn a_mail_that_is_gone_and_a_row_that_is_gone_are_seen() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        shop.order(BUYER, &[(1, 1)]).await;
    }
    at_rest(&shop).await;
    let keys: Vec<String> = shop
        .reservations()
        .await
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let mail = shop
        .dir()
        .join("outbox")
        .join(format!("{}.pending.eml", keys[0]));
    std::fs::remove_file(mail).unwrap();
    // A row that was forgotten after its day, and an order that is not there.
    for sql in [
        format!(
            "DELETE FROM outbox WHERE order_key IN ('{}', '{}')",
            keys[1], keys[2]
        ),
        "DELETE FROM order_items WHERE order_id = 3".to_owned(),
        "DELETE FROM orders WHERE id = 3".to_owned(),
    ] {
        let sql = sqlx::query(sqlx::AssertSqlSafe(sql));
        sql.execute(&shop.sql().await).await.unwrap();
    }
    let expected = [
        effect(-1, "pending", 1),
        effect(1, "pending", 0),
        effect(2, "pending", 1),
    ];
    assert_eq!(effects(&ask(&shop, "").await.1), expected);
}

#[tokio::test]
async fn a_saga_that_is_open_is_told_and_its_order_is_not() {
    let shop = Shop::open().await;
    let calls = &shop.products.calls;
    // The order is stored, and its stock can't be made final.
    calls.plan("CommitReservation", vec![Fail(Code::Unavailable); 5]);
    let placed = tokio::spawn(shop.post(BUYER, &[(1, 1)]).send());
    let saga = poll("a placed saga", || async {
        let (_, open) = ask(&shop, "?only=open").await;
        let saga = open["sagas"].as_array()?.first()?.clone();
        (saga["state"] == "placed").then_some(saga)
    })
    .await;
    assert_eq!(saga["ttl_ms"], 30_000);
    assert!(
        (0..30_000).contains(&saga["age_ms"].as_i64().unwrap()),
        "{saga}"
    );
    let (_, books) = ask(&shop, "").await;
    if books["sagas"] != json!([]) {
        assert_eq!(books["undelivered"], 1);
        assert_eq!(books["keys"], json!([]));
        assert_eq!(effects(&books), []);
    }
    placed.await.unwrap().unwrap();
    let books = at_rest(&shop).await;
    assert_eq!(effects(&books), [effect(1, "pending", 1)]);
    assert_eq!(books["keys"][0]["order_key"], saga["order_key"]);
}

#[tokio::test]
async fn a_part_alone_a_wrong_word_and_no_token() {
    let shop = Shop::open().await;
    let (status, open) = ask(&shop, "?only=open").await;
    assert_eq!(
        (status, open),
        (200, json!({ "sagas": [], "undelivered": 0 }))
    );
    let (status, body) = ask(&shop, "?only=stock").await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("open"), "{body}");
    let bare = reqwest::get(format!("{}/lab/integrity", shop.control()))
        .await
        .unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(read(shop.get_anonymously("/lab/integrity")).await.0, 404);
}

#[tokio::test]
async fn outside_of_lab_mode_there_is_none() {
    let mut shop = Shop::open().await;
    shop.restart_with(|config| config.common.lab = None).await;
    let (status, _) = read(shop.get_anonymously("/lab/integrity")).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn where_nobody_can_count_mails_it_says_so() {
    let mut shop = Shop::open().await;
    let smtp = Smtp {
        url: "smtp://127.0.0.1:9".into(),
        from: Config::sender(),
    };
    shop.restart_with(|config| config.smtp = Some(smtp)).await;
    assert_eq!(ask(&shop, "?only=open").await.0, 200);
    let (status, body) = ask(&shop, "").await;
    assert_eq!(
        (status, &body["code"]),
        (501, &json!("effects_not_counted"))
    );
}

/// The age of a cancellation counts from the moment the order was called off, whoever has taken
/// its saga over since. The store itself, at times of the test's own.
#[tokio::test]
async fn a_cancellation_is_as_old_as_its_wish() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("o.db").display());
    let db = Db::open("order", &url).await.unwrap();
    db.migrate(MIGRATIONS).await.unwrap();
    let store = SqlStore::new(db, FieldCipher::new(&FieldKeys::for_test()));
    let lease = |until_ms| Lease {
        owner: "me".to_owned(),
        until_ms,
    };
    let ctx = Ctx::internal("test");
    let begin = Begin {
        order_key: "k".to_owned(),
        user_id: 7,
        claim: None,
        lease: lease(1_000),
        deadline_ms: 30_100,
        now_ms: 100,
    };
    let Begun::Yes(mut hold) = store.begin(&ctx, &begin).await.unwrap() else {
        panic!("not begun");
    };
    let ages = async |now_ms| {
        let open = store.open_work(now_ms).await.unwrap();
        let ages = open.sagas.iter().map(|saga| (saga.age_ms, saga.ttl_ms));
        ages.collect::<Vec<_>>()
    };
    assert_eq!(ages(1_100).await, [(1_000, 30_000)]);
    let item = Item {
        id: 0,
        product_id: 1,
        product_name: "P".to_owned(),
        quantity: 1,
        price: Cents(100),
    };
    let order = NewOrder {
        order_key: "k".to_owned(),
        user_id: 7,
        contact: None,
        status: Status::Pending,
        reservation: Reservation::Held,
        basket: Basket::new(vec![item]).unwrap(),
        created_ms: 200,
    };
    let placed = store.place(&ctx, &mut hold, &order, None, |order| order.id.to_string());
    assert!(placed.await.unwrap().is_some());
    assert_eq!(ages(1_100).await, [(1_000, 30_000)]);
    for to in [SagaState::Committed, SagaState::Done] {
        assert!(store.advance(&ctx, &mut hold, to, 300).await.unwrap());
    }
    assert_eq!(ages(1_100).await, []);
    let change = Change {
        order_id: 1,
        to: Status::Cancelled,
        owner: Some(7),
        now_ms: 50_000,
        deadline_ms: 80_000,
        lease: lease(51_000),
    };
    let changed = store.change_status(&change).await.unwrap();
    assert!(matches!(changed, Changed::Yes(..)));
    store.take_over(&lease(60_000), 52_000, 10).await.unwrap();
    assert_eq!(ages(52_500).await, [(2_500, 30_000)]);
}
