use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::StatusCode;
use kit::ApiError;
use resilience::{PolicySpec, SlotName, breaker::BreakerState, observe::Fanout};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::domain::{Basket, Item, Reservation, Status};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Answers after a time, or not at all; counts what it was asked.
#[derive(Default)]
struct Fake {
    takes: Duration,
    fails: bool,
    asked: AtomicU32,
}

impl Fake {
    async fn work<T>(&self, answer: T) -> Result<T> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        sleep(self.takes).await;
        if self.fails {
            return Err(sqlx::Error::PoolTimedOut.into());
        }
        Ok(answer)
    }
}

#[async_trait]
impl OrderStore for Fake {
    async fn insert(&self, _: &NewOrder) -> Result<Order> {
        self.work(()).await?;
        Err(OrderError::NotFound)
    }
    async fn mark_committed(&self, _: &str) -> Result<()> {
        self.work(()).await
    }
    async fn unfinished(&self, _: i64) -> Result<Vec<String>> {
        self.work(Vec::new()).await
    }
    async fn change_status(&self, change: &Change) -> Result<Changed> {
        self.work(Changed::NotAllowed(change.to)).await
    }
    async fn find(&self, _: i64) -> Result<Option<Order>> {
        self.work(None).await
    }
    async fn find_by_key(&self, _: &str) -> Result<Option<Order>> {
        self.work(None).await
    }
    async fn count(&self, _: Filter) -> Result<i64> {
        self.work(0).await
    }
    async fn list(&self, _: Filter, _: i64, _: i64) -> Result<Vec<Order>> {
        self.work(Vec::new()).await
    }
}

fn guarded(fake: Fake, policy: Policy) -> (Arc<Fake>, Guarded) {
    let fake = Arc::new(fake);
    let name = SlotName::new(LINK, "order", DEPENDENCY);
    let slot = Slot::new(name, policy, Arc::new(Fanout::default()), 1);
    let store: Arc<dyn OrderStore> = Arc::<Fake>::clone(&fake);
    (fake, Guarded::new(store, slot))
}

fn policy(spec: Value) -> Policy {
    let spec: PolicySpec = serde_json::from_value(spec).unwrap();
    spec.resolve().unwrap()
}

fn order() -> NewOrder {
    let item = Item {
        id: 0,
        product_id: 1,
        product_name: "Thing".to_owned(),
        quantity: 1,
        price: kit::Cents(100),
    };
    NewOrder {
        order_key: "k".to_owned(),
        user_id: 7,
        contact: None,
        status: Status::Pending,
        reservation: Reservation::Held,
        basket: Basket::new(vec![item]).unwrap(),
        created_ms: 0,
    }
}

fn ctx() -> Ctx {
    Ctx::internal("r-1")
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_an_operation_takes_as_long_as_it_takes() {
    let slow = Fake {
        takes: Duration::from_secs(60),
        ..Fake::default()
    };
    let (_, store) = guarded(slow, no_policy());
    let begun = Instant::now();
    assert_eq!(store.of(&ctx()).count(Filter::default()).await.unwrap(), 0);
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_refuses_at_once_and_says_when_to_come_back() {
    let slow = Fake {
        takes: Duration::from_secs(1),
        ..Fake::default()
    };
    let bulkhead = json!({"max_concurrent": 2, "max_waiting": 0, "max_wait": "0s"});
    let spec = json!({"preset": "none", "deadline": "off", "bulkhead": bulkhead});
    let (fake, store) = guarded(slow, policy(spec));
    let begun = Instant::now();
    let ctx = ctx();
    let operations = store.of(&ctx);
    let (first, second, third) = tokio::join!(
        operations.find(1),
        operations.count(Filter::default()),
        async {
            let refused = operations.list(Filter::default(), 0, 20).await.unwrap_err();
            assert_eq!(begun.elapsed(), Duration::ZERO);
            refused
        }
    );
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(fake.asked.load(Ordering::SeqCst), 2);
    assert!(!third.may_have_happened());
    assert_eq!(third.outcome(), "refused");
    let answer = axum::response::IntoResponse::into_response(ApiError::from(third));
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
}

#[tokio::test(start_paused = true)]
async fn reads_are_repeated_and_writes_are_not() {
    for (write, asked) in [(false, 3), (true, 1)] {
        let broken = Fake {
            fails: true,
            ..Fake::default()
        };
        let (fake, store) = guarded(broken, policy(json!("naive")));
        let ctx = ctx();
        let error = if write {
            store.of(&ctx).insert(&order()).await.unwrap_err()
        } else {
            store.of(&ctx).find(1).await.unwrap_err()
        };
        assert!(matches!(error, OrderError::Database(_)), "{error}");
        assert_eq!(fake.asked.load(Ordering::SeqCst), asked, "write: {write}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_over_ends_its_reads_and_not_its_writes() {
    let slow = Fake {
        takes: MS(300),
        ..Fake::default()
    };
    let (_, store) = guarded(slow, no_policy());
    let ctx = || Ctx {
        deadline: Deadline::from_millis(100),
        ..Ctx::internal("r-1")
    };
    let read = store.of(&ctx()).find(1).await.unwrap_err();
    assert!(read.was_cut_short());
    store.of(&ctx()).mark_committed("k").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_a_time_out_cut_short_may_have_happened() {
    let slow = Fake {
        takes: MS(300),
        ..Fake::default()
    };
    let (_, store) = guarded(slow, policy(json!({"preset": "none", "deadline": "100ms"})));
    let error = store.of(&ctx()).insert(&order()).await.unwrap_err();
    assert!(error.may_have_happened() && error.was_cut_short());
}

#[tokio::test(start_paused = true)]
async fn the_breaker_counts_the_database_and_not_its_answers() {
    let broken = Fake {
        fails: true,
        ..Fake::default()
    };
    let (_, store) = guarded(broken, policy(json!({"preset": "fast", "retry": "off"})));
    let ctx = ctx();
    for _ in 0..5 {
        assert!(store.of(&ctx).find(1).await.is_err());
    }
    let state = store.slot.breaker_state().unwrap().state;
    assert_eq!(state, BreakerState::Open);
    assert_eq!(OrderError::NotFound.failure(), FailureKind::Caller);
}
