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

use super::{LONGEST_DEADLINE, TrustedProxies, serve::OverTls};
use crate::{
    ApiError, Common, Ctx, json,
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

/// Whom each proxy on the way saw; it counts from [`TrustedProxies`] alone.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `https` where the client came over TLS; counts as [`FORWARDED_FOR`] does.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What every answer says to a browser that looks at it by itself.
const OF_ALL: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
];
/// JSON is no page: nothing in it may be loaded or framed.
const CSP_OF_JSON: &str = "default-src 'none'; frame-ancestors 'none'";

/// What the common layer needs to know.
#[derive(Clone)]
pub(crate) struct Rules {
    service: &'static str,
    lab_token: Option<Arc<SecretString>>,
    proxies: Arc<TrustedProxies>,
    edge: bool,
}

impl Rules {
    /// `edge`: callers are strangers, whose priority does not count.
    pub(crate) fn new(common: &Common, edge: bool) -> Self {
        Self {
            service: common.name,
            lab_token: common.lab.as_ref().map(|lab| Arc::new(lab.token.clone())),
            proxies: Arc::new(common.trusted_proxies.clone()),
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
    secure(response.headers_mut());
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

fn secure(headers: &mut HeaderMap) {
    let of_json = (header::CONTENT_SECURITY_POLICY, CSP_OF_JSON);
    let of_json = is_json(headers).then_some(of_json);
    for (name, value) in OF_ALL.into_iter().chain(of_json) {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
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
    if super::watches(route) || route.starts_with("/internal") {
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
        client: client(rules, request, trusted),
        trusted,
        user: None,
        origin: origin(rules, request).into(),
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

fn peer(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|info| info.0.ip().to_canonical())
}

/// The lab's load speaks for customers with addresses of their own; else a proxy of ours does.
fn client(rules: &Rules, request: &Request, trusted: bool) -> Option<IpAddr> {
    let forwarded = request.headers().get_all(FORWARDED_FOR);
    let forwarded: Vec<&str> = forwarded.iter().filter_map(|v| v.to_str().ok()).collect();
    let of_the_lab = || forwarded.last()?.trim().parse().ok();
    let of_the_lab = if trusted { of_the_lab() } else { None };
    of_the_lab.or_else(|| Some(rules.proxies.client(peer(request)?, &forwarded)))
}

fn origin(rules: &Rules, request: &Request) -> String {
    let headers = request.headers();
    // HTTP/2 has its host in the URI.
    let authority = request
        .uri()
        .authority()
        .map(::http::uri::Authority::as_str);
    let host = text(headers, &header::HOST)
        .or(authority)
        .unwrap_or("localhost");
    let safe = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_'));
    let by_a_proxy = peer(request).is_some_and(|peer| rules.proxies.contains(peer));
    let told = text(headers, &FORWARDED_PROTO).filter(|_| by_a_proxy);
    let is_tls = request.extensions().get::<OverTls>().is_some() || told == Some("https");
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{}", if safe { host } else { "localhost" })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Refusals that axum itself makes have no JSON body: they get ours.
fn as_json(response: Response) -> Response {
    let status = response.status();
    if is_json(response.headers()) || !(status.is_client_error() || status.is_server_error()) {
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
