//! Faults over REST: inside the service's door and authentication, outside of its handlers.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ::http::{HeaderMap, header};
use axum::{
    extract::{MatchedPath, Request},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::Either;
use serde::Deserialize;
use tower::{Layer, Service};

use super::{
    Faults, Stay, headers,
    seen::{Seen, serving},
    serve::{Ending, serve},
    status::Failure,
};
use crate::{
    ApiError, Ctx,
    auth::Principal,
    http::{late, watches},
};

/// A mark on an answer that must not be sent: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoseReply;

/// In the place of an answer: hyper closes the connection (HTTP/2: resets the stream) without a
/// byte of one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the reply was lost: a fault of the lab")]
pub(crate) struct ReplyLost;

impl From<Infallible> for ReplyLost {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Puts the faults round REST handlers.
#[derive(Clone)]
pub(crate) struct RestFaults {
    faults: Faults,
    /// Callers are strangers.
    edge: bool,
}

impl RestFaults {
    pub(crate) fn new(faults: Faults, edge: bool) -> Self {
        Self { faults, edge }
    }

    /// Who calls without saying so. Only the gateway calls the services over REST, and nginx in its
    /// place is silent; but the keys of tokens are fetched by the other services too.
    fn unnamed(&self, route: &str) -> &'static str {
        match route {
            _ if self.edge => "load",
            route if route.starts_with("/.well-known/") => "-",
            _ => "gateway",
        }
    }

    /// `None` for what watches the service.
    fn seen(&self, request: &Request) -> Option<Seen> {
        let extensions = request.extensions();
        let route = extensions.get::<MatchedPath>();
        let route = route.map_or("unmatched", MatchedPath::as_str);
        if watches(route) {
            return None;
        }
        let ctx = extensions.get::<Ctx>().cloned();
        let ctx = ctx.unwrap_or_else(|| Ctx::internal("-"));
        let believed = (!self.edge || ctx.trusted).then(|| request.headers());
        let unnamed = self.unnamed(route);
        let caller = believed.and_then(headers::caller).unwrap_or(unnamed);
        let method = format!("{} {route}", request.method());
        let user = extensions.get::<Principal>().map(|user| user.user_id);
        let claimed = || claimed_user(request.headers()).filter(|_| self.edge);
        Some(Seen {
            attempt: believed.map_or(1, headers::attempt),
            user: user.or_else(claimed),
            ..Seen::at_server(self.faults.service(), caller, method, &ctx)
        })
    }
}

impl<S> Layer<S> for RestFaults {
    type Service = WithRestFaults<S>;

    fn layer(&self, inner: S) -> WithRestFaults<S> {
        WithRestFaults {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind [`RestFaults`].
#[derive(Clone)]
pub(crate) struct WithRestFaults<S> {
    inner: S,
    layer: RestFaults,
}

type Answer = Result<Response, Infallible>;

impl<S> Service<Request> for WithRestFaults<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Answer> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let faults = &self.layer.faults;
        if !faults.any() {
            return Either::Left(self.inner.call(request));
        }
        let Some(seen) = self.layer.seen(&request) else {
            return Either::Left(self.inner.call(request));
        };
        let plan = faults.decide(&seen);
        let seen = Arc::new(seen);
        // The one that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        if plan.is_empty() {
            let handler = inner.call(request);
            return Either::Right(Box::pin(serving(seen, handler)));
        }
        let names = plan.names();
        let stay = Stay::take(request.extensions_mut());
        let handler = async move { inner.call(request).await };
        let served = serve(faults.clone(), seen, plan, stay, handler);
        Either::Right(Box::pin(async move {
            // Here, since the request's span may be entered only when the answer is polled.
            tracing::Span::current().record("lab.fault", names);
            ended(served.await)
        }))
    }
}

fn ended(ending: Ending<Answer>) -> Answer {
    match ending {
        Ending::Answered(answer) => answer,
        Ending::Failed(fault, failure) => Ok(failed(&fault, failure)),
        Ending::Late => Ok(late()),
        Ending::Lost(answer) => answer.map(|mut answer| {
            answer.extensions_mut().insert(LoseReply);
            answer
        }),
    }
}

/// Without `Retry-After`: what breaks doesn't say when it will be whole.
fn failed(fault: &str, failure: Failure) -> Response {
    let message = format!("The lab's fault {fault} made this request fail.");
    ApiError::new(failure.status, "injected_fault", message).into_response()
}

/// The user that a token claims to be of. Nobody has verified it here: good enough to choose whom
/// a fault hits, and for nothing else.
fn claimed_user(headers: &HeaderMap) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        user_id: i64,
    }
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(claims.user_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(edge: bool, request: ::http::request::Builder) -> Seen {
        let bus = crate::lab::events::EventBus::new("product");
        let layer = RestFaults::new(Faults::new("product", bus), edge);
        let request = request.uri("/x").body(axum::body::Body::empty()).unwrap();
        layer.seen(&request).unwrap()
    }

    fn told() -> ::http::request::Builder {
        Request::get("/x")
            .header(crate::http::CALLER, "order")
            .header(crate::http::ATTEMPT, "3")
    }

    #[test]
    fn a_service_believes_its_callers_and_the_edge_only_the_lab() {
        let inside = seen(false, told());
        assert_eq!((&*inside.link, inside.attempt), ("order-product", 3));
        let unnamed = seen(false, Request::get("/x"));
        assert_eq!((&*unnamed.link, unnamed.attempt), ("gateway-product", 1));
        let mut stranger = Ctx::internal("r");
        stranger.trusted = false;
        let outside = seen(true, told().extension(stranger));
        assert_eq!((&*outside.link, outside.attempt), ("load-product", 1));
        let trusted = seen(true, told().extension(Ctx::internal("r")));
        assert_eq!((&*trusted.caller, trusted.attempt), ("order", 3));
    }

    #[test]
    fn the_edge_takes_the_user_from_an_unverified_token() {
        let token = |payload: &str| format!("Bearer h.{}.s", URL_SAFE_NO_PAD.encode(payload));
        let of = |edge, payload: &str| {
            let request = Request::get("/x").header(header::AUTHORIZATION, token(payload));
            seen(edge, request).user
        };
        assert_eq!(of(true, r#"{"user_id":7}"#), Some(7));
        assert_eq!(of(true, "nonsense"), None);
        assert_eq!(
            of(false, r#"{"user_id":7}"#),
            None,
            "a service has verified it or not"
        );
    }
}
