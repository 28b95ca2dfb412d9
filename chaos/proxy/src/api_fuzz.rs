//! Whatever is sent to the API, it answers: no panic, no 5xx but those it means.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::body::Body;
use http::Request;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tower::ServiceExt as _;

use crate::api::routes;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::proxy::Shared;
use crate::registry::Registry;

/// `CASES` raises them, to a million for a night.
fn config() -> ProptestConfig {
    let cases = std::env::var("CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Values as clients and their mistakes send them.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        Just("1e999".to_owned()),
        Just("99999999999999999999999".to_owned()),
        "[a-z:0-9./-]{0,20}".prop_map(|text| format!("{text:?}")),
        Just("\"127.0.0.1:0\"".to_owned()),
        Just("\"latency\"".to_owned()),
        Just("\"downstream\"".to_owned()),
        "\\PC{0,12}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ]
}

fn field() -> impl Strategy<Value = String> {
    let names = [
        "name",
        "listen",
        "upstream",
        "enabled",
        "type",
        "stream",
        "toxicity",
        "attributes",
        "latency",
        "jitter",
        "rate",
        "delay",
        "timeout",
        "bytes",
        "average_size",
        "seed",
        "lease_ms",
        "NAME",
        "Toxicity",
        "",
    ];
    (prop::sample::select(names.to_vec()), value()).prop_map(|(name, value)| {
        let name = serde_json::Value::from(name);
        format!("{name}:{value}")
    })
}

fn object() -> impl Strategy<Value = String> {
    let fields = prop::collection::vec(field(), 0..6);
    let nested = prop::collection::vec(field(), 0..4);
    (fields, nested).prop_map(|(mut fields, nested)| {
        fields.push(format!("\"attributes\":{{{}}}", nested.join(",")));
        format!("{{{}}}", fields.join(","))
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => object().prop_map(String::into_bytes),
        1 => prop::collection::vec(object(), 0..4)
            .prop_map(|list| format!("[{}]", list.join(",")).into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (1..5_000_usize).prop_map(|deep| "[".repeat(deep).into_bytes()),
    ]
}

fn request() -> impl Strategy<Value = (&'static str, String, Vec<u8>)> {
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let paths = prop::sample::select(vec![
        "/proxies",
        "/populate",
        "/reset",
        "/version",
        "/proxies/a",
        "/proxies/a/toxics",
        "/proxies/a/toxics/t",
        "/lease",
        "/seed",
        "/acted",
        "/metrics",
    ]);
    let path = prop_oneof![
        5 => paths.prop_map(str::to_owned),
        1 => "/[a-z%0-9/]{0,20}".prop_filter("a path", |p| p.parse::<http::Uri>().is_ok()),
    ];
    (prop::sample::select(methods.to_vec()), path, body())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_is_sent_is_answered(requests in prop::collection::vec(request(), 1..6)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let metrics = Arc::new(Metrics::new());
            let shared = Shared {
                seed: Arc::new(AtomicU64::new(1)),
                metrics: Arc::clone(&metrics),
                events: Events::new(),
            };
            let registry = Arc::new(Registry::new(shared));
            let api = routes(Arc::clone(&registry), metrics);
            let first = ("POST", "/proxies".to_owned(), PROXY.to_vec());
            for (method, path, body) in [first].into_iter().chain(requests) {
                let request = Request::builder().method(method).uri(&path);
                let request = request.body(Body::from(body)).unwrap();
                let answer = api.clone().oneshot(request).await.unwrap();
                // 500 is Toxiproxy's own for a port that can't be had.
                let status = answer.status().as_u16();
                assert!((200..=500).contains(&status), "{method} {path}: {status}");
            }
            registry.shut_down().await;
        });
    }
}

const PROXY: &[u8] = br#"{"name":"a","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}"#;
