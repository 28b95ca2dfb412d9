//! A world with a clock of its own.

use std::time::Duration;

use resilience::Deadline;
use tokio::time::Instant;

use super::scale;

/// Runs one simulation in virtual time: nobody waits, the clock jumps to the next event when
/// nothing is left to do at the present one.
///
/// Each world has one thread and one clock, so what happens in it depends on nothing but what is
/// passed in.
///
/// # Panics
/// When called from within another runtime, as tokio does.
pub fn world<F, Fut>(body: F) -> Fut::Output
where
    F: FnOnce(Clock) -> Fut,
    Fut: Future,
{
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O asks nothing of the system")
        .block_on(async { body(Clock::start()).await })
}

/// The world's clock, in model time since its beginning, to the microsecond.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Model time since the beginning.
    pub fn now(&self) -> Duration {
        scale::down(self.start.elapsed())
    }

    /// Waits, in model time. No time at all is no wait: others don't get a turn.
    pub async fn sleep(&self, wait: Duration) {
        if wait >= scale::RESOLUTION {
            tokio::time::sleep(scale::up(wait)).await;
        }
    }

    /// Waits until a point in model time; one that has passed is no wait.
    pub async fn sleep_until(&self, at: Duration) {
        self.sleep(at.saturating_sub(self.now())).await;
    }

    /// A deadline this long from now, in model time, as policies take it.
    pub fn deadline(&self, after: Duration) -> Deadline {
        Deadline::after(scale::up(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: fn(u64) -> Duration = Duration::from_micros;

    #[test]
    fn time_passes_in_microseconds_and_only_by_waiting() {
        let seen = world(|clock| async move {
            clock.sleep(US(1_234)).await;
            let first = clock.now();
            clock.sleep_until(US(1_000)).await;
            clock.sleep(Duration::from_nanos(999)).await;
            let second = clock.now();
            clock.sleep(Duration::from_secs(3_600)).await;
            (first, second, clock.now())
        });
        assert_eq!(seen, (US(1_234), US(1_234), US(3_600_001_234)));
    }

    #[test]
    fn a_deadline_ends_in_model_time() {
        let (before, after) = world(|clock| async move {
            let deadline = clock.deadline(US(500));
            clock.sleep(US(499)).await;
            let before = deadline.expired();
            clock.sleep(US(1)).await;
            (before, deadline.expired())
        });
        assert!(!before && after);
    }

    #[test]
    fn events_come_in_the_order_of_their_times() {
        let order = world(|clock| async move {
            let mut tasks = tokio::task::JoinSet::new();
            for wait in [30, 10, 20] {
                tasks.spawn(async move {
                    clock.sleep(US(wait)).await;
                    wait
                });
            }
            let mut order = Vec::new();
            while let Some(wait) = tasks.join_next().await {
                order.push(wait.unwrap());
            }
            order
        });
        assert_eq!(order, [10, 20, 30]);
    }
}
