//! Arrivals keep their times whatever the target does, and the generator owns up when it can't.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers may panic as the test itself may"
)]

use crate::common;

use std::time::Duration;

use common::{Shop, drain, plan};
use loadtest::{Effect, GENERATOR_FULL, LoadTarget, Outcome, Record, STOPPED, clock, run};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn soon() -> u64 {
    clock::now_ns() + 50_000_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_answers_nothing_delays_no_arrival() {
    let shop = Shop::hanging().await;
    let (sink, records) = mpsc::channel(1_000);
    let (target, start) = (shop.target(), soon());
    let plan = plan("browse", 300, 1);
    let running =
        tokio::spawn(
            async move { run(&plan, target, sink, start, CancellationToken::new()).await },
        );
    // A closed loop of any size below 300 would wait here for ever: nothing has been answered yet.
    shop.arrived(300).await;
    assert!(!running.is_finished());
    let released = clock::now_ns();
    shop.gate.add_permits(300);
    let stats = running.await.unwrap().unwrap();
    let records = drain(records).await;

    assert_eq!(
        (stats.planned, stats.sent, stats.completed),
        (300, 300, 300)
    );
    assert_eq!(
        (
            stats.generator_full,
            stats.dropped_records,
            stats.in_flight_max
        ),
        (0, 0, 300)
    );
    assert_eq!((stats.lateness.len(), stats.stopped), (300, false));
    assert_eq!(records.len(), 300);
    for record in &records {
        let due = start + clock::as_ns(Duration::from_secs(1)) * record.index / 300;
        assert!(record.scheduled_ns.abs_diff(due) < 1_000, "{record:?}");
        // It started before anything was answered, and its wait counts from its schedule.
        assert!(record.started_ns >= record.scheduled_ns && record.started_ns < released);
        assert!(record.ended_ns >= released);
        assert_eq!(
            record.latency().as_nanos() as u64,
            record.ended_ns - record.scheduled_ns
        );
        assert_eq!((record.outcome, record.status), (Outcome::Ok, 200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_the_bound_is_told_and_makes_the_run_void() {
    let shop = Shop::hanging().await;
    let (sink, records) = mpsc::channel(1_000);
    let target = LoadTarget {
        max_in_flight: 10,
        ..shop.target()
    };
    let plan = plan("order", 50, 1);
    let running =
        tokio::spawn(
            async move { run(&plan, target, sink, soon(), CancellationToken::new()).await },
        );
    let mut records = records;
    let mut refused = Vec::new();
    while refused.len() < 40 {
        refused.push(records.recv().await.expect("a record of each refusal"));
    }
    shop.gate.add_permits(50);
    let stats = running.await.unwrap().unwrap();
    for record in &refused {
        assert_eq!(
            (record.outcome, record.status, record.sent),
            (Outcome::Failed, 0, false)
        );
        assert_eq!(
            (record.error.as_deref(), record.effect()),
            (Some(GENERATOR_FULL), Effect::None)
        );
        assert!(
            !record.lines.is_empty() && record.customer > 0,
            "it says what it would have been"
        );
    }
    assert_eq!(
        (stats.planned, stats.sent, stats.generator_full),
        (50, 10, 40)
    );
    assert_eq!(stats.in_flight_max, 10);
    assert!(stats.void_reason(2).unwrap().contains("40 arrivals"));
    assert_eq!(drain(records).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_it_with_a_record_of_everything_under_way() {
    let shop = Shop::hanging().await;
    let (sink, records) = mpsc::channel(1_000);
    let stop = CancellationToken::new();
    let (target, token) = (shop.target(), stop.clone());
    let mut long = plan("order", 50, 1);
    long.duration = Duration::from_secs(3_600);
    let running = tokio::spawn(async move { run(&long, target, sink, soon(), token).await });
    shop.arrived(5).await;
    stop.cancel();
    let stats = running.await.unwrap().unwrap();
    let records = drain(records).await;
    assert!(stats.stopped && stats.void_reason(2).unwrap().contains("stopped"));
    assert_eq!(records.len() as u64, stats.sent);
    assert!(records.len() >= 5 && stats.completed == 0);
    for record in records {
        assert_eq!(
            (record.error.as_deref(), record.effect()),
            (Some(STOPPED), Effect::Unknown)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_run_ends_its_requests() {
    let shop = Shop::hanging().await;
    let (sink, records) = mpsc::channel(1_000);
    let target = shop.target();
    let plan = plan("browse", 20, 1);
    let running =
        tokio::spawn(
            async move { run(&plan, target, sink, soon(), CancellationToken::new()).await },
        );
    shop.arrived(3).await;
    running.abort();
    // The channel ends only when no request's task holds it any more; none was answered.
    let records = tokio::time::timeout(Duration::from_secs(20), drain(records))
        .await
        .unwrap();
    assert!(
        records
            .iter()
            .all(|record| record.error.as_deref() == Some(STOPPED)),
        "{records:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_given_up_at_its_bound_and_its_connection_closed() {
    let shop = Shop::hanging().await;
    let target = LoadTarget {
        request_timeout: Duration::from_millis(150),
        ..shop.target()
    };
    let records = once(target, "order", 10).await;
    assert_eq!(records.len(), 10);
    for record in records {
        assert_eq!(
            (record.error.as_deref(), record.status),
            (Some("timeout"), 0)
        );
        assert_eq!(
            (record.outcome, record.effect()),
            (Outcome::Failed, Effect::Unknown)
        );
        assert!(record.ended_ns - record.started_ns >= 150_000_000);
    }
}

#[tokio::test]
async fn a_refused_connection_was_never_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let shop = Shop::hanging().await;
    let base = format!("http://{address}").parse().unwrap();
    let records = once(
        LoadTarget {
            base,
            ..shop.target()
        },
        "order",
        5,
    )
    .await;
    assert_eq!(records.len(), 5);
    for record in records {
        assert!(
            record.error.as_deref().unwrap().starts_with("connect: "),
            "{record:?}"
        );
        assert_eq!((record.sent, record.effect()), (false, Effect::None));
    }
}

#[tokio::test]
async fn a_reader_who_has_gone_makes_the_run_void() {
    let shop = Shop::hanging().await;
    shop.gate.add_permits(100);
    let (sink, records) = mpsc::channel(1);
    drop(records);
    let plan = plan("browse", 10, 1);
    let stats = run(&plan, shop.target(), sink, soon(), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((stats.sent, stats.dropped_records), (10, 10));
    assert!(stats.void_reason(2).unwrap().contains("10 records"));
}

/// The records of `n` arrivals of `mix`.
async fn once(target: LoadTarget, mix: &str, n: u32) -> Vec<Record> {
    let (sink, records) = mpsc::channel(1_000);
    run(
        &plan(mix, n, 1),
        target,
        sink,
        soon(),
        CancellationToken::new(),
    )
    .await
    .unwrap();
    drain(records).await
}
