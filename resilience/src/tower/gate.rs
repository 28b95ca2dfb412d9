//! One part that admits or refuses, round a service.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::Answer;
use crate::breaker::{Breaker, Permit};
use crate::bulkhead::{Bulkhead, BulkheadPermit};
use crate::call::Reason;
use crate::deadline::Deadline;
use crate::failure::{Classify, FailureKind};
use crate::rng::{CallRng, Streams};
use crate::throttle::{self, Throttle};

/// Why a gate let nothing through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind of gate.
    pub reason: Reason,
    /// When it may be worth coming back, if known.
    pub retry_after: Option<Duration>,
}

/// A part that admits or refuses, and learns how what it admitted ended.
pub trait Gate: Clone + Send + Sync + 'static {
    /// Held while the call runs. Dropped without a word, the call was cancelled.
    type Leave: Send + 'static;

    /// Asks for leave.
    fn enter(&self) -> impl Future<Output = Result<Self::Leave, Refusal>> + Send;

    /// The call ended: `None` answered, else how it failed.
    fn ended(&self, leave: Self::Leave, failure: Option<FailureKind>, took: Duration);
}

impl Gate for Breaker {
    type Leave = Permit;

    async fn enter(&self) -> Result<Permit, Refusal> {
        self.try_acquire().map_err(|refused| Refusal {
            reason: Reason::Breaker,
            retry_after: refused.retry_after,
        })
    }

    fn ended(&self, permit: Permit, failure: Option<FailureKind>, took: Duration) {
        permit.record_timed(failure, took);
    }
}

impl Gate for Bulkhead {
    type Leave = BulkheadPermit;

    async fn enter(&self) -> Result<BulkheadPermit, Refusal> {
        let place = self.acquire(Deadline::NONE).await;
        place.map_err(|_| Refusal {
            reason: Reason::Bulkhead,
            retry_after: None,
        })
    }

    fn ended(&self, _: BulkheadPermit, _: Option<FailureKind>, _: Duration) {}
}

/// A throttle with the chance it draws from.
#[derive(Clone)]
pub struct SeededThrottle {
    throttle: Throttle,
    rng: Arc<Mutex<CallRng>>,
}

impl Gate for SeededThrottle {
    type Leave = ();

    async fn enter(&self) -> Result<(), Refusal> {
        self.throttle
            .admit(&mut *self.rng.lock())
            .map_err(|_| Refusal {
                reason: Reason::Shed,
                retry_after: None,
            })
    }

    fn ended(&self, (): (), failure: Option<FailureKind>, _: Duration) {
        if throttle::accepts(failure.map_or(Ok(()), Err)) {
            self.throttle.accepted();
        }
    }
}

/// What a gated service answers in place of its own error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError<E> {
    /// The gate let nothing through; the service was not asked.
    #[error("refused ({})", .reason.as_str())]
    Refused {
        /// Which kind of gate.
        reason: Reason,
        /// When it may be worth coming back, if known.
        retry_after: Option<Duration>,
    },
    /// The service's own error.
    #[error(transparent)]
    Failed(#[from] E),
}

/// A refusal further in is no word against the dependency: a gate outside of another counts it as
/// nothing.
impl<E: Classify> Classify for GateError<E> {
    fn failure(&self) -> FailureKind {
        match self {
            Self::Refused { .. } => FailureKind::Cancelled,
            Self::Failed(error) => error.failure(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Refused { reason, .. } => reason.as_str(),
            Self::Failed(error) => error.code(),
        }
    }
}

/// Puts a gate round a service. Clones share the gate.
#[derive(Clone, Debug)]
pub struct GateLayer<G>(G);

impl<G: Gate> GateLayer<G> {
    /// Of a [`Breaker`] or a [`Bulkhead`].
    pub fn new(gate: G) -> Self {
        Self(gate)
    }
}

impl GateLayer<SeededThrottle> {
    /// Of a throttle; `seed` decides which requests it lets through.
    pub fn throttle(throttle: Throttle, seed: u64) -> Self {
        Self(SeededThrottle {
            throttle,
            rng: Arc::new(Mutex::new(Streams::new(seed).next())),
        })
    }
}

impl<G: Gate, S> Layer<S> for GateLayer<G> {
    type Service = GateService<G, S>;

    fn layer(&self, inner: S) -> GateService<G, S> {
        GateService {
            gate: self.0.clone(),
            inner,
        }
    }
}

/// A service behind a [`GateLayer`].
#[derive(Clone, Debug)]
pub struct GateService<G, S> {
    gate: G,
    inner: S,
}

impl<G, S, R> Service<R> for GateService<G, S>
where
    G: Gate,
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Classify + Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = GateError<S::Error>;
    type Future = Answer<S::Response, GateError<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(GateError::Failed)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The one that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let gate = self.gate.clone();
        Box::pin(async move {
            let leave = gate.enter().await.map_err(|refusal| GateError::Refused {
                reason: refusal.reason,
                retry_after: refusal.retry_after,
            })?;
            let started = Instant::now();
            let answer = inner.call(request).await;
            let failure = answer.as_ref().err().map(Classify::failure);
            gate.ended(leave, failure, started.elapsed());
            answer.map_err(GateError::Failed)
        })
    }
}
