//! Budget, throttle, bulkhead, fallback, splits, forced states and the order of the breaker, as
//! layers of a call.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use crate::support;

use resilience::breaker::{BreakerState, Forced};
use resilience::budget::BudgetConfig;
use resilience::bulkhead::BulkheadConfig;
use resilience::policy::BreakerAround;
use resilience::throttle::ThrottleConfig;
use resilience::{Call, CallError, Deadline, Outcome, Policy, Pushback, Reason, Slot, preset};
use support::{
    Failure, MS, Recorder, Seen, UNAVAILABLE, call, plain, slot, with_breaker, without_retry,
};
use tokio::time::{Instant, advance, sleep, timeout};

async fn fails(slot: &Slot, id: &str) -> CallError<Failure> {
    let op = |_| async { Err::<(), _>(UNAVAILABLE) };
    slot.call(call(id), op).await.unwrap_err()
}

async fn works(slot: &Slot, id: &str) -> bool {
    let op = |_| async { Ok::<_, Failure>(()) };
    slot.call(call(id), op).await.is_ok()
}

fn refusals(recorder: &Recorder, of: Reason) -> usize {
    let seen = recorder.take();
    let refused = |s: &&Seen| matches!(s, Seen::Refused { reason, .. } if *reason == of);
    seen.iter().filter(refused).count()
}

fn with_budget(budget: BudgetConfig) -> Policy {
    Policy {
        breaker: None,
        budget: Some(budget),
        ..plain()
    }
}

