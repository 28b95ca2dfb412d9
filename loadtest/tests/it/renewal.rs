//! Loads that last longer than their customers' tokens.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers may panic as the test itself may"
)]

use crate::common;

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Seen, Shop, plan};
use loadtest::fixtures::{Fixtures, Renewal};
use loadtest::report::Summary;
use loadtest::session::run_load;
use loadtest::{LoadTarget, Plan};
use tokio_util::sync::CancellationToken;

/// A token that ends so many seconds from now.
fn token(seconds: u64, mark: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let exp = now.unwrap().as_secs() + seconds;
    let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp}}}"#));
    format!("e30.{payload}.{mark}")
}

/// New accounts with tokens that last.
fn control(seen: &Seen) -> Response {
    let asked: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    let account = |n: u64| serde_json::json!({"user_id": 1_000 + n, "username": format!("new{n}"), "access": token(900, "new")});
    let n = asked["customers"].as_u64().unwrap();
    let customers: Vec<_> = (0..n).map(account).collect();
    serde_json::json!({"customers": customers, "password": "new"})
        .to_string()
        .into_response()
}

/// Four seconds of log-ins and histories by customers whose tokens end in three.
async fn load(shop: &Shop, service: &Shop) -> Summary {
    let fixtures = Fixtures::new(service.base.clone(), service.base.clone(), "control");
    let run = "r".to_owned();
    let fixtures = fixtures.unwrap();
    let mut target = LoadTarget {
        renewal: Some(Renewal { fixtures, run }),
        ..shop.target()
    };
    for customer in &mut target.customers {
        customer.access = token(3, "old");
    }
    let plan = Plan {
        duration: Duration::from_secs(4),
        ..plan("login-storm", 50, 1)
    };
    let stop = CancellationToken::new();
    run_load(&plan, target, stop, |_| ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_customers_take_the_places_before_tokens_end() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let service = Shop::open(control).await;
    let summary = load(&shop, &service).await;
    assert_eq!(summary.total.ok, 200, "{:?}", summary.total);
    assert_eq!(summary.generator.not_renewed, None);
    let asked = service.seen.lock().await;
    assert_eq!(asked.len(), 1, "once is enough");
    assert!(asked[0].body.contains(r#""customers":20"#));
    let seen = shop.seen.lock().await;
    let marks: Vec<bool> = seen
        .iter()
        .filter_map(|request| request.header("authorization"))
        .map(|bearer| bearer.ends_with(".new"))
        .collect();
    assert!(!marks[0] && *marks.last().unwrap());
    assert!(marks.is_sorted(), "no old token after a new one");
    let log_in = |new: bool| {
        let mark = if new {
            r#""password":"new""#
        } else {
            r#""password":"password123""#
        };
        seen.iter().any(|request| request.body.contains(mark))
    };
    assert!(log_in(false) && log_in(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_whose_tokens_end_is_void() {
    let shop = Shop::open(|_| "{}".into_response()).await;
    let refusal = r#"{"error":"not today"}"#;
    let service = Shop::open(move |_| (StatusCode::FORBIDDEN, refusal).into_response()).await;
    let summary = load(&shop, &service).await;
    let void = summary.void.unwrap();
    assert!(
        void.contains("not renewed") && void.contains("not today"),
        "{void}"
    );
}
