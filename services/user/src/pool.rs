//! Bounds work that burns a core for milliseconds (hashing, signing), so that a
//! flood of it can't starve the rest.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

/// At most so many jobs run, and at most so many wait; one more is refused.
///
/// Jobs run on threads of its own: their priority can be low without anybody else's being so.
#[derive(Debug)]
pub struct Pool {
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
}

/// A right to run one job, now or after those that wait.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// When its jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Beside everything else.
    Usual,
    /// On what the rest of the machine leaves: where all want the cores, about a tenth of one
    /// (nice 10, sched(7)).
    Low,
}

/// [`Urgency::Low`].
const LOW: i32 = 10;

impl Pool {
    /// `workers` jobs at once and `queue` behind them.
    pub fn new(workers: usize, queue: usize, urgency: Urgency) -> Self {
        let (jobs, queued) = mpsc::channel::<Job>();
        let queued = Arc::new(Mutex::new(queued));
        for n in 1..=workers {
            let queued = Arc::clone(&queued);
            let work = move || work(&queued, urgency);
            let thread = thread::Builder::new().name(format!("pool-{n}"));
            if let Err(error) = thread.spawn(work) {
                tracing::error!(%error, "a worker could not be started");
            }
        }
        Self {
            jobs,
            places: Arc::new(Semaphore::new(workers + queue)),
        }
    }

    /// A place, for a job that is to follow: who gets none need not begin.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full.
    pub fn place(&self) -> Result<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place
            .map(|permit| Place { _permit: permit })
            .map_err(|_| Error::Busy)
    }

    /// Runs a job.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full, [`Error::Crypto`] when the job panics.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        self.run_in(self.place()?, job).await
    }

    /// Runs a job in a place that was taken before.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the job panics.
    pub async fn run_in<T: Send + 'static>(
        &self,
        place: Place,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Given back by the job, not by the waiter: one that stops waiting doesn't stop the
            // job, unless it still waits itself.
            let _place = place;
            if answer.is_closed() {
                return;
            }
            if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                let _ = answer.send(result);
            }
        });
        let ended = || Error::Crypto("the job ended early".to_owned());
        self.jobs.send(job).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

/// Until the pool is dropped.
fn work(queued: &Mutex<mpsc::Receiver<Job>>, urgency: Urgency) {
    if urgency == Urgency::Low
        // Of the calling thread alone, on Linux (setpriority(2)).
        && let Err(error) = rustix::process::setpriority_process(None, LOW)
    {
        tracing::warn!(%error, "hashes run at the usual priority");
    }
    loop {
        // A statement of its own: the lock is not held while the job runs.
        let job = queued.lock().recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

/// The cores this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    // attack(hashes at once): login flood -> hashes at once at most as many as cores
    #[tokio::test]
    async fn no_more_than_its_workers_run_at_once() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let pool = Arc::new(Pool::new(2, 100, Urgency::Low));
        let jobs = (0..50).map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                pool.run(|| {
                    MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    (0..10_000).for_each(|n| assert!(std::hint::black_box(n) >= 0));
                    RUNNING.fetch_sub(1, Ordering::SeqCst);
                })
                .await
            })
        });
        for job in jobs.collect::<Vec<_>>() {
            job.await.unwrap().unwrap();
        }
        assert!((1..=2).contains(&MOST.load(Ordering::SeqCst)));
    }

    // attack(login flood): login flood past the bounded queue -> refused at once, taken again afterwards
    #[tokio::test]
    async fn a_full_queue_refuses_and_a_free_one_takes_again() {
        let pool = Arc::new(Pool::new(1, 1, Urgency::Usual));
        let (go, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let first = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move {
                pool.run(move || {
                    begun.send(()).unwrap();
                    wait.recv().unwrap();
                })
                .await
            }
        });
        has_begun.await.unwrap();
        let second = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(|| 2).await }
        });
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(pool.run(|| 3).await, Err(Error::Busy)));
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(second.await.unwrap().unwrap(), 2);
        assert_eq!(pool.run(|| 4).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_job_that_panics_fails_alone_and_gives_its_place_back() {
        let pool = Pool::new(1, 0, Urgency::Usual);
        let failed = pool.run(|| panic!("a test's panic")).await;
        assert!(matches!(failed, Err(Error::Crypto(_))));
        // The place comes back when the worker has dropped the job.
        while pool.places.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|| 1).await.unwrap(), 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_its_own_threads_have_the_low_priority() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let pool = Pool::new(1, 0, Urgency::Low);
        assert_eq!(pool.run(nice).await.unwrap(), LOW.max(before));
        assert_eq!(nice(), before);
    }
}
