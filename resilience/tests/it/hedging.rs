//! A second copy of a slow call, on a paused clock.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use crate::support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use resilience::budget::BudgetConfig;
use resilience::bulkhead::BulkheadConfig;
use resilience::hedge::HedgeConfig;
use resilience::{Attempt, Call, CallError, Outcome, Policy, Reason, Slot};
use support::{Failure, MS, Recorder, Seen, UNAVAILABLE, call, plain, slot, without_retry};
use tokio::time::{Instant, sleep};

fn hedging() -> Policy {
    Policy {
        attempt_timeout: None,
        breaker: None,
        hedge: Some(HedgeConfig::Fixed { delay: MS(20) }),
        ..without_retry(plain())
    }
}

/// Answers with its number after `times[number - 1]` ms; a negative time is a failure after it.
async fn timed(slot: &Slot, call: Call<'_>, times: &[i64]) -> Result<u32, CallError<Failure>> {
    slot.call(call, |Attempt { number, .. }| {
        let time = times[number as usize - 1];
        async move {
            sleep(MS(time.unsigned_abs())).await;
            if time < 0 {
                Err(UNAVAILABLE)
            } else {
                Ok(number)
            }
        }
    })
    .await
}

fn numbers(recorder: &Recorder, want: impl Fn(&Seen) -> bool) -> usize {
    recorder.take().iter().filter(|seen| want(seen)).count()
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_gets_a_second_copy_and_the_first_answer_wins() {
    let (slot, recorder) = slot(hedging());
    let started = Instant::now();
    assert_eq!(timed(&slot, call("r"), &[500, 10]).await.unwrap(), 2);
    assert_eq!(started.elapsed(), MS(30), "20 ms of delay and 10 of work");
    let seen = recorder.take();
    assert!(
        seen.contains(&Seen::Hedge {
            number: 2,
            after: MS(20)
        }),
        "{seen:?}"
    );
    assert!(seen.contains(&Seen::HedgeWon(2)), "{seen:?}");
    let cancelled = seen
        .iter()
        .filter(|s| {
            matches!(
                s,
                Seen::Attempt {
                    number: 1,
                    cancelled: true,
                    ..
                }
            )
        })
        .count();
    assert_eq!(cancelled, 1, "the loser is cancelled: {seen:?}");
    let ended = Seen::Call {
        outcome: Outcome::Ok,
        attempts: 2,
        took: MS(30),
    };
    assert_eq!(seen.last(), Some(&ended));
}

#[tokio::test(start_paused = true)]
async fn a_quick_call_gets_none() {
    let (slot, recorder) = slot(hedging());
    assert_eq!(timed(&slot, call("r"), &[19]).await.unwrap(), 1);
    assert_eq!(numbers(&recorder, |s| matches!(s, Seen::Hedge { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_must_not_be_repeated_gets_none() {
    let (slot, recorder) = slot(hedging());
    let call = Call {
        idempotent: false,
        ..call("r")
    };
    assert_eq!(timed(&slot, call, &[300]).await.unwrap(), 1);
    assert_eq!(numbers(&recorder, |s| matches!(s, Seen::Hedge { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn when_one_copy_fails_the_other_is_waited_for() {
    let (slot, _) = slot(hedging());
    assert_eq!(timed(&slot, call("r"), &[-50, 100]).await.unwrap(), 2);
    assert_eq!(timed(&slot, call("r"), &[100, -10]).await.unwrap(), 1);
    let error = timed(&slot, call("r"), &[-50, -10]).await.unwrap_err();
    assert_eq!(error.attempts(), 2);
    assert!(matches!(error, CallError::Failed { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_delay_is_a_failure() {
    let (slot, recorder) = slot(hedging());
    timed(&slot, call("r"), &[-5]).await.unwrap_err();
    assert_eq!(numbers(&recorder, |s| matches!(s, Seen::Hedge { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_one_hedge_however_many_tries() {
    let policy = Policy {
        retry: plain().retry,
        ..hedging()
    };
    let (slot, recorder) = slot(policy);
    let error = timed(&slot, call("r"), &[-100, -100, -100, -100])
        .await
        .unwrap_err();
    assert_eq!(error.attempts(), 4, "three tries and one hedge");
    assert_eq!(numbers(&recorder, |s| matches!(s, Seen::Hedge { .. })), 1);
}

#[tokio::test(start_paused = true)]
async fn hedges_come_out_of_the_budget() {
    let policy = Policy {
        budget: Some(BudgetConfig::Bucket {
            capacity: 1.0,
            retry_cost: 1.0,
            timeout_cost: 1.0,
            deposit: 0.0,
            refund: false,
        }),
        ..hedging()
    };
    let (slot, recorder) = slot(policy);
    assert_eq!(timed(&slot, call("a"), &[500, 10]).await.unwrap(), 2);
    assert_eq!(timed(&slot, call("b"), &[500, 10]).await.unwrap(), 1);
    let refused = |s: &Seen| {
        matches!(
            s,
            Seen::Refused {
                reason: Reason::Budget,
                number: 2,
                ..
            }
        )
    };
    assert_eq!(numbers(&recorder, refused), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_does_not_queue_for_the_bulkhead() {
    let policy = Policy {
        bulkhead: Some(BulkheadConfig {
            max_concurrent: 1,
            max_waiting: 10,
            max_wait: MS(1_000),
        }),
        ..hedging()
    };
    let (slot, recorder) = slot(policy);
    let started = Instant::now();
    assert_eq!(timed(&slot, call("r"), &[100, 10]).await.unwrap(), 1);
    assert_eq!(started.elapsed(), MS(100));
    let refused = |s: &Seen| {
        matches!(
            s,
            Seen::Refused {
                reason: Reason::Bulkhead,
                ..
            }
        )
    };
    assert_eq!(numbers(&recorder, refused), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_drops_both_copies() {
    let (slot, recorder) = slot(hedging());
    let running = Arc::new(AtomicU32::new(0));
    struct Held(Arc<AtomicU32>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let op = |_| {
        running.fetch_add(1, Ordering::Relaxed);
        let held = Held(running.clone());
        async move {
            let _held = held;
            std::future::pending::<Result<(), Failure>>().await
        }
    };
    let dropped = tokio::time::timeout(MS(50), slot.call(call("r"), op)).await;
    assert!(dropped.is_err());
    assert_eq!(running.load(Ordering::Relaxed), 0);
    let cancelled = |s: &Seen| {
        matches!(
            s,
            Seen::Attempt {
                cancelled: true,
                ..
            }
        )
    };
    assert_eq!(numbers(&recorder, cancelled), 2);
}

#[tokio::test(start_paused = true)]
async fn a_percentile_waits_until_it_knows() {
    let policy = Policy {
        hedge: Some(HedgeConfig::Percentile {
            percentile: 0.95,
            min_samples: 50,
            floor: MS(1),
        }),
        ..hedging()
    };
    let (slot, recorder) = slot(policy);
    assert_eq!(timed(&slot, call("r"), &[400, 1]).await.unwrap(), 1);
    for _ in 0..200 {
        timed(&slot, call("r"), &[10]).await.unwrap();
    }
    recorder.take();
    let started = Instant::now();
    assert_eq!(timed(&slot, call("r"), &[400, 10]).await.unwrap(), 2);
    let took = started.elapsed();
    assert!(
        took >= MS(20) && took <= MS(25),
        "p95 is about 10 ms: {took:?}"
    );
}
