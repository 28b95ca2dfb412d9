use std::{net::IpAddr, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{Class, Count, Key, Limiter, Subject};
use crate::{
    ApiError, Ctx,
    auth::Principal,
    http::{ATTEMPT, FORWARDED_FOR, watches},
    telemetry::names,
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The limits of one service, at its door.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) service: &'static str,
    /// Routes whose POST tries a password or a code.
    pub(crate) logins: Arc<[&'static str]>,
    /// Callers are strangers, and no account is known here.
    pub(crate) edge: bool,
}

impl Gate {
    fn count(&self, class: Class, subject: Subject) -> Option<Count> {
        let count = self.limiter.take(Key { class, subject })?;
        if !count.allowed {
            metrics::counter!(
                names::RATE_LIMITED, "service" => self.service, "class" => class.as_str()
            )
            .increment(1);
        }
        Some(count)
    }

    fn is_login(&self, request: &Request) -> bool {
        let route = request.extensions().get::<MatchedPath>();
        request.method() == Method::POST
            && route.is_some_and(|route| self.logins.contains(&route.as_str()))
    }

    /// Who is counted by address; nobody where there is none, and the lab's own requests, which
    /// come for no customer. A further attempt of a call was counted with its first.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let headers = request.headers();
        let ctx = request.extensions().get::<Ctx>()?;
        let of_the_lab = ctx.trusted && !headers.contains_key(FORWARDED_FOR);
        if of_the_lab || self.is_repeated(headers) {
            return None;
        }
        ctx.client
    }

    fn is_repeated(&self, headers: &HeaderMap) -> bool {
        let attempt = headers
            .get(ATTEMPT)
            .and_then(|n| n.to_str().ok()?.parse::<u32>().ok());
        !self.edge && attempt.is_some_and(|n| n > 1)
    }
}

/// Counts whom no account stands for: by address, before any work is done.
pub(crate) async fn anybody(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let address = match route.map(MatchedPath::as_str) {
        Some(route) if watches(route) => None,
        _ => gate.address(&request),
    };
    let Some(address) = address else {
        return next.run(request).await;
    };
    let subject = Subject::of_address(address);
    let class = match request.headers().contains_key(header::AUTHORIZATION) {
        _ if gate.is_login(&request) => Class::Login,
        true if !gate.edge => {
            let answer = next.run(request).await;
            return guessed(&gate, subject, answer);
        }
        _ => Class::Anonymous,
    };
    passed(gate.count(class, subject), request, next).await
}

/// Tokens that are refused were somebody's guesses: who sends many is told to stop.
fn guessed(gate: &Gate, subject: Subject, answer: Response) -> Response {
    if answer.status() != StatusCode::UNAUTHORIZED {
        return answer;
    }
    match gate.count(Class::Anonymous, subject) {
        Some(count) if !count.allowed => too_many(count),
        _ => answer,
    }
}

/// Counts by account, once it is known whose the request is.
pub(crate) async fn account(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if gate.is_login(&request) || !request.headers().contains_key(header::AUTHORIZATION) {
        // Counted already, by address.
        return next.run(request).await;
    }
    let count = match (
        request.extensions().get::<Principal>(),
        gate.address(&request),
    ) {
        (_, None) => None,
        (Some(principal), Some(_)) => {
            let class = if principal.roles.staff {
                Class::Staff
            } else {
                Class::User
            };
            gate.count(class, Subject::Account(principal.user_id))
        }
        (None, Some(address)) => gate.count(Class::Anonymous, Subject::of_address(address)),
    };
    passed(count, request, next).await
}

async fn passed(count: Option<Count>, request: Request, next: Next) -> Response {
    match count {
        None => next.run(request).await,
        Some(count) if !count.allowed => too_many(count),
        Some(count) => {
            let mut answer = next.run(request).await;
            if !answer.headers().contains_key(LIMIT) {
                told(count, answer.headers_mut());
            }
            answer
        }
    }
}

/// 429. Never 401: a client would throw its good token away.
fn too_many(count: Count) -> Response {
    let message = "Too many requests. Please wait a moment.";
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
        .error("Too many requests")
        .retry_after(count.retry_after);
    let mut answer = error.into_response();
    told(count, answer.headers_mut());
    answer
}

/// draft-ietf-httpapi-ratelimit-headers-03: requests, requests, whole seconds.
fn told(count: Count, headers: &mut HeaderMap) {
    let reset = count.reset.as_millis().div_ceil(1000);
    headers.insert(LIMIT, HeaderValue::from(count.limit));
    headers.insert(REMAINING, HeaderValue::from(count.remaining));
    headers.insert(RESET, HeaderValue::from(u64::try_from(reset).unwrap_or(0)));
}