fn bucket(capacity: f64) -> BudgetConfig {
    BudgetConfig::Bucket {
        capacity,
        retry_cost: 1.0,
        timeout_cost: 1.0,
        deposit: 0.0,
        refund: false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_ends_the_call_with_the_dependencys_answer() {
    let (slot, recorder) = slot(with_budget(bucket(3.0)));
    assert_eq!(fails(&slot, "a").await.attempts(), 3);
    let error = fails(&slot, "b").await;
    assert_eq!(error.attempts(), 2, "one token was left");
    assert!(matches!(error, CallError::Failed { .. }), "{error:?}");
    assert_eq!(refusals(&recorder, Reason::Budget), 1);
    assert_eq!(slot.alternatives()[0].budget_left, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_gives_its_token_back() {
    let (slot, _) = slot(with_budget(bucket(1.0)));
    let running = slot.call(call("r"), |_| async { Err::<(), _>(UNAVAILABLE) });
    assert!(timeout(MS(10), running).await.is_err(), "its wait is 50 ms");
    assert_eq!(slot.alternatives()[0].budget_left, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a6_stops_retries_at_half_of_the_tokens() {
    let policy = Policy {
        retry: plain().retry,
        ..preset::grpc_a6()
    };
    let (slot, _) = slot(policy);
    let mut attempts = 0;
    for i in 0..20 {
        attempts += fails(&slot, &format!("r-{i}")).await.attempts();
    }
    // 10 tokens; a failure takes one and a retry needs more than 5: the first call has its four
    // attempts, the second's failure leaves 5.
    assert_eq!(attempts, 4 + 19);
}

#[tokio::test(start_paused = true)]
async fn a_pushback_of_never_costs_a_token() {
    let never = Failure {
        pushback: Some(Pushback::Never),
        ..UNAVAILABLE
    };
    let (slot, _) = slot(preset::grpc_a6());
    for _ in 0..3 {
        let op = |_| async { Err::<(), _>(never) };
        assert_eq!(slot.call(call("r"), op).await.unwrap_err().attempts(), 1);
    }
    assert_eq!(slot.alternatives()[0].budget_left, Some(7.0));
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_refuses_and_a_short_queue_waits() {
    let policy = Policy {
        breaker: None,
        bulkhead: Some(BulkheadConfig {
            max_concurrent: 1,
            max_waiting: 1,
            max_wait: MS(100),
        }),
        ..without_retry(plain())
    };
    let (slot, recorder) = slot(policy);
    let busy = |ms| {
        let slot = slot.clone();
        tokio::spawn(async move {
            let op = |_| async move {
                sleep(MS(ms)).await;
                Ok::<_, Failure>(())
            };
            slot.call(call("r"), op).await
        })
    };
    let first = busy(50);
    sleep(MS(1)).await;
    let second = busy(10);
    sleep(MS(1)).await;
    let started = Instant::now();
    let third = busy(10).await.unwrap().unwrap_err();
    assert!(matches!(
        third,
        CallError::Rejected {
            reason: Reason::Bulkhead,
            attempts: 0,
            ..
        }
    ));
    assert!(started.elapsed() <= MS(1), "at once");
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(refusals(&recorder, Reason::Bulkhead), 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_ends_with_the_deadline() {
    let policy = Policy {
        breaker: None,
        attempt_timeout: None,
        bulkhead: Some(BulkheadConfig {
            max_concurrent: 1,
            max_waiting: 1,
            max_wait: MS(10_000),
        }),
        ..without_retry(plain())
    };
    let (slot, recorder) = slot(policy);
    let held = slot.clone();
    let holder = tokio::spawn(async move {
        let op = |_| std::future::pending::<Result<(), Failure>>();
        held.call(call("a"), op).await
    });
    sleep(MS(1)).await;
    let late = Call {
        deadline: Deadline::from_millis(50),
        ..call("b")
    };
    let started = Instant::now();
    let error = slot
        .call(late, |_| async { Ok::<_, Failure>(()) })
        .await
        .unwrap_err();
    assert!(started.elapsed() <= MS(52), "{:?}", started.elapsed());
    assert!(matches!(error, CallError::Rejected { .. }), "{error:?}");
    assert_eq!(refusals(&recorder, Reason::Deadline), 1);
    holder.abort();
}

#[tokio::test(start_paused = true)]
async fn the_throttle_sheds_what_the_backend_would_refuse() {
    let policy = Policy {
        breaker: None,
        throttle: Some(ThrottleConfig {
            k: 2.0,
            window: MS(120_000),
        }),
        ..without_retry(plain())
    };
    let (slot, recorder) = slot(policy);
    for i in 0..500 {
        fails(&slot, &format!("r-{i}")).await;
    }
    let shed = refusals(&recorder, Reason::Shed);
    // Nothing is ever accepted, so p = n/(n + 1): only about the harmonic number of 500 calls, 7,
    // gets through.
    assert!((480..500).contains(&shed), "{shed} shed");
    for i in 0..500 {
        works(&slot, &format!("w-{i}")).await;
    }
    recorder.take();
    advance(MS(130_000)).await;
    let mut through = 0;
    for i in 0..100 {
        through += u32::from(works(&slot, &format!("x-{i}")).await);
    }
    assert_eq!(through, 100, "the window has passed");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_makes_the_call_degraded() {
    let (slot, recorder) = slot(without_retry(plain()));
    let answer = slot
        .call_or_else(
            call("r"),
            |_| async { Err::<&str, _>(UNAVAILABLE) },
            |error| async move {
                assert!(matches!(error, CallError::Failed { .. }));
                Ok("from the cache")
            },
        )
        .await;
    assert_eq!(answer.unwrap(), "from the cache");
    let outcome = |recorder: &Recorder| match recorder.take().pop() {
        Some(Seen::Call { outcome, .. }) => outcome,
        other => panic!("{other:?}"),
    };
    assert_eq!(outcome(&recorder), Outcome::Degraded);
    let none = slot
        .call_or_else(
            call("r"),
            |_| async { Err::<&str, _>(UNAVAILABLE) },
            |error| async { Err(error) },
        )
        .await;
    assert!(none.is_err());
    assert_eq!(outcome(&recorder), Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_around_calls_counts_calls() {
    let policy = |around| Policy {
        breaker_around: around,
        ..with_breaker(plain(), 2, MS(5_000))
    };
    let (inside, _) = slot(policy(BreakerAround::Attempt));
    assert!(matches!(
        fails(&inside, "a").await,
        CallError::Rejected { attempts: 2, .. }
    ));
    let (outside, recorder) = slot(policy(BreakerAround::Call));
    assert_eq!(fails(&outside, "a").await.attempts(), 3);
    assert_eq!(outside.breaker_state().unwrap().state, BreakerState::Closed);
    assert_eq!(fails(&outside, "b").await.attempts(), 3);
    assert_eq!(outside.breaker_state().unwrap().state, BreakerState::Open);
    assert_eq!(fails(&outside, "c").await.attempts(), 0);
    assert_eq!(refusals(&recorder, Reason::Breaker), 1);
    advance(MS(5_000)).await;
    assert!(works(&outside, "d").await);
    assert_eq!(outside.breaker_state().unwrap().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_split_shares_requests_and_keeps_state_apart() {
    let (slot, recorder) = slot(preset::none());
    slot.set_split(vec![
        (1, with_breaker(without_retry(plain()), 1, MS(60_000))),
        (1, preset::none()),
    ]);
    let told: Vec<_> = recorder.take();
    assert_eq!(
        told,
        [
            Seen::Policy("fast".to_owned()),
            Seen::Policy("none".to_owned())
        ]
    );
    let mut refused = 0;
    for i in 0..200 {
        refused += u32::from(fails(&slot, &format!("r-{i}")).await.attempts() == 0);
    }
    assert!(
        (70..130).contains(&refused),
        "half meets the open breaker: {refused}"
    );
    let views = slot.alternatives();
    assert_eq!(views.len(), 2);
    assert_eq!(views[0].breaker.unwrap().state, BreakerState::Open);
    assert_eq!(views[1].breaker, None);
    slot.reset();
    assert_eq!(slot.alternatives().len(), 2, "a reset keeps the split");
    assert_eq!(
        slot.alternatives()[0].breaker.unwrap().state,
        BreakerState::Closed
    );
    slot.set_split(Vec::new());
    assert_eq!(slot.alternatives().len(), 2, "nothing is no policy");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_can_be_forced_and_lets_go_by_itself() {
    let (slot, recorder) = slot(without_retry(plain()));
    assert!(slot.force(Some(Forced::Open), Some(Instant::now() + MS(15_000))));
    let told = recorder.take_transitions();
    assert_eq!(told, [(BreakerState::Closed, BreakerState::Open)]);
    assert!(!works(&slot, "a").await);
    advance(MS(15_000)).await;
    assert!(works(&slot, "b").await, "the lease has run out");
    assert!(slot.force(Some(Forced::Closed), None));
    for i in 0..20 {
        assert_eq!(fails(&slot, &format!("r-{i}")).await.attempts(), 1);
    }
    assert!(slot.force(None, None));
    for i in 0..5 {
        assert_eq!(fails(&slot, &format!("s-{i}")).await.attempts(), 1);
    }
    assert_eq!(
        fails(&slot, "t").await.attempts(),
        0,
        "open by its own rule"
    );
    slot.set(preset::none());
    assert!(
        !slot.force(Some(Forced::Open), None),
        "there is none to force"
    );
}
