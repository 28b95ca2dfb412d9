//! A bulkhead: at most so many calls to one dependency at once, and a short queue for the rest.
//!
//! A slow dependency holds every caller that waits for it. Without a bulkhead those fill whatever
//! the process has a limited number of (workers, connections, memory), and calls that never needed
//! that dependency fail too. With one, it can take its own compartment and nothing else.
//!
//! The queue is first come, first served, bounded in length and in time. It is there for bursts:
//! by Little's law a place serves `max_concurrent` / (time of a call) a second, and a queue that is
//! never empty only adds its wait to every call.
//!
//! **Use it** one for each dependency, sized from that law: rate × the time of a slow but healthy
//! call, and some more. **It harms** when it is smaller than that (it throttles healthy traffic),
//! when the queue may wait for longer than the callers do (it fills with calls nobody waits for;
//! `max_wait` should be a small part of the deadline), and when calls through one bulkhead call
//! each other: the outer ones hold all the places that the inner ones wait for.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
//! # .unwrap().block_on(async {
//! use std::time::Duration;
//! use resilience::{Deadline, bulkhead::{Bulkhead, BulkheadConfig, Full}};
//!
//! let bulkhead = Bulkhead::new(BulkheadConfig {
//!     max_concurrent: 1, max_waiting: 1, max_wait: Duration::from_millis(50),
//! });
//! let held = bulkhead.acquire(Deadline::NONE).await.unwrap();
//! assert_eq!(bulkhead.acquire(Deadline::NONE).await.unwrap_err(), Full::Wait);
//! drop(held);
//! assert!(bulkhead.acquire(Deadline::NONE).await.is_ok());
//! # });
//! ```
//!
//! Source: M. Nygard, "Release It!", chapter "Stability Patterns"; a queue bounded in time as in
//! resilience4j's `SemaphoreBulkhead` (`maxWaitDuration`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::deadline::Deadline;

/// How many at once, how many in the queue, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BulkheadConfig {
    /// Calls under way at once, at least 1.
    pub max_concurrent: u32,
    /// Calls that may wait for a place. 0: none waits.
    pub max_waiting: u32,
    /// How long one may wait. Zero: none waits.
    #[serde(serialize_with = "crate::policy::wire::duration")]
    pub max_wait: Duration,
}

/// There was no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Full {
    /// Nor one in the queue: refused at once.
    #[error("the bulkhead and its queue are full")]
    Queue,
    /// None came free in the time there was to wait, which is `max_wait` or, when that is less, the
    /// time to the deadline.
    #[error("no place in the bulkhead came free in time")]
    Wait,
}

impl Full {
    /// The name used in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Wait => "wait",
        }
    }
}

/// How a call through [`Bulkhead::call`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkheadError<E> {
    /// It was refused here.
    #[error(transparent)]
    Full(#[from] Full),
    /// It ended with an error of its own.
    #[error(transparent)]
    Failed(E),
}

/// A bulkhead. Clones share its places.
#[derive(Clone, Debug)]
pub struct Bulkhead(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Wakes its waiters in the order in which they came, and hands a place to the longest waiting
    /// before anybody who comes later can take it.
    places: Arc<Semaphore>,
    max_concurrent: usize,
    waiting: AtomicU32,
    max_waiting: u32,
    max_wait: Duration,
}

impl Bulkhead {
    /// An empty one. A `max_concurrent` of zero is taken as 1: a bulkhead that never lets anything
    /// through is nobody's wish.
    pub fn new(config: BulkheadConfig) -> Self {
        let max = usize::try_from(config.max_concurrent).unwrap_or(usize::MAX);
        let max_concurrent = max.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(max_concurrent)),
            max_concurrent,
            waiting: AtomicU32::new(0),
            max_waiting: config.max_waiting,
            max_wait: config.max_wait,
        }))
    }

    /// Takes a place, waiting for one if need be. Dropped while it waits, it leaves the queue at
    /// once, and a place that was just handed to it goes to the next.
    ///
    /// A free place is given whatever the deadline: nothing is waited for.
    ///
    /// # Errors
    /// [`Full`] says whether the queue was full too, or the wait was too long.
    pub async fn acquire(&self, deadline: Deadline) -> Result<BulkheadPermit, Full> {
        if let Ok(place) = self.0.places.clone().try_acquire_owned() {
            return Ok(BulkheadPermit { _place: place });
        }
        let longest = Deadline::after(self.0.max_wait).earliest(deadline);
        let _queued = self.0.queue().ok_or(Full::Queue)?;
        if longest.expired() {
            return Err(Full::Wait);
        }
        let place = self.0.places.clone().acquire_owned();
        let place = match longest.instant() {
            Some(until) => timeout_at(until, place).await.map_err(|_| Full::Wait)?,
            None => place.await,
        };
        // The other error is a closed semaphore, and nothing closes this one.
        place
            .map(|place| BulkheadPermit { _place: place })
            .map_err(|_| Full::Wait)
    }

    /// Takes a place if one is free and nobody waits for it.
    ///
    /// # Errors
    /// [`Full::Queue`] when there is none.
    pub fn try_acquire(&self) -> Result<BulkheadPermit, Full> {
        let place = self.0.places.clone().try_acquire_owned();
        place
            .map(|place| BulkheadPermit { _place: place })
            .map_err(|_| Full::Queue)
    }

    /// Makes one call in a place of its own.
    ///
    /// # Errors
    /// [`BulkheadError::Full`] when it was not made, or else `op`'s own.
    pub async fn call<T, E, F, Fut>(&self, deadline: Deadline, op: F) -> Result<T, BulkheadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let _place = self.acquire(deadline).await?;
        op().await.map_err(BulkheadError::Failed)
    }

    /// Places taken. One that was handed to a waiter is, before the waiter has woken up.
    pub fn inflight(&self) -> u32 {
        let free = self.0.places.available_permits();
        u32::try_from(self.0.max_concurrent.saturating_sub(free)).unwrap_or(u32::MAX)
    }

    /// Calls in the queue.
    pub fn waiting(&self) -> u32 {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// A place in the queue, if there is one.
    fn queue(&self) -> Option<Queued<'_>> {
        let join = |waiting| (waiting < self.max_waiting).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, join)
            .ok()?;
        Some(Queued(&self.waiting))
    }
}

/// A place in the queue.
struct Queued<'a>(&'a AtomicU32);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place. Dropping it gives it to whoever waits the longest.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub struct BulkheadPermit {
    _place: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests;
