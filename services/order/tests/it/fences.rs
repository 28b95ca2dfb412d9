//! Leases and fences: who comes late changes nothing. The store itself, without a service around.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use kit::{
    Cents, Ctx,
    crypto::{FieldCipher, FieldKeys},
    db::Db,
};
use order_service::{
    domain::{Basket, Item, NewOrder, Order, Reservation, Status},
    saga::{Begin, Begun, Claim, Hold, Journal as _, Lease, SagaState},
    store::{Filter, MIGRATIONS, OrderStore as _, OutboxStore as _, SqlStore},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const OWNER: i64 = 7;

async fn open() -> (TempDir, Arc<SqlStore>) {
    let (dir, _, store) = open_both().await;
    (dir, store)
}

async fn open_both() -> (TempDir, Db, Arc<SqlStore>) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("o.db").display());
    let db = Db::open("order", &url).await.unwrap();
    db.migrate(MIGRATIONS).await.unwrap();
    let cipher = FieldCipher::new(&FieldKeys::for_test());
    (dir, db.clone(), Arc::new(SqlStore::new(db, cipher)))
}

fn ctx() -> Ctx {
    Ctx::internal("test")
}

fn lease(until_ms: i64) -> Lease {
    Lease {
        owner: "me".to_owned(),
        until_ms,
    }
}

fn claim(key: &str, body: &str) -> Claim {
    Claim {
        key: key.to_owned(),
        body: body.to_owned(),
    }
}

fn begin(order_key: &str, claim: Option<Claim>) -> Begin {
    Begin {
        order_key: order_key.to_owned(),
        user_id: OWNER,
        claim,
        lease: lease(1_000),
        deadline_ms: 5_000,
        now_ms: 0,
    }
}

fn order(order_key: &str) -> NewOrder {
    let item = Item {
        id: 0,
        product_id: 1,
        product_name: "P".to_owned(),
        quantity: 1,
        price: Cents(100),
    };
    NewOrder {
        order_key: order_key.to_owned(),
        user_id: OWNER,
        contact: Some("a@example.com".to_owned()),
        status: Status::Pending,
        reservation: Reservation::Held,
        basket: Basket::new(vec![item]).unwrap(),
        created_ms: 0,
    }
}

fn render(order: &Order) -> String {
    format!("order {}", order.id)
}

async fn begun(store: &SqlStore, key: &str, claim: Option<Claim>) -> Hold {
    match store.begin(&ctx(), &begin(key, claim)).await.unwrap() {
        Begun::Yes(hold) => hold,
        other => panic!("{other:?}"),
    }
}

async fn advance(store: &SqlStore, hold: &mut Hold, to: SagaState, now_ms: i64) -> bool {
    store.advance(&ctx(), hold, to, now_ms).await.unwrap()
}

async fn placed(store: &SqlStore, key: &str) -> Hold {
    let mut hold = begun(store, key, None).await;
    let placed = store
        .place(&ctx(), &mut hold, &order(key), None, render)
        .await;
    placed.unwrap().unwrap();
    hold
}

