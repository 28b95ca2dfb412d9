//! The breaker under threads, in interleavings that shuttle chooses.
//!
//! Several threads begin, end and cancel attempts, look, and force states, while time moves. The
//! lock they meet at numbers its critical sections, so each run ends with the one order in which
//! things happened. In that order the model must say the same, word for word: then every operation
//! was atomic, every transition was legal and told exactly once, half-open never admitted more than
//! its trials, and nothing opened early.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use crate::breaker_support;

use std::cell::Cell;
use std::sync::Arc;

use breaker_support::{End, MS, Model};
use resilience::FailureKind;
use resilience::breaker::{
    Breaker, BreakerConfig, BreakerState, BreakerView, Forced, Locking, Permit, Refused, Rule,
    Transition,
};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

const THREADS: usize = 3;
const STEPS: usize = 14;

/// A lock that shuttle controls, and that numbers its critical sections.
enum Numbered {}

shuttle::thread_local! {
    /// The critical sections that this thread went through since it last asked: how many, and the
    /// number of the last.
    static SECTIONS: Cell<(u32, u64)> = const { Cell::new((0, 0)) };
}

impl Locking for Numbered {
    type Mutex<T: Send> = shuttle::sync::Mutex<(u64, T)>;

    fn new<T: Send>(value: T) -> Self::Mutex<T> {
        shuttle::sync::Mutex::new((0, value))
    }

    fn with<T: Send, O>(mutex: &Self::Mutex<T>, f: impl FnOnce(&mut T) -> O) -> O {
        let mut guard = mutex.lock().unwrap();
        guard.0 += 1;
        SECTIONS.with(|sections| sections.set((sections.get().0 + 1, guard.0)));
        f(&mut guard.1)
    }
}

/// The number of the one critical section that was entered since the last question.
fn section() -> u64 {
    let (count, number) = SECTIONS.with(|sections| sections.replace((0, 0)));
    assert_eq!(count, 1, "an operation is one critical section");
    number
}

/// What a thread did, and what it saw.
#[derive(Debug)]
enum Done {
    Acquired(Result<(BreakerState, Option<Transition>), Refused>),
    /// The permit of that number ended.
    Ended(u64, End, Option<Transition>),
    Forced(Option<Forced>, Option<u64>, Option<Transition>),
    Viewed(BreakerView),
}

#[derive(Debug)]
struct Entry {
    section: u64,
    now: u64,
    done: Done,
}

struct Shared {
    breaker: Breaker<Numbered>,
    start: Instant,
    /// Milliseconds since `start`.
    clock: AtomicU64,
    /// Never held across a point where shuttle switches threads.
    log: parking_lot::Mutex<Vec<Entry>>,
}

impl Shared {
    fn now(&self) -> (u64, Instant) {
        let now = self.clock.load(Ordering::SeqCst);
        (now, self.start + MS(now))
    }

    fn note(&self, now: u64, done: Done) -> u64 {
        let section = section();
        self.log.lock().push(Entry { section, now, done });
        section
    }
}

/// One thread, with the permits it holds and the sections that gave them.
struct Worker {
    shared: Arc<Shared>,
    permits: Vec<(u64, Permit<Numbered>)>,
}

impl Worker {
    fn run(shared: Arc<Shared>) {
        let mut worker = Self {
            shared,
            permits: vec![],
        };
        for _ in 0..STEPS {
            match thread_rng().gen_range(0..100) {
                0..40 => worker.acquire(),
                40..78 => worker.end(),
                78..90 => {
                    let ms = thread_rng().gen_range(1..30);
                    worker.shared.clock.fetch_add(ms, Ordering::SeqCst);
                }
                90..97 => worker.view(),
                _ => worker.force(),
            }
        }
        while let Some((id, permit)) = worker.permits.pop() {
            worker.finish(id, permit, End::Cancel);
        }
    }

    fn acquire(&mut self) {
        let (now, at) = self.shared.now();
        let permit = self.shared.breaker.try_acquire_at(at);
        let seen = permit.as_ref().map(|p| (p.admitted(), p.transition()));
        let done = Done::Acquired(seen.map_err(|refused| *refused));
        let id = self.shared.note(now, done);
        self.permits.extend(permit.ok().map(|permit| (id, permit)));
    }

    fn end(&mut self) {
        let mut rng = thread_rng();
        if self.permits.is_empty() {
            return;
        }
        let (id, permit) = self.permits.remove(rng.gen_range(0..self.permits.len()));
        let took = rng.gen_range(0..8);
        let end = match rng.gen_range(0..10) {
            0..3 => End::Timed(None, took),
            3..8 => End::Timed(Some(FailureKind::Unavailable), took),
            8 => End::Timed(Some(FailureKind::Cancelled), took),
            _ => End::Cancel,
        };
        self.finish(id, permit, end);
    }

    fn finish(&self, id: u64, permit: Permit<Numbered>, end: End) {
        let (now, at) = self.shared.now();
        let transition = match end {
            End::Timed(kind, took) => permit.record_timed_at(kind, MS(took), at),
            _ => {
                drop(permit);
                None
            }
        };
        self.shared.note(now, Done::Ended(id, end, transition));
    }

