//! One client span an attempt, under one span for the call.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use support::{Failure, UNAVAILABLE, call, failure, plain, slot};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

#[derive(Clone, Debug, Default)]
struct Kept {
    name: &'static str,
    parent: Option<u64>,
    fields: HashMap<&'static str, String>,
}

impl Visit for Kept {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// An event with the name of its span.
type InSpan = (Option<&'static str>, Kept);

/// Keeps every span with its fields, and every event's with its span.
#[derive(Clone, Default)]
struct Keep {
    spans: Arc<Mutex<Vec<(u64, Kept)>>>,
    events: Arc<Mutex<Vec<InSpan>>>,
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context
            .span(id)
            .and_then(|span| span.parent())
            .map(|p| p.id().into_u64());
        let mut kept = Kept {
            name: attributes.metadata().name(),
            parent,
            ..Kept::default()
        };
        attributes.record(&mut kept);
        self.spans.lock().push((id.into_u64(), kept));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut spans = self.spans.lock();
        let found = spans
            .iter_mut()
            .rev()
            .find(|(known, _)| *known == id.into_u64());
        values.record(&mut found.expect("a span that began").1);
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut kept = Kept::default();
        event.record(&mut kept);
        let span = context.event_span(event).map(|span| span.name());
        self.events.lock().push((span, kept));
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_a_client_span_of_its_call() {
    let keep = Keep::default();
    let subscriber = tracing_subscriber::registry().with(keep.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let (slot, _) = slot(plain());
    let answer = slot
        .call(call("r"), |a| async move {
            tracing::info!("inside");
            if a.number < 3 {
                Err(UNAVAILABLE)
            } else {
                Ok(())
            }
        })
        .await;
    assert_eq!(answer, Ok(()));

    let spans = keep.spans.lock().clone();
    let (call_id, logical) = spans.iter().find(|(_, span)| span.name == "call").unwrap();
    assert_eq!(logical.fields["link"], "order-product");
    assert_eq!(logical.fields["method"], "GetProducts");
    assert_eq!(logical.fields["policy"], "fast");
    assert_eq!(logical.fields["attempts"], "3");
    assert_eq!(logical.fields["outcome"], "ok");

    let attempts: Vec<_> = spans
        .iter()
        .filter(|(_, span)| span.name == "attempt")
        .collect();
    assert_eq!(attempts.len(), 3);
    for (index, (_, attempt)) in attempts.iter().enumerate() {
        assert_eq!(attempt.parent, Some(*call_id));
        assert_eq!(attempt.fields["otel.kind"], "client");
        assert_eq!(attempt.fields["attempt.number"], (index + 1).to_string());
        assert_eq!(
            attempt.fields["attempt.wait_ms"],
            ["0.0", "50.0", "100.0"][index]
        );
        assert_eq!(attempt.fields["breaker.state"], "closed");
        assert_eq!(
            attempt.fields["attempt.status"],
            ["TEST", "TEST", "OK"][index]
        );
        assert_eq!(attempt.fields.contains_key("otel.status_code"), index < 2);
    }

    let events = keep.events.lock().clone();
    let inside = events
        .iter()
        .filter(|(span, event)| event.fields["message"] == "inside" && *span == Some("attempt"));
    assert_eq!(
        inside.count(),
        3,
        "the operation runs in its attempt's span"
    );
    let retries = events
        .iter()
        .filter(|(span, event)| event.fields["message"] == "retry" && *span == Some("call"));
    assert_eq!(retries.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn transitions_and_refusals_are_events_of_the_call() {
    let keep = Keep::default();
    let subscriber = tracing_subscriber::registry().with(keep.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let (slot, _) = slot(support::with_breaker(plain(), 2, support::MS(1_000)));
    let _ = slot
        .call(call("r"), |_| async { Err::<(), Failure>(UNAVAILABLE) })
        .await;
    let events = keep.events.lock().clone();
    let find = |message: &str| {
        events
            .iter()
            .find(|(_, event)| event.fields["message"] == message)
            .expect("told")
            .clone()
    };
    let (span, transition) = find("breaker transition");
    assert_eq!(span, Some("call"));
    assert_eq!(transition.fields["to"], "open");
    let (span, refused) = find("attempt refused");
    assert_eq!(span, Some("call"));
    assert_eq!(refused.fields["reason"], "breaker");
}

#[tokio::test(start_paused = true)]
async fn the_callers_fault_is_no_error_of_the_span_and_a_dropped_call_is_recorded() {
    let keep = Keep::default();
    let subscriber = tracing_subscriber::registry().with(keep.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let (slot, _) = slot(plain());
    let caller = failure(resilience::FailureKind::Caller);
    let _ = slot
        .call(call("r"), |_| async move { Err::<(), _>(caller) })
        .await;
    let hanging = slot.call(call("r"), |_| std::future::pending::<Result<(), Failure>>());
    assert!(tokio::time::timeout(support::MS(1), hanging).await.is_err());

    let spans = keep.spans.lock().clone();
    let named = |name| {
        spans
            .iter()
            .filter(move |(_, span)| span.name == name)
            .map(|(_, s)| s)
    };
    let attempts: Vec<_> = named("attempt").collect();
    assert_eq!(attempts[0].fields["attempt.failure"], "caller");
    assert!(!attempts[0].fields.contains_key("otel.status_code"));
    assert_eq!(attempts[1].fields["attempt.cancelled"], "true");
    let outcomes: Vec<_> = named("call")
        .map(|span| span.fields["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["failed", "cancelled"]);
}
