//! What the tests of the server's side share.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod driver;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use resilience::observe::{Event, Observer};
use resilience::server::{Arrival, ServerPolicy, ServerSlot, ServerSpec, ShedReason};
use resilience::{Deadline, Priority, SlotName};
use serde_json::Value;

pub const MS: fn(u64) -> Duration = Duration::from_millis;

/// An event of a door, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Policy(String, Option<u32>),
    Admitted {
        request: String,
        waited: Duration,
        inflight: u32,
        limit: Option<u32>,
    },
    Shed(String, ShedReason, Duration),
    Finished {
        request: String,
        took: Duration,
        wasted: bool,
        inflight: u32,
        limit: Option<u32>,
    },
}

#[derive(Default)]
pub struct Recorder(Mutex<Vec<Seen>>);

impl Recorder {
    /// Everything since the last time it was asked.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Observer for Recorder {
    fn on(&self, event: &Event<'_>) {
        let seen = match *event {
            Event::ServerPolicy { policy, limit, .. } => Seen::Policy(policy.to_owned(), limit),
            Event::Admitted {
                call,
                waited,
                inflight,
                limit,
                ..
            } => Seen::Admitted {
                request: call.request_id.to_owned(),
                waited,
                inflight,
                limit,
            },
            Event::Shed {
                call,
                reason,
                retry_after,
                ..
            } => Seen::Shed(call.request_id.to_owned(), reason, retry_after),
            Event::Finished {
                call,
                took,
                wasted,
                inflight,
                limit,
                ..
            } => Seen::Finished {
                request: call.request_id.to_owned(),
                took,
                wasted,
                inflight,
                limit,
            },
            _ => return,
        };
        self.0.lock().push(seen);
    }
}

/// A preset with changes, as one writes it.
pub fn policy(spec: Value) -> ServerPolicy {
    ServerSpec::try_from(spec).unwrap().resolve().unwrap()
}

pub fn slot(spec: Value) -> (ServerSlot, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let name = SlotName::new("product.server", "product", "server");
    let slot = ServerSlot::new(name, policy(spec), recorder.clone());
    assert_eq!(recorder.take().len(), 1, "the first policy is told");
    (slot, recorder)
}

pub fn arrival(request_id: &str) -> Arrival<'_> {
    Arrival {
        method: "GetProducts",
        request_id,
        priority: Priority::Critical,
        deadline: Deadline::NONE,
    }
}
