//! The policies as tower layers.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use crate::support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use resilience::breaker::{Breaker, BreakerConfig};
use resilience::bulkhead::{Bulkhead, BulkheadConfig};
use resilience::observe::Fanout;
use resilience::priority::Priority;
use resilience::server::{ServerSlot, preset as doors};
use resilience::throttle::{Throttle, ThrottleConfig};
use resilience::tower::{Described, DoorLayer, GateError, GateLayer, SlotLayer};
use resilience::{CallError, Deadline, Reason, SlotName};
use support::{Failure, MS, UNAVAILABLE, plain, slot};
use tokio::time::{sleep, timeout};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};

fn describe(request: &u32) -> Described {
    Described {
        method: "GET".into(),
        request_id: format!("r-{request}"),
        idempotent: true,
        deadline: Deadline::NONE,
        priority: Priority::default(),
    }
}

async fn echo(request: u32) -> Result<u32, Failure> {
    sleep(MS(10)).await;
    if request == 0 {
        Err(UNAVAILABLE)
    } else {
        Ok(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_refuses_after_failures_and_counts_no_cancelled_call() {
    let breaker = Breaker::new(BreakerConfig::consecutive(2, MS(5_000)));
    let service = GateLayer::new(breaker.clone()).layer(service_fn(echo));
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 7);
    assert!(timeout(MS(5), service.clone().oneshot(0)).await.is_err());
    assert_eq!(breaker.view().failures_in_a_row, 0, "it was dropped");
    for _ in 0..2 {
        let failed = service.clone().oneshot(0).await;
        assert_eq!(failed, Err(GateError::Failed(UNAVAILABLE)));
    }
    let refused = service.oneshot(7).await.unwrap_err();
    let expected = GateError::Refused {
        reason: Reason::Breaker,
        retry_after: Some(MS(5_000)),
    };
    assert_eq!(refused, expected);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_further_in_is_no_failure_to_a_breaker() {
    let breaker = Breaker::new(BreakerConfig::consecutive(1, MS(5_000)));
    let full = Bulkhead::new(BulkheadConfig {
        max_concurrent: 1,
        max_waiting: 0,
        max_wait: MS(0),
    });
    let service = ServiceBuilder::new()
        .layer(GateLayer::new(breaker.clone()))
        .layer(GateLayer::new(full.clone()))
        .service(service_fn(echo));
    let _held = full.acquire(Deadline::NONE).await.unwrap();
    let refused = service.clone().oneshot(1).await.unwrap_err();
    assert!(matches!(
        refused,
        GateError::Failed(GateError::Refused {
            reason: Reason::Bulkhead,
            ..
        })
    ));
    assert_eq!(breaker.view().failures_in_a_row, 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_sheds_what_nobody_accepts() {
    let throttle = Throttle::new(ThrottleConfig {
        k: 2.0,
        window: MS(120_000),
    });
    let service = GateLayer::throttle(throttle, 3).layer(service_fn(echo));
    let mut reached = 0;
    for _ in 0..300 {
        let answer = service.clone().oneshot(0).await;
        reached += u32::from(answer == Err(GateError::Failed(UNAVAILABLE)));
    }
    assert!((1..30).contains(&reached), "{reached} reached it");
}

#[tokio::test(start_paused = true)]
async fn a_slot_retries_requests_that_can_be_cloned() {
    let tries = Arc::new(AtomicU32::new(0));
    let (slot, _) = slot(plain());
    let seen = tries.clone();
    let flaky = service_fn(move |request: u32| {
        let number = seen.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            if number < 3 {
                Err(UNAVAILABLE)
            } else {
                Ok(request)
            }
        }
    });
    let service = SlotLayer::new(slot, describe).layer(flaky);
    assert_eq!(service.clone().oneshot(5).await.unwrap(), 5);
    assert_eq!(tries.load(Ordering::Relaxed), 3);
    let (slot, _) = support::slot(plain());
    let dead = SlotLayer::new(slot, describe).layer(service_fn(echo));
    let error = dead.oneshot(0).await.unwrap_err();
    assert!(
        matches!(error, CallError::Failed { attempts: 3, .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_door_turns_away_with_the_answer_it_was_given() {
    let mut policy = doors::fixed();
    policy.limit = Some(resilience::limit::LimitConfig::Fixed { max: 1 });
    policy.queue = None;
    let name = SlotName::new("product.server", "product", "server");
    let door = ServerSlot::new(name, policy, Arc::new(Fanout::default()));
    let refuse = |_| Ok::<_, Failure>(503);
    let service = DoorLayer::new(door.clone(), describe, refuse).layer(service_fn(echo));
    let first = tokio::spawn(service.clone().oneshot(7));
    sleep(MS(1)).await;
    assert_eq!(service.clone().oneshot(8).await.unwrap(), 503);
    assert_eq!(first.await.unwrap().unwrap(), 7);
    assert_eq!(service.oneshot(8).await.unwrap(), 8, "its place came back");
    assert_eq!(door.view().inflight, 0);
}
