//! Decisions as they happen, one JSON object a line.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use resilience::observe::{Event, Observer};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::time::{monotonic_ns, monotonic_of};

/// Events a slow reader may be behind before it misses some.
const BACKLOG: usize = 16_384;

/// Hands events to whoever listens; costs nothing while nobody does.
#[derive(Clone)]
pub struct EventBus {
    inner: Arc<Inner>,
}

struct Inner {
    service: &'static str,
    seq: AtomicU64,
    /// Keeps numbering and sending together, so that readers see them in order.
    sender: Mutex<broadcast::Sender<Bytes>>,
}

impl EventBus {
    /// Of that service.
    pub fn new(service: &'static str) -> Self {
        let sender = Mutex::new(broadcast::Sender::new(BACKLOG));
        Self {
            inner: Arc::new(Inner {
                service,
                seq: AtomicU64::new(0),
                sender,
            }),
        }
    }

    /// Sends an event of that kind; `fields` are made only when somebody listens.
    pub fn send(&self, kind: &'static str, fields: impl FnOnce() -> Map<String, Value>) {
        let sender = self.inner.sender.lock();
        if sender.receiver_count() > 0 {
            let line = self.line(kind, fields());
            // Nobody left to hear it is no error.
            let _ = sender.send(line);
        }
    }

    fn line(&self, kind: &str, mut fields: Map<String, Value>) -> Bytes {
        fields.insert(
            "seq".into(),
            json!(self.inner.seq.fetch_add(1, Ordering::Relaxed)),
        );
        fields
            .entry("t_ns")
            .or_insert_with(|| json!(monotonic_ns()));
        fields.insert("service".into(), json!(self.inner.service));
        fields.insert("kind".into(), json!(kind));
        let mut line = Value::Object(fields).to_string();
        line.push('\n');
        line.into()
    }

    /// What is sent from now on, beginning with a `hello`.
    pub fn listen(&self) -> Listener {
        let receiver = self.inner.sender.lock().subscribe();
        Listener {
            hello: Some(self.line("hello", Map::new())),
            receiver,
            bus: self.clone(),
        }
    }
}

/// One reader's end of the bus.
pub struct Listener {
    hello: Option<Bytes>,
    receiver: broadcast::Receiver<Bytes>,
    bus: EventBus,
}

impl Listener {
    /// The next line; `None` when the bus is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        match self.receiver.recv().await {
            Ok(line) => Some(line),
            Err(RecvError::Lagged(missed)) => {
                Some(self.bus.line("gap", object(json!({ "missed": missed }))))
            }
            Err(RecvError::Closed) => None,
        }
    }
}

impl Observer for EventBus {
    fn on(&self, event: &Event<'_>) {
        match *event {
            Event::Attempt {
                slot,
                call,
                attempt,
                started,
                ended,
                ok,
                status,
                failure,
                cancelled,
            } => {
                self.send("attempt", || object(json!({
                    "link": slot.link, "policy": call.policy, "method": call.method,
                    "request_id": call.request_id,
                    "attempt": attempt, "started_ns": monotonic_of(started), "t_ns": monotonic_of(ended),
                    "ok": ok, "status": status, "failure": failure, "cancelled": cancelled,
                })));
            }
            Event::Wait {
                slot,
                call,
                attempt,
                wait,
            } => {
                self.send("wait", || object(json!({
                    "link": slot.link, "method": call.method, "request_id": call.request_id,
                    "attempt": attempt, "wait_us": u64::try_from(wait.as_micros()).unwrap_or(u64::MAX),
                })));
            }
            Event::Refused {
                slot,
                call,
                attempt,
                reason,
                retry_after,
            } => {
                self.send("refused", || {
                    object(json!({
                        "link": slot.link, "method": call.method, "request_id": call.request_id,
                        "attempt": attempt, "reason": reason, "retry_after_ms": millis(retry_after),
                    }))
                });
            }
            Event::Call {
                slot,
                call,
                outcome,
                attempts,
                started,
                ended,
            } => {
                self.send("call", || {
                    object(json!({
                        "link": slot.link, "policy": call.policy, "method": call.method,
                        "request_id": call.request_id, "outcome": outcome, "attempts": attempts,
                        "started_ns": monotonic_of(started), "t_ns": monotonic_of(ended),
                    }))
                });
            }
            Event::Hedge {
                slot,
                call,
                attempt,
                after,
            } => {
                self.send("hedge", || {
                    object(json!({
                        "link": slot.link, "method": call.method, "request_id": call.request_id,
                        "attempt": attempt,
                        "after_us": u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
                    }))
                });
            }
            Event::HedgeWon {
                slot,
                call,
                attempt,
            } => {
                self.send("hedge_won", || {
                    object(json!({
                        "link": slot.link, "method": call.method, "request_id": call.request_id,
                        "attempt": attempt,
                    }))
                });
            }
            Event::Shed {
                slot,
                call,
                priority,
                reason,
                retry_after,
            } => {
                self.send("shed", || {
                    object(json!({
                        "link": slot.link, "method": call.method, "request_id": call.request_id,
                        "priority": priority, "reason": reason,
                        "retry_after_ms": millis(Some(retry_after)),
                    }))
                });
            }
            Event::Finished {
                slot,
                call,
                took,
                wasted: true,
                ..
            } => {
                self.send("wasted", || {
                    object(json!({
                        "link": slot.link, "method": call.method, "request_id": call.request_id,
                        "took_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                    }))
                });
            }
            Event::Breaker {
                slot,
                policy,
                transition,
            } => {
                self.send("breaker", || object(json!({
                    "link": slot.link, "policy": policy, "from": transition.from.as_str(), "to": transition.to.as_str(),
                    "failures_in_a_row": transition.failures_in_a_row,
                    "retry_after_ms": millis(transition.retry_after),
                })));
            }
            Event::Routed {
                slot,
                method,
                request_id,
                attempt,
                replica,
            } => {
                self.send("routed", || {
                    object(json!({
                        "link": slot.link, "method": method, "request_id": request_id,
                        "attempt": attempt, "replica": replica,
                    }))
                });
            }
            Event::Policy { slot, policy } => {
                self.send("policy", || {
                    object(json!({ "link": slot.link, "policy": policy }))
                });
            }
            _ => {}
        }
    }
}

fn millis(d: Option<std::time::Duration>) -> Option<u64> {
    d.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &Bytes) -> Value {
        serde_json::from_slice(line).unwrap()
    }

    #[tokio::test]
    async fn a_listener_is_greeted_and_sees_what_comes_after_in_order() {
        let bus = EventBus::new("order");
        bus.send("lost", Map::new);
        let mut listener = bus.listen();
        for n in 0..3 {
            bus.send("test", || object(json!({ "n": n })));
        }
        assert_eq!(parse(&listener.next().await.unwrap())["kind"], "hello");
        for n in 0..3 {
            let line = parse(&listener.next().await.unwrap());
            assert_eq!((&line["n"], &line["service"]), (&json!(n), &json!("order")));
        }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let bus = EventBus::new("order");
        let mut listener = bus.listen();
        for _ in 0..BACKLOG + 10 {
            bus.send("test", Map::new);
        }
        listener.next().await.unwrap();
        let gap = parse(&listener.next().await.unwrap());
        assert_eq!((&gap["kind"], &gap["missed"]), (&json!("gap"), &json!(10)));
    }
}
