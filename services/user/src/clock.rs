//! The time of day, passed in so that tests can turn it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Tells the time of day.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
    /// Where it was stopped; 0 while it runs.
    stopped_ms: Arc<AtomicI64>,
}

impl Clock {
    /// UTC epoch milliseconds.
    pub fn now_ms(&self) -> i64 {
        let base_ms = match self.stopped_ms.load(Ordering::Relaxed) {
            0 => kit::time::now_ms(),
            stopped_ms => stopped_ms,
        };
        base_ms + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Stops this clock and its clones: only [`Clock::advance`] moves them then; for tests.
    pub fn stop(&self) {
        self.stopped_ms
            .store(kit::time::now_ms(), Ordering::Relaxed);
    }

    /// Turns this clock and its clones ahead of the machine's; for tests.
    pub fn advance(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}
