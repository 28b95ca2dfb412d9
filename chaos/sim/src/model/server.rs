//! A server: workers, a queue before them, and work that goes on for callers who have left.
//!
//! First come, first served, without pre-emption. So a request's whole fate is known when it
//! arrives (Lindley's recursion: it starts when it has arrived and a worker is free), and the
//! server needs neither tasks for its workers nor messages; a request only has to sleep until its
//! end. A caller that leaves before changes nothing: its request keeps its place and its worker,
//! like in a server that doesn't watch its connections. That is what keeps a metastable overload
//! alive.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use resilience::FailureKind;

use super::{ModelError, ServiceTime};
use crate::kernel::{Clock, Seed, SimRng};

/// What a server is like.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Requests it works on at once, at least 1.
    pub workers: u32,
    /// How long each takes.
    pub service: ServiceTime,
    /// Requests that may wait for a worker; further ones are refused at once.
    pub max_waiting: usize,
    /// Share (0 to 1) of the requests that fail after all the work: the answer is an error.
    pub failure: f64,
}

/// What became of the requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that came.
    pub arrived: u64,
    /// Refused, since the queue was full.
    pub refused: u64,
    /// Answered while the caller was still there, with an answer or an error.
    pub answered: u64,
    /// Accepted, but the caller left before the answer: wasted work.
    pub abandoned: u64,
}

/// A server. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    config: ServerConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When each worker will be free, and which it is, from 0.
    free: BinaryHeap<Reverse<(Duration, u32)>>,
    /// When those who wait will start, in order.
    starts: VecDeque<Duration>,
    cut: Option<Cut>,
    service: SimRng,
    failure: SimRng,
    tally: Tally,
}

/// A time in which fewer workers begin work.
#[derive(Clone, Copy, Debug)]
struct Cut {
    from: Duration,
    until: Duration,
    /// The workers that go on.
    left: u32,
}

/// The fate of an accepted request.
#[derive(Clone, Copy, Debug)]
struct Fate {
    end: Duration,
    fails: bool,
}

impl Server {
    /// An idle server; `seed` decides over service times and failures.
    pub fn new(config: ServerConfig, clock: Clock, seed: Seed) -> Self {
        let workers = config.workers.max(1);
        let state = State {
            free: (0..workers)
                .map(|worker| Reverse((Duration::ZERO, worker)))
                .collect(),
            starts: VecDeque::new(),
            cut: None,
            service: seed.role("service").rng(),
            failure: seed.role("failure").rng(),
            tally: Tally::default(),
        };
        Self(Arc::new(Inner {
            clock,
            config,
            state: Mutex::new(state),
        }))
    }

    /// Stands still between two points in model time: a long collection of garbage, a fail-over, a
    /// lock. What was begun is finished, nothing is begun. Say so before the first request comes.
    pub fn stall(&self, from: Duration, until: Duration) {
        self.cut(from, until, 0);
    }

    /// Has only `left` workers that begin work between two points in model time: a part of the
    /// machines is gone, or busy with something else. The others finish what they had begun. One
    /// cut, or stall, is kept; say so before the first request comes.
    pub fn cut(&self, from: Duration, until: Duration, left: u32) {
        self.0.state.lock().cut = Some(Cut { from, until, left });
    }

    /// Makes a request and waits for its answer.
    ///
    /// # Errors
    /// [`FailureKind::NotProcessed`] at once when the queue is full; [`FailureKind::Unavailable`]
    /// after the work when the request is one of those that fail.
    pub async fn request(&self) -> Result<(), ModelError> {
        let now = self.0.clock.now();
        let fate = self.0.state.lock().accept(&self.0.config, now);
        let Some(fate) = fate else {
            return Err(ModelError(FailureKind::NotProcessed));
        };
        let mut caller = Caller {
            server: &self.0,
            answered: false,
        };
        self.0.clock.sleep_until(fate.end).await;
        caller.answered = true;
        if fate.fails {
            return Err(ModelError(FailureKind::Unavailable));
        }
        Ok(())
    }

    /// What became of the requests so far.
    pub fn tally(&self) -> Tally {
        self.0.state.lock().tally
    }

