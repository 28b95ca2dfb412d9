//! The time by which an answer must be there, or is of no use.
//!
//! A deadline is set once, where a request enters, and travels with it: each service hands the
//! time *left* to the next (`grpc-timeout`, or milliseconds in `x-request-deadline`), so it
//! shrinks on the way and no clock has to agree with another. Compare a time-out per hop: those
//! add up, and the last service works on for a caller that left long ago.
//!
//! **Use it** for everything somebody waits for. **It harms** where work must be finished once
//! begun (a payment's second half): do that under a deadline of its own.
//!
//! Source: gRPC over HTTP/2 (`grpc-timeout`), <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>;
//! Google, "Site Reliability Engineering", chapter 22, "Deadline propagation".

use std::time::Duration;

use tokio::time::Instant;

/// A point in time on tokio's clock, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

/// The largest value a `grpc-timeout` may carry: eight digits.
const GRPC_MAX: u128 = 99_999_999;

/// The units of `grpc-timeout`, finest first, with their length in nanoseconds.
const GRPC_UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60 * 1_000_000_000),
    ('H', 3_600 * 1_000_000_000),
];

impl Deadline {
    /// No limit.
    pub const NONE: Self = Self(None);

    /// `d` from now. A time too far off to be represented is no limit.
    pub fn after(d: Duration) -> Self {
        Self(Instant::now().checked_add(d))
    }

    /// At `i`.
    pub fn at(i: Instant) -> Self {
        Self(Some(i))
    }

    /// The time left: `None` without a limit, zero when it has expired.
    pub fn remaining(&self) -> Option<Duration> {
        self.0
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether the time is up.
    pub fn expired(&self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }

    /// The earlier of the two.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }

    /// The instant, `None` without a limit.
    pub fn instant(&self) -> Option<Instant> {
        self.0
    }

    /// Whether waiting for `d` from now would leave nothing to work with. A wait that ends at the
    /// very deadline is such a one.
    pub fn ends_within(&self, d: Duration) -> bool {
        self.remaining().is_some_and(|left| left <= d)
    }

    /// The time left as a `grpc-timeout` header: at most eight digits and the finest unit that
    /// fits, rounded down, so that the next service never believes it has longer than we do.
    /// `None` without a limit; an expired one is `0n`.
    pub fn to_grpc_timeout(&self) -> Option<String> {
        let nanos = self.remaining()?.as_nanos();
        let (unit, length) = GRPC_UNITS
            .into_iter()
            .find(|(_, length)| nanos / length <= GRPC_MAX)
            .unwrap_or(GRPC_UNITS[GRPC_UNITS.len() - 1]);
        Some(format!("{}{unit}", (nanos / length).min(GRPC_MAX)))
    }

    /// Reads a `grpc-timeout` header, counted from now. `None` when it is malformed; gRPC servers
    /// then go without a limit.
    pub fn from_grpc_timeout(header: &str) -> Option<Self> {
        let unit = header.chars().next_back()?;
        let digits = &header[..header.len() - unit.len_utf8()];
        let well_formed =
            (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let (_, length) = GRPC_UNITS.into_iter().find(|(name, _)| *name == unit)?;
        if !well_formed {
            return None;
        }
        let nanos = digits.parse::<u128>().ok()? * length;
        let secs = u64::try_from(nanos / 1_000_000_000).ok()?;
        let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
        Some(Self::after(Duration::new(secs, rest)))
    }

    /// The time left in whole milliseconds, rounded down (`x-request-deadline`). `None` without a
    /// limit.
    pub fn to_millis(&self) -> Option<u64> {
        self.remaining()
            .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// `millis` milliseconds from now (`x-request-deadline`).
    pub fn from_millis(millis: u64) -> Self {
        Self::after(Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paused<T>(body: impl FnOnce() -> T) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(async { body() })
    }

    #[tokio::test(start_paused = true)]
    async fn shrinks_and_expires() {
        let d = Deadline::from_millis(100);
        assert_eq!(d.to_millis(), Some(100));
        tokio::time::advance(Duration::from_micros(40_500)).await;
        assert_eq!(d.to_millis(), Some(59), "rounded down");
        assert!(!d.expired());
        tokio::time::advance(Duration::from_millis(60)).await;
        assert!(d.expired());
        assert_eq!(d.remaining(), Some(Duration::ZERO));
        assert_eq!(d.to_grpc_timeout().as_deref(), Some("0n"));
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_no_limit() {
        assert_eq!(Deadline::NONE.remaining(), None);
        assert!(!Deadline::NONE.expired());
        assert!(!Deadline::NONE.ends_within(Duration::MAX));
        assert_eq!(Deadline::NONE.to_grpc_timeout(), None);
        assert_eq!(Deadline::NONE.to_millis(), None);
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NONE);
        let d = Deadline::from_millis(5);
        assert_eq!(Deadline::NONE.earliest(d), d);
        assert_eq!(d.earliest(Deadline::NONE), d);
        assert_eq!(
            d.earliest(Deadline::from_millis(4)),
            Deadline::from_millis(4)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_up_to_the_deadline_is_too_long() {
        let d = Deadline::from_millis(100);
        assert!(!d.ends_within(Duration::from_millis(99)));
        assert!(d.ends_within(Duration::from_millis(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn grpc_timeout_takes_the_finest_unit_that_fits() {
        for (duration, header) in [
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_millis(250), "250000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::from_secs(60 * 100_000_000), "1666666H"),
        ] {
            assert_eq!(
                Deadline::after(duration).to_grpc_timeout().as_deref(),
                Some(header)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn malformed_grpc_timeouts_are_refused() {
        for bad in [
            "",
            "1",
            "m",
            "-1m",
            "+1m",
            "1.5S",
            "123456789m",
            "1x",
            "1 m",
            "١m",
            "1µ",
        ] {
            assert_eq!(Deadline::from_grpc_timeout(bad), None, "{bad:?}");
        }
        assert_eq!(
            Deadline::from_grpc_timeout("7S"),
            Some(Deadline::from_millis(7_000))
        );
        assert_eq!(
            Deadline::from_grpc_timeout("2H"),
            Some(Deadline::from_millis(7_200_000))
        );
    }

    proptest! {
        #[test]
        fn a_header_never_lengthens_and_loses_at_most_one_unit(nanos in 0u64..u64::MAX / 4) {
            paused(|| {
                let given = Deadline::after(Duration::from_nanos(nanos));
                let header = given.to_grpc_timeout().unwrap();
                let read = Deadline::from_grpc_timeout(&header).unwrap();
                let (before, after) = (given.remaining().unwrap(), read.remaining().unwrap());
                assert!(after <= before, "{header}");
                assert!(before - after <= before / 10_000 + Duration::from_nanos(1), "{header}");
            });
        }

        #[test]
        fn reading_never_panics(header in ".{0,12}") {
            paused(|| { let _ = Deadline::from_grpc_timeout(&header); });
        }
    }
}
