//! The time of day, passed in so that tests can turn it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Tells the time of day.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// UTC epoch milliseconds.
    pub fn now_ms(&self) -> i64 {
        kit::time::now_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Turns this clock and its clones ahead of the machine's; for tests.
    pub fn advance(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}
