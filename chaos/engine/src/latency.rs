//! Latencies as sparse counts. A frame carries a HdrHistogram (V2, deflated,
//! base64, microseconds to three digits, the load generator's format); in memory
//! only its filled bins are kept, since a second's sixty requests fill few of
//! eighteen thousand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// Bounds and digits of `loadtest::Histogram`.
const MAX_US: u64 = 120_000_000;
const DIGITS: u8 = 3;

/// Counts by latency. A bin's value is the longest latency it stands for, in
/// microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    bins: Vec<(u64, u64)>,
    total: u64,
}

impl Latency {
    /// Reads a frame's text; `None` if it is no such histogram.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let bytes = STANDARD.decode(text).ok()?;
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .ok()?;
        let bins: Vec<(u64, u64)> = read
            .iter_recorded()
            .map(|bin| (bin.value_iterated_to(), bin.count_at_value()))
            .collect();
        Some(Self {
            total: bins.iter().map(|b| b.1).sum(),
            bins,
        })
    }

    /// All of these together.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut bins: Vec<(u64, u64)> = parts
            .into_iter()
            .flat_map(|p| p.bins.iter().copied())
            .collect();
        bins.sort_unstable_by_key(|b| b.0);
        bins.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        Self {
            total: bins.iter().map(|b| b.1).sum(),
            bins,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The latency, in seconds, that a share `q` does not exceed.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.order(((q * self.total as f64).ceil() as u64).max(1))
    }

    /// The median-unbiased estimate of the quantile `q`, in seconds: between two order
    /// statistics, at rank (n + 1/3) q + 1/3 (Hyndman and Fan, "Sample quantiles in
    /// statistical packages", 1996, type 8). Of ten requests beyond a percentile it is the
    /// one that is as often too high as too low.
    #[must_use]
    pub fn percentile(&self, q: f64) -> Option<f64> {
        let n = self.total as f64;
        let rank = ((n + 1.0 / 3.0) * q + 1.0 / 3.0).clamp(1.0, n.max(1.0));
        let (below, part) = (rank.floor(), rank.fract());
        let low = self.order(below as u64)?;
        let high = self.order((below as u64 + 1).min(self.total))?;
        Some(low + part * (high - low))
    }

    /// The latency of that rank, from 1.
    fn order(&self, rank: u64) -> Option<f64> {
        let mut passed = 0;
        self.bins.iter().find_map(|(us, n)| {
            passed += n;
            (passed >= rank).then_some(*us as f64 / 1e6)
        })
    }

    /// The longest, in seconds, to three digits.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.bins.last().map(|b| b.0 as f64 / 1e6)
    }

    /// The counts by latency, in seconds, shortest first.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.bins.iter().map(|b| (b.0 as f64 / 1e6, b.1))
    }

    /// How many were answered within `seconds`. A bin that the limit cuts counts
    /// as above it.
    #[must_use]
    pub fn within(&self, seconds: f64) -> u64 {
        let limit = (seconds * 1e6).round() as u64;
        self.bins
            .iter()
            .take_while(|b| b.0 <= limit)
            .map(|b| b.1)
            .sum()
    }
}

/// Latencies of one second, on their way into a frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Vec<u64>);

impl Recorder {
    pub(crate) fn record_ns(&mut self, ns: u64) {
        self.0
            .push((ns.saturating_add(500) / 1_000).clamp(1, MAX_US));
    }

    /// As it is, zero too; the histogram takes zero for the shortest there is.
    pub(crate) fn record_us(&mut self, us: u64) {
        self.0.push(us);
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn sum_us(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// The frame's text; empty without a value.
    pub(crate) fn to_base64(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        // The bounds are constant and good, and memory takes every byte.
        let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, MAX_US, DIGITS) else {
            return String::new();
        };
        for us in &self.0 {
            histogram.saturating_record(*us);
        }
        let mut bytes = Vec::new();
        match V2DeflateSerializer::new().serialize(&histogram, &mut bytes) {
            Ok(_) => STANDARD.encode(bytes),
            Err(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(us: &[u64]) -> Latency {
        let mut r = Recorder::default();
        us.iter().for_each(|us| r.record_ns(us * 1_000));
        Latency::from_base64(&r.to_base64()).unwrap()
    }

    #[test]
    fn empty_text_is_no_latency_and_nonsense_is_refused() {
        let empty = Latency::from_base64("").unwrap();
        assert!(empty.is_empty() && empty.quantile(0.5).is_none());
        assert!(empty.percentile(0.5).is_none() && empty.max().is_none());
        assert_eq!(Latency::from_base64("!"), None);
        assert_eq!(Latency::from_base64("AAAA"), None);
    }

    #[test]
    fn the_load_generator_reads_the_same_text() {
        let mut r = Recorder::default();
        [5, 1_000, 77_777]
            .iter()
            .for_each(|us| r.record_ns(us * 1_000));
        let theirs = loadtest::Histogram::from_base64(&r.to_base64()).unwrap();
        assert_eq!(theirs.len(), 3);
        let ours = Latency::from_base64(&theirs.to_base64()).unwrap();
        assert_eq!(ours, of(&[5, 1_000, 77_777]));
    }

    #[test]
    fn within_is_strict_about_the_limit() {
        let l = of(&[1_000, 49_000, 50_000, 51_000]);
        // 50 000 µs lies in the bin up to 50 015 µs.
        assert_eq!(l.within(0.05), 2);
        assert_eq!(l.within(0.0505), 3);
        assert_eq!(l.within(1.0), 4);
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values(us in prop::collection::vec(1_u64..100_000_000, 1..200)) {
            let l = of(&us);
            let mut sorted = us.clone();
            sorted.sort_unstable();
            for q in [0.01, 0.5, 0.9, 0.99, 1.0] {
                let rank = ((q * us.len() as f64).ceil() as usize).max(1);
                let exact = sorted[rank - 1] as f64 / 1e6;
                let told = l.quantile(q).unwrap();
                prop_assert!((told - exact).abs() <= exact / 1000.0 + 2e-6);
                let at = (us.len() as f64 + 1.0 / 3.0) * q + 1.0 / 3.0;
                let order = |rank: f64| sorted[(rank as usize).clamp(1, us.len()) - 1] as f64 / 1e6;
                let (low, high) = (order(at.floor()), order(at.floor() + 1.0));
                let told = l.percentile(q).unwrap();
                prop_assert!(told >= low * 0.999 - 2e-6 && told <= high * 1.001 + 2e-6);
            }
        }

        #[test]
        fn sums_count_everything(
            a in prop::collection::vec(1_u64..1_000_000, 0..50),
            b in prop::collection::vec(1_u64..1_000_000, 0..50),
        ) {
            prop_assert_eq!(Latency::sum([&of(&a), &of(&b)]), of(&[a, b].concat()));
        }
    }
}
