//! One random stream a call.
//!
//! A back-off that clones one generator with its state gives every caller the same "random" waits
//! (tower's `ExponentialBackoffMaker` does), which is the herd that jitter should prevent. Here a
//! call's stream is seeded from the slot's seed and the call's number in the slot, and the mixing
//! is one-to-one in both, so no two calls of a slot can share a stream.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

/// The generator of a call: small, and the same on every platform, unlike rand's `SmallRng`.
pub(crate) type CallRng = Xoshiro256PlusPlus;

/// Where the streams of a slot come from.
#[derive(Debug)]
pub(crate) struct Streams {
    seed: u64,
    next: AtomicU64,
}

impl Streams {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            next: AtomicU64::new(0),
        }
    }

    /// The stream of the next call.
    pub(crate) fn next(&self) -> CallRng {
        stream(self.seed, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

fn stream(seed: u64, number: u64) -> CallRng {
    let a = mix(seed);
    let b = mix(number ^ 0x6a09_e667_f3bc_c908);
    let words = [a, b, mix(a ^ b.rotate_left(32)), mix(b ^ a.rotate_left(17))];
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    let mut rng = CallRng::from_seed(bytes);
    // xoshiro's first outputs still show a little of a structured seed.
    for _ in 0..4 {
        let _ = rand::Rng::next_u64(&mut rng);
    }
    rng
}

/// SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014): one-to-one on 64 bits.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng as _, RngExt as _};
    use std::collections::HashSet;

    #[test]
    fn no_two_calls_and_no_two_slots_share_a_stream() {
        let mut seen = HashSet::new();
        for seed in 0..20 {
            let streams = Streams::new(seed);
            for _ in 0..500 {
                assert!(seen.insert(streams.next().next_u64()));
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_streams() {
        let (a, b) = (Streams::new(7), Streams::new(7));
        for _ in 0..10 {
            assert_eq!(a.next().next_u64(), b.next().next_u64());
        }
    }

    #[test]
    fn neighbouring_calls_are_uncorrelated() {
        let streams = Streams::new(1);
        let firsts: Vec<f64> = (0..20_000)
            .map(|_| streams.next().random::<f64>())
            .collect();
        let n = firsts.len() as f64;
        let mean = firsts.iter().sum::<f64>() / n;
        let variance = firsts.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let covariance = firsts
            .windows(2)
            .map(|w| (w[0] - mean) * (w[1] - mean))
            .sum::<f64>()
            / (n - 1.0);
        // Four standard errors of an independent sample.
        let limit = 4.0 / n.sqrt();
        assert!((mean - 0.5).abs() < limit * variance.sqrt(), "mean {mean}");
        assert!(
            (covariance / variance).abs() < limit,
            "correlation {}",
            covariance / variance
        );
    }
}