    /// Requests that wait for a worker now.
    pub fn waiting(&self) -> usize {
        let mut state = self.0.state.lock();
        state.begin_work(self.0.clock.now());
        state.starts.len()
    }
}

impl State {
    fn accept(&mut self, config: &ServerConfig, now: Duration) -> Option<Fate> {
        self.tally.arrived += 1;
        // Drawn for refused requests too, so that a request's luck depends on its number alone.
        let service = config.service.sample(&mut self.service);
        let fails = self.failure.random::<f64>() < config.failure;
        self.begin_work(now);
        let (start, worker) = self.next_free(now);
        if start > now && self.starts.len() >= config.max_waiting {
            self.tally.refused += 1;
            return None;
        }
        let end = start.saturating_add(service);
        self.free.pop();
        self.free.push(Reverse((end, worker)));
        if start > now {
            self.starts.push_back(start);
        }
        Some(Fate { end, fails })
    }

    /// Takes those out of the queue whose work has begun.
    fn begin_work(&mut self, now: Duration) {
        while self.starts.front().is_some_and(|start| *start <= now) {
            self.starts.pop_front();
        }
    }

    /// When the next request can start, and with which worker: the one on top of the heap. A
    /// worker that is cut off by then goes back into it as one that is free after the cut; there is
    /// at least one worker, so one of them remains.
    fn next_free(&mut self, now: Duration) -> (Duration, u32) {
        loop {
            let (free, worker) = self.free.peek().map_or((now, 0), |free| free.0);
            let start = free.max(now);
            match self.cut {
                Some(cut) if worker >= cut.left && (cut.from..cut.until).contains(&start) => {
                    self.free.pop();
                    self.free.push(Reverse((cut.until, worker)));
                }
                _ => return (start, worker),
            }
        }
    }
}

