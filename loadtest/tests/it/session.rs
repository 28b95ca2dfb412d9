//! A whole load with its report, and fixtures from the control API.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers may panic as the test itself may"
)]

use crate::common;

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::{Shop, plan};
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use loadtest::fixtures::{FixtureSpec, Fixtures};
use loadtest::report::{self, Summary};
use loadtest::session::run_load;
use loadtest::{Histogram, LoadError, LoadTarget, Op, Plan};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_ends_in_a_table_a_json_and_an_hdr_log() {
    let shop = Shop::open(|seen| match seen.uri.as_str() {
        "/api/orders/" if seen.method == "POST" => {
            (StatusCode::BAD_GATEWAY, r#"{"code":"bad_gateway"}"#).into_response()
        }
        _ => "{}".into_response(),
    });
    let shop = shop.await;
    let mut plan = plan("checkout", 100, 1);
    plan.duration = Duration::from_secs(2);
    plan.warm_up = Duration::from_secs(1);
    let mut reports = Vec::new();
    let summary = run_load(&plan, shop.target(), CancellationToken::new(), |progress| {
        reports.push(progress.clone());
    });
    let summary = summary.await.unwrap();

    assert_eq!(
        (summary.generator.sent, summary.total.requests),
        (200, 100),
        "half is warm-up"
    );
    let orders = &summary.ops[&Op::Order];
    assert!(orders.requests > 0 && orders.failed == orders.requests);
    assert_eq!(summary.total.ok + orders.failed, 100);
    assert_eq!(summary.total.reasons["bad_gateway"], orders.failed);
    assert_eq!(
        summary
            .ops
            .values()
            .map(|figures| figures.requests)
            .sum::<u64>(),
        100
    );
    assert!(!reports.is_empty() && reports.windows(2).all(|p| p[0].finished <= p[1].finished));

    let table = report::table(&summary);
    for word in [
        "requests",
        "p99.9",
        "order",
        "view",
        "all",
        "bad_gateway",
        "generator: 200 of 200",
    ] {
        assert!(table.contains(word), "{word} is missing:\n{table}");
    }
    let dir = tempfile::tempdir().unwrap();
    let files = report::write(&summary, &dir.path().join("deep/er")).unwrap();
    let json = std::fs::read_to_string(&files.json).unwrap();
    let read: Summary = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&read.plan, &read.generator),
        (&summary.plan, &summary.generator)
    );
    assert_eq!(read.total.histogram, summary.total.histogram);
    assert_eq!(
        read.ops.keys().collect::<Vec<_>>(),
        summary.ops.keys().collect::<Vec<_>>()
    );
    assert!((read.measured_s - 1.0).abs() < 1e-9 && read.schema_version == 1);
    let served = (read.total.ok + read.total.degraded) as f64;
    assert!(
        (read.total.goodput_rps - served).abs() < 1e-6,
        "over one second"
    );
    hdr_log_holds_what_was_measured(&std::fs::read(&files.hlog).unwrap(), &summary);
}

fn hdr_log_holds_what_was_measured(log: &[u8], summary: &Summary) {
    let lines = IntervalLogIterator::new(log)
        .map(Result::unwrap)
        .filter_map(|entry| match entry {
            LogEntry::Interval(line) => {
                let tag = line.tag().map(|tag| tag.as_str().to_owned());
                Some((
                    tag,
                    Histogram::from_base64(line.encoded_histogram()).unwrap(),
                ))
            }
            _ => None,
        });
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 1 + summary.ops.len());
    for (tag, histogram) in lines {
        let figures = match tag {
            Some(op) => &summary.ops[&op.parse::<Op>().unwrap()],
            None => &summary.total,
        };
        assert_eq!(histogram, figures.histogram);
        assert_eq!(histogram.len(), figures.requests);
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_written_names_the_file() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let plan = plan("view", 5, 1);
    let running = run_load(&plan, shop.target(), CancellationToken::new(), |_| ());
    let summary = running.await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = report::write(&summary, &file.join("below")).unwrap_err();
    assert!(
        matches!(&error, LoadError::File { path, .. } if path.starts_with(&file)),
        "{error}"
    );
}

