//! Bounds work that burns a core for milliseconds (hashing, signing), so that a
//! flood of it can't starve the rest.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// At most so many jobs run, and at most so many wait; one more is refused.
#[derive(Debug)]
pub struct Pool {
    workers: Arc<Semaphore>,
    places: Semaphore,
}

impl Pool {
    /// `workers` jobs at once and `queue` behind them.
    pub fn new(workers: usize, queue: usize) -> Self {
        Self {
            workers: Arc::new(Semaphore::new(workers)),
            places: Semaphore::new(workers + queue),
        }
    }

    /// Runs a job on a thread that may block.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full, [`Error::Crypto`] when the job panics.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let _place = self.places.try_acquire().map_err(|_| Error::Busy)?;
        let worker = Arc::clone(&self.workers)
            .acquire_owned()
            .await
            .map_err(|_| Error::Busy)?;
        let job = move || {
            let result = job();
            // Given back by the job, not by the waiter: one that stops waiting
            // doesn't stop the job.
            drop(worker);
            result
        };
        tokio::task::spawn_blocking(job)
            .await
            .map_err(|error| Error::Crypto(error.to_string()))
    }
}

/// The cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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
        let pool = Arc::new(Pool::new(2, 100));
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
        let pool = Arc::new(Pool::new(1, 1));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
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
}
