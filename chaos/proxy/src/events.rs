//! What happens, as it happens: one JSON object a line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};

/// Events a slow reader may be behind before it misses some.
const BACKLOG: usize = 8192;

/// Hands events to whoever listens; costs next to nothing while nobody does.
#[derive(Clone)]
pub(crate) struct Events(Arc<Inner>);

struct Inner {
    seq: AtomicU64,
    /// Numbering and sending are one step, so that readers see events in order.
    /// `None` once the server stops.
    sender: Mutex<Option<broadcast::Sender<Bytes>>>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            seq: AtomicU64::new(0),
            sender: Mutex::new(Some(broadcast::Sender::new(BACKLOG))),
        }))
    }

    /// Sends an event; `fields`, an object, are made only if somebody listens.
    pub(crate) fn send(&self, kind: &str, fields: impl FnOnce() -> Value) {
        let sender = self.0.sender.lock();
        if let Some(sender) = sender.as_ref().filter(|s| s.receiver_count() > 0) {
            // The last reader may have left this instant, which is no error.
            let _ = sender.send(self.line(kind, fields()));
        }
    }

    /// Everything from now on, beginning with a `hello`.
    pub(crate) fn listen(&self) -> Listener {
        let sender = self.0.sender.lock();
        Listener {
            hello: Some(self.line("hello", json!({}))),
            receiver: sender.as_ref().map(broadcast::Sender::subscribe),
            events: self.clone(),
        }
    }

    /// Ends every reader's stream: a server that stops waits for none of them.
    pub(crate) fn close(&self) {
        self.0.sender.lock().take();
    }

    fn line(&self, kind: &str, mut fields: Value) -> Bytes {
        fields["seq"] = json!(self.0.seq.fetch_add(1, Ordering::Relaxed));
        fields["t_ns"] = json!(monotonic_ns());
        fields["kind"] = json!(kind);
        let mut line = fields.to_string();
        line.push('\n');
        line.into()
    }
}

/// CLOCK_MONOTONIC, the time base that all processes of one machine share.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// One reader's end.
pub(crate) struct Listener {
    hello: Option<Bytes>,
    receiver: Option<broadcast::Receiver<Bytes>>,
    events: Events,
}

impl Listener {
    /// The next line; `None` when the server stops.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        match self.receiver.as_mut()?.recv().await {
            Ok(line) => Some(line),
            Err(RecvError::Lagged(missed)) => {
                Some(self.events.line("gap", json!({ "missed": missed })))
            }
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(listener: &mut Listener) -> Value {
        serde_json::from_slice(&listener.next().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_reader_gets_a_hello_and_what_follows_in_order() {
        let events = Events::new();
        events.send("early", || panic!("nobody listens"));
        let mut listener = events.listen();
        for n in 0..3 {
            events.send("up", || json!({ "link": format!("p{n}") }));
        }
        let hello = next(&mut listener).await;
        assert_eq!(hello["kind"], "hello");
        let mut before = hello["t_ns"].as_u64().unwrap();
        for n in 0..3 {
            let event = next(&mut listener).await;
            assert_eq!(
                (&event["kind"], &event["seq"]),
                (&json!("up"), &json!(n + 1))
            );
            assert_eq!(event["link"], format!("p{n}"));
            let at = event["t_ns"].as_u64().unwrap();
            assert!(at >= before);
            before = at;
        }
        events.close();
        assert!(listener.next().await.is_none());
        let mut late = events.listen();
        assert_eq!(next(&mut late).await["kind"], "hello");
        assert!(late.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_is_told_what_it_missed() {
        let events = Events::new();
        let mut listener = events.listen();
        next(&mut listener).await;
        for _ in 0..BACKLOG + 10 {
            events.send("up", || json!({}));
        }
        let gap = next(&mut listener).await;
        assert_eq!((&gap["kind"], &gap["missed"]), (&json!("gap"), &json!(10)));
        assert_eq!(next(&mut listener).await["kind"], "up");
    }
}
