//! The metrics as Prometheus would scrape them.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod support;

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use resilience::observe::MetricsObserver;
use resilience::{Slot, SlotName, preset};
use support::{Failure, MS, UNAVAILABLE, call, plain, with_breaker};
use tokio::time::timeout;

/// Runs `body` with a slot that is observed, on a paused clock; gives the exposition to `body`.
fn observed<F: Future<Output = ()>>(body: impl FnOnce(Slot, Box<dyn Fn() -> String>) -> F) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // The recorder is this thread's own, and so is the runtime.
    ::metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let name = SlotName::new("order-product", "order", "product");
            let policy = with_breaker(plain(), 2, MS(1_000));
            let slot = Slot::new(name, policy, Arc::new(MetricsObserver::new()), 1);
            body(slot, Box::new(move || handle.render())).await;
        });
    });
}

fn value(exposition: &str, metric: &str, labels: &[&str]) -> Option<f64> {
    let line = exposition.lines().find(|line| {
        line.strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

const AT: [&str; 2] = ["service=\"order\"", "dependency=\"product\""];

fn at<'a>(more: &[&'a str]) -> Vec<&'a str> {
    AT.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn calls_attempts_retries_and_refusals_are_counted() {
    observed(|slot, scrape| async move {
        let _ = slot
            .call(call("r"), |_| async { Ok::<_, Failure>(()) })
            .await;
        let _ = slot
            .call(call("r"), |_| async { Err::<(), _>(UNAVAILABLE) })
            .await;
        let dropped = slot.call(call("r"), |_| std::future::pending::<Result<(), Failure>>());
        // The breaker is open: this one is refused before it can hang.
        assert!(timeout(MS(1), dropped).await.is_ok());
        let text = scrape();
        let method = "method=\"GetProducts\"";
        let calls = |outcome| value(&text, "resilience_calls_total", &at(&[method, outcome]));
        assert_eq!(calls("outcome=\"ok\""), Some(1.0), "{text}");
        assert_eq!(calls("outcome=\"rejected\""), Some(2.0));
        assert_eq!(calls("outcome=\"failed\""), Some(0.0));
        assert_eq!(
            value(&text, "resilience_attempts_total", &at(&[method])),
            Some(3.0)
        );
        assert_eq!(
            value(&text, "resilience_retries_total", &at(&[method])),
            Some(1.0)
        );
        let rejected = value(
            &text,
            "resilience_rejected_total",
            &at(&["reason=\"breaker\""]),
        );
        assert_eq!(rejected, Some(2.0));
        assert_eq!(value(&text, "resilience_inflight", &AT), Some(0.0));
        assert!(
            text.contains("# HELP resilience_calls_total Logical calls"),
            "{text}"
        );
    });
}

#[test]
fn the_breakers_gauge_follows_transitions_and_swaps() {
    observed(|slot, scrape| async move {
        let state = || value(&scrape(), "resilience_breaker_state", &AT);
        assert_eq!(state(), Some(0.0), "told from the start");
        let _ = slot
            .call(call("r"), |_| async { Err::<(), _>(UNAVAILABLE) })
            .await;
        assert_eq!(state(), Some(2.0));
        tokio::time::advance(MS(1_000)).await;
        let trial = slot.call(call("r"), |_| std::future::pending::<Result<(), Failure>>());
        assert!(timeout(MS(1), trial).await.is_err());
        assert_eq!(state(), Some(1.0));
        let _ = slot
            .call(call("r"), |_| async { Ok::<_, Failure>(()) })
            .await;
        assert_eq!(state(), Some(0.0));
        let text = scrape();
        for (from, to) in [
            ("closed", "open"),
            ("open", "half_open"),
            ("half_open", "closed"),
        ] {
            let labels = [format!("from=\"{from}\""), format!("to=\"{to}\"")];
            let labels = at(&[&labels[0], &labels[1]]);
            let count = value(&text, "resilience_breaker_transitions_total", &labels);
            assert_eq!(count, Some(1.0), "{from} to {to}");
        }
        let _ = slot
            .call(call("r"), |_| async { Err::<(), _>(UNAVAILABLE) })
            .await;
        assert_eq!(state(), Some(2.0));
        slot.set(preset::naive());
        assert_eq!(
            state(),
            Some(0.0),
            "a policy without a breaker admits everything"
        );
        let cancelled = value(
            &scrape(),
            "resilience_calls_total",
            &at(&["outcome=\"cancelled\""]),
        );
        assert_eq!(cancelled, Some(1.0));
    });
}

#[test]
fn attempts_under_way_are_shown_and_given_back() {
    observed(|slot, scrape| async move {
        let inflight = || value(&scrape(), "resilience_inflight", &AT);
        let mut calls: Vec<_> = (0..3)
            .map(|_| {
                Box::pin(slot.call(call("r"), |_| std::future::pending::<Result<(), Failure>>()))
            })
            .collect();
        for call in &mut calls {
            assert!(timeout(MS(1), call).await.is_err());
        }
        assert_eq!(inflight(), Some(3.0));
        calls.pop();
        assert_eq!(inflight(), Some(2.0));
        slot.reset();
        drop(calls);
        assert_eq!(
            inflight(),
            Some(0.0),
            "a swap in between makes no difference"
        );
    });
}