/// Somebody who waits for an answer; dropped before it came, he has left.
struct Caller<'a> {
    server: &'a Inner,
    answered: bool,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let mut state = self.server.state.lock();
        if self.answered {
            state.tally.answered += 1;
        } else {
            state.tally.abandoned += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::world;
    use crate::model::Arrivals;
    use crate::stats::Sample;
    use tokio::task::JoinSet;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn config(workers: u32, service: ServiceTime) -> ServerConfig {
        ServerConfig {
            workers,
            service,
            max_waiting: usize::MAX,
            failure: 0.0,
        }
    }

    /// Mean time in the system of `count` Poisson arrivals at `rate`, in milliseconds.
    fn mean_sojourn(config: ServerConfig, rate: f64, count: usize) -> f64 {
        world(|clock| async move {
            let seed = Seed::new(2);
            let server = Server::new(config, clock, seed);
            let mut requests = JoinSet::new();
            for at in Arrivals::poisson(rate, seed.role("arrivals").rng()).take(count) {
                let server = server.clone();
                requests.spawn(async move {
                    clock.sleep_until(at).await;
                    let _ = server.request().await;
                    (clock.now() - at).as_secs_f64() * 1e3
                });
            }
            let times = requests.join_all().await;
            times.into_iter().collect::<Sample>().mean()
        })
    }

    /// Queueing theory: M/M/1 spends 1/(μ − λ) in the system, M/D/1 waits ρ/(2μ(1 − ρ)) before its
    /// service. Tolerances are about three standard errors of these seeds' autocorrelated samples.
    #[test]
    fn times_in_the_system_are_those_of_queueing_theory() {
        let exponential = mean_sojourn(config(1, ServiceTime::Exponential(MS(10))), 70.0, 60_000);
        assert!((exponential - 33.3).abs() < 2.0, "M/M/1: {exponential}");
        let constant = mean_sojourn(config(1, ServiceTime::Constant(MS(10))), 70.0, 60_000);
        assert!((constant - 21.7).abs() < 0.8, "M/D/1: {constant}");
    }

    #[test]
    fn workers_work_at_once_and_the_queue_has_a_bound() {
        let (results, tally) = world(|clock| async move {
            let config = ServerConfig {
                max_waiting: 1,
                ..config(2, ServiceTime::Constant(MS(10)))
            };
            let server = Server::new(config, clock, Seed::new(1));
            let mut requests = JoinSet::new();
            for _ in 0..4 {
                let server = server.clone();
                requests.spawn(async move { (server.request().await, clock.now()) });
            }
            let results = requests.join_all().await;
            (results, server.tally())
        });
        let refused = Err(ModelError(FailureKind::NotProcessed));
        let expected = [
            (refused, MS(0)),
            (Ok(()), MS(10)),
            (Ok(()), MS(10)),
            (Ok(()), MS(20)),
        ];
        assert_eq!(results.len(), 4);
        assert!(
            expected.iter().all(|result| results.contains(result)),
            "{results:?}"
        );
        assert_eq!((tally.arrived, tally.refused, tally.answered), (4, 1, 3));
    }

    #[test]
    fn work_goes_on_for_a_caller_who_has_left() {
        let (second, tally) = world(|clock| async move {
            let server = Server::new(
                config(1, ServiceTime::Constant(MS(100))),
                clock,
                Seed::new(1),
            );
            let left = tokio::time::timeout(crate::kernel::scale::up(MS(10)), server.request());
            assert!(left.await.is_err());
            assert_eq!(server.waiting(), 0);
            server.request().await.unwrap();
            (clock.now(), server.tally())
        });
        assert_eq!(second, MS(200), "the second waits for the first's work");
        assert_eq!((tally.answered, tally.abandoned), (1, 1));
    }

    #[test]
    fn a_stall_begins_nothing() {
        let ends = world(|clock| async move {
            let server = Server::new(
                config(1, ServiceTime::Constant(MS(10))),
                clock,
                Seed::new(1),
            );
            server.stall(MS(5), MS(50));
            server.request().await.unwrap();
            let first = clock.now();
            server.request().await.unwrap();
            (first, clock.now())
        });
        assert_eq!(ends, (MS(10), MS(60)));
    }

    /// When so many requests that come together at `at` are answered, in order.
    fn ends(
        workers: u32,
        count: usize,
        at: Duration,
        cut: (Duration, Duration, u32),
    ) -> Vec<Duration> {
        world(|clock| async move {
            let server = Server::new(
                config(workers, ServiceTime::Constant(MS(10))),
                clock,
                Seed::new(1),
            );
            server.cut(cut.0, cut.1, cut.2);
            clock.sleep_until(at).await;
            let mut requests = JoinSet::new();
            for _ in 0..count {
                let server = server.clone();
                requests.spawn(async move {
                    server.request().await.unwrap();
                    clock.now()
                });
            }
            let mut ends = requests.join_all().await;
            ends.sort();
            ends
        })
    }

    #[test]
    fn a_cut_leaves_some_workers_and_ends() {
        // Three workers, of which one goes on from 5 to 35 ms: what was begun at 0 is finished, then
        // one after the other, then three at a time.
        let all = ends(3, 10, MS(0), (MS(5), MS(35), 1));
        let expected = [10, 10, 10, 20, 30, 40, 45, 45, 50, 55].map(MS);
        assert_eq!(all, expected);
        // As many left as there are: no cut.
        assert_eq!(
            ends(2, 4, MS(6), (MS(5), MS(35), 2)),
            [16, 16, 26, 26].map(MS)
        );
        // None left: a stall.
        assert_eq!(ends(2, 2, MS(6), (MS(5), MS(35), 0)), [45, 45].map(MS));
    }

    #[test]
    fn a_share_fails_after_the_work() {
        let (failed, took) = world(|clock| async move {
            let config = ServerConfig {
                failure: 0.25,
                ..config(1, ServiceTime::Constant(MS(1)))
            };
            let server = Server::new(config, clock, Seed::new(1));
            let mut failed = 0;
            for _ in 0..4_000 {
                failed += u32::from(server.request().await.is_err());
            }
            (failed, clock.now())
        });
        // 1 000 expected, deviation 27.
        assert!((890..1_110).contains(&failed), "{failed}");
        assert_eq!(took, MS(4_000));
    }
}
