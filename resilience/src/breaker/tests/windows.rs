//! The window rules.

use super::*;

const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Half of the last ten, four at least; slow calls: three quarters.
fn count_window() -> BreakerConfig {
    BreakerConfig {
        rule: Rule::CountWindow {
            calls: 10,
            min_calls: 4,
            failure_rate: 0.5,
            slow_rate: 0.75,
            slow_after: SLOW_AFTER,
        },
        ..BreakerConfig::consecutive(1, RESET)
    }
}

fn time_window() -> BreakerConfig {
    BreakerConfig {
        rule: Rule::TimeWindow {
            window: S(20),
            min_calls: 4,
            failure_rate: 0.5,
            slow_rate: 0.75,
            slow_after: SLOW_AFTER,
        },
        ..BreakerConfig::consecutive(1, RESET)
    }
}

fn both() -> [Breaker; 2] {
    [count_window(), time_window()].map(Breaker::new)
}

const DOWN: Option<FailureKind> = Some(FailureKind::Unavailable);
const FAST: Duration = Duration::from_millis(1);

fn end(breaker: &Breaker, kind: Option<FailureKind>, took: Duration) -> Option<Transition> {
    breaker.try_acquire().unwrap().record_timed(kind, took)
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_the_share_is_reached_and_there_are_calls_enough() {
    for breaker in both() {
        assert_eq!(end(&breaker, DOWN, FAST), None);
        assert_eq!(end(&breaker, DOWN, FAST), None);
        assert_eq!(
            end(&breaker, DOWN, FAST),
            None,
            "three of three are too few"
        );
        assert_eq!(breaker.view().failure_rate, Some(1.0));
        let transition = end(&breaker, None, FAST).unwrap();
        assert_eq!(transition.to, BreakerState::Open, "even on a success");
        let view = breaker.view();
        assert_eq!(
            (view.calls, view.failure_rate),
            (4, Some(0.75)),
            "what opened it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn below_the_share_it_stays_closed() {
    for breaker in both() {
        for n in 0..10 {
            let kind = if n % 5 < 3 { None } else { DOWN };
            assert_eq!(end(&breaker, kind, FAST), None, "call {n}");
        }
        assert_eq!(breaker.view().failure_rate, Some(0.4));
    }
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_too_and_a_slow_failure_is_both() {
    for breaker in both() {
        assert_eq!(end(&breaker, None, SLOW_AFTER), None, "just in time");
        let slow = SLOW_AFTER + Duration::from_nanos(1);
        assert_eq!(end(&breaker, DOWN, slow), None);
        assert_eq!(end(&breaker, None, slow), None);
        let view = breaker.view();
        let third = Some(1.0 / 3.0);
        assert_eq!(
            (view.failure_rate, view.slow_rate),
            (third, Some(2.0 / 3.0))
        );
        let transition = end(&breaker, None, slow).unwrap();
        assert_eq!(transition.to, BreakerState::Open, "3 of 4 were slow");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_takes_the_time_since_it_was_admitted() {
    for breaker in both() {
        let permits = [(); 4].map(|()| breaker.try_acquire().unwrap());
        tokio::time::advance(SLOW_AFTER * 2).await;
        let transitions: Vec<_> = permits.into_iter().filter_map(Permit::success).collect();
        assert_eq!(transitions.len(), 1, "all four were slow");
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_window_forgets() {
    let breaker = Breaker::new(time_window());
    for _ in 0..3 {
        end(&breaker, DOWN, FAST);
    }
    tokio::time::advance(S(19)).await;
    assert_eq!(breaker.view().calls, 3);
    tokio::time::advance(S(1)).await;
    assert_eq!(breaker.view().calls, 0, "looking slides it");
    assert_eq!(end(&breaker, DOWN, FAST), None);
    assert_eq!(breaker.view().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_slow_trial_fails_where_slow_calls_count() {
    let slow = SLOW_AFTER * 2;
    for (slow_rate, expected) in [
        (1.0, BreakerState::Open),
        (1.01, BreakerState::Closed),
        (f64::NAN, BreakerState::Closed),
    ] {
        let mut config = count_window();
        if let Rule::CountWindow { slow_rate: of, .. } = &mut config.rule {
            *of = slow_rate;
        }
        let breaker = Breaker::new(config);
        for _ in 0..4 {
            end(&breaker, DOWN, FAST);
        }
        tokio::time::advance(RESET).await;
        let trial = breaker.try_acquire().unwrap();
        assert_eq!(breaker.view().calls, 0, "half-open, the window is empty");
        let transition = trial.record_timed(None, slow).unwrap();
        assert_eq!(transition.to, expected, "slow rate {slow_rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_starts_with_an_empty_window_once_closed() {
    for breaker in both() {
        for _ in 0..4 {
            end(&breaker, DOWN, FAST);
        }
        tokio::time::advance(RESET).await;
        let closed = end(&breaker, None, FAST).unwrap();
        assert_eq!(closed.to, BreakerState::Closed);
        assert_eq!(breaker.view(), FRESH);
        assert_eq!(end(&breaker, DOWN, FAST), None, "the old failures are gone");
    }
}

/// Nobody means these, but a figure out of range must neither panic nor shut the door for good.
#[tokio::test(start_paused = true)]
async fn senseless_figures_are_tolerated() {
    let rates = [f64::NAN, f64::INFINITY, 2.0];
    for rate in rates {
        for config in [
            BreakerConfig::count_window(0, rate, RESET),
            BreakerConfig::count_window(u32::MAX, rate, RESET),
            BreakerConfig::time_window(Duration::ZERO, rate, RESET),
            BreakerConfig::time_window(Duration::MAX, rate, RESET),
        ] {
            let breaker = Breaker::new(config);
            for _ in 0..200 {
                assert_eq!(
                    end(&breaker, DOWN, FAST),
                    None,
                    "{config:?} is never reached"
                );
            }
        }
    }
    for rate in [0.0, -1.0] {
        let breaker = Breaker::new(BreakerConfig::count_window(0, rate, RESET));
        assert_eq!(end(&breaker, None, FAST), None, "a success is no failure");
        assert!(end(&breaker, DOWN, FAST).is_some());
    }
    let mut config = count_window();
    if let Rule::CountWindow { min_calls, .. } = &mut config.rule {
        *min_calls = 1_000;
    }
    let breaker = Breaker::new(config);
    let opened = (0..10).filter_map(|_| end(&breaker, DOWN, FAST)).count();
    assert_eq!(opened, 1, "as many as the window holds are enough");
}
