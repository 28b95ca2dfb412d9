//! A door's metrics as Prometheus would scrape them.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod server_kit;

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use resilience::observe::MetricsObserver;
use resilience::server::{Arrival, End, ServerSlot, preset};
use resilience::{Deadline, SlotName};
use serde_json::json;
use server_kit::{MS, arrival, policy};

fn value(exposition: &str, metric: &str, labels: &[&str]) -> Option<f64> {
    let line = exposition.lines().find(|line| {
        line.strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

const AT: [&str; 2] = ["service=\"product\"", "dependency=\"server\""];

#[test]
fn limit_requests_refusals_and_wasted_work_are_shown() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    ::metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let name = SlotName::new("product.server", "product", "server");
            let one = policy(json!({"preset": "static", "limit": {"max": 1}, "queue": "off"}));
            let door = ServerSlot::new(name, one, Arc::new(MetricsObserver::new()));
            let gauge = |metric: &str| value(&handle.render(), metric, &AT);
            assert_eq!(
                gauge("resilience_concurrency_limit"),
                Some(1.0),
                "from the start"
            );

            let hurried = Arrival {
                deadline: Deadline::from_millis(10),
                ..arrival("r")
            };
            let admission = door.admit(hurried).await.unwrap();
            assert!(door.admit(arrival("r")).await.is_err());
            assert_eq!(gauge("resilience_inflight"), Some(1.0));
            tokio::time::advance(MS(250)).await;
            drop(admission);
            assert!(door.admit(hurried).await.is_err(), "its time is up");
            door.admit(arrival("r")).await.unwrap().finish(End::Ok);

            let text = handle.render();
            let rejected =
                |reason: &str| value(&text, "resilience_rejected_total", &[AT[0], AT[1], reason]);
            assert_eq!(rejected("reason=\"shed\""), Some(1.0), "{text}");
            assert_eq!(rejected("reason=\"deadline\""), Some(1.0));
            assert_eq!(value(&text, "resilience_inflight", &AT), Some(0.0));
            let wasted = value(&text, "resilience_wasted_work_seconds_total", &AT[..1]);
            assert_eq!(wasted, Some(0.25), "{text}");
            assert!(
                !text.contains("resilience_breaker_state"),
                "a door has no breaker"
            );

            door.set(preset::unlimited());
            assert_eq!(gauge("resilience_concurrency_limit"), Some(f64::INFINITY));
        });
    });
}
