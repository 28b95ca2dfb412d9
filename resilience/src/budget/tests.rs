use super::*;
use FailureKind::{Aborted, Caller, Cancelled, Exhausted, Internal, NotProcessed};
use FailureKind::{DataLoss, Timeout, Unavailable, Unknown};

fn a6() -> Budget {
    Budget::new(BudgetConfig::Throttle {
        max_tokens: 10.0,
        token_ratio: 0.1,
    })
}

fn aws(refund: bool) -> Budget {
    Budget::new(BudgetConfig::Bucket {
        capacity: 500.0,
        retry_cost: 5.0,
        timeout_cost: 10.0,
        deposit: 1.0,
        refund,
    })
}

fn finagle() -> Budget {
    Budget::new(BudgetConfig::Ratio {
        ratio: 0.2,
        ttl: Duration::from_secs(10),
        min_per_second: 0.1,
    })
}

fn envoy() -> Budget {
    Budget::new(BudgetConfig::Active { share: 0.2, min: 3 })
}

/// Extra attempts begun until the budget is spent.
fn begun(call: &BudgetCall) -> Vec<Extra> {
    std::iter::from_fn(|| call.reserve(None).map(Reservation::begin))
        .take(1_000)
        .collect()
}

/// The walk through gRFC A6's own figures: ten tokens, a tenth of one for a success.
#[tokio::test(start_paused = true)]
async fn throttling_stops_at_half_and_goes_on_above_it() {
    let budget = a6();
    let call = budget.call();
    for _ in 0..4 {
        call.record(Err(Unavailable), None);
    }
    assert_eq!(budget.left(), 6.0);
    assert!(call.reserve(Some(Unavailable)).is_some());
    call.record(Err(Timeout), None);
    assert_eq!(budget.left(), 5.0);
    assert!(call.reserve(Some(Timeout)).is_none(), "half is not enough");
    call.record(Ok(()), None);
    assert_eq!(budget.left(), 5.1);
    assert!(call.reserve(None).is_some());
    for _ in 0..100 {
        call.record(Ok(()), None);
    }
    assert_eq!(budget.left(), 10.0, "never more than the most");
}

#[tokio::test(start_paused = true)]
async fn only_retryable_failures_take_tokens_unless_the_server_says_never() {
    let tokens_after = |kind| {
        let budget = a6();
        budget.call().record(Err(kind), None);
        budget.left()
    };
    for kind in [NotProcessed, Unavailable, Timeout, Aborted, Exhausted] {
        assert_eq!(tokens_after(kind), 9.0, "{kind:?}");
    }
    for kind in [Internal, Unknown, DataLoss, Caller, Cancelled] {
        assert_eq!(tokens_after(kind), 10.0, "{kind:?}");
    }
    let budget = a6();
    budget.call().record_never(None);
    assert_eq!(budget.left(), 9.0);
}

