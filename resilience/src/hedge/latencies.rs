//! A live percentile: a histogram of what was lately seen.

use std::time::Duration;

/// Buckets to an octave, as a power of two. A value is known to 1/32 of itself.
const PRECISION: u32 = 5;
const PER_OCTAVE: usize = 1 << PRECISION;

/// Longer times, over an hour, are taken as this many microseconds.
const MAX_MICROS: u64 = (1 << 32) - 1;

/// The linear part, then an octave for each further bit of [`MAX_MICROS`].
const BUCKETS: usize = (32 - PRECISION as usize + 1) * PER_OCTAVE;

/// Samples to a half, unless more are asked for.
const HALF: u32 = 1_000;

/// A histogram of the last one to two thousand samples.
///
/// Samples go into the newer of two halves. When that is full, it becomes the older one and the one
/// before is forgotten, so old samples fade without being kept one by one.
#[derive(Debug)]
pub(super) struct Latencies {
    newer: Half,
    older: Half,
    capacity: u32,
}

#[derive(Debug)]
struct Half {
    buckets: Box<[u32; BUCKETS]>,
    count: u32,
}

impl Half {
    fn empty() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
        }
    }
}

impl Latencies {
    /// Room for at least `samples` at any time, once there were as many.
    pub(super) fn new(samples: u32) -> Self {
        Self {
            newer: Half::empty(),
            older: Half::empty(),
            capacity: samples.max(HALF),
        }
    }

    pub(super) fn add(&mut self, took: Duration) {
        if self.newer.count == self.capacity {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.buckets.fill(0);
            self.newer.count = 0;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(MAX_MICROS);
        self.newer.buckets[index(micros.min(MAX_MICROS))] += 1;
        self.newer.count += 1;
    }

    pub(super) fn count(&self) -> u64 {
        u64::from(self.newer.count) + u64::from(self.older.count)
    }

    /// The time that `share` (0 to 1) of the samples don't exceed: within its bucket by linear
    /// interpolation, so that one in a wide bucket errs less than its width. Zero without samples.
    pub(super) fn percentile(&self, share: f64) -> Duration {
        let rank = (share * self.count() as f64).max(0.5);
        let mut below = 0.0;
        let mut value = 0.0;
        for (bucket, count) in self.counts().enumerate().filter(|(_, count)| *count > 0) {
            let count = count as f64;
            let within = ((rank - below) / count).min(1.0);
            value = low(bucket) as f64 + within * width(bucket) as f64;
            below += count;
            if below >= rank {
                break;
            }
        }
        Duration::from_secs_f64(value / 1e6)
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        let pairs = self.newer.buckets.iter().zip(self.older.buckets.iter());
        pairs.map(|(newer, older)| u64::from(*newer) + u64::from(*older))
    }
}

/// Up to two octaves' worth linear, then [`PER_OCTAVE`] equal buckets an octave: the position of
/// the highest bit and the [`PRECISION`] bits after it.
fn index(micros: u64) -> usize {
    if micros < PER_OCTAVE as u64 {
        return micros as usize;
    }
    let octave = micros.ilog2() - PRECISION;
    let position = (micros >> octave) as usize - PER_OCTAVE;
    (octave as usize + 1) * PER_OCTAVE + position
}

/// The smallest number of microseconds in a bucket.
fn low(bucket: usize) -> u64 {
    match octave(bucket) {
        None => bucket as u64,
        Some(octave) => ((bucket % PER_OCTAVE + PER_OCTAVE) as u64) << octave,
    }
}

/// How many there are in it.
fn width(bucket: usize) -> u64 {
    1 << octave(bucket).unwrap_or(0)
}

fn octave(bucket: usize) -> Option<usize> {
    (bucket / PER_OCTAVE).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const US: fn(u64) -> Duration = Duration::from_micros;

    #[test]
    fn buckets_follow_one_another_without_gap() {
        for bucket in 0..BUCKETS {
            assert_eq!(index(low(bucket)), bucket);
            assert_eq!(index(low(bucket) + width(bucket) - 1), bucket);
            if bucket + 1 < BUCKETS {
                assert_eq!(low(bucket) + width(bucket), low(bucket + 1));
            }
        }
        assert_eq!(index(MAX_MICROS), BUCKETS - 1);
    }

    #[test]
    fn old_samples_fade() {
        let mut seen = Latencies::new(0);
        for _ in 0..3_000 {
            seen.add(US(1_000_000));
        }
        for _ in 0..999 {
            seen.add(US(1_000));
        }
        assert!(
            seen.percentile(0.9) > US(900_000),
            "the older half is there"
        );
        for _ in 0..1_001 {
            seen.add(US(1_000));
        }
        assert_eq!(seen.count(), 2_000);
        assert!(seen.percentile(1.0) < US(1_050), "and now it is not");
    }

    #[test]
    fn as_many_as_are_asked_for_are_kept() {
        let mut seen = Latencies::new(5_000);
        for _ in 0..20_001 {
            seen.add(US(5));
        }
        assert_eq!(seen.count(), 5_001);
    }

    #[test]
    fn extremes_are_taken_in() {
        let mut seen = Latencies::new(0);
        assert_eq!(seen.percentile(0.5), Duration::ZERO);
        seen.add(Duration::ZERO);
        assert!(seen.percentile(0.5) <= US(1));
        seen.add(Duration::MAX);
        assert!(seen.percentile(1.0) >= US(MAX_MICROS));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// Against the sorted samples: the percentile by nearest rank lies within a bucket, which
        /// is 1/32 of it or the microsecond that is the finest unit.
        #[test]
        fn a_percentile_errs_by_a_bucket_at_most(
            exponents in proptest::collection::vec(0.0f64..8.0, 1..900),
            share in 0.01f64..=1.0,
        ) {
            let mut sorted: Vec<u64> = exponents.iter().map(|e| 10f64.powf(*e) as u64).collect();
            let mut seen = Latencies::new(0);
            for micros in &sorted {
                seen.add(US(*micros));
            }
            sorted.sort_unstable();
            let rank = (share * sorted.len() as f64).ceil() as usize;
            let exact = sorted[rank.max(1) - 1] as f64;
            let got = seen.percentile(share).as_secs_f64() * 1e6;
            prop_assert!((got - exact).abs() <= exact / 32.0 + 1.001, "{got} for {exact}");
        }
    }
}
