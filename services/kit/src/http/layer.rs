use std::{
    any::Any,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use resilience::{deadline::Deadline, priority::Priority};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::LONGEST_DEADLINE;
use crate::{
    ApiError, Ctx, LabConfig, json,
    telemetry::{self, names},
};

/// Names a request in answers, logs, events, and on its way through the shop.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Milliseconds left for an answer.
pub const DEADLINE: HeaderName = HeaderName::from_static("x-request-deadline");
/// Who is served first under overload: `critical-plus`, `critical`, `sheddable-plus`, `sheddable`.
/// The gateway takes it from the outside only together with the lab's token.
pub const PRIORITY: HeaderName = HeaderName::from_static("x-request-priority");
/// Presented by the lab's load generator, so that its other headers are believed.
pub const LAB_TOKEN: HeaderName = HeaderName::from_static("x-lab-token");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the common layer needs to know.
#[derive(Clone)]
pub(super) struct Rules {
    service: &'static str,
    lab_token: Option<Arc<SecretString>>,
    edge: bool,
}

impl Rules {
    pub(super) fn new(service: &'static str, lab: Option<&LabConfig>, edge: bool) -> Self {
        Self {
            service,
            lab_token: lab.map(|lab| Arc::new(lab.token.clone())),
            edge,
        }
    }

    fn trusts(&self, headers: &HeaderMap) -> bool {
        match (&self.lab_token, headers.get(LAB_TOKEN)) {
            (Some(token), Some(shown)) => token
                .expose_secret()
                .as_bytes()
                .ct_eq(shown.as_bytes())
                .into(),
            _ => false,
        }
    }
}

/// Everything that is done for every request, in one place.
pub(super) async fn apply(
    State(rules): State<Rules>,
    mut request: Request,
    next: Next,
) -> Response {
    let ctx = context(&rules, &request);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let method = known_method(request.method());
    request.extensions_mut().insert(ctx.clone());
    let begun = Instant::now();
    let span = span(&route, method, &ctx, request.headers());
    let deadline = ctx.deadline;
    let mut response = async {
        let answer = within(deadline, next.run(request)).await;
        let answer = as_json(answer);
        tracing::Span::current().record(
            "http.response.status_code",
            i64::from(answer.status().as_u16()),
        );
        if answer.status().is_server_error() {
            tracing::Span::current().record("otel.status_code", "ERROR");
        }
        answer
    }
    .instrument(span)
    .await;
    if let Ok(value) = HeaderValue::from_str(&ctx.request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    metrics::histogram!(
        names::HTTP_DURATION,
        "service" => rules.service,
        "http_route" => route,
        "http_request_method" => method,
        "http_response_status_code" => response.status().as_str().to_owned()
    )
    .record(begun.elapsed().as_secs_f64());
    response
}

/// Nobody waits for an answer after the deadline: the work is dropped then.
async fn within(deadline: Deadline, answer: impl Future<Output = Response>) -> Response {
    let Some(at) = deadline.instant() else {
        return answer.await;
    };
    tokio::time::timeout_at(at, answer)
        .await
        .unwrap_or_else(|_| late())
}

/// What a request is answered whose deadline has passed.
pub(crate) fn late() -> Response {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "deadline_exceeded",
        "The answer would come too late.",
    )
    .error("Service communication error")
    .retry_after(Duration::from_secs(1))
    .into_response()
}

fn span(route: &str, method: &'static str, ctx: &Ctx, headers: &HeaderMap) -> tracing::Span {
    if route.starts_with("/health") || route == "/livez" || route.starts_with("/internal") {
        return tracing::Span::none();
    }
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        lab.fault = tracing::field::Empty,
        request_id = &*ctx.request_id,
    );
    telemetry::adopt(&span, headers);
    span
}

/// Methods as a bounded label.
fn known_method(method: &::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

fn context(rules: &Rules, request: &Request) -> Ctx {
    let headers = request.headers();
    let deadline = text(headers, &DEADLINE)
        .and_then(|text| text.parse().ok())
        .map_or(Deadline::NONE, |ms: u64| {
            Deadline::after(Duration::from_millis(ms).min(LONGEST_DEADLINE))
        });
    let trusted = rules.trusts(headers);
    Ctx {
        request_id: request_id(headers),
        deadline,
        priority: if trusted || !rules.edge {
            priority(headers)
        } else {
            Priority::default()
        },
        client: client(request),
        trusted,
        user: None,
        origin: origin(headers).into(),
    }
}

/// Anything that is none of the four levels is the usual one.
pub(crate) fn priority(headers: &HeaderMap) -> Priority {
    text(headers, &PRIORITY)
        .and_then(|level| level.parse().ok())
        .unwrap_or_default()
}

/// Taken when it is short and printable, else made.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let printable =
        |id: &&str| !id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic());
    text(headers, &REQUEST_ID)
        .filter(printable)
        .map_or_else(|| uuid::Uuid::new_v4().to_string().into(), Arc::from)
}

/// The gateway writes the address it saw; it counts only from this machine's own
/// proxies.
fn client(request: &Request) -> Option<IpAddr> {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    let forwarded = text(request.headers(), &FORWARDED_FOR)
        .and_then(|list| list.split(',').next()?.trim().parse().ok());
    match peer {
        Some(peer) if !peer.is_loopback() => Some(peer),
        _ => forwarded.or(peer),
    }
}

fn origin(headers: &HeaderMap) -> String {
    let host = text(headers, &header::HOST).unwrap_or("localhost");
    let safe = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_'));
    let scheme = text(headers, &FORWARDED_PROTO)
        .filter(|p| *p == "https")
        .unwrap_or("http");
    format!("{scheme}://{}", if safe { host } else { "localhost" })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Refusals that axum itself makes have no JSON body: they get ours.
fn as_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let error = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            ApiError::new(status, "method_not_allowed", "Method not allowed.")
        }
        StatusCode::NOT_FOUND => ApiError::not_found(),
        StatusCode::PAYLOAD_TOO_LARGE => json::too_large(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiError::new(
            status,
            "unsupported_media_type",
            "Send the body as application/json.",
        ),
        _ if status.is_server_error() => ApiError::internal("an answer without a body"),
        _ => ApiError::new(
            status,
            "bad_request",
            status.canonical_reason().unwrap_or("Bad request"),
        ),
    };
    let mut ours = error.into_response();
    ours.extensions_mut().extend(response.extensions().clone());
    if let Some(allow) = response.headers().get(header::ALLOW) {
        ours.headers_mut().insert(header::ALLOW, allow.clone());
    }
    ours
}

/// A panic of a handler as a 500, and one line in the log.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    ApiError::internal(format!("panic: {text}")).into_response()
}