#[tokio::test]
async fn a_stopped_load_still_reports_and_is_void() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let mut plan = plan("browse", 50, 1);
    plan.duration = Duration::from_secs(3_600);
    let stop = CancellationToken::new();
    let running = run_load(&plan, shop.target(), stop.clone(), |_| ());
    let stopping = async {
        shop.arrived(10).await;
        stop.cancel();
    };
    let (summary, ()) = tokio::join!(running, stopping);
    let summary = summary.unwrap();
    assert!(summary.total.requests >= 10 && summary.measured_s < 3_000.0);
    assert!(summary.void.as_deref().unwrap().contains("stopped"));
    assert!(report::table(&summary).contains("VOID: it was stopped"));
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_it_starts() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let refused = async |plan: Plan, target: LoadTarget| match run_load(
        &plan,
        target,
        CancellationToken::new(),
        |_| (),
    )
    .await
    {
        Err(LoadError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let long = Plan {
        warm_up: Duration::from_secs(1),
        ..plan("browse", 5, 1)
    };
    assert_eq!(refused(long, shop.target()).await, "warm_up");
    let mut nobody = shop.target();
    nobody.customers.clear();
    assert_eq!(refused(plan("order", 5, 1), nobody).await, "customers");
    let mut expired = shop.target();
    // {"exp":1}: a token that ended in 1970.
    expired.customers[3].access = "e30.eyJleHAiOjF9.x".to_owned();
    assert_eq!(refused(plan("order", 5, 1), expired).await, "duration");
    assert!(shop.seen.lock().await.is_empty(), "nothing was sent");
}

/// Both control listeners in one.
fn control(seen: &common::Seen) -> Response {
    let asked: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    if seen.header("authorization") != Some("Bearer control") {
        return (StatusCode::UNAUTHORIZED, r#"{"error":"no such token"}"#).into_response();
    }
    let many = |key: &str| asked[key].as_u64().unwrap_or_default();
    let account =
        |n: u64| serde_json::json!({"user_id": n, "username": format!("u{n}"), "access": "a"});
    let body = if asked.get("customers").is_some() {
        serde_json::json!({
            "customers": (0..many("customers")).map(account).collect::<Vec<_>>(),
            "staff": (0..many("staff")).map(account).collect::<Vec<_>>(),
            "password": "pw",
        })
    } else {
        let product = |n: u64| serde_json::json!({"id": n + 1, "name": "p", "price": "9.90", "units": many("units")});
        // One short of nine, whoever asks for nine.
        let n = if many("products") == 9 {
            8
        } else {
            many("products")
        };
        serde_json::json!({"products": (0..n).map(product).collect::<Vec<_>>()})
    };
    body.to_string().into_response()
}

#[tokio::test]
async fn fixtures_come_with_addresses_and_make_a_target() {
    let service = Shop::open(control).await;
    let fixtures = Fixtures::new(service.base.clone(), service.base.clone(), "control").unwrap();
    let spec = FixtureSpec {
        customers: 300,
        staff: 2,
        products: 10,
        units: 50,
        run: "r".to_owned(),
    };
    let made = fixtures.prepare(&spec).await.unwrap();
    assert_eq!(
        (made.customers.len(), made.staff.len(), made.products.len()),
        (300, 2, 10)
    );
    assert_eq!(
        (made.products[0].units, made.products[0].price.as_str()),
        (50, "9.90")
    );
    let addresses: std::collections::HashSet<_> = made
        .customers
        .iter()
        .chain(&made.staff)
        .map(|customer| customer.address)
        .collect();
    assert_eq!(addresses.len(), 302);
    let target = made.target("http://127.0.0.1:1".parse().unwrap(), "lab", "r");
    assert_eq!(
        (target.products.len(), target.password.as_deref()),
        (10, Some("pw"))
    );
    target.validate(&plan("shopping", 5, 1)).unwrap();
}

#[tokio::test]
async fn fixtures_that_fail_say_where_and_why() {
    let service = Shop::open(control).await;
    let spec = FixtureSpec {
        customers: 1,
        staff: 0,
        products: 9,
        units: 1,
        run: "r".to_owned(),
    };
    let client = |token| Fixtures::new(service.base.clone(), service.base.clone(), token).unwrap();
    let error = client("wrong").prepare(&spec).await.unwrap_err();
    assert!(
        matches!(&error, LoadError::Fixtures { status: 401, message, .. } if message == "no such token"),
        "{error}"
    );
    let error = client("control").prepare(&spec).await.unwrap_err();
    assert!(
        error.to_string().contains("8 products instead of 9"),
        "{error}"
    );

    let closed: url::Url = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap()
    };
    let gone = Fixtures::new(closed.clone(), closed.clone(), "control").unwrap();
    let error = gone.prepare(&spec).await.unwrap_err();
    assert!(
        matches!(&error, LoadError::Unreachable { url, .. } if url.starts_with(closed.as_str()))
    );
}
