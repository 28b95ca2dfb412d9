mod calls;
mod detection;
mod forced;
mod windows;

use std::time::Duration;

use super::*;

const RESET: Duration = Duration::from_secs(5);

const S: fn(u64) -> Duration = Duration::from_secs;

/// What a breaker shows that knows nothing yet.
const FRESH: BreakerView = BreakerView {
    state: BreakerState::Closed,
    failures_in_a_row: 0,
    retry_after: None,
    forced: None,
    calls: 0,
    failure_rate: None,
    slow_rate: None,
};

fn breaker(trials: u32, successes: u32) -> Breaker {
    Breaker::new(BreakerConfig {
        trials,
        successes,
        ..BreakerConfig::consecutive(3, RESET)
    })
}

fn fail(breaker: &Breaker) -> Option<Transition> {
    breaker.try_acquire().unwrap().failure()
}

fn opened(breaker: &Breaker) {
    while breaker.view().state == BreakerState::Closed {
        fail(breaker);
    }
}

async fn half_open(breaker: &Breaker) -> Permit {
    opened(breaker);
    tokio::time::advance(RESET).await;
    breaker.try_acquire().unwrap()
}

#[tokio::test(start_paused = true)]
async fn opens_at_the_last_of_the_failures_in_a_row() {
    let breaker = breaker(1, 1);
    assert_eq!(fail(&breaker), None);
    assert_eq!(fail(&breaker), None);
    assert_eq!(
        breaker.try_acquire().unwrap().success(),
        None,
        "a success starts the count again"
    );
    assert_eq!(fail(&breaker), None);
    assert_eq!(fail(&breaker), None);
    let transition = fail(&breaker).unwrap();
    assert_eq!(
        transition,
        Transition {
            from: BreakerState::Closed,
            to: BreakerState::Open,
            failures_in_a_row: 3,
            retry_after: Some(RESET),
        }
    );
}

