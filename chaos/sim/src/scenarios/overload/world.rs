//! One server behind a door, and callers who don't wait for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use resilience::observe::{Event, Observer};
use resilience::{Priority, ServerPolicy};
use tokio::task::JoinSet;

use super::Params;
use crate::kernel::{Clock, Seed, scale, world};
use crate::model::{Arrivals, Fit, Guarded, Server, ServerConfig, ServiceTime};

/// How long a request keeps a worker busy, about: what the number of workers follows from.
const SERVICE: Duration = Duration::from_millis(20);

/// The load lasts so long, at least, before calls count: an adaptive limit moves once in 100 ms,
/// and a queue without bound has long become longer than callers wait.
const SETTLE: Duration = Duration::from_secs(10);

/// And so many time-outs.
const SETTLE_TIMEOUTS: u32 = 10;

/// The shares of the levels where callers are of all levels, least level first. At twice the
/// capacity the upper two alone are all that the server can do.
pub(super) const MIX: [f64; Priority::ALL.len()] = [0.25, 0.25, 0.4, 0.1];

/// What became of the calls that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// All of them.
    pub(super) asked: u64,
    /// Answered while the caller was there.
    pub(super) answered: u64,
    /// Refused. The callers of the rest have left.
    pub(super) refused: u64,
}

/// What is seen while it is looked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// The calls, by level, least first.
    pub(super) fates: [Fate; Priority::ALL.len()],
    /// The share of the requests worked on whose callers had left before the end.
    pub(super) wasted: f64,
    /// The limit at the end; `None` without one.
    pub(super) limit: Option<u32>,
}

impl Seen {
    /// The calls of all levels.
    pub(super) fn all(&self) -> Fate {
        let sum = |all: Fate, fate: &Fate| Fate {
            asked: all.asked + fate.asked,
            answered: all.answered + fate.answered,
            refused: all.refused + fate.refused,
        };
        self.fates.iter().fold(Fate::default(), sum)
    }
}

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug)]
enum End {
    Answered,
    Refused,
    Left,
}

/// The requests that the server has ended, and those of them that were for nobody.
#[derive(Debug, Default)]
struct Work {
    ended: AtomicU64,
    wasted: AtomicU64,
}

impl Work {
    fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.ended), read(&self.wasted))
    }
}

impl Observer for Work {
    fn on(&self, event: &Event<'_>) {
        if let Event::Finished { wasted, .. } = event {
            self.ended.fetch_add(1, Ordering::Relaxed);
            self.wasted.fetch_add(u64::from(*wasted), Ordering::Relaxed);
        }
    }
}

/// The modelled server: as many workers as the capacity needs.
pub(super) fn fit(params: &Params) -> Fit {
    let workers = (params.capacity * SERVICE.as_secs_f64()).ceil().max(1.0);
    Fit {
        workers: workers as u32,
        service: Duration::from_secs_f64(workers / params.capacity),
        timeout: params.timeout,
    }
}

/// A queue without bound, as a server has that was told nothing: the door is what keeps it short.
fn server(fit: Fit) -> ServerConfig {
    ServerConfig {
        workers: fit.workers,
        service: ServiceTime::Exponential(fit.service),
        max_waiting: usize::MAX,
        failure: 0.0,
    }
}

/// One load on one limiter; `mixed` callers are of all levels, others critical.
pub(super) fn look(
    params: &Params,
    policy: ServerPolicy,
    load: f64,
    mixed: bool,
    seed: Seed,
) -> Seen {
    let (rate, timeout) = (load * params.capacity, params.timeout);
    let from = SETTLE.max(SETTLE_TIMEOUTS * timeout);
    let until = from + params.duration;
    world(|clock| async move {
        let work = Arc::new(Work::default());
        let server = Server::new(server(fit(params)), clock, seed.role("server"));
        let server = Guarded::new(server, policy, work.clone());
        let fates = Arc::new(Mutex::new([Fate::default(); Priority::ALL.len()]));
        let mut draws = seed.role("levels").rng();
        let mut before = None;
        let mut calls = JoinSet::new();
        let arrivals = Arrivals::poisson(rate, seed.role("arrivals").rng());
        for at in arrivals.take_while(|at| *at < until) {
            clock.sleep_until(at).await;
            while calls.try_join_next().is_some() {}
            let counts = at >= from;
            if counts && before.is_none() {
                before = Some(work.counts());
            }
            let level = level(mixed, draws.random());
            let (server, fates) = (server.clone(), fates.clone());
            calls.spawn(async move {
                let end = call(&server, level, clock, timeout).await;
                if counts {
                    note(&mut fates.lock()[level as usize], end);
                }
            });
        }
        let (limit, after) = (server.view().limit, work.counts());
        while calls.join_next().await.is_some() {}
        let before = before.unwrap_or(after);
        let ended = (after.0 - before.0).max(1);
        let fates = *fates.lock();
        Seen {
            fates,
            wasted: (after.1 - before.1) as f64 / ended as f64,
            limit,
        }
    })
}

/// The level that a uniform draw stands for.
fn level(mixed: bool, draw: f64) -> Priority {
    let mut below = 0.0;
    let mut levels = Priority::ALL.into_iter().zip(MIX);
    let drawn = levels.find(|(_, share)| {
        below += share;
        draw < below
    });
    drawn
        .filter(|_| mixed)
        .map_or(Priority::Critical, |(level, _)| level)
}

/// One attempt, and no other: what retries add is the question of `metastable`.
async fn call(server: &Guarded, level: Priority, clock: Clock, timeout: Duration) -> End {
    let request = server.request(level, clock.deadline(timeout));
    match tokio::time::timeout(scale::up(timeout), request).await {
        Ok(Ok(())) => End::Answered,
        Ok(Err(_)) => End::Refused,
        Err(_) => End::Left,
    }
}

fn note(fate: &mut Fate, end: End) {
    fate.asked += 1;
    match end {
        End::Answered => fate.answered += 1,
        End::Refused => fate.refused += 1,
        End::Left => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_their_shares() {
        let mut seen = [0_u32; Priority::ALL.len()];
        (0..1_000).for_each(|i| seen[level(true, f64::from(i) / 1e3) as usize] += 1);
        for (seen, share) in seen.iter().zip(MIX) {
            assert!((f64::from(*seen) - share * 1e3).abs() <= 1.0, "{seen}");
        }
        assert_eq!(seen.iter().sum::<u32>(), 1_000);
        assert_eq!(level(false, 0.0), Priority::Critical, "all alike");
    }

    #[test]
    fn the_server_has_the_capacity_that_was_asked_for() {
        for capacity in [50.0, 810.0, 5_000.0] {
            let fit = fit(&Params {
                capacity,
                ..Params::default()
            });
            let is = f64::from(fit.workers) / fit.service.as_secs_f64();
            assert!((is / capacity - 1.0).abs() < 1e-6, "{is}");
            assert!(fit.service >= SERVICE && fit.service < 2 * SERVICE);
        }
    }
}
