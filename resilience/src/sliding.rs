//! Counts over a sliding window: calls, and how many of them are marked.
//!
//! A ratio budget marks the extra attempts, adaptive throttling the accepted requests. The window
//! is cut into [`SLOTS`] buckets; the one that is filling comes on top. So what is counted reaches
//! back at least the whole window and less than one bucket (a twentieth of it) further: nothing
//! inside the window is ever forgotten, which is the side on which a bound may err.
//!
//! Counts are integers, kept as a sum: each look costs the buckets that ran out since the one
//! before, nothing else, and however long it runs nothing drifts.

use std::time::Duration;

use tokio::time::Instant;

/// Buckets to a window.
pub(crate) const SLOTS: u32 = 20;

/// The buckets of a window and the one that is filling.
const RING: usize = SLOTS as usize + 1;

#[derive(Debug)]
pub(crate) struct Sliding {
    /// The length of a bucket in nanoseconds.
    width: u64,
    /// Where bucket 0 begins. Set by the first use and not before: policies are put together
    /// outside of runtimes as well, where tokio's clock isn't the one they will run on.
    origin: Option<Instant>,
    ring: [Counts; RING],
    /// The bucket that is filling.
    filling: Bucket,
    total: Counts,
}

/// How many calls, and how many marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) marks: u64,
}

/// A bucket's number since the origin. It is never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(u64);

impl Bucket {
    fn slot(self) -> usize {
        (self.0 % RING as u64) as usize
    }
}

impl Sliding {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            // Rounded up, so that the buckets never come to less than the window.
            width: nanos(window).div_ceil(u64::from(SLOTS)).max(1),
            origin: None,
            ring: [Counts::default(); RING],
            filling: Bucket::default(),
            total: Counts::default(),
        }
    }

    /// What the window holds at `now`.
    pub(crate) fn total(&mut self, now: Instant) -> Counts {
        self.advance(now);
        self.total
    }

    /// Counts one call.
    pub(crate) fn call(&mut self, now: Instant) {
        self.advance(now);
        self.ring[self.filling.slot()].calls += 1;
        self.total.calls += 1;
    }

    /// Counts one mark, and says where, so that it can be taken back.
    pub(crate) fn mark(&mut self, now: Instant) -> Bucket {
        self.advance(now);
        self.ring[self.filling.slot()].marks += 1;
        self.total.marks += 1;
        self.filling
    }

    /// Takes back one mark of that bucket, unless it has left the window and with it the count.
    pub(crate) fn unmark(&mut self, bucket: Bucket) {
        if self.filling.0 - bucket.0 < RING as u64 {
            self.ring[bucket.slot()].marks -= 1;
            self.total.marks -= 1;
        }
    }

    fn advance(&mut self, now: Instant) {
        let origin = *self.origin.get_or_insert(now);
        let current = Bucket(nanos(now.saturating_duration_since(origin)) / self.width);
        // Not `!=`: two threads may take their time in one order and the lock in the other.
        if current <= self.filling {
            return;
        }
        for number in (self.filling.0 + 1..=current.0).take(RING) {
            let gone = std::mem::take(&mut self.ring[Bucket(number).slot()]);
            self.total.calls -= gone.calls;
            self.total.marks -= gone.marks;
        }
        self.filling = current;
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_window_reaches_back_its_length_and_less_than_a_bucket_more() {
        let start = Instant::now();
        let mut window = Sliding::new(MS(2_000));
        window.call(start);
        window.call(start + MS(99));
        window.call(start + MS(100));
        let calls = |window: &mut Sliding, ms| window.total(start + MS(ms)).calls;
        assert_eq!(calls(&mut window, 2_099), 3, "bucket 0 is the oldest kept");
        assert_eq!(calls(&mut window, 2_100), 1, "bucket 0 is gone");
        assert_eq!(calls(&mut window, 2_200), 0);
    }

    #[test]
    fn a_mark_is_taken_back_where_it_was_made_or_not_at_all() {
        let start = Instant::now();
        let mut window = Sliding::new(MS(2_000));
        let first = window.mark(start);
        let second = window.mark(start + MS(1_000));
        window.unmark(first);
        assert_eq!(window.total(start + MS(1_000)).marks, 1);
        assert_eq!(window.total(start + MS(3_100)).marks, 0, "it ran out");
        let third = window.mark(start + MS(3_100));
        window.unmark(second);
        assert_eq!(
            window.total(start + MS(3_100)).marks,
            1,
            "what ran out is not taken from others"
        );
        window.unmark(third);
        assert_eq!(window.total(start + MS(3_100)).marks, 0);
    }

    #[test]
    fn windows_of_no_length_and_of_all_time_do_no_harm() {
        let start = Instant::now();
        for length in [Duration::ZERO, Duration::MAX] {
            let mut window = Sliding::new(length);
            window.call(start);
            assert_eq!(window.total(start).calls, 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Against the history itself: all of the window is counted, and nothing that is older
        /// than the window and a bucket.
        #[test]
        fn the_count_lies_between_two_windows(
            length in 1u64..5_000,
            gaps in proptest::collection::vec(0u64..2_000, 1..100),
        ) {
            let start = Instant::now();
            let mut window = Sliding::new(MS(length));
            let mut calls: Vec<u64> = vec![];
            let mut now = 0;
            for gap in gaps {
                now += gap;
                window.call(start + MS(now));
                calls.push(now);
                let within = |nanos: u64| {
                    let since = |at: &&u64| (now - **at) * 1_000_000 <= nanos;
                    calls.iter().filter(since).count() as u64
                };
                let (inner, outer) = (length * 1_000_000, length * 1_050_000);
                let seen = window.total(start + MS(now)).calls;
                prop_assert!(seen >= within(inner), "{seen} of {} in the window", within(inner));
                prop_assert!(seen <= within(outer), "{seen} of {} in the cover", within(outer));
            }
        }
    }
}
