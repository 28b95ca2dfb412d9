//! A call's way through deadline, retry, breaker and attempt time-out.

use crate::support;

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;
use resilience::breaker::BreakerState;
use resilience::{
    Call, CallError, Deadline, FailureKind, Outcome, Policy, Pushback, Reason, preset,
};
use support::{
    Failure, MS, Seen, UNAVAILABLE, call, failure, plain, slot, with_breaker, without_retry,
};
use tokio::time::{Instant, sleep};

type Answer<T> = Result<T, CallError<Failure>>;

fn attempt(number: u32, failure: Option<FailureKind>) -> Seen {
    let status = if failure.is_some() { "TEST" } else { "OK" }.to_owned();
    Seen::Attempt {
        number,
        ok: failure.is_none(),
        status,
        failure,
        cancelled: false,
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_third_attempt_is_an_answer() {
    let (slot, recorder) = slot(plain());
    let answer: Answer<u32> = slot
        .call(call("r"), |a| async move {
            if a.number < 3 {
                Err(UNAVAILABLE)
            } else {
                Ok(a.number)
            }
        })
        .await;
    assert_eq!(answer, Ok(3));
    assert_eq!(
        recorder.take(),
        [
            Seen::Started(1),
            attempt(1, Some(FailureKind::Unavailable)),
            Seen::Wait {
                next: 2,
                wait: MS(50)
            },
            Seen::Started(2),
            attempt(2, Some(FailureKind::Unavailable)),
            Seen::Wait {
                next: 3,
                wait: MS(100)
            },
            Seen::Started(3),
            attempt(3, None),
            Seen::Call {
                outcome: Outcome::Ok,
                attempts: 3,
                took: MS(150)
            },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn spent_attempts_give_the_last_error() {
    let (slot, _) = slot(plain());
    let answer: Answer<()> = slot
        .call(call("r"), |a| async move {
            Err(failure(if a.number == 3 {
                FailureKind::Aborted
            } else {
                FailureKind::Unavailable
            }))
        })
        .await;
    assert_eq!(
        answer,
        Err(CallError::Failed {
            error: failure(FailureKind::Aborted),
            attempts: 3
        })
    );
}

#[tokio::test(start_paused = true)]
async fn naive_tries_three_times_at_once() {
    let (slot, recorder) = slot(preset::naive());
    let started = Instant::now();
    let answer: Answer<()> = slot.call(call("r"), |_| async { Err(UNAVAILABLE) }).await;
    assert_eq!(answer.unwrap_err().attempts(), 3);
    assert_eq!(started.elapsed(), Duration::ZERO);
    let waits = recorder
        .take()
        .into_iter()
        .filter(|s| matches!(s, Seen::Wait { wait, .. } if wait.is_zero()));
    assert_eq!(waits.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_idempotent_is_repeated_only_when_surely_not_processed() {
    for (kind, attempts) in [
        (FailureKind::Unavailable, 1),
        (FailureKind::Timeout, 1),
        (FailureKind::NotProcessed, 3),
    ] {
        let (slot, _) = slot(plain());
        let once = Call {
            idempotent: false,
            ..call("r")
        };
        let answer: Answer<()> = slot.call(once, |_| async move { Err(failure(kind)) }).await;
        assert_eq!(
            answer,
            Err(CallError::Failed {
                error: failure(kind),
                attempts
            })
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_kept_to_itself_holds_and_does_not_travel() {
    for (propagate_deadline, sent) in [(true, Some(MS(250))), (false, None)] {
        let policy = Policy {
            propagate_deadline,
            ..plain()
        };
        let (slot, _) = slot(policy);
        let limited = Call {
            deadline: Deadline::after(MS(800)),
            ..call("r")
        };
        let started = Instant::now();
        let seen = Cell::new(None);
        let answer: Answer<()> = slot
            .call(limited, |a| {
                if a.number == 1 {
                    seen.set(a.deadline.remaining());
                }
                std::future::pending()
            })
            .await;
        assert_eq!(seen.get(), sent);
        assert_eq!(answer, Err(CallError::TimedOut { attempts: 3 }));
        assert_eq!(started.elapsed(), MS(800), "{propagate_deadline}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_every_limit_off_a_call_lasts_as_long_as_its_answer() {
    let policy = Policy {
        deadline: None,
        ..preset::none()
    };
    let (slot, _) = slot(policy);
    let answer: Answer<Option<Duration>> = slot
        .call(call("r"), |a| async move {
            sleep(Duration::from_secs(3_600)).await;
            Ok(a.deadline.remaining())
        })
        .await;
    assert_eq!(answer, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_obey_comes_back_when_it_likes() {
    let busy = Failure {
        kind: FailureKind::Unavailable,
        pushback: Some(Pushback::Wait(Duration::from_secs(1))),
    };
    for (obey_pushback, attempts) in [(true, 1), (false, 3)] {
        let mut policy = preset::naive();
        policy.retry.as_mut().unwrap().obey_pushback = obey_pushback;
        let (slot, _) = slot(policy);
        let answer: Answer<()> = slot.call(call("r"), |_| async { Err(busy) }).await;
        assert_eq!(answer.unwrap_err().attempts(), attempts, "{obey_pushback}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_fault_ends_the_call() {
    let (slot, _) = slot(plain());
    let error = failure(FailureKind::Caller);
    let answer: Answer<()> = slot.call(call("r"), |_| async move { Err(error) }).await;
    assert_eq!(answer, Err(CallError::Failed { error, attempts: 1 }));
}

#[tokio::test(start_paused = true)]
async fn pushback_is_obeyed() {
    let pushed = |pushback| Failure {
        pushback: Some(pushback),
        ..UNAVAILABLE
    };
    let (slot, recorder) = slot(plain());
    let answer: Answer<()> = slot
        .call(call("r"), |_| async { Err(pushed(Pushback::Wait(MS(7)))) })
        .await;
    assert_eq!(answer.unwrap_err().attempts(), 3);
    assert_eq!(
        recorder.take()[2],
        Seen::Wait {
            next: 2,
            wait: MS(7)
        }
    );
    let answer: Answer<()> = slot
        .call(call("r"), |_| async { Err(pushed(Pushback::Never)) })
        .await;
    assert_eq!(answer.unwrap_err().attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_cut_short_and_repeated() {
    let (slot, recorder) = slot(plain());
    let started = Instant::now();
    let answer: Answer<()> = slot.call(call("r"), |_| std::future::pending()).await;
    assert_eq!(answer, Err(CallError::TimedOut { attempts: 3 }));
    assert_eq!(started.elapsed(), MS(3 * 250 + 50 + 100));
    let cut = Seen::Attempt {
        number: 1,
        ok: false,
        status: "DEADLINE_EXCEEDED".to_owned(),
        failure: Some(FailureKind::Timeout),
        cancelled: false,
    };
    assert_eq!(recorder.take()[1], cut);

    let once = Call {
        idempotent: false,
        ..call("r")
    };
    let answer: Answer<()> = slot.call(once, |_| std::future::pending()).await;
    assert_eq!(answer, Err(CallError::TimedOut { attempts: 1 }));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_an_attempt_short() {
    let (slot, _) = slot(preset::none());
    let started = Instant::now();
    let answer: Answer<()> = slot.call(call("r"), |_| std::future::pending()).await;
    assert_eq!(answer, Err(CallError::TimedOut { attempts: 1 }));
    assert_eq!(started.elapsed(), MS(1_000));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_deadline_counts_and_the_attempt_is_told() {
    for (callers, expected) in [(100, 100), (10_000, 250)] {
        let (slot, _) = slot(preset::fast());
        let limited = Call {
            deadline: Deadline::from_millis(callers),
            ..call("r")
        };
        let answer: Answer<u64> = slot
            .call(
                limited,
                |a| async move { Ok(a.deadline.to_millis().unwrap()) },
            )
            .await;
        assert_eq!(answer, Ok(expected));
    }
    let (slot, _) = slot(preset::none());
    let answer: Answer<u64> = slot
        .call(
            call("r"),
            |a| async move { Ok(a.deadline.to_millis().unwrap()) },
        )
        .await;
    assert_eq!(answer, Ok(1_000), "the policy's own");
}

#[tokio::test(start_paused = true)]
async fn an_expired_deadline_refuses_before_the_first_attempt() {
    let (slot, recorder) = slot(preset::fast());
    let late = Call {
        deadline: Deadline::after(Duration::ZERO),
        ..call("r")
    };
    let answer: Answer<()> = slot
        .call(late, |_| async { unreachable!("not to be tried") })
        .await;
    let reason = Reason::Deadline;
    let refused = CallError::Rejected {
        reason,
        retry_after: None,
        attempts: 0,
        last: None,
    };
    assert_eq!(answer, Err(refused));
    assert_eq!(
        recorder.take(),
        [
            Seen::Refused {
                number: 1,
                reason,
                retry_after: None
            },
            Seen::Call {
                outcome: Outcome::Rejected,
                attempts: 0,
                took: Duration::ZERO
            },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn no_wait_is_begun_that_would_end_after_the_deadline() {
    let (slot, recorder) = slot(plain());
    let started = Instant::now();
    let limited = Call {
        deadline: Deadline::from_millis(150),
        ..call("r")
    };
    let answer: Answer<()> = slot.call(limited, |_| async { Err(UNAVAILABLE) }).await;
    assert_eq!(
        answer,
        Err(CallError::Failed {
            error: UNAVAILABLE,
            attempts: 2
        })
    );
    assert_eq!(
        started.elapsed(),
        MS(50),
        "the second wait, 100 ms, would end at the deadline"
    );
    let last = Seen::Call {
        outcome: Outcome::Failed,
        attempts: 2,
        took: MS(50),
    };
    assert_eq!(recorder.take().last(), Some(&last));
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_at_the_deadline_is_the_servers_view_of_it() {
    for (after, kind) in [(249, FailureKind::Timeout), (100, FailureKind::Cancelled)] {
        let (slot, recorder) = slot(without_retry(preset::fast()));
        let _: Answer<()> = slot
            .call(call("r"), |_| async move {
                sleep(MS(after)).await;
                Err(failure(FailureKind::Cancelled))
            })
            .await;
        assert_eq!(recorder.take()[1], attempt(1, Some(kind)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_at_the_fifth_failed_attempt_in_a_row() {
    let (slot, recorder) = slot(plain());
    for request in ["a", "b"] {
        let _: Answer<()> = slot
            .call(call(request), |_| async { Err(UNAVAILABLE) })
            .await;
    }
    let seen = recorder.take();
    let is_failure = |s: &&Seen| matches!(s, Seen::Attempt { ok: false, .. });
    let opened = seen
        .iter()
        .position(|s| matches!(s, Seen::Breaker(_)))
        .unwrap();
    assert_eq!(seen[..opened].iter().filter(is_failure).count(), 5);
    assert_eq!(
        seen[opened - 1],
        attempt(2, Some(FailureKind::Unavailable)),
        "told just before"
    );
    let Seen::Breaker(transition) = &seen[opened] else {
        unreachable!()
    };
    assert_eq!(
        (transition.to, transition.failures_in_a_row),
        (BreakerState::Open, 5)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_middle_of_the_retries_ends_the_call_and_keeps_the_error() {
    let (slot, recorder) = slot(with_breaker(plain(), 2, MS(5_000)));
    let answer: Answer<()> = slot.call(call("r"), |_| async { Err(UNAVAILABLE) }).await;
    // Opened by the second attempt; the third comes 100 ms later.
    let retry_after = Some(MS(4_900));
    let reason = Reason::Breaker;
    assert_eq!(
        answer,
        Err(CallError::Rejected {
            reason,
            retry_after,
            attempts: 2,
            last: Some(UNAVAILABLE)
        })
    );
    let seen = recorder.take();
    assert_eq!(
        seen[seen.len() - 2],
        Seen::Refused {
            number: 3,
            reason,
            retry_after
        }
    );

    let started = Instant::now();
    let answer: Answer<()> = slot.call(call("r"), |_| async { unreachable!() }).await;
    assert_eq!(
        answer,
        Err(CallError::Rejected {
            reason,
            retry_after,
            attempts: 0,
            last: None
        })
    );
    assert_eq!(
        started.elapsed(),
        Duration::ZERO,
        "a refusal is never retried"
    );
}

#[tokio::test(start_paused = true)]
async fn reset_trial_and_closing() {
    let (slot, recorder) = slot(with_breaker(without_retry(plain()), 1, MS(5_000)));
    let _: Answer<()> = slot.call(call("r"), |_| async { Err(UNAVAILABLE) }).await;
    assert_eq!(slot.breaker_state().unwrap().state, BreakerState::Open);
    tokio::time::advance(MS(5_000)).await;
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
async fn what_counts_against_the_dependency() {
    for (kind, opens) in [
        (FailureKind::NotProcessed, true),
        (FailureKind::Timeout, true),
        (FailureKind::Internal, true),
        (FailureKind::Caller, false),
        (FailureKind::Cancelled, false),
        (FailureKind::Exhausted, false),
    ] {
        let (slot, _) = slot(with_breaker(without_retry(plain()), 1, MS(5_000)));
        let _: Answer<()> = slot
            .call(call("r"), |_| async move { Err(failure(kind)) })
            .await;
        let open = slot.breaker_state().unwrap().state == BreakerState::Open;
        assert_eq!(open, opens, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn success_by_caller_fault_resets_the_count_and_a_cancellation_does_not() {
    for (kind, left) in [(FailureKind::Caller, 0), (FailureKind::Cancelled, 1)] {
        let (slot, _) = slot(with_breaker(without_retry(plain()), 2, MS(5_000)));
        for kind in [FailureKind::Unavailable, kind] {
            let _: Answer<()> = slot
                .call(call("r"), |_| async move { Err(failure(kind)) })
                .await;
        }
        assert_eq!(
            slot.breaker_state().unwrap().failures_in_a_row,
            left,
            "{kind:?}"
        );
    }
}

/// How an operation behaves at each attempt: how long it takes, and whether it is answered.
fn behaviours() -> impl Strategy<Value = Vec<(u64, bool)>> {
    proptest::collection::vec((0u64..400, prop::bool::weighted(0.2)), 8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_happens_after_the_deadline(
        behaviours in behaviours(),
        deadline in 1u64..1_500,
        attempt_timeout in proptest::option::of(1u64..500),
        max_attempts in 1u32..8,
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut policy = Policy {
                attempt_timeout: attempt_timeout.map(MS),
                deadline: Some(MS(deadline)),
                breaker: None,
                ..preset::fast()
            };
            policy.retry.as_mut().unwrap().max_attempts = max_attempts;
            let name = resilience::SlotName::new("l", "s", "d");
            let recorder = std::sync::Arc::new(support::Recorder::default());
            let slot = resilience::Slot::new(name, policy, recorder.clone(), seed);
            let started = Instant::now();
            let tried = Cell::new(0);
            let answer: Answer<()> = slot.call(call("r"), |attempt| {
                assert!(started.elapsed() < MS(deadline), "an attempt after the deadline");
                tried.set(tried.get() + 1);
                let (takes, ok) = behaviours[attempt.number as usize - 1];
                async move {
                    sleep(MS(takes)).await;
                    if ok { Ok(()) } else { Err(UNAVAILABLE) }
                }
            }).await;
            // A timer fires within the millisecond after its time.
            assert!(started.elapsed() <= MS(deadline + 1), "late: {:?}", started.elapsed());
            assert!(tried.get() <= max_attempts);
            let attempts = answer.as_ref().map_or_else(CallError::attempts, |()| tried.get());
            assert_eq!(attempts, tried.get());
            let events = recorder.take();
            let started = events.iter().filter(|e| matches!(e, Seen::Started(_))).count();
            let ended = events.iter().filter(|e| matches!(e, Seen::Attempt { .. })).count();
            assert_eq!((started, ended), (tried.get() as usize, tried.get() as usize));
        });
    }
}
