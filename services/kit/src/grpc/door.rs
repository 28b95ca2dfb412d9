//! The service's door for gRPC: under overload some calls are turned away here, before any work
//! is done for them.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use resilience::server::{Arrival, End, ServerSlot, Shed};
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use crate::{
    Ctx,
    lab::faults::{Faults, Held},
};

/// How a server says when to come back (gRFC A6), in whole milliseconds.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Puts the door round all methods but health and reflection, by which a service is watched.
#[derive(Clone, Debug)]
pub(crate) struct DoorLayer {
    pub(crate) door: Option<ServerSlot>,
    /// Those behind the door.
    pub(crate) faults: Option<Faults>,
}

impl<S> Layer<S> for DoorLayer {
    type Service = WithDoor<S>;

    fn layer(&self, inner: S) -> WithDoor<S> {
        WithDoor {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind [`DoorLayer`].
#[derive(Clone, Debug)]
pub(crate) struct WithDoor<S> {
    inner: S,
    layer: DoorLayer,
}

impl<S, B, C> Service<::http::Request<B>> for WithDoor<S>
where
    S: Service<::http::Request<B>, Response = ::http::Response<C>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    C: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ::http::Request<B>) -> Self::Future {
        let watched = request.uri().path().starts_with("/grpc.");
        let DoorLayer { door, faults } = self.layer.clone();
        let Some(door) = door.filter(|_| !watched) else {
            return Box::pin(self.inner.call(request));
        };
        // The one that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let ctx = request.extensions().get::<Ctx>().cloned();
            let ctx = ctx.unwrap_or_else(|| Ctx::internal("-"));
            let method = request.uri().path().to_owned();
            let arrival = Arrival {
                method: method.trim_start_matches('/'),
                request_id: &ctx.request_id,
                priority: ctx.priority,
                deadline: ctx.deadline,
            };
            let place = match door.admit(arrival).await {
                Ok(place) => place,
                Err(shed) => return Ok(turned_away(&shed).into_http()),
            };
            let place = Held::new(place, faults.as_ref(), request.extensions_mut());
            let answer = inner.call(request).await;
            place.finish(end(&answer));
            answer
        })
    }
}

/// RESOURCE_EXHAUSTED with the time to come back, once as gRFC A6 has it and once as the rich
/// error model does (`google.rpc.RetryInfo`).
fn turned_away(shed: &Shed) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(PUSHBACK, whole_millis(shed.retry_after).into());
    let details = ErrorDetails::with_retry_info(Some(shed.retry_after));
    let message = "the service has more work than it can do";
    Status::with_error_details_and_metadata(Code::ResourceExhausted, message, details, metadata)
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// An error may be quick because nothing was done: its time teaches the limit nothing.
fn end<C, E>(answer: &Result<::http::Response<C>, E>) -> End {
    match answer {
        Ok(answer) if !answer.headers().contains_key(Status::GRPC_STATUS) => End::Ok,
        _ => End::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resilience::{Classify as _, Pushback, server::ShedReason};

    #[test]
    fn the_time_to_come_back_is_told_in_both_ways() {
        let shed = Shed {
            reason: ShedReason::Full,
            retry_after: Duration::from_micros(1_500),
        };
        let status = turned_away(&shed);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(
            status.pushback(),
            Some(Pushback::Wait(Duration::from_millis(2)))
        );
        let details = status.get_error_details();
        let info = details.retry_info().unwrap();
        assert_eq!(info.retry_delay, Some(shed.retry_after));
    }
}
