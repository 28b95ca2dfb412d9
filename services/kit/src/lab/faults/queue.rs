//! An honest overload: so many servers behind one queue, first come, first served.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use futures_util::FutureExt as _;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The queue of one capacity fault.
#[derive(Debug)]
pub(super) struct Queue {
    /// Tokio's semaphore is fair: who came first gets the next server.
    servers: Arc<Semaphore>,
    waiting: AtomicU32,
    longest: u32,
}

/// One server, given back when dropped.
pub(super) type Server = OwnedSemaphorePermit;

/// The fault has gone, and its queue with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Nobody else fits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

type Acquire = Pin<Box<dyn Future<Output = Result<Server, AcquireError>> + Send>>;

/// A place in the queue; dropped, it is given up.
pub(super) struct Place {
    queue: Arc<Queue>,
    acquire: Acquire,
    got: Option<Result<Server, AcquireError>>,
    /// Whether it counts for the queue's length.
    waits: bool,
}

impl Queue {
    pub(super) fn new(servers: u32, longest: u32) -> Self {
        let servers = usize::try_from(servers).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            servers: Arc::new(Semaphore::new(servers.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicU32::new(0),
            longest,
        }
    }

    /// Joins the queue at its end, now and not only when the place is first polled: a task that is
    /// spawned later may run earlier.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn join(self: &Arc<Self>) -> Result<Place, Full> {
        let mut acquire: Acquire = Box::pin(Arc::clone(&self.servers).acquire_owned());
        let got = acquire.as_mut().now_or_never();
        let waits = got.is_none();
        let before = self.waiting.fetch_add(u32::from(waits), SeqCst);
        let place = Place {
            queue: Arc::clone(self),
            acquire,
            got,
            waits,
        };
        if waits && before >= self.longest {
            return Err(Full);
        }
        Ok(place)
    }

    /// Everybody who waits is let go.
    pub(super) fn close(&self) {
        self.servers.close();
    }
}

impl Place {
    /// A server, in turn.
    ///
    /// # Errors
    /// [`Gone`] when the queue was closed first.
    pub(super) async fn turn(mut self) -> Result<Server, Gone> {
        let got = match self.got.take() {
            Some(got) => got,
            None => (&mut self.acquire).await,
        };
        got.map_err(|_closed| Gone)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(u32::from(self.waits), SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;
    use proptest::prelude::*;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Serves arrivals at those milliseconds one after the other; who was served when, and who
    /// found it full.
    async fn serve(
        servers: u32,
        longest: u32,
        service: u64,
        arrivals: &[u64],
    ) -> (Vec<(usize, u64)>, Vec<usize>) {
        let queue = Arc::new(Queue::new(servers, longest));
        let begun = Instant::now();
        let served = Arc::new(Mutex::new(Vec::new()));
        let (mut tasks, mut full) = (Vec::new(), Vec::new());
        for (n, at) in arrivals.iter().enumerate() {
            tokio::time::sleep_until(begun + Duration::from_millis(*at)).await;
            let Ok(place) = queue.join() else {
                full.push(n);
                continue;
            };
            let served = Arc::clone(&served);
            tasks.push(tokio::spawn(async move {
                let server = place.turn().await.unwrap();
                let at = u64::try_from(begun.elapsed().as_millis()).unwrap();
                served.lock().push((n, at));
                sleep(Duration::from_millis(service)).await;
                drop(server);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let mut served = served.lock().clone();
        // Of two that are served in the same moment either may be the first to say so.
        served.sort_unstable();
        (served, full)
    }

    /// The same, computed: a request starts when it is there and a server is free.
    fn model(servers: u32, service: u64, arrivals: &[u64]) -> Vec<(usize, u64)> {
        let mut free = vec![0; servers as usize];
        let start = |(n, at): (usize, &u64)| {
            let first = free.iter_mut().min().unwrap();
            let start = (*first).max(*at);
            *first = start + service;
            (n, start)
        };
        arrivals.iter().enumerate().map(start).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn who_comes_first_is_served_first(
            servers in 1u32..5,
            service in 1u64..60,
            gaps in prop::collection::vec(0u64..20, 1..60),
        ) {
            let arrivals: Vec<u64> = gaps
                .iter()
                .scan(0, |at, gap| { *at += gap; Some(*at) })
                .collect();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let (served, full) = runtime.block_on(serve(servers, 1_000, service, &arrivals));
            prop_assert_eq!(full, Vec::<usize>::new());
            prop_assert_eq!(served, model(servers, service, &arrivals));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses() {
        let (served, full) = serve(1, 2, 100, &[0, 0, 0, 0, 0, 150]).await;
        assert_eq!(full, [3, 4]);
        assert_eq!(served, [(0, 0), (1, 100), (2, 200), (5, 300)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_no_gap_and_a_closed_queue_lets_all_go() {
        let queue = Arc::new(Queue::new(1, 10));
        let server = queue.join().unwrap().turn().await.unwrap();
        let (gone, next, last) = (
            queue.join().unwrap(),
            queue.join().unwrap(),
            queue.join().unwrap(),
        );
        drop(gone);
        drop(server);
        let server = next.turn().await.unwrap();
        queue.close();
        assert_eq!(last.turn().await.unwrap_err(), Gone);
        drop(server);
        assert_eq!(queue.join().unwrap().turn().await.unwrap_err(), Gone);
        assert_eq!(queue.waiting.load(SeqCst), 0);
    }
}
