//! The one time base of a run: `CLOCK_MONOTONIC` in nanoseconds, which every process of a machine
//! shares, so that records of the load and events of the services can be laid side by side.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::time::Instant;

/// Now, in nanoseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// The moment of tokio's clock that is `ns` on ours; a moment that has passed is now.
#[must_use]
pub fn instant_at(ns: u64) -> Instant {
    Instant::now() + Duration::from_nanos(ns.saturating_sub(now_ns()))
}

/// CPU time that this process, all its threads together, has used so far.
#[must_use]
pub fn process_cpu() -> Duration {
    Duration::from_nanos(nanoseconds(clock_gettime(ClockId::ProcessCPUTime)))
}

/// How many cores this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// `duration` in whole nanoseconds; what does not fit (584 years) is the largest number.
#[must_use]
pub fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_clocks_agree() {
        let ns = now_ns() + 50_000_000;
        let instant = instant_at(ns);
        tokio::time::sleep_until(instant).await;
        let late = now_ns().checked_sub(ns).expect("not before its time");
        assert!(late < 2_000_000_000, "{late} ns late");
        assert!(instant_at(1) <= Instant::now(), "the past is now");
    }

    #[test]
    fn cpu_time_moves_on_with_work_and_no_faster_than_the_machine() {
        let (cpu, wall) = (process_cpu(), now_ns());
        while process_cpu() < cpu + Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let (cpu, wall) = (process_cpu() - cpu, now_ns() - wall);
        let machine = wall * cores() as u64;
        // A tenth of room: the two clocks are read one after the other.
        assert!(
            as_ns(cpu) <= machine + machine / 10 + 1_000_000,
            "{cpu:?} of {machine} ns"
        );
    }
}
