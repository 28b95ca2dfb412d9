//! A breaker round one call, for use without a slot.

use super::lock::Locking;
use super::{Breaker, Refused};
use crate::failure::Classify;

/// Why a call through a breaker has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError<E> {
    /// The breaker refused; the dependency was not asked.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The dependency was asked, and this is what came of it.
    #[error("{0}")]
    Failed(#[source] E),
}

impl<L: Locking> Breaker<L> {
    /// Makes one call under the breaker and records how it ended. `op` is not even called when the
    /// breaker refuses.
    ///
    /// Dropping the future cancels the call: it counts as nothing, and a trial's place is free
    /// again. The transitions that the call causes are told to nobody; whoever wants to hear of
    /// them acquires and records by hand, or uses a [`Slot`](crate::Slot).
    ///
    /// Nothing bounds the time of the call: put a time-out inside `op`, so that it counts.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
    /// # .unwrap().block_on(async {
    /// use std::time::Duration;
    /// use resilience::breaker::{Breaker, BreakerConfig, BreakerError};
    /// use resilience::{Classify, FailureKind};
    ///
    /// #[derive(Debug)]
    /// struct Down;
    /// impl Classify for Down {
    ///     fn failure(&self) -> FailureKind { FailureKind::Unavailable }
    ///     fn code(&self) -> &str { "503" }
    /// }
    ///
    /// let breaker = Breaker::new(BreakerConfig::consecutive(1, Duration::from_secs(5)));
    /// let first = breaker.call(|| async { Err::<(), _>(Down) }).await;
    /// assert!(matches!(first, Err(BreakerError::Failed(Down))));
    /// let second = breaker.call(|| async { Ok::<_, Down>(()) }).await;
    /// assert!(matches!(second, Err(BreakerError::Refused(_))));
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`BreakerError::Refused`] as [`try_acquire`](Self::try_acquire) does;
    /// [`BreakerError::Failed`] with the error of `op`.
    pub async fn call<T, E, F, Fut>(&self, op: F) -> Result<T, BreakerError<E>>
    where
        E: Classify,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let permit = self.try_acquire()?;
        let answer = op().await;
        permit.conclude(answer.as_ref().err().map(Classify::failure));
        answer.map_err(BreakerError::Failed)
    }
}
