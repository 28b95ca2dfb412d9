//! Fixed-point amounts: millionths of an attempt or a token.
//!
//! Sums of `0.1` in floating point are never quite what they should be, and a budget adds them up
//! for weeks. Millionths are finer than any rate that people write, and what is more than 18 million
//! million saturates.

use std::sync::atomic::{AtomicU64, Ordering};

/// One attempt, or one token.
pub(super) const ONE: u64 = 1_000_000;

/// The nearest amount. What is no amount (negative, not a number) is nothing; what is too large is
/// as large as can be.
pub(super) fn of(value: f64) -> u64 {
    // The conversion saturates, and takes what isn't a number for zero.
    (value * ONE as f64).round() as u64
}

/// For people.
pub(super) fn show(amount: u64) -> f64 {
    amount as f64 / ONE as f64
}

/// Changes a balance, unless `change` says no. Returns whether it did.
///
/// Relaxed: the balance is all there is, nothing else is published by it.
pub(super) fn update(balance: &AtomicU64, mut change: impl FnMut(u64) -> Option<u64>) -> bool {
    let mut before = balance.load(Ordering::Relaxed);
    while let Some(after) = change(before) {
        match balance.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(seen) => before = seen,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_amount_is_nothing_and_the_rest_is_rounded() {
        for nothing in [f64::NAN, -1.0, f64::NEG_INFINITY, 0.0, 4e-7] {
            assert_eq!(of(nothing), 0, "{nothing}");
        }
        assert_eq!(of(f64::INFINITY), u64::MAX);
        assert_eq!(of(0.1) * 10, ONE);
        assert_eq!(show(of(1.5)), 1.5);
    }

    #[test]
    fn a_refused_update_leaves_the_balance() {
        let balance = AtomicU64::new(3);
        assert!(!update(&balance, |_| None));
        assert!(update(&balance, |before| before.checked_sub(2)));
        assert!(!update(&balance, |before| before.checked_sub(2)));
        assert_eq!(balance.into_inner(), 1);
    }
}
