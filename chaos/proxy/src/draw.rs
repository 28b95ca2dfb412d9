//! Seeded randomness that does not depend on the order of events.
//!
//! Every decision is a function of the seed and of what it is about (proxy,
//! toxic, the connection's number), so a run can be repeated even though tasks
//! interleave differently. Toxiproxy 2.12 has a `-seed` that does nothing.

use parking_lot::Mutex;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A seed that further parts are mixed into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Mixes in a name (FNV-1a, then scrambled).
    pub(crate) fn with(self, part: &str) -> Self {
        let hash = part.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.with_number(hash)
    }

    /// Mixes in a number (the finaliser of SplitMix64, Steele et al. 2014).
    pub(crate) fn with_number(self, part: u64) -> Self {
        let mut z = self
            .0
            .rotate_left(23)
            .wrapping_add(part)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(z ^ (z >> 31))
    }

    /// A stream of random numbers of one's own.
    pub(crate) fn rng(self) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(self.0)
    }

    /// One number from `[0, 1)`.
    pub(crate) fn unit(self) -> f32 {
        self.rng().random()
    }
}

/// What one connection draws from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    /// Counts the clients of its proxy, from 1.
    pub connection: u64,
    /// Its own seed, made of the proxy's and its number.
    pub seed: Seed,
}

#[cfg(test)]
impl Draws {
    pub(crate) fn of(seed: u64) -> Self {
        Numbering::new(Seed::new(seed)).next()
    }
}

/// Numbers the connections of one proxy.
pub(crate) struct Numbering(Mutex<(Seed, u64)>);

impl Numbering {
    pub(crate) fn new(seed: Seed) -> Self {
        Self(Mutex::new((seed, 0)))
    }

    /// For the next connection.
    pub(crate) fn next(&self) -> Draws {
        let mut state = self.0.lock();
        state.1 += 1;
        let (seed, connection) = *state;
        let seed = seed.with_number(connection);
        Draws { connection, seed }
    }

    /// Begins again at 1, with another seed. Connections that are there keep
    /// what they have.
    pub(crate) fn restart(&self, seed: Seed) {
        *self.0.lock() = (seed, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_draw_and_others_another() {
        let draw = |seed, name, n| Seed::new(seed).with(name).with_number(n).unit();
        assert_eq!(draw(1, "a", 1).to_bits(), draw(1, "a", 1).to_bits());
        for other in [draw(2, "a", 1), draw(1, "b", 1), draw(1, "a", 2)] {
            assert_ne!(draw(1, "a", 1).to_bits(), other.to_bits());
        }
    }

    #[test]
    fn a_restarted_numbering_draws_the_same_again() {
        let numbering = Numbering::new(Seed::new(3));
        let draw = |n: &Numbering| {
            let draws = n.next();
            (draws.connection, draws.seed.unit().to_bits())
        };
        let first = [draw(&numbering), draw(&numbering)];
        assert_eq!(first.map(|(number, _)| number), [1, 2]);
        assert_ne!(first[0].1, first[1].1);
        numbering.restart(Seed::new(3));
        assert_eq!(first, [draw(&numbering), draw(&numbering)]);
        numbering.restart(Seed::new(4));
        assert_ne!(first[0], draw(&numbering));
    }

    #[test]
    fn draws_over_consecutive_connections_are_uniform() {
        let n = 20_000;
        let hit = (0..n)
            .filter(|i| Seed::new(7).with("p").with_number(*i).unit() < 0.3)
            .count();
        let share = hit as f64 / n as f64;
        // Five standard deviations of a fair draw are 0.016.
        assert!((share - 0.3).abs() < 0.017, "{share}");
    }
}
