//! A call whose future is dropped releases what it held, counts as nothing, and says so.

use crate::support;

use std::time::Duration;

use resilience::breaker::BreakerState;
use resilience::{CallError, Outcome};
use support::{Failure, MS, Seen, UNAVAILABLE, call, plain, slot, with_breaker, without_retry};
use tokio::time::timeout;

type Answer<T> = Result<T, CallError<Failure>>;

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_an_attempt_is_told_as_cancelled() {
    let (slot, recorder) = slot(plain());
    let calling = slot.call(call("r"), |_| std::future::pending::<Result<(), Failure>>());
    assert!(timeout(MS(20), calling).await.is_err());
    assert_eq!(
        recorder.take(),
        [
            Seen::Started(1),
            Seen::Attempt {
                number: 1,
                ok: false,
                status: "CANCELLED".to_owned(),
                failure: None,
                cancelled: true
            },
            Seen::Call {
                outcome: Outcome::Cancelled,
                attempts: 1,
                took: MS(20)
            },
        ]
    );
    assert_eq!(slot.breaker_state().unwrap().failures_in_a_row, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_a_wait_has_no_attempt_to_cancel() {
    let (slot, recorder) = slot(plain());
    let calling = slot.call(call("r"), |_| async { Err::<(), _>(UNAVAILABLE) });
    assert!(timeout(MS(20), calling).await.is_err());
    let seen = recorder.take();
    assert!(
        seen.iter().all(|s| !matches!(
            s,
            Seen::Attempt {
                cancelled: true,
                ..
            }
        )),
        "{seen:?}"
    );
    let last = Seen::Call {
        outcome: Outcome::Cancelled,
        attempts: 1,
        took: MS(20),
    };
    assert_eq!(seen.last(), Some(&last));
}

#[tokio::test(start_paused = true)]
async fn a_call_never_polled_is_nothing() {
    let (slot, recorder) = slot(plain());
    drop(slot.call(call("r"), |_| async { Ok::<(), Failure>(()) }));
    assert_eq!(recorder.take(), []);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_trial_gives_its_place_to_the_next() {
    let (slot, recorder) = slot(with_breaker(without_retry(plain()), 1, MS(5_000)));
    let _: Answer<()> = slot.call(call("r"), |_| async { Err(UNAVAILABLE) }).await;
    tokio::time::advance(MS(5_000)).await;

    let trial = slot.call(call("trial"), |_| {
        std::future::pending::<Result<(), Failure>>()
    });
    let mut trial = Box::pin(trial);
    assert!(timeout(MS(1), &mut trial).await.is_err());
    let refused: Answer<()> = slot.call(call("r"), |_| async { Ok(()) }).await;
    assert!(
        matches!(
            refused,
            Err(CallError::Rejected {
                retry_after: None,
                ..
            })
        ),
        "{refused:?}"
    );
    drop(trial);

    assert_eq!(slot.breaker_state().unwrap().state, BreakerState::HalfOpen);
    let answer: Answer<()> = slot.call(call("r"), |_| async { Ok(()) }).await;
    assert_eq!(answer, Ok(()));
    let (closed, open, half) = (
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::HalfOpen,
    );
    assert_eq!(
        recorder.take_transitions(),
        [(closed, open), (open, half), (half, closed)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_panics_gives_its_place_back_too() {
    let (slot, _) = slot(with_breaker(without_retry(plain()), 1, MS(5_000)));
    let _: Answer<()> = slot.call(call("r"), |_| async { Err(UNAVAILABLE) }).await;
    tokio::time::advance(MS(5_000)).await;
    let panicking = slot.clone();
    let task = tokio::spawn(async move {
        let boom = |_| async { panic!("a bug in the operation") };
        let _: Answer<()> = panicking.call(call("r"), boom).await;
    });
    assert!(task.await.unwrap_err().is_panic());
    let answer: Answer<()> = slot.call(call("r"), |_| async { Ok(()) }).await;
    assert_eq!(answer, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn whatever_is_dropped_whenever_the_breaker_stays_usable() {
    let (slot, _) = slot(with_breaker(plain(), 3, MS(100)));
    // Each of these is dropped at another moment of its way: in an attempt, in a wait, in a trial.
    for ms in 1..2_000u64 {
        let op = |_| async {
            tokio::time::sleep(MS(7)).await;
            Err::<(), _>(UNAVAILABLE)
        };
        let _ = timeout(MS(ms % 97), slot.call(call("r"), op)).await;
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let answer: Answer<()> = slot.call(call("r"), |_| async { Ok(()) }).await;
    assert_eq!(answer, Ok(()));
    assert_eq!(slot.breaker_state().unwrap().state, BreakerState::Closed);
}
