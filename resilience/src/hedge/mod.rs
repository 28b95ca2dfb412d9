//! A hedge: when an answer takes unusually long, ask a second time, and take the first answer.
//!
//! The slow end of latency mostly isn't the request's fault but the server's moment: a pause, a
//! queue, a neighbour. A fan-out meets it often (of 100 calls to servers that are slow once in 100,
//! 63.4 % see a slow one). A second copy to another moment cuts that tail, and sent only after most
//! answers are there, say after the 95th percentile, it costs few calls more.
//!
//! **Use it** for idempotent reads with a tail that is long and comes from the server's side, with
//! replicas to choose from. **It harms** when all of it is slow: everything takes long then, and
//! hedging doubles an overload; a live percentile adapts in time but a fixed delay never does, so
//! always under a [`budget`](crate::budget). It is wrong for what must not happen twice, and useless
//! where both copies meet the same lock, the same shard, the same full queue.
//!
//! # Which delay
//!
//! [`Fixed`](HedgeConfig::Fixed) does what it says, and is right for one day's latencies.
//! [`Percentile`](HedgeConfig::Percentile) follows them: at 0.95, one call in twenty is hedged.
//! That holds only if it learns from the right sample, which is every *first* copy and no second
//! one: see [`Hedge::observe`]. [`Hedge::call`] does all of it.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
//! # .unwrap().block_on(async {
//! use std::time::Duration;
//! use resilience::hedge::{self, Won};
//!
//! let replica = async |slow: u64, name| {
//!     tokio::time::sleep(Duration::from_millis(slow)).await;
//!     Ok::<_, ()>(name)
//! };
//! let delay = Duration::from_millis(10);
//! let answer = hedge::race(delay, replica(500, "a"), || replica(5, "b")).await;
//! assert_eq!(answer, (Ok("b"), Won::Second));
//! # });
//! ```
//!
//! Source: J. Dean, L. Barroso, "The Tail at Scale", CACM 56(2), 2013; the race's rules are those
//! of gRFC A6, "Hedging policy", for two copies.

mod latencies;
mod race;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::budget::{BudgetCall, Extra};
use crate::failure::Classify;
use latencies::Latencies;

pub use race::{Won, race};

/// Samples from one reckoning of a percentile to the next. It reads all buckets, about a
/// microsecond's work.
const REFRESH: u64 = 32;

/// Stands for "not enough samples yet".
const UNKNOWN: u64 = u64::MAX;

/// When the second copy is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HedgeConfig {
    /// Always after the same time.
    Fixed {
        /// That time.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        delay: Duration,
    },
    /// After a percentile of the last one to two thousand times that were observed, known to 3 %.
    Percentile {
        /// 0 to 1: the share of calls that is answered sooner, and not hedged.
        percentile: f64,
        /// No hedge until this many times were observed.
        min_samples: u32,
        /// Never sooner than this, however fast the answers are.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        floor: Duration,
    },
}

/// When to hedge the calls to one dependency. Clones share what they have seen.
#[derive(Clone, Debug)]
pub struct Hedge(Arc<Timing>);

#[derive(Debug)]
enum Timing {
    Fixed(Duration),
    Live(Live),
}

#[derive(Debug)]
struct Live {
    percentile: f64,
    min_samples: u64,
    floor: Duration,
    seen: Mutex<Latencies>,
    /// In nanoseconds, or [`UNKNOWN`]. Here so that asking takes no lock.
    delay: AtomicU64,
}

impl Hedge {
    /// One that has seen nothing yet. A percentile beyond 0 to 1 is taken as the nearer end, one
    /// that is no number as 1, which hedges least.
    pub fn new(config: HedgeConfig) -> Self {
        Self(Arc::new(match config {
            HedgeConfig::Fixed { delay } => Timing::Fixed(delay),
            HedgeConfig::Percentile {
                percentile,
                min_samples,
                floor,
            } => Timing::Live(Live {
                percentile: share(percentile),
                min_samples: u64::from(min_samples.max(1)),
                floor,
                seen: Mutex::new(Latencies::new(min_samples)),
                delay: AtomicU64::new(UNKNOWN),
            }),
        }))
    }

    /// How long to wait for the first copy before the second is sent. `None`: not enough samples
    /// yet, so don't hedge.
    pub fn delay(&self) -> Option<Duration> {
        match &*self.0 {
            Timing::Fixed(delay) => Some(*delay),
            Timing::Live(live) => match live.delay.load(Ordering::Relaxed) {
                UNKNOWN => None,
                nanos => Some(Duration::from_nanos(nanos)),
            },
        }
    }

    /// Learns from a *first* copy: how long it took to succeed, or how long it had been running
    /// when it was dropped because the second had won.
    ///
    /// The latter is less than it would have taken, but more than the delay, and that is all a
    /// percentile needs to know. Leave it out and the slow calls vanish from the sample as soon as
    /// they are hedged: the percentile sinks, more calls are hedged, it sinks further. Second copies
    /// and failures are not observed: the former only finish when they are fast, the latter end
    /// soon for other reasons.
    pub fn observe(&self, took: Duration) {
        if let Timing::Live(live) = &*self.0 {
            live.observe(took);
        }
    }

    /// Makes one call that may be repeated, with a second copy after the [`delay`](Self::delay) if
    /// the first has not ended and `budget` has an extra attempt left. Tells the budget and itself
    /// how the copies ended. Dropped, it drops both.
    ///
    /// # Errors
    /// As [`race`]: `op`'s own, the last one if both copies failed.
    pub async fn call<T, E, F, Fut>(&self, budget: &BudgetCall, mut op: F) -> (Result<T, E>, Won)
    where
        E: Classify,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let started = Instant::now();
        let mut ended = false;
        let first = {
            let (copy, ended) = (op(), &mut ended);
            async move {
                let result = copy.await;
                *ended = true;
                record(budget, &result, None);
                if result.is_ok() {
                    self.observe(started.elapsed());
                }
                result
            }
        };
        let Some(delay) = self.delay() else {
            return (first.await, Won::First);
        };
        let second = || {
            let extra = budget.reserve(None)?.begin();
            let copy = op();
            Some(async move {
                let result = copy.await;
                record(budget, &result, Some(extra));
                result
            })
        };
        let (result, won) = race::maybe(delay, first, second).await;
        if !ended {
            self.observe(started.elapsed());
        }
        (result, won)
    }
}

impl Live {
    fn observe(&self, took: Duration) {
        let mut seen = self.seen.lock();
        seen.add(took);
        let count = seen.count();
        if count < self.min_samples || (count != self.min_samples && !count.is_multiple_of(REFRESH))
        {
            return;
        }
        let delay = seen.percentile(self.percentile).max(self.floor);
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(UNKNOWN - 1);
        self.delay.store(nanos.min(UNKNOWN - 1), Ordering::Relaxed);
    }
}

/// 0 to 1, whatever is given.
fn share(percentile: f64) -> f64 {
    if percentile.is_nan() {
        return 1.0;
    }
    percentile.clamp(0.0, 1.0)
}

fn record<T, E: Classify>(budget: &BudgetCall, result: &Result<T, E>, extra: Option<Extra>) {
    let end = result.as_ref().map(drop).map_err(Classify::failure);
    budget.record(end, extra);
}
