//! A server's limit, queue and shedding in front of a service.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Answer, Described};
use crate::server::{Arrival, End, ServerSlot, Shed};

/// Puts a [`ServerSlot`] in front of a service. What it turns away gets the answer that `refuse`
/// makes; a service's error says nothing to the limit.
#[derive(Clone, Debug)]
pub struct DoorLayer<D, F> {
    door: ServerSlot,
    describe: D,
    refuse: F,
}

impl<D, F> DoorLayer<D, F> {
    /// `describe` says what the door must know of a request, `refuse` how to turn one away.
    pub fn new(door: ServerSlot, describe: D, refuse: F) -> Self {
        Self {
            door,
            describe,
            refuse,
        }
    }
}

impl<D: Clone, F: Clone, S> Layer<S> for DoorLayer<D, F> {
    type Service = DoorService<D, F, S>;

    fn layer(&self, inner: S) -> DoorService<D, F, S> {
        DoorService {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service behind a [`DoorLayer`].
#[derive(Clone, Debug)]
pub struct DoorService<D, F, S> {
    layer: DoorLayer<D, F>,
    inner: S,
}

impl<D, F, S, R> Service<R> for DoorService<D, F, S>
where
    D: Fn(&R) -> Described,
    F: Fn(Shed) -> Result<S::Response, S::Error> + Clone + Send + 'static,
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let described = (self.layer.describe)(&request);
        let (door, refuse) = (self.layer.door.clone(), self.layer.refuse.clone());
        // The one that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let arrival = Arrival {
                method: &described.method,
                request_id: &described.request_id,
                priority: described.priority,
                deadline: described.deadline,
            };
            let place = match door.admit(arrival).await {
                Ok(place) => place,
                Err(shed) => return refuse(shed),
            };
            let answer = inner.call(request).await;
            place.finish(if answer.is_ok() { End::Ok } else { End::Ignore });
            answer
        })
    }
}
