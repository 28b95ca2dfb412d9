//! Where chance comes from.
//!
//! A simulation has one seed. Each part that needs chance (a client's network, a server's service
//! times, the arrivals) gets a stream of its own, named by the way to it: scenario, cell,
//! repetition, role. So adding a part, or a draw in one of them, changes no other part's fate, and
//! two arms that name the same stream meet the same arrivals (common random numbers, which makes
//! their comparison sharper).

use rand::SeedableRng as _;

/// The generator of the simulations: small, and the same on every platform.
pub type SimRng = rand::rngs::Xoshiro256PlusPlus;

/// A place in the tree of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The root: what the user calls the seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The branch of that name.
    #[must_use]
    pub fn role(self, name: &str) -> Self {
        self.branch(fnv(name))
    }

    /// The branch of that number.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        // Rotated so that a small number can't be taken for a hash.
        self.branch(number.rotate_left(32))
    }

    /// A generator that starts here.
    pub fn rng(self) -> SimRng {
        SimRng::seed_from_u64(self.0)
    }

    /// The seed itself, for what makes its own generators, such as a [`Slot`](resilience::Slot).
    pub fn value(self) -> u64 {
        self.0
    }

    /// One-to-one in `by` for each place, so that no two branches of one place are the same.
    fn branch(self, by: u64) -> Self {
        Self(mix(self.0.rotate_left(23) ^ mix(by)))
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014): one-to-one on 64 bits.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a: a stable hash; the standard library's may change with its version.
fn fnv(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;
    use std::collections::HashSet;

    #[test]
    fn no_two_places_share_a_stream() {
        let mut seen = HashSet::new();
        for seed in 0..10 {
            for role in ["network", "service", "arrivals"] {
                for (cell, repetition) in (0..20).flat_map(|c| (0..20).map(move |r| (c, r))) {
                    let place = Seed::new(seed).role(role).nth(cell).nth(repetition);
                    assert!(seen.insert(place.rng().next_u64()));
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_way_matters() {
        let root = Seed::new(1);
        assert_ne!(root.nth(1).nth(2), root.nth(2).nth(1));
        assert_ne!(root.role("a").role("b"), root.role("b").role("a"));
        assert_eq!(root.role("a").nth(3), Seed::new(1).role("a").nth(3));
    }
}
