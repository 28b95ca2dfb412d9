//! Faults on the way to this service's own cache and database.

use std::{io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Duration, sleep};

use super::{Faults, plan::Plan, queue::Queue, registry::Fault, seen::Seen, serve::until};
use crate::cache::{Cache, CacheError, Entry};

/// One client of a cache or database, and what may go wrong on its link.
#[derive(Clone, Debug)]
pub(crate) struct ClientFaults {
    faults: Faults,
    link: Arc<str>,
}

/// How an operation fails.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// At once, as if nobody were there.
    #[error("the fault {0:?} was injected")]
    Failed(String),
    /// There was no answer in time, or no place to wait for one.
    #[error("no answer in time: the fault {0:?} was injected")]
    TimedOut(String),
}

impl ClientFaults {
    /// On the link `<service>-<what>`.
    pub(crate) fn new(faults: &Faults, what: &str) -> Self {
        let link = format!("{}-{what}", faults.service());
        faults.serve_client(&link);
        Self {
            faults: faults.clone(),
            link: link.into(),
        }
    }

    /// Lets an operation pass, late or never as the faults want it.
    ///
    /// # Errors
    /// [`Broken`].
    pub(crate) async fn pass(&self, operation: &str) -> Result<(), Broken> {
        if !self.faults.any() {
            return Ok(());
        }
        let seen = Seen::at_client(&self.link, operation);
        let plan = self.faults.decide(&seen);
        if plan.is_empty() {
            return Ok(());
        }
        tracing::Span::current().record("lab.fault", plan.names());
        self.hold_up(&seen, &plan).await?;
        match plan.fail() {
            Some((fault, _)) => Err(Broken::Failed(fault.spec.id.clone())),
            None => Ok(()),
        }
    }

    async fn hold_up(&self, seen: &Seen, plan: &Plan) -> Result<(), Broken> {
        let over = self.faults.over();
        if let Some(time) = plan.delay() {
            tokio::select! {
                () = sleep(time) => {}
                () = over.cancelled() => {}
            }
        }
        for fault in plan.hangs() {
            tokio::select! {
                () = fault.gone.cancelled() => {}
                () = over.cancelled() => {}
                () = until(seen) => return Err(timed_out(fault)),
            }
        }
        match plan.capacity() {
            Some((fault, time)) => self.take_turn(seen, fault, time).await,
            None => Ok(()),
        }
    }

    async fn take_turn(
        &self,
        seen: &Seen,
        mut fault: Arc<Fault>,
        mut time: Duration,
    ) -> Result<(), Broken> {
        loop {
            let Some(Ok(place)) = fault.queue.as_ref().map(Queue::join) else {
                return Err(timed_out(&fault));
            };
            let turn = tokio::select! {
                turn = place.turn() => turn,
                () = until(seen) => return Err(timed_out(&fault)),
                () = self.faults.over().cancelled() => return Ok(()),
            };
            let Ok(server) = turn else {
                let Some(next) = self.faults.next_queue(seen) else {
                    return Ok(());
                };
                (fault, time) = next;
                continue;
            };
            // A statement that runs is not stopped by who no longer waits for it.
            let over = self.faults.over().clone();
            let served = self.faults.tasks().spawn(async move {
                over.run_until_cancelled(sleep(time)).await;
                drop(server);
            });
            let _ = served.await;
            return Ok(());
        }
    }
}

fn timed_out(fault: &Fault) -> Broken {
    Broken::TimedOut(fault.spec.id.clone())
}

/// What a database that can't be reached makes of a statement.
impl From<Broken> for sqlx::Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Failed(_) => Self::Io(io::Error::new(io::ErrorKind::ConnectionReset, broken)),
            Broken::TimedOut(_) => Self::PoolTimedOut,
        }
    }
}

/// A cache that faults act on. What it keeps stays there meanwhile.
pub(crate) struct FaultyCache {
    pub(crate) inner: Arc<dyn Cache>,
    pub(crate) faults: ClientFaults,
}

impl FaultyCache {
    async fn pass(&self, operation: &str) -> Result<(), CacheError> {
        let passed = self.faults.pass(operation).await;
        passed.map_err(|broken| CacheError(broken.to_string()))
    }
}

#[async_trait]
impl Cache for FaultyCache {
    async fn get(&self, key: &str) -> Result<Option<Entry>, CacheError> {
        self.pass("get").await?;
        self.inner.get(key).await
    }

    async fn set(&self, key: &str, bytes: Bytes, ttl: Duration) -> Result<(), CacheError> {
        self.pass("set").await?;
        self.inner.set(key, bytes, ttl).await
    }

    async fn del(&self, key: &str) -> Result<(), CacheError> {
        self.pass("del").await?;
        self.inner.del(key).await
    }

    /// The lab's own reset, which no fault is about.
    async fn clear(&self) -> Result<(), CacheError> {
        self.inner.clear().await
    }
}
