//! The parts without a slot: each round a call of its own.
//!
//! `cargo run --release --example parts_alone`

use std::time::Duration;

use rand::SeedableRng as _;
use resilience::backoff::Jitter;
use resilience::breaker::{Breaker, BreakerConfig};
use resilience::budget::{Budget, BudgetConfig};
use resilience::bulkhead::{Bulkhead, BulkheadConfig};
use resilience::hedge;
use resilience::retry::{Retry, RetryConfig};
use resilience::{Classify, Deadline, FailureKind};
use tokio::time::sleep;

#[derive(Debug)]
struct Down;

impl Classify for Down {
    fn failure(&self) -> FailureKind {
        FailureKind::Unavailable
    }

    fn code(&self) -> &str {
        "UNAVAILABLE"
    }
}

async fn breaker() {
    let breaker = Breaker::new(BreakerConfig::consecutive(2, Duration::from_secs(5)));
    for n in 1..=3 {
        let answer = breaker.call(|| async { Err::<(), _>(Down) }).await;
        println!("breaker, call {n}: {answer:?}");
    }
}

async fn bulkhead() {
    let bulkhead = Bulkhead::new(BulkheadConfig {
        max_concurrent: 1,
        max_waiting: 0,
        max_wait: Duration::ZERO,
    });
    let place = bulkhead.acquire(Deadline::NONE).await;
    println!(
        "bulkhead, first: {}",
        if place.is_ok() { "in" } else { "full" }
    );
    let second = bulkhead.acquire(Deadline::NONE).await;
    println!(
        "bulkhead, second: {}",
        if second.is_ok() { "in" } else { "full" }
    );
    assert!(place.is_ok() && second.is_err());
}

async fn hedge() {
    let slow = |ms| async move {
        sleep(Duration::from_millis(ms)).await;
        Ok::<_, Down>(ms)
    };
    let (answer, _) = hedge::race(Duration::from_millis(20), slow(500), || slow(30)).await;
    println!("hedge: the copy that took {answer:?} ms won");
    assert!(matches!(answer, Ok(30)));
}

/// A retry loop of one's own: the waits, the rules and the budget are the crate's.
async fn retry_by_hand() {
    let config = RetryConfig {
        max_attempts: 10,
        base: Duration::from_millis(50),
        multiplier: 2.0,
        cap: Duration::from_secs(1),
        jitter: Jitter::Full,
        obey_pushback: true,
    };
    let budget = Budget::new(BudgetConfig::Bucket {
        capacity: 3.0,
        retry_cost: 1.0,
        timeout_cost: 1.0,
        deposit: 0.1,
        refund: false,
    });
    let call = budget.call();
    let rng = rand::rngs::Xoshiro256PlusPlus::seed_from_u64(1);
    let mut retry = Retry::new(&config, rng);
    let mut attempts = 0;
    let mut extra = None;
    loop {
        attempts += 1;
        let failure = Down.failure();
        call.record(Err(failure), extra.take());
        let Ok(wait) = retry.wait_after(attempts, failure, None, true, Deadline::NONE) else {
            break;
        };
        let Some(reserved) = call.reserve(Some(failure)) else {
            println!("retry by hand: the budget is spent after {attempts} attempts");
            break;
        };
        sleep(wait).await;
        extra = Some(reserved.begin());
    }
    assert_eq!(attempts, 4, "one attempt and three retries");
}

pub fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        breaker().await;
        bulkhead().await;
        hedge().await;
        retry_by_hand().await;
    });
}
