//! A server's door from outside: waiting, leaving, cancelling, swapping, telling.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use crate::server_kit;

use resilience::server::{Arrival, End, ServerView, ShedReason, preset};
use resilience::{Deadline, Priority};
use serde_json::json;
use server_kit::{MS, Seen, arrival, policy, slot};
use tokio::time::{Instant, timeout};

fn one_slot() -> serde_json::Value {
    json!({"preset": "static", "limit": {"max": 1}, "queue": {"max_waiting": 2}})
}

fn view(limit: u32, inflight: u32, waiting: u32) -> ServerView {
    ServerView {
        limit: Some(limit),
        inflight,
        waiting,
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gets_the_slot_that_becomes_free() {
    let (door, seen) = slot(one_slot());
    let first = door.admit(arrival("a")).await.unwrap();
    let mut second = Box::pin(door.admit(arrival("b")));
    assert!(timeout(MS(30), &mut second).await.is_err());
    assert_eq!(door.view(), view(1, 1, 1));
    first.finish(End::Ok);
    assert_eq!(door.view(), view(1, 1, 0), "handed over, not let go");
    let second = second.await.unwrap();
    assert_eq!(door.view(), view(1, 1, 0));
    second.finish(End::Ok);
    assert_eq!(door.view(), view(1, 0, 0));
    let admitted = |request: &str, waited| Seen::Admitted {
        request: request.to_owned(),
        waited,
        inflight: 1,
        limit: Some(1),
    };
    let finished = |request: &str, took| Seen::Finished {
        request: request.to_owned(),
        took,
        wasted: false,
        inflight: 0,
        limit: Some(1),
    };
    assert_eq!(
        seen.take(),
        [
            admitted("a", MS(0)),
            finished("a", MS(30)),
            admitted("b", MS(30)),
            finished("b", MS(0)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_long_enough_is_refused_at_that_moment() {
    let (door, seen) = slot(one_slot());
    let _first = door.admit(arrival("a")).await.unwrap();
    let start = Instant::now();
    let shed = door.admit(arrival("b")).await.unwrap_err();
    assert_eq!((shed.reason, start.elapsed()), (ShedReason::Wait, MS(100)));
    let hurried = Arrival {
        deadline: Deadline::from_millis(40),
        ..arrival("c")
    };
    let start = Instant::now();
    let shed = door.admit(hurried).await.unwrap_err();
    assert_eq!(
        (shed.reason, start.elapsed()),
        (ShedReason::Deadline, MS(40))
    );
    let shed = door.admit(hurried).await.unwrap_err();
    assert_eq!(shed.reason, ShedReason::Deadline, "expired before it came");
    assert_eq!(door.view(), view(1, 1, 0));
    let reasons: Vec<_> = seen.take().into_iter().skip(1).collect();
    let expected = [
        ("b", ShedReason::Wait),
        ("c", ShedReason::Deadline),
        ("c", ShedReason::Deadline),
    ];
    let expected = expected.map(|(request, reason)| Seen::Shed(request.to_owned(), reason, MS(10)));
    assert_eq!(reasons, expected);
}

#[tokio::test(start_paused = true)]
async fn who_is_cancelled_leaves_at_once() {
    let (door, seen) = slot(one_slot());
    let first = door.admit(arrival("a")).await.unwrap();
    let mut waiters = [arrival("b"), arrival("c")].map(|arrival| Box::pin(door.admit(arrival)));
    for waiter in &mut waiters {
        assert!(timeout(MS(1), waiter).await.is_err());
    }
    let full = door.admit(arrival("d")).await.unwrap_err();
    assert_eq!(full.reason, ShedReason::Full);
    let [b, c] = waiters;
    drop(b);
    assert_eq!(door.view(), view(1, 1, 1), "room in the queue again");
    first.finish(End::Ok);
    c.await.unwrap().finish(End::Ok);
    assert_eq!(door.view(), view(1, 0, 0));
    assert!(
        !seen
            .take()
            .iter()
            .any(|seen| matches!(seen, Seen::Shed(request, ..) if request == "b")),
        "cancelling is no refusal"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slot_given_to_one_who_has_gone_goes_to_the_next() {
    let (door, seen) = slot(one_slot());
    let first = door.admit(arrival("a")).await.unwrap();
    let mut gone = Box::pin(door.admit(arrival("b")));
    let mut next = Box::pin(door.admit(arrival("c")));
    assert!(timeout(MS(1), &mut gone).await.is_err());
    assert!(timeout(MS(1), &mut next).await.is_err());
    first.finish(End::Ok);
    assert_eq!(door.view(), view(1, 1, 1), "given, not yet taken");
    drop(gone);
    assert_eq!(door.view(), view(1, 1, 0));
    next.await.unwrap().finish(End::Ok);
    assert_eq!(door.view(), view(1, 0, 0));
    let names: Vec<_> = seen
        .take()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Admitted { request, .. } => Some(request),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["a", "c"], "what was never taken was never admitted");
}

#[tokio::test(start_paused = true)]
async fn a_slot_taken_after_the_deadline_goes_to_the_next() {
    let (door, _seen) = slot(one_slot());
    let first = door.admit(arrival("a")).await.unwrap();
    let hurried = Arrival {
        deadline: Deadline::from_millis(40),
        ..arrival("b")
    };
    let mut slow = Box::pin(door.admit(hurried));
    assert!(timeout(MS(1), &mut slow).await.is_err());
    tokio::time::advance(MS(30)).await;
    first.finish(End::Ok);
    // He is in time, but his task doesn't get to run.
    tokio::time::advance(MS(20)).await;
    assert_eq!(slow.await.unwrap_err().reason, ShedReason::Deadline);
    assert_eq!(door.view(), view(1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_displaced_is_refused_at_once() {
    let (door, _seen) = slot(json!({
        "preset": "static", "limit": {"max": 1}, "queue": {"max_waiting": 1},
    }));
    let first = door.admit(arrival("a")).await.unwrap();
    let sheddable = Arrival {
        priority: Priority::Sheddable,
        ..arrival("b")
    };
    let mut displaced = Box::pin(door.admit(sheddable));
    assert!(timeout(MS(1), &mut displaced).await.is_err());
    let mut critical = Box::pin(door.admit(arrival("c")));
    assert!(timeout(MS(1), &mut critical).await.is_err());
    let start = Instant::now();
    assert_eq!(displaced.await.unwrap_err().reason, ShedReason::Priority);
    assert_eq!(start.elapsed(), MS(0));
    first.finish(End::Ok);
    assert!(critical.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_swap_moves_nobody_and_starts_afresh() {
    let (door, seen) = slot(one_slot());
    let old = door.admit(arrival("a")).await.unwrap();
    let mut waiter = Box::pin(door.admit(arrival("b")));
    assert!(timeout(MS(1), &mut waiter).await.is_err());
    seen.take();
    door.set(preset::gradient2());
    assert_eq!(
        seen.take(),
        [Seen::Policy("gradient2".to_owned(), Some(20))]
    );
    assert_eq!(door.policy(), preset::gradient2());
    assert_eq!(door.view(), view(20, 0, 0), "with fresh state");
    let new = door.admit(arrival("c")).await.unwrap();
    assert!(
        timeout(MS(1), &mut waiter).await.is_err(),
        "he waits for the old slot"
    );
    old.finish(End::Ok);
    let waiter = waiter.await.unwrap();
    waiter.finish(End::Ok);
    assert_eq!(door.view(), view(20, 1, 0));
    let limits: Vec<_> = seen
        .take()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Finished { limit, .. } | Seen::Admitted { limit, .. } => Some(limit),
            _ => None,
        })
        .collect();
    assert_eq!(
        limits,
        [Some(20); 4],
        "the slot's limit is the new one, whoever ends"
    );
    door.reset();
    assert_eq!(
        seen.take(),
        [Seen::Policy("gradient2".to_owned(), Some(20))]
    );
    assert_eq!(door.view(), view(20, 0, 0));
    drop(new);
    assert_eq!(door.view(), view(20, 0, 0), "it was the old door's");
}

#[tokio::test(start_paused = true)]
async fn work_for_nobody_is_wasted() {
    let (door, seen) = slot(json!("unlimited"));
    let hurried = || Arrival {
        deadline: Deadline::from_millis(50),
        ..arrival("r")
    };
    let (gone, late, ok) = (
        door.admit(hurried()).await.unwrap(),
        door.admit(hurried()).await.unwrap(),
        door.admit(hurried()).await.unwrap(),
    );
    assert_eq!(
        door.view(),
        ServerView {
            limit: None,
            inflight: 3,
            waiting: 0
        }
    );
    tokio::time::advance(MS(20)).await;
    drop(gone);
    ok.finish(End::Ok);
    tokio::time::advance(MS(30)).await;
    late.finish(End::Ok);
    let ends: Vec<_> = seen
        .take()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Finished { took, wasted, .. } => Some((took, wasted)),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [(MS(20), true), (MS(20), false), (MS(50), true)]);
}

/// The limit after one admission that ends like `end` makes it.
async fn limit_after(deadline: Deadline, end: impl FnOnce(resilience::server::Admission)) -> u32 {
    let (door, _seen) = slot(json!({
        "preset": "aimd", "limit": {"initial": 10, "min": 1, "window": "0s", "slow_after": "1m"},
    }));
    let arrival = Arrival {
        deadline,
        ..arrival("r")
    };
    let others = [
        door.admit(server_kit::arrival("o")).await,
        door.admit(server_kit::arrival("o")).await,
        door.admit(server_kit::arrival("o")).await,
        door.admit(server_kit::arrival("o")).await,
    ];
    let admission = door.admit(arrival).await.unwrap();
    tokio::time::advance(MS(50)).await;
    end(admission);
    let limit = door.view().limit.unwrap();
    drop(others);
    limit
}

#[tokio::test(start_paused = true)]
async fn what_the_limit_learns_from_an_end() {
    let finish = |end| move |admission: resilience::server::Admission| admission.finish(end);
    assert_eq!(limit_after(Deadline::NONE, finish(End::Ok)).await, 11);
    assert_eq!(
        limit_after(Deadline::NONE, finish(End::Overloaded)).await,
        9
    );
    assert_eq!(limit_after(Deadline::NONE, finish(End::Ignore)).await, 10);
    assert_eq!(
        limit_after(Deadline::NONE, drop).await,
        10,
        "a user who went"
    );
    let left = |millis| limit_after(Deadline::from_millis(millis), drop);
    assert_eq!(left(100).await, 10, "the loser of a hedge");
    assert_eq!(left(50).await, 9, "its time was up");
    assert_eq!(left(52).await, 9, "as good as up");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_swaps_under_load_lose_no_admission() {
    let (door, seen) = slot(one_slot());
    let mut tasks = Vec::new();
    for round in 0..1_000 {
        let door = door.clone();
        let name = preset::names()[round % preset::names().len()];
        door.set(policy(json!(name)));
        tasks.push(tokio::spawn(async move {
            let admission = door.admit(arrival("r")).await.unwrap();
            tokio::time::sleep(MS(7)).await;
            admission.finish(End::Ok);
        }));
        if round % 3 == 0 {
            tokio::time::sleep(MS(1)).await;
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let seen = seen.take();
    let count = |f: fn(&Seen) -> bool| seen.iter().filter(|seen| f(seen)).count();
    assert_eq!(count(|seen| matches!(seen, Seen::Admitted { .. })), 1_000);
    assert_eq!(
        count(|seen| matches!(seen, Seen::Finished { wasted: false, .. })),
        1_000
    );
    assert_eq!(door.view().inflight, 0);
}

/// Real threads, so the order is a new one each time; what is asserted holds in any.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_never_exceed_the_limit_and_lose_no_slot() {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    static INFLIGHT: AtomicU32 = AtomicU32::new(0);
    static PEAK: AtomicU32 = AtomicU32::new(0);
    let (door, _seen) = slot(json!({
        "preset": "static", "limit": {"max": 3},
        "queue": {"max_waiting": 4, "max_wait": "1m"},
    }));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let door = door.clone();
            tokio::spawn(async move {
                for round in 0..1_000 {
                    let impatience = async {
                        for _ in 0..(task + round) % 5 {
                            tokio::task::yield_now().await;
                        }
                    };
                    let admitted = tokio::select! {
                        admitted = door.admit(arrival("r")) => admitted,
                        () = impatience, if round % 2 == 0 => continue,
                    };
                    let Ok(admission) = admitted else { continue };
                    PEAK.fetch_max(INFLIGHT.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::task::yield_now().await;
                    INFLIGHT.fetch_sub(1, SeqCst);
                    admission.finish(End::Ok);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!((1..=3).contains(&PEAK.load(SeqCst)), "{PEAK:?}");
    assert_eq!(door.view(), view(3, 0, 0));
    assert!(door.admit(arrival("r")).await.is_ok());
}
