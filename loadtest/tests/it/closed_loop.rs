//! Customers who wait for each answer.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers may panic as the test itself may"
)]

use crate::common;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use axum::response::IntoResponse;
use common::{Shop, drain};
use loadtest::{LoadError, LoadTarget, Mix, Plan, Record, Stream, clock, closed_index, run};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn plan(mix: &str, customers: usize, think: Duration, duration: Duration) -> Plan {
    let mix = Mix::named(mix).unwrap();
    Plan {
        streams: vec![Stream::closed(mix, customers, think)],
        warm_up: Duration::ZERO,
        duration,
        seed: 5,
    }
}

async fn load(plan: &Plan, target: LoadTarget) -> (Vec<Record>, loadtest::RunStats) {
    let (sink, records) = mpsc::channel(100_000);
    let start = clock::now_ns() + 20_000_000;
    let stats = run(plan, target, sink, start, CancellationToken::new()).await;
    (drain(records).await, stats.unwrap())
}

fn by_customer(records: &[Record]) -> BTreeMap<i64, Vec<&Record>> {
    let mut all: BTreeMap<i64, Vec<&Record>> = BTreeMap::new();
    for record in records {
        all.entry(record.customer).or_default().push(record);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_customer_waits_thinks_and_never_asks_twice_at_once() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let think = Duration::from_millis(50);
    let plan = plan("shopping", 12, think, Duration::from_secs(1));
    let (records, stats) = load(&plan, shop.target()).await;
    assert_eq!(stats.sent, records.len() as u64);
    assert_eq!((stats.planned, stats.generator_full), (stats.sent, 0));
    assert!(stats.in_flight_max <= 12);
    let customers = by_customer(&records);
    assert_eq!(customers.len(), 12, "each has an account of its own");
    for (user, requests) in customers {
        let customer = usize::try_from(user).unwrap() - 1;
        for (round, request) in (0..).zip(&requests) {
            assert_eq!(request.index, closed_index(0, customer, round));
            assert_eq!(request.scheduled_ns, request.started_ns, "from its start");
        }
        for pair in requests.windows(2) {
            let thought = pair[1].started_ns - pair[0].ended_ns;
            assert!(thought >= clock::as_ns(think), "{thought} ns");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_answers_nothing_is_asked_once_by_each() {
    let shop = Shop::hanging().await;
    let target = LoadTarget {
        request_timeout: Duration::from_secs(3),
        ..shop.target()
    };
    let plan = plan("view", 8, Duration::ZERO, Duration::from_secs(1));
    let (records, stats) = load(&plan, target).await;
    assert_eq!((records.len(), stats.in_flight_max), (8, 8));
    assert!(
        records
            .iter()
            .all(|r| r.error.as_deref() == Some("timeout"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_asks_the_same_as_far_as_it_gets() {
    let shop = Shop::open(|_| r#"{"id":1}"#.into_response()).await;
    let plan = plan(
        "checkout",
        5,
        Duration::from_millis(20),
        Duration::from_millis(600),
    );
    let ids = |records: &[Record]| -> HashSet<_> {
        let asked = |r: &Record| (r.request_id.clone(), r.op, r.customer, r.lines.clone());
        records.iter().map(asked).collect()
    };
    let (first, _) = load(&plan, shop.target()).await;
    let (second, _) = load(&plan, shop.target()).await;
    let (first, second) = (ids(&first), ids(&second));
    // One of them has got further with each customer; what both have is the same.
    let shorter = first.len().min(second.len());
    assert!(first.intersection(&second).count() >= shorter / 2);
    let numbers = |all: &HashSet<(String, _, _, _)>| -> HashSet<String> {
        all.iter().map(|(id, ..)| id.clone()).collect()
    };
    assert_eq!(
        numbers(&first).intersection(&numbers(&second)).count(),
        first.intersection(&second).count()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_customers_than_connections_are_refused() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let plan = plan("view", 11, Duration::ZERO, Duration::from_secs(1));
    let target = LoadTarget {
        max_in_flight: 10,
        ..shop.target()
    };
    let (sink, _records) = mpsc::channel(10);
    let start = clock::now_ns();
    let error = run(&plan, target, sink, start, CancellationToken::new()).await;
    let error = error.unwrap_err();
    assert!(
        matches!(&error, LoadError::Invalid { field, .. } if field == "customers"),
        "{error}"
    );
    assert!(error.to_string().contains("11 wait"), "{error}");
}