#[tokio::test]
async fn a_saga_is_taken_over_by_one_of_many_and_its_late_holder_changes_nothing() {
    let (_dir, store) = open().await;
    let mut late = begun(&store, "k", None).await;
    assert!(
        store
            .take_over(&lease(9_000), 999, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let mut takers = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        takers.spawn(async move { store.take_over(&lease(9_000), 1_000, 10).await.unwrap() });
    }
    let mut taken: Vec<Hold> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    // Neither the order nor an end comes from who lost it.
    let lost = store
        .place(&ctx(), &mut late, &order("k"), None, render)
        .await;
    assert_eq!(lost.unwrap(), None);
    assert!(!advance(&store, &mut late, SagaState::Undone, 1_001).await);
    assert_eq!((taken[0].fence, taken[0].attempts), (2, 1));
    assert!(advance(&store, &mut taken[0], SagaState::Undoing, 1_001).await);
    assert_eq!(store.find_by_key("k").await.unwrap(), None);
}

#[tokio::test]
async fn an_open_saga_past_its_deadline_is_taken_from_whoever_holds_it() {
    let (_dir, store) = open().await;
    let begin = Begin {
        lease: lease(i64::MAX),
        ..begin("k", None)
    };
    store.begin(&ctx(), &begin).await.unwrap();
    placed(&store, "placed").await;
    assert!(
        store
            .take_over(&lease(9_000), 999, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let taken = store.take_over(&lease(9_000), 5_000, 10).await.unwrap();
    let keys: Vec<&str> = taken.iter().map(|hold| hold.order_key.as_str()).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    // Put off, it waits for its time.
    store.defer(&taken[0], 7_000).await.unwrap();
    assert!(
        store
            .take_over(&lease(9_000), 6_999, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        store
            .take_over(&lease(9_000), 7_000, 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_withdrawn_order_was_never_there_and_one_that_is_shown_stays() {
    let (_dir, store) = open().await;
    let mut withdrawn = begun(&store, "w", Some(claim("k", "1x1"))).await;
    let claimed = claim("k", "1x1");
    store
        .place(&ctx(), &mut withdrawn, &order("w"), Some(&claimed), render)
        .await
        .unwrap()
        .unwrap();
    // Stored, but not answered yet.
    let look = store.look(&ctx(), OWNER, &claimed).await.unwrap();
    assert_eq!(look, Some(Begun::InFlight));
    assert!(advance(&store, &mut withdrawn, SagaState::Undoing, 1).await);
    assert_eq!(store.look(&ctx(), OWNER, &claimed).await.unwrap(), None);
    assert_eq!(store.find_by_key("w").await.unwrap(), None);
    assert!(
        store.claim(10, 10, 10).await.unwrap().is_empty(),
        "no mail of it"
    );

    let mut shown = placed(&store, "s").await;
    assert_eq!(store.count(Filter::of(OWNER)).await.unwrap(), 0);
    assert!(
        store.claim(10, 10, 10).await.unwrap().is_empty(),
        "not before it is shown"
    );
    assert!(advance(&store, &mut shown, SagaState::Done, 1).await);
    assert_eq!(store.count(Filter::of(OWNER)).await.unwrap(), 1);
    assert_eq!(store.claim(10, 10, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_finished_key_is_never_flipped() {
    let (_dir, store) = open().await;
    let claimed = claim("k", "1x1");
    let mut hold = begun(&store, "a", Some(claimed.clone())).await;
    let answer = store
        .place(&ctx(), &mut hold, &order("a"), Some(&claimed), render)
        .await;
    let answer = answer.unwrap().unwrap();
    assert!(advance(&store, &mut hold, SagaState::Done, 1).await);
    for (body, wanted) in [
        ("1x1", Begun::Answered(answer.clone())),
        ("1x2", Begun::OtherBody),
    ] {
        let again = begin("b", Some(claim("k", body)));
        assert_eq!(store.begin(&ctx(), &again).await.unwrap(), wanted);
    }
    assert_eq!(store.state(&ctx(), "b").await.unwrap(), None);
    // Kept for its time, then forgotten; the order stays.
    assert_eq!(store.forget(0, 0, 100).await.unwrap(), 0);
    assert!(store.forget(100, 100, 100).await.unwrap() >= 2);
    assert_eq!(store.look(&ctx(), OWNER, &claimed).await.unwrap(), None);
    assert!(store.find_by_key("a").await.unwrap().is_some());
}

#[tokio::test]
async fn a_mails_late_holder_notes_nothing() {
    let (_dir, store) = open().await;
    let mut hold = placed(&store, "k").await;
    store
        .advance(&ctx(), &mut hold, SagaState::Done, 1)
        .await
        .unwrap();
    let first = store.claim(10, 100, 10).await.unwrap().remove(0);
    assert_eq!(first.contact.as_deref(), Some("a@example.com"));
    assert!(store.claim(109, 100, 10).await.unwrap().is_empty());
    let second = store.claim(110, 100, 10).await.unwrap().remove(0);
    assert_eq!((&second.event_id, second.attempts), (&first.event_id, 2));
    assert!(!store.delivered(&first, 111).await.unwrap());
    store.postpone(&first, 10_000).await.unwrap();
    // It failed, waits, and is not skipped for good.
    store.postpone(&second, 500).await.unwrap();
    assert!(store.claim(499, 100, 10).await.unwrap().is_empty());
    let third = store.claim(500, 100, 10).await.unwrap().remove(0);
    assert!(store.delivered(&third, 501).await.unwrap());
    assert!(store.claim(9_999, 100, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_mail_that_cannot_be_read_does_not_hold_up_the_others() {
    let (_dir, db, store) = open_both().await;
    for key in ["a", "b"] {
        let mut hold = placed(&store, key).await;
        let done = store.advance(&ctx(), &mut hold, SagaState::Done, 1).await;
        assert!(done.unwrap());
    }
    let foreign =
        sqlx::query("UPDATE orders SET contact_cipher = 'v1.gone.AAAA' WHERE order_key = 'a'");
    foreign.execute(&db.write).await.unwrap();
    let claimed = store.claim(10, 100, 10).await.unwrap();
    let keys: Vec<&str> = claimed.iter().map(|mail| mail.event_id.as_str()).collect();
    assert_eq!(keys, ["b.pending"]);
}
