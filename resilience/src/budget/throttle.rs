//! The retry throttling of gRFC A6.

use std::sync::atomic::{AtomicU64, Ordering};

use super::amount::{self, ONE};

/// Tokens that every failure takes and every success gives a part of back.
#[derive(Debug)]
pub(super) struct Tokens {
    max: u64,
    ratio: u64,
    tokens: AtomicU64,
}

impl Tokens {
    /// Full.
    pub(super) fn new(max: f64, ratio: f64) -> Self {
        let max = amount::of(max);
        Self {
            max,
            ratio: amount::of(ratio),
            tokens: AtomicU64::new(max),
        }
    }

    /// Whether more than half of the tokens are there.
    pub(super) fn grants(&self) -> bool {
        self.tokens.load(Ordering::Relaxed) > self.max / 2
    }

    pub(super) fn failure(&self) {
        self.update(|tokens| tokens.saturating_sub(ONE));
    }

    pub(super) fn success(&self) {
        self.update(|tokens| tokens.saturating_add(self.ratio).min(self.max));
    }

    pub(super) fn left(&self) -> f64 {
        amount::show(self.tokens.load(Ordering::Relaxed))
    }

    fn update(&self, change: impl Fn(u64) -> u64) {
        amount::update(&self.tokens, |tokens| Some(change(tokens)));
    }
}