#[tokio::test(start_paused = true)]
async fn open_refuses_with_the_time_left() {
    let breaker = breaker(1, 1);
    opened(&breaker);
    tokio::time::advance(Duration::from_secs(2)).await;
    let left = Some(Duration::from_secs(3));
    assert_eq!(
        breaker.try_acquire().unwrap_err(),
        Refused { retry_after: left }
    );
    let view = BreakerView {
        state: BreakerState::Open,
        failures_in_a_row: 3,
        retry_after: left,
        ..FRESH
    };
    assert_eq!(breaker.view(), view);
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(
        breaker.view().retry_after,
        Some(Duration::ZERO),
        "a trial is due"
    );
    assert_eq!(
        breaker.view().state,
        BreakerState::Open,
        "looking changes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_trial_turns_it_half_open_and_its_success_closes() {
    let breaker = breaker(1, 1);
    let trial = half_open(&breaker).await;
    let transition = trial.transition().unwrap();
    assert_eq!(
        (transition.from, transition.to),
        (BreakerState::Open, BreakerState::HalfOpen)
    );
    assert_eq!(trial.admitted(), BreakerState::HalfOpen);
    assert_eq!(
        breaker.try_acquire().unwrap_err(),
        Refused { retry_after: None }
    );
    let closed = trial.success().unwrap();
    assert_eq!(
        (closed.from, closed.to),
        (BreakerState::HalfOpen, BreakerState::Closed)
    );
    assert_eq!(closed.failures_in_a_row, 0);
    let next = breaker.try_acquire().unwrap();
    assert_eq!(
        (next.admitted(), next.transition()),
        (BreakerState::Closed, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_trial_opens_again_for_the_whole_time() {
    let breaker = breaker(1, 1);
    let trial = half_open(&breaker).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let transition = trial.failure().unwrap();
    assert_eq!(
        (transition.from, transition.to),
        (BreakerState::HalfOpen, BreakerState::Open)
    );
    assert_eq!(transition.failures_in_a_row, 4);
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after, Some(RESET));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_trial_gives_its_place_back_and_counts_as_nothing() {
    let breaker = breaker(1, 1);
    let trial = half_open(&breaker).await;
    assert!(breaker.try_acquire().is_err());
    drop(trial);
    assert_eq!(breaker.view().state, BreakerState::HalfOpen);
    assert_eq!(breaker.view().failures_in_a_row, 3);
    let again = breaker.try_acquire().unwrap();
    assert_eq!(again.transition(), None, "it is half-open already");
    assert_eq!(again.success().unwrap().to, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn trials_are_limited_at_once_and_successes_add_up() {
    let breaker = breaker(2, 3);
    let first = half_open(&breaker).await;
    let second = breaker.try_acquire().unwrap();
    assert!(breaker.try_acquire().is_err());
    assert_eq!(first.success(), None);
    assert_eq!(second.success(), None);
    let third = breaker.try_acquire().unwrap();
    assert_eq!(third.success().unwrap().to, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_began_before_a_transition_does_not_count_after_it() {
    let breaker = breaker(1, 1);
    let [late_success, late_failure, later] = [(); 3].map(|()| breaker.try_acquire().unwrap());
    opened(&breaker);
    assert_eq!(
        late_success.success(),
        None,
        "an old success does not close an open breaker"
    );
    assert_eq!(breaker.view().state, BreakerState::Open);
    tokio::time::advance(RESET).await;
    let trial = breaker.try_acquire().unwrap();
    assert_eq!(
        late_failure.failure(),
        None,
        "an old failure does not fail the trial"
    );
    drop(later);
    assert!(
        breaker.try_acquire().is_err(),
        "nor does an old permit free the trial's place"
    );
    assert_eq!(trial.success().unwrap().to, BreakerState::Closed);
    assert_eq!(breaker.view().failures_in_a_row, 0);
}

#[tokio::test(start_paused = true)]
async fn counts_of_zero_are_one() {
    let breaker = Breaker::new(BreakerConfig {
        trials: 0,
        successes: 0,
        ..BreakerConfig::consecutive(0, RESET)
    });
    assert_eq!(breaker.view().state, BreakerState::Closed);
    let trial = half_open(&breaker).await;
    assert_eq!(trial.success().unwrap().to, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_state() {
    let breaker = breaker(1, 1);
    opened(&breaker.clone());
    assert!(breaker.try_acquire().is_err());
}

#[tokio::test(start_paused = true)]
async fn each_reopening_in_a_row_takes_longer_and_closing_forgets_them() {
    let breaker = Breaker::new(BreakerConfig {
        growth: 2.0,
        max_reset: S(15),
        ..BreakerConfig::consecutive(3, RESET)
    });
    for _ in 0..2 {
        opened(&breaker);
        assert_eq!(breaker.view().retry_after, Some(RESET));
        for (wait, grown) in [(5, 10), (10, 15), (15, 15)] {
            tokio::time::advance(S(wait) - Duration::from_millis(1)).await;
            assert!(breaker.try_acquire().is_err(), "open for {wait} s");
            tokio::time::advance(Duration::from_millis(1)).await;
            let transition = breaker.try_acquire().unwrap().failure().unwrap();
            assert_eq!(transition.retry_after, Some(S(grown)));
        }
        tokio::time::advance(S(15)).await;
        let closed = breaker.try_acquire().unwrap().success().unwrap();
        assert_eq!(closed.to, BreakerState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_beyond_the_clock_stays_open() {
    let breaker = Breaker::new(BreakerConfig::consecutive(1, Duration::MAX));
    assert_eq!(fail(&breaker).unwrap().retry_after, Some(Duration::MAX));
    tokio::time::advance(S(1_000_000)).await;
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after, None);
}

#[tokio::test(start_paused = true)]
async fn it_counts_the_failures_it_is_told_to() {
    let config = BreakerConfig {
        counts: [FailureKind::Exhausted].into_iter().collect(),
        ..BreakerConfig::consecutive(2, RESET)
    };
    let breaker = Breaker::new(config);
    let end = |kind| {
        let permit = breaker.try_acquire().unwrap();
        let transition = permit.record_timed(kind, Duration::ZERO);
        (breaker.view().failures_in_a_row, transition.map(|t| t.to))
    };
    assert_eq!(end(Some(FailureKind::Exhausted)), (1, None));
    assert_eq!(end(Some(FailureKind::Cancelled)), (1, None), "nothing");
    assert_eq!(end(Some(FailureKind::Unavailable)), (0, None), "a success");
    assert_eq!(end(Some(FailureKind::Exhausted)), (1, None));
    assert_eq!(end(None), (0, None));
    assert_eq!(end(Some(FailureKind::Exhausted)), (1, None));
    let opened = end(Some(FailureKind::Exhausted));
    assert_eq!(opened, (2, Some(BreakerState::Open)));
}

#[test]
fn breakers_and_permits_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Breaker>();
    crosses::<Permit>();
}

#[tokio::test(start_paused = true)]
async fn it_shows_itself() {
    let breaker = breaker(1, 1);
    let permit = breaker.try_acquire().unwrap();
    let (breaker, permit) = (format!("{breaker:?}"), format!("{permit:?}"));
    assert!(
        breaker.starts_with("Breaker(BreakerView { state: Closed"),
        "{breaker}"
    );
    assert!(permit.starts_with("Permit { admitted: Closed"), "{permit}");
}
