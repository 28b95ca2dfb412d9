//! Latency histograms: HDR, 3 significant digits, 1 µs to 2 minutes.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::LoadError;

/// A histogram of durations. Values are kept in microseconds to three significant digits; shorter
/// than 1 µs counts as 1 µs, longer than [`Histogram::MAX`] as that. Its text form, in JSON too, is
/// HdrHistogram's V2 compressed encoding in base64, which the tools of hdrhistogram.org read.
#[derive(Clone, PartialEq)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

impl Histogram {
    /// The longest duration that is told from longer ones.
    pub const MAX: Duration = Duration::from_secs(120);
    const MAX_US: u64 = 120_000_000;
    const DIGITS: u8 = 3;
    /// The least power of two that tells 2 · 10³ values apart, which three digits need.
    const SUB_BUCKETS: u32 = 2_048;

    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self(
            hdrhistogram::Histogram::new_with_bounds(1, Self::MAX_US, Self::DIGITS)
                .expect("constant bounds that the library takes"),
        )
    }

    /// Counts `duration`, rounded to the nearest microsecond.
    pub fn record(&mut self, duration: Duration) {
        let us = clock::as_ns(duration).saturating_add(500) / 1_000;
        self.0.saturating_record(us.clamp(1, Self::MAX_US));
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("both have the same bounds, by construction");
    }

    /// How many durations were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The duration that a share `q` (0 to 1) of all does not exceed; none if nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        self.some(self.0.value_at_quantile(q))
    }

    /// The shortest.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        self.some(self.0.min())
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.some(self.0.max())
    }

    /// The arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_secs_f64(self.0.mean() / 1e6))
    }

    /// How many were longer than `limit`, as far as three digits can tell.
    #[must_use]
    pub fn count_over(&self, limit: Duration) -> u64 {
        let us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let from = self
            .0
            .highest_equivalent(us.min(Self::MAX_US))
            .saturating_add(1);
        if from > self.0.max() {
            0
        } else {
            self.0.count_between(from, self.0.max())
        }
    }

    /// The text form.
    #[must_use]
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .expect("writing to memory, of a histogram within the format's bounds");
        STANDARD.encode(bytes)
    }

    /// Reads the text form, of ours or of any histogram of microseconds within our range.
    ///
    /// # Errors
    /// [`LoadError::Histogram`] if it is no such text.
    pub fn from_base64(text: &str) -> Result<Self, LoadError> {
        let failed = |what: String| LoadError::Histogram(what);
        let bytes = STANDARD
            .decode(text.trim())
            .map_err(|e| failed(e.to_string()))?;
        let read: hdrhistogram::Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|e| failed(e.to_string()))?;
        let mut histogram = Self::new();
        histogram.0.add(&read).map_err(|e| failed(e.to_string()))?;
        Ok(histogram)
    }

    /// The percentiles in milliseconds, in the text form that HdrHistogram's own tools write
    /// (`outputPercentileDistribution`, five steps a halving) and its plotters read.
    #[must_use]
    pub fn percentiles(&self) -> String {
        let mut text = format!(
            "{:>12} {:>14} {:>10} {:>14}\n\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        );
        let mut total = 0;
        for step in self.0.iter_quantiles(5) {
            total += step.count_since_last_iteration();
            let (ms, q) = (
                step.value_iterated_to() as f64 / 1e3,
                step.quantile_iterated_to(),
            );
            let _ = write!(text, "{ms:12.3} {q:2.12} {total:10}");
            let _ = match q {
                q if q < 1.0 => writeln!(text, " {:14.2}", 1.0 / (1.0 - q)),
                _ => writeln!(text),
            };
        }
        let ms = |us: f64| us / 1e3;
        let _ = write!(
            text,
            "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
             #[Max     = {:12.3}, Total count    = {:12}]\n\
             #[Buckets = {:12}, SubBuckets     = {:12}]\n",
            ms(self.0.mean()),
            ms(self.0.stdev()),
            ms(self.0.max() as f64),
            self.0.len(),
            self.0.buckets(),
            Self::SUB_BUCKETS,
        );
        text
    }

    /// The library's own type, for its log writer.
    pub(crate) fn inner(&self) -> &hdrhistogram::Histogram<u64> {
        &self.0
    }

    fn some(&self, us: u64) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_micros(us))
    }
}