    fn view(&self) {
        let (now, at) = self.shared.now();
        let view = self.shared.breaker.view_at(at);
        self.shared.note(now, Done::Viewed(view));
    }

    fn force(&self) {
        let mut rng = thread_rng();
        let forced = [
            None,
            Some(Forced::Open),
            Some(Forced::Closed),
            Some(Forced::Disabled),
        ][rng.gen_range(0..4)];
        let (now, at) = self.shared.now();
        let until = rng.gen_bool(0.8).then(|| now + rng.gen_range(0..30));
        let instant = until.map(|until| self.shared.start + MS(until));
        let transition = self.shared.breaker.force_at(forced, instant, at);
        self.shared
            .note(now, Done::Forced(forced, until, transition));
    }
}

/// Two trials at once and a growing reset, under each of the rules.
fn configs() -> [BreakerConfig; 3] {
    let consecutive = BreakerConfig {
        growth: 2.0,
        max_reset: MS(30),
        trials: 2,
        successes: 2,
        ..BreakerConfig::consecutive(2, MS(10))
    };
    let count = Rule::CountWindow {
        calls: 4,
        min_calls: 2,
        failure_rate: 0.75,
        slow_rate: 1.0,
        slow_after: MS(5),
    };
    let time = Rule::TimeWindow {
        window: MS(60),
        min_calls: 2,
        failure_rate: 0.75,
        slow_rate: 2.0,
        slow_after: MS(5),
    };
    let with = |rule| BreakerConfig {
        rule,
        ..consecutive
    };
    [consecutive, with(count), with(time)]
}

/// One run of the threads, to be run by shuttle.
fn threads() {
    let config = configs()[thread_rng().gen_range(0..3)];
    let shared = Arc::new(Shared {
        breaker: Breaker::with_lock(config),
        // Only where times count from: nothing depends on what it is.
        start: Instant::now(),
        clock: AtomicU64::new(0),
        log: parking_lot::Mutex::new(vec![]),
    });
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let shared = shared.clone();
            shuttle::thread::spawn(move || Worker::run(shared))
        })
        .collect();
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
    let mut log = std::mem::take(&mut *shared.log.lock());
    log.sort_by_key(|entry| entry.section);
    replay(config, &log);
    nothing_is_leaked(config, &shared);
}

/// Holds the log against the model, in the order of the critical sections.
fn replay(config: BreakerConfig, log: &[Entry]) {
    let mut model = Model::new(config);
    let mut last = BreakerState::Closed;
    for (n, entry) in log.iter().enumerate() {
        assert_eq!(entry.section, n as u64 + 1, "no section is missing");
        let now = entry.now;
        let transition = match &entry.done {
            Done::Acquired(seen) => {
                assert_eq!(*seen, model.acquire(entry.section, now), "{entry:?}");
                seen.as_ref().ok().and_then(|(_, transition)| *transition)
            }
            Done::Ended(id, end, seen) => {
                assert_eq!(*seen, model.record(*id, *end, now), "{entry:?}");
                *seen
            }
            Done::Forced(forced, until, seen) => {
                assert_eq!(*seen, model.force(*forced, *until, now), "{entry:?}");
                *seen
            }
            Done::Viewed(seen) => {
                assert_eq!(*seen, model.view(now), "{entry:?}");
                None
            }
        };
        assert!(model.trials_running() <= config.trials as usize);
        if let Some(Transition { from, to, .. }) = transition {
            assert_eq!(from, last, "transitions form a chain");
            last = to;
        }
        assert_eq!(last, model.state(), "and none is kept back");
    }
    assert_eq!(model.permits_out(), 0);
}

/// Brings the breaker to half-open: all its trials must be there to be had, and no more.
fn nothing_is_leaked(config: BreakerConfig, shared: &Shared) {
    let (_, now) = shared.now();
    let breaker = &shared.breaker;
    breaker.force_at(None, None, now);
    while breaker.view_at(now).state == BreakerState::Closed {
        let permit = breaker.try_acquire_at(now).unwrap();
        permit.record_timed_at(Some(FailureKind::Unavailable), MS(0), now);
    }
    // An opening that the threads left behind may have been reached a little later than now.
    let due = now + config.max_reset * 2 + MS(1_000);
    let trials: Vec<_> = (0..10)
        .map_while(|_| breaker.try_acquire_at(due).ok())
        .collect();
    assert_eq!(trials.len(), config.trials as usize);
    assert!(
        trials
            .iter()
            .all(|t| t.admitted() == BreakerState::HalfOpen)
    );
}

fn explore(scheduler: impl Scheduler + 'static) {
    let mut config = shuttle::Config::new();
    config.stack_size = 256 * 1024;
    shuttle::Runner::new(scheduler, config).run(threads);
}

#[test]
fn any_interleaving_is_some_order_of_whole_operations() {
    explore(RandomScheduler::new_from_seed(4, 3_000));
}

/// Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010) finds what needs few but
/// particular switches with a known chance, where picking at random rarely does.
#[test]
fn so_is_any_that_takes_few_particular_switches() {
    explore(PctScheduler::new_from_seed(4, 3, 2_000));
}