#[tokio::test(start_paused = true)]
async fn a_ratio_grants_its_share_and_its_minimum_until_the_window_has_passed() {
    let budget = finagle();
    assert_eq!(budget.left(), 1.0, "a tenth a second for ten seconds");
    let calls: Vec<_> = (0..20).map(|_| budget.call()).collect();
    assert_eq!(budget.left(), 5.0);
    assert_eq!(begun(&calls[0]).len(), 5);
    assert_eq!(budget.left(), 0.0);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(budget.left(), 0.0, "all of it is in the window still");
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(budget.left(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_takes_more_after_a_time_out() {
    let budget = aws(true);
    let call = budget.call();
    let dear = call.reserve(Some(Timeout)).unwrap();
    assert_eq!(budget.left(), 98.0);
    let cheap = call.reserve(Some(Unavailable)).unwrap();
    assert_eq!(budget.left(), 97.0);
    drop((dear, cheap));
    assert_eq!(budget.left(), 100.0);
    assert_eq!(begun(&call).len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_refund_is_what_the_attempt_had_cost() {
    let budget = aws(true);
    let call = budget.call();
    let first = call.reserve(Some(Unavailable)).unwrap().begin();
    call.record(Err(Timeout), Some(first));
    let second = call.reserve(Some(Timeout)).unwrap().begin();
    assert_eq!(budget.left(), 97.0);
    call.record(Ok(()), Some(second));
    assert_eq!(budget.left(), 99.0, "the failed one is not given back");
}

#[tokio::test(start_paused = true)]
async fn with_refund_only_calls_without_extras_deposit() {
    let budget = aws(true);
    let spent = begun(&budget.call());
    assert_eq!((spent.len(), budget.left()), (100, 0.0));
    let call = budget.call();
    for _ in 0..5 {
        call.record(Ok(()), None);
    }
    assert_eq!(budget.left(), 1.0);
    let waiting = call.reserve(None).unwrap();
    drop(waiting);
    call.record(Ok(()), None);
    assert_eq!(budget.left(), 1.2, "a reservation is no extra attempt yet");
    let hedge = call.reserve(None).unwrap().begin();
    call.record(Ok(()), None);
    assert_eq!(budget.left(), 0.2, "the first won against its hedge");
    drop(hedge);
    assert_eq!(
        budget.left(),
        0.2,
        "a hedge that lost was sent all the same"
    );
}

#[tokio::test(start_paused = true)]
async fn without_refund_every_success_deposits() {
    let budget = aws(false);
    let call = budget.call();
    let extra = begun(&call).pop();
    call.record(Ok(()), extra);
    call.record(Ok(()), None);
    assert_eq!(budget.left(), 0.4);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_counts_from_the_reservation_to_the_end() {
    let budget = envoy();
    let mut calls: Vec<_> = (0..19).map(|_| budget.call()).collect();
    assert_eq!(budget.left(), 3.0, "the minimum");
    calls.push(budget.call());
    assert_eq!(budget.left(), 4.0, "a fifth of twenty");
    let waiting = calls[0].reserve(None).unwrap();
    let mut running = begun(&calls[1]);
    assert_eq!((running.len(), budget.left()), (3, 0.0));
    drop(waiting);
    assert_eq!(budget.left(), 1.0);
    calls[1].record(Err(Unavailable), running.pop());
    drop(running.pop());
    assert_eq!(budget.left(), 3.0);
    calls.clear();
    assert_eq!(budget.left(), 2.0, "one runs on without its call");
    drop(running);
    assert_eq!(budget.left(), 3.0);
}

#[test]
fn senseless_figures_grant_nothing_and_never_panic() {
    let nan = f64::NAN;
    let ttl = Duration::ZERO;
    for config in [
        BudgetConfig::Throttle {
            max_tokens: nan,
            token_ratio: -1.0,
        },
        BudgetConfig::Ratio {
            ratio: nan,
            ttl,
            min_per_second: f64::INFINITY,
        },
        BudgetConfig::Bucket {
            capacity: -1.0,
            retry_cost: 1.0,
            timeout_cost: nan,
            deposit: nan,
            refund: false,
        },
        BudgetConfig::Active {
            share: -0.5,
            min: 0,
        },
    ] {
        let budget = Budget::new(config);
        let call = budget.call();
        call.record(Ok(()), None);
        assert!(call.reserve(None).is_none(), "{config:?}");
        assert_eq!(budget.left(), 0.0, "{config:?}");
    }
}

#[test]
fn figures_without_bound_never_panic() {
    let (all, ttl) = (f64::INFINITY, Duration::MAX);
    for config in [
        BudgetConfig::Throttle {
            max_tokens: all,
            token_ratio: all,
        },
        BudgetConfig::Ratio {
            ratio: all,
            ttl,
            min_per_second: all,
        },
        BudgetConfig::Bucket {
            capacity: all,
            retry_cost: 0.0,
            timeout_cost: all,
            deposit: all,
            refund: true,
        },
        BudgetConfig::Active {
            share: all,
            min: u32::MAX,
        },
    ] {
        let budget = Budget::new(config);
        let call = budget.call();
        call.record(Ok(()), None);
        call.record(Err(Timeout), None);
        drop(call.reserve(Some(Timeout)));
        assert_eq!(begun(&call).len(), 1_000, "{config:?}");
        assert!(budget.left() > 0.0, "{config:?}");
    }
}

/// One number, no lock: two threads must not both take the last token.
#[test]
fn threads_share_a_bucket_to_the_last_token() {
    let budget = aws(false);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let call = budget.call();
            std::thread::spawn(move || begun(&call).len())
        })
        .collect();
    let granted: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!((granted, budget.left()), (100, 0.0));
}

#[test]
fn a_config_is_written_flat_with_its_kind() {
    let ratio = BudgetConfig::Ratio {
        ratio: 0.2,
        ttl: Duration::from_secs(10),
        min_per_second: 10.0,
    };
    assert_eq!(
        serde_json::to_value(ratio).unwrap(),
        serde_json::json!({"kind": "ratio", "ratio": 0.2, "ttl": "10s", "min_per_second": 10.0})
    );
}
