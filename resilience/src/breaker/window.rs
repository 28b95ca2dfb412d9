//! Sliding windows over the outcomes of calls: the last so many, or those of the last while.
//!
//! Both keep a running tally, so recording costs the same however long the window is, and both
//! are allocated once.

use std::time::Duration;

use tokio::time::Instant;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// The sum of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u32,
    pub(super) failures: u32,
    /// Slow calls, the failed ones among them included.
    pub(super) slow: u32,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(outcome.failed.into());
        self.slow = self.slow.saturating_add(outcome.slow.into());
    }

    fn subtract(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failures = self.failures.saturating_sub(other.failures);
        self.slow = self.slow.saturating_sub(other.slow);
    }

    /// The share of failures; `None` of nothing.
    pub(super) fn failure_rate(self) -> Option<f64> {
        self.share(self.failures)
    }

    /// The share of slow calls; `None` of nothing.
    pub(super) fn slow_rate(self) -> Option<f64> {
        self.share(self.slow)
    }

    fn share(self, part: u32) -> Option<f64> {
        (self.calls > 0).then(|| f64::from(part) / f64::from(self.calls))
    }
}

impl From<Outcome> for Tally {
    fn from(outcome: Outcome) -> Self {
        let mut tally = Self::default();
        tally.add(outcome);
        tally
    }
}

#[derive(Debug)]
pub(super) enum Window {
    Calls(Ring),
    Time(Buckets),
}

impl Window {
    pub(super) fn record(&mut self, outcome: Outcome, now: Instant) {
        match self {
            Self::Calls(ring) => ring.record(outcome),
            Self::Time(buckets) => buckets.record(outcome, now),
        }
    }

    pub(super) fn tally(&mut self, now: Instant) -> Tally {
        match self {
            Self::Calls(ring) => ring.tally,
            Self::Time(buckets) => buckets.tally(now),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Calls(ring) => ring.clear(),
            Self::Time(buckets) => buckets.clear(),
        }
    }
}

/// The last outcomes, oldest overwritten first.
#[derive(Debug)]
pub(super) struct Ring {
    outcomes: Box<[Outcome]>,
    /// Where the next one goes.
    next: usize,
    tally: Tally,
}

impl Ring {
    pub(super) fn new(calls: u32) -> Self {
        let empty = Outcome {
            failed: false,
            slow: false,
        };
        Self {
            outcomes: vec![empty; calls.max(1) as usize].into_boxed_slice(),
            next: 0,
            tally: Tally::default(),
        }
    }

    fn record(&mut self, outcome: Outcome) {
        let size = self.outcomes.len();
        let oldest = std::mem::replace(&mut self.outcomes[self.next], outcome);
        if self.tally.calls as usize == size {
            self.tally.subtract(oldest.into());
        }
        self.tally.add(outcome);
        self.next = (self.next + 1) % size;
    }

    fn clear(&mut self) {
        // What the slots hold doesn't matter: the tally says how many of them are in use.
        self.next = 0;
        self.tally = Tally::default();
    }
}

/// In how many steps a time window slides.
pub(super) const BUCKETS: usize = 20;

/// The outcomes of the last while, summed in [`BUCKETS`] buckets of equal length. The one being
/// filled counts as a whole, so an outcome is forgotten at an age between 95 and 100 % of the
/// window.
///
/// The buckets turn when somebody records or looks, never on a timer. The first outcome after a
/// [`clear`](Self::clear) decides where their limits lie.
#[derive(Debug)]
pub(super) struct Buckets {
    width: Duration,
    /// Boxed, for a rule without a time window has no use for the room.
    buckets: Box<[Tally; BUCKETS]>,
    /// The start of the bucket being filled, and its index since the first outcome; `None` before
    /// any.
    current: Option<(Instant, usize)>,
    tally: Tally,
}

impl Buckets {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            // A window too short for its buckets still needs them to have a length.
            width: (window / BUCKETS as u32).max(Duration::from_nanos(1)),
            buckets: Box::new([Tally::default(); BUCKETS]),
            current: None,
            tally: Tally::default(),
        }
    }

    fn record(&mut self, outcome: Outcome, now: Instant) {
        self.turn(now);
        let (_, index) = *self.current.get_or_insert((now, 0));
        self.buckets[index].add(outcome);
        self.tally.add(outcome);
    }

    fn tally(&mut self, now: Instant) -> Tally {
        self.turn(now);
        self.tally
    }

    /// Empties the buckets whose time is up. A `now` before the current bucket changes nothing:
    /// windows slide one way.
    fn turn(&mut self, now: Instant) {
        let Some((start, index)) = self.current else {
            return;
        };
        let elapsed = now.saturating_duration_since(start).as_nanos();
        let width = self.width.as_nanos();
        if elapsed < width {
            return;
        }
        let steps = (elapsed / width).min(BUCKETS as u128) as usize;
        for step in 1..=steps {
            let expired = &mut self.buckets[(index + step) % BUCKETS];
            self.tally.subtract(*expired);
            *expired = Tally::default();
        }
        self.current = Some((now - nanos(elapsed % width), (index + steps) % BUCKETS));
    }

    fn clear(&mut self) {
        self.buckets.fill(Tally::default());
        self.current = None;
        self.tally = Tally::default();
    }
}

