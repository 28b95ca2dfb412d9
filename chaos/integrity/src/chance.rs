//! Where chance comes from: one seed, and a stream of its own for each role, so that a draw more in
//! one of them changes no other's fate.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

/// A stream of chance.
#[derive(Clone, Debug)]
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The stream of the `nth` of its role under a seed.
    #[must_use]
    pub fn of(seed: u64, role: &str, nth: u64) -> Self {
        let place = mix(mix(seed) ^ fnv(role)).rotate_left(23) ^ mix(nth);
        Self(Xoshiro256PlusPlus::seed_from_u64(mix(place)))
    }

    /// A number below `bound`, which is 1 or more.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }

    /// A number of a range.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.0.random::<f64>() < probability
    }

    /// One of several, if there are any.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() {
            return None;
        }
        of.get(self.below(of.len()))
    }

    /// Around a mean: uniform between none and twice of it.
    pub fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(2.0 * self.0.random::<f64>())
    }
}

/// FNV-1a: a hash that no version of the standard library changes.
pub(crate) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014): one-to-one on 64 bits.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_their_own_and_repeat() {
        let draws = |seed, role, nth| {
            let mut chance = Chance::of(seed, role, nth);
            [(); 4].map(|()| chance.below(1_000_000))
        };
        assert_eq!(draws(1, "customer", 2), draws(1, "customer", 2));
        assert_ne!(draws(1, "customer", 2), draws(1, "customer", 3));
        assert_ne!(draws(1, "customer", 2), draws(1, "staff", 2));
        assert_ne!(draws(1, "customer", 2), draws(2, "customer", 2));
    }

    #[test]
    fn bounds_hold() {
        let mut chance = Chance::of(3, "bounds", 0);
        for _ in 0..1_000 {
            assert!(chance.below(3) < 3);
            assert!((5..=7).contains(&chance.between(5, 7)));
            assert!(chance.around(Duration::from_secs(1)) <= Duration::from_secs(2));
        }
        assert_eq!(chance.pick::<u8>(&[]), None);
        assert!(!chance.happens(0.0) && chance.happens(1.0));
    }
}
