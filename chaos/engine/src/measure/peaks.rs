//! Peaks: what the tenths of the seconds tell.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Trial;
use super::spans::within;
use crate::runlog::Tenths;

impl Trial {
    /// The most requests that were under way at the end of any tenth of a second in
    /// these spans; `None` without traffic.
    #[must_use]
    pub fn in_flight(&self, spans: &[Range<f64>]) -> Option<u64> {
        let mut under_way = 0_i64;
        let mut most = None;
        for (second, flow) in &self.flow {
            for tenth in 0..10 {
                under_way += i64::from(flow.begun[tenth]) - i64::from(flow.ended[tenth]);
                if within(spans, middle(*second, tenth)) {
                    most = most.max(u64::try_from(under_way).ok());
                }
            }
        }
        most
    }

    /// The most requests that were sent in any tenth of a second.
    #[must_use]
    pub fn peak_requests(&self, spans: &[Range<f64>]) -> Option<u64> {
        let begun: BTreeMap<i64, Tenths> =
            self.flow.iter().map(|(s, flow)| (*s, flow.begun)).collect();
        (!begun.is_empty()).then(|| peak(&begun, spans))
    }

    /// The most attempts that began over a link in any tenth of a second.
    #[must_use]
    pub fn peak_attempts(&self, link: &str, spans: &[Range<f64>]) -> Option<u64> {
        let none = BTreeMap::new();
        let begun = self.begun.get(link).unwrap_or(&none);
        (!self.flow.is_empty()).then(|| peak(begun, spans))
    }
}

fn peak(begun: &BTreeMap<i64, Tenths>, spans: &[Range<f64>]) -> u64 {
    let mut most = 0;
    for (second, tenths) in begun {
        for (tenth, n) in tenths.iter().enumerate() {
            if within(spans, middle(*second, tenth)) {
                most = most.max(*n);
            }
        }
    }
    most.into()
}

fn middle(second: i64, tenth: usize) -> f64 {
    second as f64 + tenth as f64 / 10.0 + 0.05
}
