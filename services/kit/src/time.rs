//! Time as the database and the wire hold it.

use ::time::{OffsetDateTime, macros::format_description};

/// Milliseconds since the Unix epoch, UTC: what the databases store.
pub fn now_ms() -> i64 {
    let now = OffsetDateTime::now_utc();
    i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// ISO 8601 in UTC with milliseconds and `Z`: what the wire carries.
///
/// A moment outside of the calendar's range (never stored by us) is clamped to
/// the epoch.
pub fn iso(ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    moment.format(form).unwrap_or_default()
}

/// CLOCK_MONOTONIC in nanoseconds: the time base that all processes of one
/// machine share, so that the lab can join their events.
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The monotonic nanoseconds of a tokio instant.
pub fn monotonic_of(instant: tokio::time::Instant) -> u64 {
    let now = tokio::time::Instant::now();
    let base = monotonic_ns();
    if instant > now {
        base.saturating_add(nanos(instant - now))
    } else {
        base.saturating_sub(nanos(now - instant))
    }
}

fn nanos(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_has_milliseconds_and_z() {
        assert_eq!(iso(1_795_456_269_123), "2026-11-23T17:51:09.123Z");
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
    }
}
