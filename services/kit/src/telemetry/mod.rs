//! Traces over OTLP, metrics for Prometheus, logs as JSON lines.

mod logs;
pub mod names;

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{
    KeyValue, global,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::Common;

/// Bounds of the duration histograms, in seconds; 0.3 is the latency objective.
const BUCKETS: [f64; 17] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0,
    10.0, 30.0,
];

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter.
    #[error("LOG_LEVEL={0:?} can't be read: {1}")]
    Filter(String, tracing_subscriber::filter::ParseError),
    /// The collector's address.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT={0:?} can't be used: {1}")]
    Exporter(String, opentelemetry_otlp::ExporterBuildError),
    /// Something else was there first.
    #[error("telemetry was set up twice")]
    Twice,
}

/// Ends the export of traces when it is dropped.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Sends what is left; call it on a thread that may block.
    pub fn shutdown(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(Duration::from_secs(2)) {
            tracing::debug!(%error, "not every span could be sent");
        }
    }
}

/// Sets up logs and traces for the whole process; metrics come with the first
/// use of [`recorder`].
///
/// # Errors
/// [`TelemetryError`].
pub fn init(common: &Common) -> Result<Telemetry, TelemetryError> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = provider(common)?;
    // Each retry, refusal and hedge is an event of its span; in the log they would drown the rest.
    let decisions = common.otlp_endpoint.as_ref().map(|_| "resilience=debug");
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(common.name))
        .with_location(false)
        .with_threads(false);
    let lines = tracing_subscriber::fmt::layer().event_format(logs::JsonLines {
        service: common.name,
    });
    tracing_subscriber::registry()
        .with(traces.with_filter(filter(common, decisions)?))
        .with(lines.with_filter(filter(common, None)?))
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;
    recorder(common.name);
    Ok(Telemetry { provider })
}

/// What is kept: by `LOG_LEVEL`, and `more`. The exporter's own traffic must not be traced: that
/// would never end.
fn filter(common: &Common, more: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let filter = EnvFilter::try_new(&common.log_level)
        .map_err(|error| TelemetryError::Filter(common.log_level.clone(), error))?;
    let quiet = [
        "h2=warn",
        "hyper=warn",
        "tonic=warn",
        "tower=warn",
        "opentelemetry=warn",
        // Security events are written whatever LOG_LEVEL says.
        "audit=info",
    ];
    Ok(quiet
        .into_iter()
        .chain(more)
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive))
}

/// Ids are made even when nobody collects, since errors and logs carry them.
fn provider(common: &Common) -> Result<SdkTracerProvider, TelemetryError> {
    let resource = Resource::builder()
        .with_service_name(format!("{}-service", common.name))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let builder = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_resource(resource);
    let Some(endpoint) = &common.otlp_endpoint else {
        return Ok(builder.build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(Duration::from_secs(5))
        .build()
        .map_err(|error| TelemetryError::Exporter(endpoint.clone(), error))?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// The process' metrics; installed at the first call. `service` is the label of
/// what carries none (process and runtime metrics).
pub fn recorder(service: &'static str) -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .add_global_label("service", service)
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
                .unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder was installed first");
            }
            names::describe();
            metrics_process::Collector::default().describe();
            handle
        })
        .clone()
}

/// The current trace's id as 32 hex digits; all zeros outside of any.
pub fn trace_id() -> String {
    let context = tracing::Span::current().context();
    context.span().span_context().trace_id().to_string()
}

/// Puts the current span's context into headers (W3C `traceparent`).
pub fn inject(headers: &mut ::http::HeaderMap) {
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut opentelemetry_http::HeaderInjector(headers));
    });
}

/// Makes a span the child of what the headers name.
pub fn adopt(span: &tracing::Span, headers: &::http::HeaderMap) {
    let parent = global::get_text_map_propagator(|propagator| {
        propagator.extract(&opentelemetry_http::HeaderExtractor(headers))
    });
    if parent.span().span_context().is_valid() {
        // It fails only when the span is not recorded, and then nothing is lost.
        let _ = span.set_parent(parent);
    }
}
