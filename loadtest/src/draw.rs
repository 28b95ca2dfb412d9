//! Draws that are a pure function of a seed and a position.
//!
//! SplitMix64 (Steele, Lea and Flood, OOPSLA '14), because a run must come out the same after an
//! update of any crate, and generators such as `StdRng` promise no stable sequence. It is made for
//! being seeded with neighbouring numbers, which is just what seed and index are.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: a bijection in which every bit depends on every other.
pub(crate) fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a sequence of draws is for; the same seed gives each purpose a sequence of its own.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Arrival times and operations of a stream; the index is the stream's.
    Arrivals = 1,
    /// What a request asks for; the index is the arrival's.
    Request = 2,
    /// The tag in a request id; the index is the arrival's.
    RequestId = 3,
    /// Beginnings and operations of a closed stream's customer; the index is that of the first request.
    Rounds = 4,
}

/// A sequence of draws.
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    /// The sequence of (seed, purpose, index).
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let lane = scramble(seed.wrapping_add((purpose as u64).wrapping_mul(GOLDEN)));
        Self(scramble(lane ^ index.wrapping_mul(GOLDEN)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        scramble(self.0)
    }

    /// Uniform in [0, 1), in steps of 2⁻⁵³.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0..n, or 0 for an empty range. The bias of multiply-and-shift is below n / 2⁶⁴.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // First outputs for seed 0 of the authors' reference code.
        let mut draws = Draws(0);
        let expected = [
            0xe220_a839_7b1d_cdaf,
            0x6e78_9e6a_a1b9_65f4,
            0x06c4_5d18_8009_454f,
        ];
        assert_eq!([draws.next(), draws.next(), draws.next()], expected);
    }

    #[test]
    fn draws_are_uniform_and_lanes_are_apart() {
        let mut counts = [0_u32; 10];
        for index in 0..100_000 {
            counts[Draws::new(7, Purpose::Request, index).below(10)] += 1;
        }
        // Chi-square with 9 degrees of freedom: 27.9 is its 99.9th percentile.
        let chi: f64 = counts
            .iter()
            .map(|&n| (f64::from(n) - 10_000.0).powi(2) / 10_000.0)
            .sum();
        assert!(chi < 27.9, "chi-square {chi}, counts {counts:?}");
        let first = |purpose, index| Draws::new(7, purpose, index).next();
        assert_ne!(first(Purpose::Request, 3), first(Purpose::RequestId, 3));
        assert_ne!(first(Purpose::Request, 3), first(Purpose::Request, 4));
    }
}
