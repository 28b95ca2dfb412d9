//! Gathers answers over a window of time into one sample.

use std::time::Duration;

use tokio::time::Instant;

use super::Sample;

/// A window of fewer answers stays open: its mean would be chance.
const MIN_SAMPLES: u32 = 10;

#[derive(Clone, Debug)]
pub(super) struct Window {
    length: Duration,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    since: Instant,
    count: u32,
    /// Those that were answered. The time of one that was refused further in says nothing about
    /// the time an answer takes.
    answered: u32,
    sum: Duration,
    inflight: u32,
    dropped: bool,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, open: None }
    }

    /// Takes one sample in, and gives what the window comes to if that closes it: the mean time of
    /// what was answered (zero if nothing was), the most that was under way, and whether anything
    /// was dropped.
    pub(super) fn add(&mut self, sample: Sample, now: Instant) -> Option<Sample> {
        if self.length.is_zero() {
            return Some(sample);
        }
        let open = self.open.get_or_insert_with(|| Open::at(now));
        open.add(sample);
        let full =
            open.count >= MIN_SAMPLES && now.saturating_duration_since(open.since) >= self.length;
        if !full {
            return None;
        }
        let gathered = open.gathered();
        // The next window begins where this one ends, so that no time lies between them.
        self.open = Some(Open::at(now));
        Some(gathered)
    }
}

impl Open {
    fn at(since: Instant) -> Self {
        Self {
            since,
            count: 0,
            answered: 0,
            sum: Duration::ZERO,
            inflight: 0,
            dropped: false,
        }
    }

    fn add(&mut self, sample: Sample) {
        self.count = self.count.saturating_add(1);
        self.inflight = self.inflight.max(sample.inflight);
        if sample.dropped {
            self.dropped = true;
        } else {
            self.answered = self.answered.saturating_add(1);
            self.sum = self.sum.saturating_add(sample.rtt);
        }
    }

    fn gathered(&self) -> Sample {
        Sample {
            rtt: self.sum.checked_div(self.answered).unwrap_or_default(),
            inflight: self.inflight,
            dropped: self.dropped,
        }
    }
}
