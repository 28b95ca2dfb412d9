//! States held by hand.

use super::*;

fn ends(transition: Option<Transition>) -> Option<(BreakerState, BreakerState)> {
    transition.map(|t| (t.from, t.to))
}

const CLOSED_OPEN: Option<(BreakerState, BreakerState)> =
    Some((BreakerState::Closed, BreakerState::Open));
const OPEN_CLOSED: Option<(BreakerState, BreakerState)> =
    Some((BreakerState::Open, BreakerState::Closed));

#[tokio::test(start_paused = true)]
async fn forced_open_refuses_until_it_is_let_go() {
    let breaker = breaker(1, 1);
    fail(&breaker);
    let transition = breaker.force(Some(Forced::Open), None);
    assert_eq!(ends(transition), CLOSED_OPEN);
    assert_eq!(transition.unwrap().retry_after, None);
    tokio::time::advance(RESET * 100).await;
    let refused = breaker.try_acquire().unwrap_err();
    assert_eq!(refused, Refused { retry_after: None });
    let view = BreakerView {
        state: BreakerState::Open,
        forced: Some(Forced::Open),
        ..FRESH
    };
    assert_eq!(breaker.view(), view);
    assert_eq!(ends(breaker.force(None, None)), OPEN_CLOSED);
    assert_eq!(breaker.view(), FRESH);
    assert_eq!(
        breaker.force(None, None),
        None,
        "there is nothing to let go"
    );
}

#[tokio::test(start_paused = true)]
async fn a_force_lapses_by_itself_and_the_next_call_tells_it() {
    let breaker = breaker(1, 1);
    let until = Instant::now() + S(60);
    let transition = breaker.force(Some(Forced::Open), Some(until)).unwrap();
    assert_eq!(transition.retry_after, Some(S(60)));
    tokio::time::advance(S(20)).await;
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after, Some(S(40)));
    assert_eq!(breaker.view().retry_after, Some(S(40)));
    tokio::time::advance(S(40)).await;
    assert_eq!(breaker.view(), FRESH, "shown at once");
    let permit = breaker.try_acquire().unwrap();
    assert_eq!(permit.admitted(), BreakerState::Closed);
    assert_eq!(
        ends(permit.transition()),
        OPEN_CLOSED,
        "told by the next call"
    );
    assert_eq!(
        breaker.try_acquire().unwrap().transition(),
        None,
        "and once"
    );
}

#[tokio::test(start_paused = true)]
async fn forced_closed_counts_but_never_opens() {
    let breaker = Breaker::new(BreakerConfig::count_window(4, 0.5, RESET));
    let until = Instant::now() + S(60);
    assert_eq!(breaker.force(Some(Forced::Closed), Some(until)), None);
    for _ in 0..9 {
        assert_eq!(fail(&breaker), None);
    }
    let view = breaker.view();
    assert_eq!(
        (view.state, view.forced),
        (BreakerState::Closed, Some(Forced::Closed))
    );
    assert_eq!((view.calls, view.failure_rate), (4, Some(1.0)));
    assert_eq!(view.failures_in_a_row, 9);
    let late = breaker.try_acquire().unwrap();
    tokio::time::advance(S(60)).await;
    assert_eq!(breaker.view(), FRESH, "and starts afresh after it");
    assert_eq!(breaker.try_acquire().unwrap().transition(), None);
    assert_eq!(late.failure(), None);
    assert_eq!(
        breaker.view(),
        FRESH,
        "what began under the force is not counted after it"
    );
}

#[tokio::test(start_paused = true)]
async fn disabled_counts_nothing() {
    let breaker = Breaker::new(BreakerConfig::count_window(4, 0.5, RESET));
    breaker.force(Some(Forced::Disabled), None);
    for _ in 0..9 {
        assert_eq!(fail(&breaker), None);
    }
    let view = BreakerView {
        forced: Some(Forced::Disabled),
        ..FRESH
    };
    assert_eq!(breaker.view(), view);
}

#[tokio::test(start_paused = true)]
async fn forcing_ends_what_was_and_voids_what_began_before() {
    let breaker = breaker(1, 1);
    let trial = half_open(&breaker).await;
    let transition = breaker.force(Some(Forced::Disabled), None);
    let half_to_closed = (BreakerState::HalfOpen, BreakerState::Closed);
    assert_eq!(ends(transition), Some(half_to_closed));
    assert_eq!(trial.failure(), None);
    let transition = breaker.force(Some(Forced::Open), None);
    assert_eq!(ends(transition), CLOSED_OPEN, "one force after the other");
    let until = Some(Instant::now() + S(1));
    assert_eq!(
        breaker.force(Some(Forced::Open), until),
        None,
        "open it was"
    );
    assert_eq!(breaker.view().retry_after, Some(S(1)));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_over_lets_go() {
    let breaker = breaker(1, 1);
    let now = Some(Instant::now());
    assert_eq!(breaker.force(Some(Forced::Open), now), None);
    assert_eq!(breaker.view(), FRESH);
    breaker.force(Some(Forced::Open), None);
    assert_eq!(ends(breaker.force(Some(Forced::Closed), now)), OPEN_CLOSED);
    assert_eq!(breaker.view(), FRESH);
}

#[test]
fn names_are_the_serialised_ones() {
    for forced in [Forced::Open, Forced::Closed, Forced::Disabled] {
        assert_eq!(serde_json::to_value(forced).unwrap(), forced.as_str());
    }
}
