//! What the proxy counts, in Prometheus' text form.

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::toxics::Direction;

const CONNECTIONS: &str = "proxy_connections";
const BYTES: &str = "proxy_bytes_total";
const TOXIC_ACTED: &str = "proxy_toxic_acted_total";

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// The registry of one server. Not the process-wide one, so that several
/// servers can live in one process.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        recorder.describe_gauge(
            CONNECTIONS.into(),
            Some(Unit::Count),
            "Live connections through the link whose given direction is still open".into(),
        );
        recorder.describe_counter(
            BYTES.into(),
            Some(Unit::Bytes),
            "Bytes delivered to the receiver of that direction".into(),
        );
        recorder.describe_counter(
            TOXIC_ACTED.into(),
            Some(Unit::Count),
            "Chunks and ends of streams that the toxic acted on".into(),
        );
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// The series of one link and direction.
    pub(crate) fn direction(&self, link: &str, direction: Direction) -> DirectionMetrics {
        let key = |name: &'static str| {
            let labels = vec![
                Label::new("link", link.to_owned()),
                Label::new("direction", direction.label()),
            ];
            Key::from_parts(name, labels)
        };
        let connections = self.recorder.register_gauge(&key(CONNECTIONS), &METADATA);
        let bytes = self.recorder.register_counter(&key(BYTES), &METADATA);
        connections.increment(1.0);
        DirectionMetrics { connections, bytes }
    }

    /// The series of one toxic of a link.
    pub(crate) fn toxic(&self, link: &str, toxic: &str) -> Counter {
        let labels = vec![
            Label::new("link", link.to_owned()),
            Label::new("toxic", toxic.to_owned()),
        ];
        let key = Key::from_parts(TOXIC_ACTED, labels);
        self.recorder.register_counter(&key, &METADATA)
    }
}

/// Counts one direction of one connection, which is live for as long as this.
pub(crate) struct DirectionMetrics {
    connections: Gauge,
    bytes: Counter,
}

impl DirectionMetrics {
    /// That many bytes were handed to the receiver.
    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes.increment(bytes as u64);
    }
}

impl Drop for DirectionMetrics {
    fn drop(&mut self) {
        self.connections.decrement(1.0);
    }
}
