use std::fmt;

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// One JSON object a line, with the ids of the trace it belongs to.
pub(super) struct JsonLines {
    pub(super) service: &'static str,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert(
            "timestamp".into(),
            json!(crate::time::iso(crate::time::now_ms())),
        );
        line.insert("level".into(), json!(metadata.level().as_str()));
        line.insert("service".into(), json!(self.service));
        line.insert("target".into(), json!(metadata.target()));
        event.record(&mut Fields(&mut line));
        if let Some(span) = ctx.lookup_current() {
            let id = span.id();
            if let Some(context) = tracing::dispatcher::get_default(|d| get_otel_context(&id, d)) {
                let ids = context.span().span_context().clone();
                line.insert("trace_id".into(), json!(ids.trace_id().to_string()));
                line.insert("span_id".into(), json!(ids.span_id().to_string()));
            }
        }
        // serde_json escapes control characters, so that no value can begin a line.
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}
