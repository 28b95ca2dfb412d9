//! A whole call path round a service.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Answer, Described};
use crate::call::{Call, CallError};
use crate::failure::Classify;
use crate::slot::Slot;

/// Puts a [`Slot`]'s call path round a service whose requests can be cloned.
#[derive(Clone, Debug)]
pub struct SlotLayer<D> {
    slot: Slot,
    describe: D,
}

impl<D> SlotLayer<D> {
    /// `describe` says what the policy must know of a request.
    pub fn new(slot: Slot, describe: D) -> Self {
        Self { slot, describe }
    }
}

impl<D: Clone, S> Layer<S> for SlotLayer<D> {
    type Service = SlotService<D, S>;

    fn layer(&self, inner: S) -> SlotService<D, S> {
        SlotService {
            slot: self.slot.clone(),
            describe: self.describe.clone(),
            inner,
        }
    }
}

/// A service behind a [`SlotLayer`].
#[derive(Clone, Debug)]
pub struct SlotService<D, S> {
    slot: Slot,
    describe: D,
    inner: S,
}

impl<D, S, R> Service<R> for SlotService<D, S>
where
    D: Fn(&R) -> Described,
    S: Service<R> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Classify + Send,
    R: Clone + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = CallError<S::Error>;
    type Future = Answer<S::Response, CallError<S::Error>>;

    /// Always ready: each attempt waits for the service by itself, within its time-out.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let described = (self.describe)(&request);
        let (slot, inner) = (self.slot.clone(), self.inner.clone());
        Box::pin(async move {
            let call = Call {
                method: &described.method,
                request_id: &described.request_id,
                idempotent: described.idempotent,
                deadline: described.deadline,
            };
            let attempt = |_| {
                let (mut inner, request) = (inner.clone(), request.clone());
                async move {
                    std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
                    inner.call(request).await
                }
            };
            slot.call(call, attempt).await
        })
    }
}