impl std::fmt::Debug for Histogram {
    /// A few figures; the library's own form is all of its 18 000 counters.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("len", &self.len())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_base64(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(us: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        us.iter()
            .for_each(|us| histogram.record(Duration::from_micros(*us)));
        histogram
    }

    #[test]
    fn an_empty_histogram_has_no_figures() {
        let empty = Histogram::new();
        assert!(empty.is_empty() && empty.quantile(0.99).is_none() && empty.max().is_none());
        assert_eq!(
            (empty.mean(), empty.min(), empty.count_over(Duration::ZERO)),
            (None, None, 0)
        );
        assert_eq!(Histogram::from_base64(&empty.to_base64()).unwrap(), empty);
    }

    #[test]
    fn its_debug_form_is_short() {
        let text = format!("{:?}", of(&[10, 20]));
        assert!(text.contains("len: 2") && text.len() < 200, "{text}");
    }

    #[test]
    fn percentiles_are_written_as_the_librarys_tools_do() {
        let us: Vec<u64> = (1..=1_000).map(|n| n * 1_000).collect();
        let text = of(&us).percentiles();
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_whitespace()
                    .map(|f| f.parse().unwrap())
                    .collect()
            })
            .collect();
        assert!(
            rows.windows(2)
                .all(|r| r[0][0] <= r[1][0] && r[0][2] <= r[1][2])
        );
        let median = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert!((median[0] - 500.0).abs() < 1.0 && (median[3] - 2.0).abs() < 1e-9);
        let last = rows.last().unwrap();
        assert!((last[0] - 1_000.0).abs() < 1.0 && last.len() == 3);
        assert!((last[2] - 1_000.0).abs() < 1e-9);
        assert!(text.contains("Total count    =         1000]"), "{text}");
        assert!(!of(&[]).percentiles().contains("NaN"));
    }

    #[test]
    fn values_outside_the_range_are_kept_at_its_ends() {
        let histogram = of(&[0, 999_000_000]);
        assert_eq!(histogram.min(), Some(Duration::from_micros(1)));
        let max = histogram.max().unwrap().as_secs_f64();
        assert!((max - 120.0).abs() < 0.13, "{max}");
    }

    #[test]
    fn over_a_limit_excludes_the_limit() {
        let histogram = of(&[10, 20, 20, 30, 5_000_000]);
        assert_eq!(histogram.count_over(Duration::from_micros(20)), 2);
        assert_eq!(histogram.count_over(Duration::from_micros(9)), 5);
        assert_eq!(histogram.count_over(Duration::from_secs(6)), 0);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for text in ["", "?", "AAAA", "SGVsbG8gd29ybGQ="] {
            assert!(
                matches!(Histogram::from_base64(text), Err(LoadError::Histogram(_))),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn text_and_json_give_back_the_same(us in prop::collection::vec(1_u64..120_000_000, 0..200)) {
            let histogram = of(&us);
            prop_assert_eq!(&Histogram::from_base64(&histogram.to_base64()).unwrap(), &histogram);
            let json = serde_json::to_string(&histogram).unwrap();
            prop_assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
        }

        #[test]
        fn quantiles_are_within_three_digits(us in prop::collection::vec(1_u64..120_000_000, 1..300)) {
            let histogram = of(&us);
            let mut sorted = us;
            sorted.sort_unstable();
            for q in [0.5, 0.9, 0.99, 0.999, 1.0] {
                let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
                let exact = sorted[rank - 1] as f64;
                let told = histogram.quantile(q).unwrap().as_secs_f64() * 1e6;
                prop_assert!((told - exact).abs() <= exact / 1_000.0 + 1.0, "{}: {} {}", q, told, exact);
            }
        }

        #[test]
        fn merging_is_counting_together(
            a in prop::collection::vec(1_u64..120_000_000, 0..100),
            b in prop::collection::vec(1_u64..120_000_000, 0..100),
        ) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }
}