fn nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    Duration::new((nanos / SECOND) as u64, (nanos % SECOND) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome(failed: bool, slow: bool) -> Outcome {
        Outcome { failed, slow }
    }

    fn sum<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Tally {
        let mut tally = Tally::default();
        outcomes.into_iter().for_each(|outcome| tally.add(*outcome));
        tally
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| outcome(failed, slow))
    }

    #[test]
    fn a_slow_failure_is_both() {
        let tally = sum(&[
            outcome(true, true),
            outcome(false, true),
            outcome(false, false),
            outcome(true, false),
        ]);
        assert_eq!((tally.calls, tally.failures, tally.slow), (4, 2, 2));
        assert_eq!(tally.failure_rate(), Some(0.5));
        assert_eq!(Tally::default().slow_rate(), None);
    }

    #[test]
    fn tallies_saturate() {
        let mut full = Tally {
            calls: u32::MAX,
            failures: u32::MAX,
            slow: 0,
        };
        full.add(outcome(true, true));
        assert_eq!(
            (full.calls, full.failures, full.slow),
            (u32::MAX, u32::MAX, 1)
        );
    }

    #[test]
    fn a_ring_of_nothing_holds_one() {
        let mut ring = Ring::new(0);
        ring.record(outcome(true, false));
        ring.record(outcome(false, true));
        assert_eq!(ring.tally, sum(&[outcome(false, true)]));
    }

    #[test]
    fn a_time_window_of_nothing_forgets_at_once() {
        let start = Instant::now();
        let mut buckets = Buckets::new(Duration::ZERO);
        buckets.record(outcome(true, false), start);
        assert_eq!(buckets.tally(start).failures, 1);
        assert_eq!(buckets.tally(start + Duration::from_nanos(20)).calls, 0);
    }

    #[test]
    fn a_very_long_time_window_does_not_overflow() {
        let start = Instant::now();
        let mut buckets = Buckets::new(Duration::MAX);
        buckets.record(outcome(true, false), start);
        let in_a_century = start + Duration::from_secs(100 * 365 * 86_400);
        assert_eq!(buckets.tally(in_a_century).calls, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_ring_sums_its_last_outcomes(
            size in 1u32..40,
            before in prop::collection::vec(outcomes(), 0..60),
            all in prop::collection::vec(outcomes(), 0..120),
        ) {
            let mut ring = Ring::new(size);
            before.into_iter().for_each(|outcome| ring.record(outcome));
            ring.clear();
            prop_assert_eq!(ring.tally, Tally::default());
            for (n, outcome) in all.iter().enumerate() {
                ring.record(*outcome);
                let from = (n + 1).saturating_sub(size as usize);
                prop_assert_eq!(ring.tally, sum(&all[from..=n]));
            }
        }

        /// Whatever is younger than 95 % of the window counts, nothing as old as the window does.
        #[test]
        fn a_time_window_forgets_between_95_and_100_percent(
            window in 1u64..5_000,
            steps in prop::collection::vec((0u64..800, prop::option::of(outcomes())), 1..150),
        ) {
            let (window, width) = (window * 20, window);
            let start = Instant::now();
            let mut buckets = Buckets::new(Duration::from_micros(window));
            let (mut now, mut history) = (0, vec![]);
            for (wait, recorded) in steps {
                now += wait;
                let at = start + Duration::from_micros(now);
                if let Some(outcome) = recorded {
                    buckets.record(outcome, at);
                    history.push((now, outcome));
                }
                let tally = buckets.tally(at);
                let younger = |age| {
                    sum(history.iter().filter(move |(at, _)| now - at < age).map(|(_, o)| o))
                };
                let (least, most) = (younger(window - width), younger(window));
                prop_assert!((least.calls..=most.calls).contains(&tally.calls), "{tally:?}");
                prop_assert!((least.failures..=most.failures).contains(&tally.failures));
                prop_assert!((least.slow..=most.slow).contains(&tally.slow));
                prop_assert_eq!(tally, sum_of_buckets(&buckets), "the running tally is the sum");
            }
        }
    }

    fn sum_of_buckets(buckets: &Buckets) -> Tally {
        buckets
            .buckets
            .iter()
            .fold(Tally::default(), |sum, b| Tally {
                calls: sum.calls + b.calls,
                failures: sum.failures + b.failures,
                slow: sum.slow + b.slow,
            })
    }
}
