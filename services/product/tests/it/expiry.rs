//! Reservations that expire, and those that come back.
//!
//! `CASES` sets how many commits meet their expiry (500 otherwise; 10 000 at night).
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use common::Shop;
use proto::product::ReservationState;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tonic::Code;

const HELD: i32 = ReservationState::Held as i32;
const COMMITTED: i32 = ReservationState::Committed as i32;
const RELEASED: i32 = ReservationState::Released as i32;
const EXPIRED: i32 = ReservationState::Expired as i32;
const RETURNED: i32 = ReservationState::Returned as i32;

fn cases() -> usize {
    std::env::var("CASES").map_or(500, |n| n.parse().unwrap())
}

async fn until_units(shop: &Shop, id: i32, units: i32) {
    let end = Instant::now() + Duration::from_secs(10);
    while shop.units(id).await != units {
        assert!(
            Instant::now() < end,
            "{} units of {units}",
            shop.units(id).await
        );
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_expired_reservation_gives_its_units_back_once() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;
    assert!(
        shop.reserve_for("k", &[(id, 4)], 50)
            .await
            .unwrap()
            .reserved
    );
    assert_eq!(shop.units(id).await, 6);
    until_units(&shop, id, 10).await;
    assert_eq!(shop.commit("k").await, EXPIRED);
    assert_eq!(shop.release("k").await, EXPIRED);
    assert_eq!(shop.give_back("k").await, EXPIRED);
    let again = shop.reserve_for("k", &[(id, 4)], 50).await.unwrap();
    assert!(!again.reserved && again.error_message.contains("expired"));
    let (sum, rows) = shop.ledger(id).await;
    let reasons: Vec<&str> = rows.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!((sum, reasons), (10, vec!["initial", "reserve", "expire"]));
}

#[tokio::test]
async fn what_is_committed_in_time_never_expires() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;
    shop.reserve_for("k", &[(id, 4)], 300).await.unwrap();
    assert_eq!(shop.commit("k").await, COMMITTED);
    shop.reserve_for("for ever", &[(id, 1)], 0).await.unwrap();
    sleep(Duration::from_millis(1200)).await;
    assert_eq!(
        (shop.commit("k").await, shop.units(id).await),
        (COMMITTED, 5)
    );
    assert_eq!(shop.commit("for ever").await, COMMITTED);
}

/// One reservation, committed at its expiry give or take 5 ms while sweeps go on: one end state,
/// and units that agree with it.
async fn at_expiry(shop: &Shop, id: i32, n: usize, lead: &AtomicI64) -> i32 {
    let key = format!("k{n}");
    let ttl = 150;
    let asked = Instant::now();
    assert!(
        shop.reserve_for(&key, &[(id, 1)], ttl)
            .await
            .unwrap()
            .reserved
    );
    // Around the expiry give or take 5 ms, and earlier as long as that comes too late: a busy
    // machine takes its time from the wish to the statement.
    let early = lead.load(Ordering::Relaxed) + 5 - i64::try_from(n % 11).unwrap();
    let wait = u64::try_from((ttl - early).clamp(0, 2 * ttl)).unwrap();
    sleep_until(asked + Duration::from_millis(wait)).await;
    let first = shop.commit(&key).await;
    assert!([COMMITTED, EXPIRED].contains(&first), "{first}");
    for _ in 0..2 {
        assert_eq!(shop.commit(&key).await, first, "decided once");
    }
    let step = if first == EXPIRED { 1 } else { -1 };
    lead.fetch_add(step, Ordering::Relaxed);
    first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_at_the_moment_of_expiry_has_one_end_state() {
    let shop = Arc::new(Shop::empty().await);
    let units = i64::try_from(cases()).unwrap();
    let id = shop.product("A", units).await;
    let lead = Arc::new(AtomicI64::new(0));
    let (mut sold, mut expired) = (0, 0);
    for batch in (0..cases()).collect::<Vec<_>>().chunks(8) {
        let mut commits = JoinSet::new();
        for n in batch.iter().copied() {
            let shop = Arc::clone(&shop);
            let lead = Arc::clone(&lead);
            commits.spawn(async move { at_expiry(&shop, id, n, &lead).await });
        }
        for end in commits.join_all().await {
            sold += i64::from(end == COMMITTED);
            expired += i64::from(end == EXPIRED);
        }
    }
    assert_eq!(sold + expired, units);
    assert!(
        sold > 0 && expired > 0,
        "{sold} sold, {expired} expired: no race was run"
    );
    let left = i32::try_from(units - sold).unwrap();
    until_units(&shop, id, left).await;
    assert_eq!(shop.ledger(id).await.0, units - sold);
}

#[tokio::test]
async fn a_committed_reservation_comes_back_once() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;
    shop.reserve("k", &[(id, 4)]).await.unwrap();
    shop.commit("k").await;
    for _ in 0..3 {
        assert_eq!(shop.give_back("k").await, RETURNED);
    }
    assert_eq!(
        (shop.commit("k").await, shop.release("k").await),
        (RETURNED, RETURNED)
    );
    assert_eq!((shop.units(id).await, shop.ledger(id).await.0), (10, 10));
    // One that is held is released; one that never was is kept out.
    shop.reserve("held", &[(id, 4)]).await.unwrap();
    assert_eq!(shop.give_back("held").await, RELEASED);
    assert_eq!(shop.give_back("never").await, RELEASED);
    assert!(!shop.reserve("never", &[(id, 1)]).await.unwrap().reserved);
    assert_eq!(shop.units(id).await, 10);
}

#[tokio::test]
async fn a_time_to_live_that_is_none_is_refused() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;
    for ttl in [-1, 86_400_001] {
        let refused = shop.reserve_for("k", &[(id, 1)], ttl).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

/// What each seeded defect does to the stock: the rules above do not hold then.
#[tokio::test]
async fn seeded_defects_break_the_stock() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;

    shop.defect("double_release").await;
    shop.reserve("twice", &[(id, 4)]).await.unwrap();
    shop.release("twice").await;
    shop.release("twice").await;
    assert_eq!((shop.units(id).await, shop.ledger(id).await.0), (14, 10));

    shop.defect("commit_after_expiry").await;
    shop.reserve_for("late", &[(id, 4)], 1).await.unwrap();
    until_units(&shop, id, 14).await;
    assert_eq!(shop.commit("late").await, COMMITTED);
    assert_eq!(shop.units(id).await, 14, "sold, and for sale");

    let id = shop.product("B", 1000).await;
    shop.defect("expiry_race").await;
    for n in 0..200 {
        let key = format!("race{n}");
        shop.reserve_for(&key, &[(id, 1)], 30).await.unwrap();
        let before = shop.units(id).await;
        let end = shop.commit(&key).await;
        sleep(Duration::from_millis(30)).await;
        if end == COMMITTED && shop.units(id).await > before {
            return;
        }
    }
    panic!("no race was lost in 200 tries; a sweep comes twice a second");
}

#[tokio::test]
async fn a_commit_says_held_of_nothing() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 1).await;
    shop.reserve_for("k", &[(id, 1)], 86_400_000).await.unwrap();
    assert_ne!(shop.commit("k").await, HELD);
}
