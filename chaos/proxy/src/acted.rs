//! What each toxic acted on: the proof that a fault fired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
use serde::Serialize;
use serde_json::json;

use crate::events::Events;
use crate::metrics::Metrics;
use crate::toxics::{Direction, Kind};

/// Where the toxics of one proxy report to.
#[derive(Clone)]
pub(crate) struct Reports {
    /// The proxy's name.
    pub link: Arc<str>,
    pub events: Events,
    pub metrics: Arc<Metrics>,
}

impl Reports {
    pub(crate) fn ledger(&self, name: &str, kind: &'static Kind, direction: Direction) -> Ledger {
        Ledger {
            name: name.to_owned(),
            kind,
            direction,
            connections: AtomicU64::new(0),
            chunks: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            epoch: AtomicU64::new(1),
            counter: self.metrics.toxic(&self.link, name),
            link: Arc::clone(&self.link),
            events: self.events.clone(),
        }
    }

    #[cfg(test)]
    pub(crate) fn quiet() -> Self {
        Self {
            link: "link".into(),
            events: Events::new(),
            metrics: Arc::new(Metrics::new()),
        }
    }
}

/// What one toxic acted on since it was added. Changing the toxic keeps it.
pub(crate) struct Ledger {
    pub(crate) name: String,
    kind: &'static Kind,
    direction: Direction,
    connections: AtomicU64,
    chunks: AtomicU64,
    bytes: AtomicU64,
    /// Goes up when the counts start again, so that live connections count anew.
    epoch: AtomicU64,
    counter: Counter,
    link: Arc<str>,
    events: Events,
}

/// A toxic's counts as `/faultline/acted` shows them.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Acted {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub connections: u64,
    pub chunks: u64,
    pub bytes: u64,
}

/// A connection's memory of having been counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted(u64);

impl Ledger {
    /// The toxic acted on that many chunks and bytes (none, if it was the end
    /// of a stream) of that connection.
    pub(crate) fn record(&self, connection: u64, counted: &mut Counted, chunks: u64, bytes: usize) {
        self.chunks.fetch_add(chunks, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.counter.increment(1);
        let epoch = self.epoch.load(Ordering::Relaxed);
        if counted.0 != epoch {
            *counted = Counted(epoch);
            self.connections.fetch_add(1, Ordering::Relaxed);
            self.events.send("toxic_acted", || {
                json!({
                    "link": *self.link, "toxic": self.name, "type": self.kind.name,
                    "stream": self.direction.label(), "connection": connection,
                })
            });
        }
    }

    pub(crate) fn acted(&self) -> Acted {
        Acted {
            kind: self.kind.name,
            connections: self.connections.load(Ordering::Relaxed),
            chunks: self.chunks.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Counts from nothing again.
    pub(crate) fn clear(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        for count in [&self.connections, &self.chunks, &self.bytes] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("toxic", &self.name)
            .field("acted", &self.acted())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_counts_once_until_the_counts_are_cleared() {
        let reports = Reports::quiet();
        let mut listener = reports.events.listen();
        listener.next().await;
        let kind = Kind::named("latency").unwrap();
        let ledger = reports.ledger("slow", kind, Direction::Upstream);
        let mut first = Counted::default();
        ledger.record(7, &mut first, 1, 100);
        ledger.record(7, &mut first, 1, 20);
        ledger.record(8, &mut Counted::default(), 0, 0);
        let acted = |connections, chunks, bytes| Acted {
            kind: "latency",
            connections,
            chunks,
            bytes,
        };
        assert_eq!(ledger.acted(), acted(2, 2, 120));
        for connection in [7, 8] {
            let line = listener.next().await.unwrap();
            let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(event["kind"], "toxic_acted");
            assert_eq!(
                (&event["link"], &event["toxic"]),
                (&json!("link"), &json!("slow"))
            );
            assert_eq!(
                (&event["type"], &event["stream"]),
                (&json!("latency"), &json!("upstream"))
            );
            assert_eq!(event["connection"], connection);
        }
        ledger.clear();
        assert_eq!(ledger.acted(), acted(0, 0, 0));
        ledger.record(7, &mut first, 1, 1);
        assert_eq!(ledger.acted(), acted(1, 1, 1));
        let text = reports.metrics.render();
        let line = r#"proxy_toxic_acted_total{link="link",toxic="slow"} 4"#;
        assert!(text.contains(line), "{text}");
    }
}
