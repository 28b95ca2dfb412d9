//! Policies swapped while calls are in flight.

use crate::support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use resilience::breaker::BreakerState;
use resilience::{CallError, Event, Observer, Outcome, Slot, SlotName, preset};
use support::{
    Failure, MS, Recorder, Seen, UNAVAILABLE, call, plain, slot, with_breaker, without_retry,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

type Answer<T> = Result<T, CallError<Failure>>;

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_ends_under_the_policy_it_began_with() {
    let (slot, _) = slot(preset::fast());
    let old = slot.clone();
    let running = tokio::spawn(async move {
        let started = Instant::now();
        let op = |_| std::future::pending::<Result<(), Failure>>();
        (
            old.call(call("r"), op).await.unwrap_err().attempts(),
            started.elapsed(),
        )
    });
    sleep(MS(10)).await;
    slot.set(preset::none());
    assert_eq!(slot.policy().preset, "none");
    let (attempts, took) = running.await.unwrap();
    assert_eq!(attempts, 3, "fast has three attempts");
    assert!(took < MS(1_000), "and cuts each short: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_new_policy_starts_fresh_and_reset_does_too() {
    let (slot, recorder) = slot(with_breaker(without_retry(plain()), 1, MS(5_000)));
    for _ in 0..2 {
        let _: Answer<()> = slot.call(call("r"), |_| async { Err(UNAVAILABLE) }).await;
        assert_eq!(slot.breaker_state().unwrap().state, BreakerState::Open);
        recorder.take();
        slot.reset();
        assert_eq!(slot.breaker_state().unwrap().state, BreakerState::Closed);
        assert_eq!(recorder.take(), [Seen::Policy("fast".to_owned())]);
    }
    slot.set(preset::naive());
    assert_eq!(slot.breaker_state(), None);
    assert_eq!(recorder.take(), [Seen::Policy("naive".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_breaker_tells_no_transitions() {
    let (slot, recorder) = slot(with_breaker(without_retry(plain()), 1, MS(5_000)));
    let (go, gone) = oneshot::channel::<()>();
    let old = slot.clone();
    let running = tokio::spawn(async move {
        let mut gone = Some(gone);
        let op = move |_| {
            let gone = gone.take().unwrap();
            async move {
                gone.await.unwrap();
                Err::<(), _>(UNAVAILABLE)
            }
        };
        old.call(call("r"), op).await
    });
    sleep(MS(1)).await;
    slot.reset();
    go.send(()).unwrap();
    running.await.unwrap().unwrap_err();
    assert_eq!(slot.breaker_state().unwrap().state, BreakerState::Closed);
    let seen = recorder.take();
    assert!(
        seen.iter().all(|s| !matches!(s, Seen::Breaker(_))),
        "{seen:?}"
    );
    assert!(
        seen.iter()
            .any(|s| matches!(s, Seen::Attempt { ok: false, .. })),
        "{seen:?}"
    );
}

/// Real threads: swaps and calls truly overlap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_swaps_under_load_lose_no_call() {
    let (slot, recorder) = slot(preset::fast());
    let done = Arc::new(AtomicBool::new(false));
    let made = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (slot, done, made) = (slot.clone(), done.clone(), made.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let op = |_| async {
                        tokio::task::yield_now().await;
                        Ok::<_, Failure>(7)
                    };
                    assert_eq!(slot.call(call("r"), op).await, Ok(7));
                    made.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for swap in 0..1_000 {
        slot.set(preset::get(preset::names()[swap % preset::names().len()]).unwrap());
        // Each policy serves at least one call to its end before the next takes over.
        let before = made.load(Ordering::Relaxed);
        while made.load(Ordering::Relaxed) == before {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let seen = recorder.take();
    let count = |test: fn(&Seen) -> bool| seen.iter().filter(|s| test(s)).count();
    let made = made.load(Ordering::Relaxed);
    assert_eq!(
        count(|s| matches!(
            s,
            Seen::Call {
                outcome: Outcome::Ok,
                attempts: 1,
                ..
            }
        )),
        made
    );
    assert_eq!(count(|s| matches!(s, Seen::Call { .. })), made);
    assert_eq!(count(|s| matches!(s, Seen::Attempt { ok: true, .. })), made);
    assert_eq!(count(|s| matches!(s, Seen::Policy(_))), 1_000);
}

/// Hands the processor to another thread whenever it has told of an attempt, which is when a
/// recording out of order would slip in.
struct Yielding(Arc<Recorder>);

impl Observer for Yielding {
    fn on(&self, event: &Event<'_>) {
        self.0.on(event);
        if matches!(event, Event::Attempt { .. }) {
            std::thread::yield_now();
        }
    }
}

/// Threads again: observers must hear attempts in the order in which the breaker counted them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_shows_exactly_the_failures_that_opened_the_breaker() {
    for round in 0..100u32 {
        let recorder = Arc::new(Recorder::default());
        let policy = with_breaker(without_retry(plain()), 5, MS(60_000));
        let observer = Arc::new(Yielding(recorder.clone()));
        let slot = Slot::new(SlotName::new("l", "s", "d"), policy, observer, 1);
        let callers: Vec<_> = (0..4u32)
            .map(|caller| {
                let slot = slot.clone();
                tokio::spawn(async move {
                    for n in 0..10_000u32 {
                        let ok = (n.wrapping_mul(2_654_435_761) ^ caller ^ round) % 3 == 0;
                        let op = |_| async move {
                            tokio::task::yield_now().await;
                            if ok { Ok(()) } else { Err(UNAVAILABLE) }
                        };
                        if let Err(CallError::Rejected { .. }) = slot.call(call("r"), op).await {
                            return;
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let seen = recorder.take();
        let opened = seen
            .iter()
            .position(|s| matches!(s, Seen::Breaker(_)))
            .expect("it opens");
        let in_a_row = seen[..opened]
            .iter()
            .rev()
            .filter_map(|s| match s {
                Seen::Attempt { ok, .. } => Some(*ok),
                _ => None,
            })
            .take_while(|ok| !ok)
            .count();
        assert_eq!(in_a_row, 5, "round {round}");
    }
}
