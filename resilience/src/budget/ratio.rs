//! The ratio budget of Finagle, tower and linkerd.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::amount::{self, ONE};
use crate::sliding::{Bucket, Counts, Sliding};

/// Extra attempts against calls, over a sliding window.
#[derive(Debug)]
pub(super) struct Ratio {
    ratio: u64,
    reserve: u64,
    window: Mutex<Sliding>,
}

impl Ratio {
    pub(super) fn new(ratio: f64, ttl: Duration, min_per_second: f64) -> Self {
        Self {
            ratio: amount::of(ratio),
            reserve: amount::of(min_per_second * ttl.as_secs_f64()),
            window: Mutex::new(Sliding::new(ttl)),
        }
    }

    pub(super) fn deposit(&self) {
        self.window.lock().call(Instant::now());
    }

    /// Grants one extra attempt, and says in which bucket it is counted.
    pub(super) fn withdraw(&self) -> Option<Bucket> {
        let mut window = self.window.lock();
        let now = Instant::now();
        let balance = self.balance(window.total(now));
        (balance >= ONE).then(|| window.mark(now))
    }

    pub(super) fn give_back(&self, bucket: Bucket) {
        self.window.lock().unmark(bucket);
    }

    pub(super) fn left(&self) -> f64 {
        let total = self.window.lock().total(Instant::now());
        amount::show(self.balance(total))
    }

    /// Nothing when it is overdrawn, as happens when the calls that paid for an extra attempt
    /// leave the window before it does.
    fn balance(&self, total: Counts) -> u64 {
        let earned = total.calls.saturating_mul(self.ratio);
        let granted = total.marks.saturating_mul(ONE);
        earned.saturating_add(self.reserve).saturating_sub(granted)
    }
}
