//! The token bucket of the AWS SDKs.

use std::sync::atomic::{AtomicU64, Ordering};

use super::amount;
use crate::failure::FailureKind;

/// Tokens that only extra attempts take.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) capacity: u64,
    pub(super) retry_cost: u64,
    pub(super) timeout_cost: u64,
    pub(super) deposit: u64,
    pub(super) refund: bool,
    pub(super) tokens: AtomicU64,
}

impl Bucket {
    /// Takes the cost of an extra attempt, if it is there. Returns the cost.
    pub(super) fn withdraw(&self, after: Option<FailureKind>) -> Option<u64> {
        let cost = match after {
            Some(FailureKind::Timeout) => self.timeout_cost,
            _ => self.retry_cost,
        };
        amount::update(&self.tokens, |tokens| tokens.checked_sub(cost)).then_some(cost)
    }

    pub(super) fn put(&self, tokens: u64) {
        amount::update(&self.tokens, |before| {
            Some(before.saturating_add(tokens).min(self.capacity))
        });
    }

    /// An attempt succeeded. `cost`: what it had cost, if it was an extra one; `extras`: whether
    /// its call has made any.
    pub(super) fn success(&self, cost: Option<u64>, extras: bool) {
        match (self.refund, cost) {
            (true, Some(cost)) => self.put(cost),
            (true, None) if extras => {}
            _ => self.put(self.deposit),
        }
    }

    pub(super) fn left(&self) -> f64 {
        let tokens = self.tokens.load(Ordering::Relaxed);
        // A cost of nothing would be infinitely many; the finest amount stands in for it.
        tokens as f64 / self.retry_cost.max(1) as f64
    }
}
