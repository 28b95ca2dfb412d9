//! The wrapper round one call.

use std::cell::Cell;
use std::future::pending;

use super::*;
use crate::failure::Classify;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is {0:?}")]
struct Fault(FailureKind);

impl Classify for Fault {
    fn failure(&self) -> FailureKind {
        self.0
    }

    fn code(&self) -> &str {
        self.0.as_str()
    }
}

async fn answer(
    breaker: &Breaker,
    answer: Result<u8, FailureKind>,
) -> Result<u8, BreakerError<Fault>> {
    breaker.call(|| async move { answer.map_err(Fault) }).await
}

#[tokio::test(start_paused = true)]
async fn answers_and_errors_pass_through_and_count() {
    let breaker = breaker(1, 1);
    assert_eq!(answer(&breaker, Ok(7)).await, Ok(7));
    for kind in [FailureKind::Unavailable, FailureKind::Caller] {
        let error = answer(&breaker, Err(kind)).await.unwrap_err();
        assert_eq!(error, BreakerError::Failed(Fault(kind)));
        assert_eq!(error.to_string(), format!("it is {kind:?}"));
    }
    assert_eq!(
        breaker.view().failures_in_a_row,
        0,
        "the caller's fault is a success"
    );
    for _ in 0..3 {
        answer(&breaker, Err(FailureKind::Timeout))
            .await
            .unwrap_err();
    }
    assert_eq!(breaker.view().state, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_not_even_begun() {
    let breaker = breaker(1, 1);
    opened(&breaker);
    let begun = Cell::new(false);
    let refused = breaker
        .call(|| {
            begun.set(true);
            async { Ok::<_, Fault>(()) }
        })
        .await
        .unwrap_err();
    let retry_after = Some(RESET);
    assert_eq!(refused, BreakerError::Refused(Refused { retry_after }));
    assert!(!begun.get());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_frees_its_trial() {
    let breaker = breaker(1, 1);
    drop(half_open(&breaker).await);
    let hanging = breaker.call(pending::<Result<(), Fault>>);
    let cut_short = tokio::time::timeout(S(1), hanging).await;
    assert!(cut_short.is_err());
    assert_eq!(breaker.view().state, BreakerState::HalfOpen);
    assert_eq!(answer(&breaker, Ok(1)).await, Ok(1), "the place is free");
    assert_eq!(breaker.view().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_the_time_it_takes() {
    let slow = Rule::CountWindow {
        calls: 1,
        min_calls: 1,
        failure_rate: 2.0,
        slow_rate: 1.0,
        slow_after: S(1),
    };
    let breaker = Breaker::new(BreakerConfig {
        rule: slow,
        ..BreakerConfig::consecutive(1, RESET)
    });
    let call = breaker.call(|| async {
        tokio::time::sleep(S(2)).await;
        Ok::<_, Fault>(())
    });
    assert_eq!(call.await, Ok(()));
    assert_eq!(breaker.view().state, BreakerState::Open);
}
