//! Telling somebody else of the customers' requests as they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::shop::Reply;
use crate::types::UserId;

/// A customer's request that has ended: with an answer, without one, or given up by its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// `place`, `cancel`, `read` or `list`.
    pub call: &'static str,
    /// Whose.
    pub user: UserId,
    /// The `x-request-id` that it carried.
    pub request_id: String,
    /// From its beginning to its end.
    pub took: Duration,
    /// The HTTP status; 0 when no answer began.
    pub status: u16,
    /// The shop's word for a refusal, or what went wrong on the way; empty when it was done.
    pub why: String,
    /// Whether it was done: a 2xx that could be read.
    pub done: bool,
    /// Whether the answer calls itself stale.
    pub stale: bool,
    /// Whether any of it can have reached the shop.
    pub sent: bool,
}

/// Whoever wants to know.
pub trait Watch: Send + Sync {
    /// A request has ended now.
    fn ended(&self, request: Sent);
}

pub(super) struct Watcher {
    prefix: String,
    next: AtomicU64,
    watch: Arc<dyn Watch>,
}

impl Watcher {
    pub(super) fn new(prefix: &str, watch: Arc<dyn Watch>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            next: AtomicU64::new(0),
            watch,
        }
    }

    pub(super) fn begins(&self, call: &'static str, user: UserId) -> Ticket {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let sent = Sent {
            call,
            user,
            request_id: format!("{}-{number}", self.prefix),
            took: Duration::ZERO,
            status: 0,
            why: "timeout".to_owned(),
            done: false,
            stale: false,
            sent: true,
        };
        Ticket {
            sent: Some(sent),
            began: Instant::now(),
            watch: Arc::clone(&self.watch),
        }
    }
}

/// A request under way. Dropped without an end, its client has given it up.
pub(super) struct Ticket {
    sent: Option<Sent>,
    began: Instant,
    watch: Arc<dyn Watch>,
}

impl Ticket {
    pub(super) fn request_id(&self) -> &str {
        self.sent.as_ref().map_or("", |sent| &sent.request_id)
    }

    pub(super) fn ended(mut self, status: u16, reply: &Reply<(Value, bool)>) {
        let Some(sent) = &mut self.sent else { return };
        sent.status = status;
        match reply {
            Reply::Done((_, stale)) => {
                sent.done = true;
                sent.stale = *stale;
                sent.why.clear();
            }
            Reply::Refused { status, error } => {
                sent.sent = *status != 0;
                sent.why.clone_from(error);
            }
            Reply::Unknown(why) => sent.why.clone_from(why),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(mut sent) = self.sent.take() {
            sent.took = self.began.elapsed();
            self.watch.ended(sent);
        }
    }
}
