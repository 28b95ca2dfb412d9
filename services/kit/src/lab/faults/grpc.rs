//! Faults over gRPC: inside the service's door, outside of its handlers.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{TryFutureExt as _, future::Either, future::MapErr};
use tonic::Status;
use tower::{Layer, Service};

use super::{
    Faults, ReplyLost, Stay, headers,
    seen::{Seen, serving},
    serve::{Ending, serve},
};
use crate::Ctx;

/// Whoever calls over gRPC without saying who he is.
const NOBODY: &str = "-";

/// Puts the faults round all methods but health and reflection.
#[derive(Clone)]
pub(crate) struct GrpcFaults(pub(crate) Faults);

impl GrpcFaults {
    /// `None` for what watches the service.
    fn seen<B>(&self, request: &::http::Request<B>) -> Option<Seen> {
        let path = request.uri().path();
        if path.starts_with("/grpc.") {
            return None;
        }
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        let ctx = request.extensions().get::<Ctx>().cloned();
        let ctx = ctx.unwrap_or_else(|| Ctx::internal("-"));
        let told = request.headers();
        let caller = headers::caller(told).unwrap_or(NOBODY);
        Some(Seen {
            attempt: headers::attempt(told),
            user: headers::user(told),
            ..Seen::at_server(self.0.service(), caller, method, &ctx)
        })
    }
}

impl<S> Layer<S> for GrpcFaults {
    type Service = WithGrpcFaults<S>;

    fn layer(&self, inner: S) -> WithGrpcFaults<S> {
        WithGrpcFaults {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind [`GrpcFaults`].
#[derive(Clone)]
pub(crate) struct WithGrpcFaults<S> {
    inner: S,
    layer: GrpcFaults,
}

type BoxError = Box<dyn Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B, C> Service<::http::Request<B>> for WithGrpcFaults<S>
where
    S: Service<::http::Request<B>, Response = ::http::Response<C>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    C: Default + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<
        MapErr<S::Future, fn(S::Error) -> BoxError>,
        BoxFuture<Result<S::Response, BoxError>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: ::http::Request<B>) -> Self::Future {
        let boxed: fn(S::Error) -> BoxError = Into::into;
        let faults = &self.layer.0;
        if !faults.any() {
            return Either::Left(self.inner.call(request).map_err(boxed));
        }
        let Some(seen) = self.layer.seen(&request) else {
            return Either::Left(self.inner.call(request).map_err(boxed));
        };
        let plan = faults.decide(&seen);
        let seen = Arc::new(seen);
        // The one that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        if plan.is_empty() {
            let handler = inner.call(request).map_err(boxed);
            return Either::Right(Box::pin(serving(seen, handler)));
        }
        let names = plan.names();
        let stay = Stay::take(request.extensions_mut());
        let handler = async move { inner.call(request).await.map_err(boxed) };
        let served = serve(faults.clone(), seen, plan, stay, handler);
        Either::Right(Box::pin(async move {
            // Here, since the request's span may be entered only when the answer is polled.
            tracing::Span::current().record("lab.fault", names);
            ended(served.await)
        }))
    }
}

fn ended<C: Default>(
    ending: Ending<Result<::http::Response<C>, BoxError>>,
) -> Result<::http::Response<C>, BoxError> {
    match ending {
        Ending::Answered(answer) => answer,
        Ending::Failed(fault, failure) => {
            let message = format!("the fault {fault} was injected");
            Ok(Status::new(failure.code, message).into_http())
        }
        Ending::Late => Ok(Status::deadline_exceeded("the deadline has passed").into_http()),
        // Tonic can't make a status of this error, so hyper resets the stream.
        Ending::Lost(_) => Err(ReplyLost.into()),
    }
}
