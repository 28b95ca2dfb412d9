//! Passes a request on to a service, under the policy of its slot.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kit::{
    ApiError, Ctx, http as rules,
    replicas::{Readiness, Replicas},
};
use resilience::{Attempt, Call, Slot, priority::Priority};

use crate::{
    failure::Failure,
    routes::{self, Upstream},
};

/// Shorter than the services' own idle time-out, so that a pooled connection is
/// never used in the moment in which they close it.
const POOL_IDLE: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(1);
/// Where a service says whether it takes work.
const READY: &str = "/readyz";

/// Who a request is from, where it was sent to and how, in words that some server or other takes:
/// from outside they are claims. Ours are put in their place where a service needs one.
const CLAIMS: [&str; 19] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-user-id",
    "x-attempt",
    "x-request-deadline",
];
/// What begins so is between services, or the lab's.
const INTERNAL: [&str; 2] = ["grpc-", "x-lab-"];

/// What we are called in requests.
const CALLER: &str = "gateway";

/// Between two neighbours only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The services and the client they are reached with.
#[derive(Clone)]
pub struct Services(Arc<Inner>);

struct Inner {
    client: Client<HttpConnector, Full<Bytes>>,
    targets: Vec<Target>,
}

struct Target {
    upstream: Upstream,
    replicas: Replicas<String>,
    slot: Slot,
}

impl Services {
    /// Each with the base addresses of its replicas and its slot.
    pub fn new(targets: impl IntoIterator<Item = (Upstream, Vec<String>, Slot)>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let targets = targets.into_iter().filter_map(|(upstream, bases, slot)| {
            let replicas = Replicas::new(bases)?;
            Some(Target {
                upstream,
                replicas,
                slot,
            })
        });
        Self(Arc::new(Inner {
            client,
            targets: targets.collect(),
        }))
    }

    /// Follows which replicas take work, until it is dropped. One that is told to end says so in
    /// time: it gets no request any more that it could not finish, a POST least of all, which is
    /// sent once.
    pub async fn follow(self) {
        let targets = self.0.targets.iter();
        let each =
            targets.map(|target| target.replicas.follow(|base| self.takes_work(base.clone())));
        join_all(each).await;
    }

    async fn takes_work(&self, base: String) -> Readiness {
        let Ok(request) = http::Request::get(format!("{base}{READY}")).body(Full::default()) else {
            return Readiness::Unknown;
        };
        match self
            .0
            .client
            .request(request)
            .await
            .map(|answer| answer.status())
        {
            Ok(StatusCode::OK) => Readiness::Ready,
            Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => Readiness::Unready,
            Ok(_) => Readiness::Unknown,
        }
    }

    fn target(&self, upstream: Upstream) -> Result<&Target, ApiError> {
        let found = self
            .0
            .targets
            .iter()
            .find(|target| target.upstream == upstream);
        found.ok_or_else(|| ApiError::internal(format!("no address for {}", upstream.name())))
    }

    /// A plain GET past the slot's policy, for health: the first success of any replica, or else
    /// what one of them said.
    pub(crate) async fn get(&self, upstream: Upstream, path: &str) -> Result<Response, ApiError> {
        let target = self.target(upstream)?;
        let mut told = Err(ApiError::unavailable(None));
        for base in target.replicas.targets() {
            match self.get_from(base, path).await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                other => told = other,
            }
        }
        told
    }

    async fn get_from(&self, base: &str, path: &str) -> Result<Response, ApiError> {
        let request = http::Request::get(format!("{base}{path}"))
            .body(Full::default())
            .map_err(ApiError::internal)?;
        let answer = self.0.client.request(request).await;
        answer
            .map(|answer| answer.map(Body::new))
            .map_err(|e| ApiError::unavailable(None).source(e))
    }
}

/// Forwards by the table of routes.
pub async fn forward(State(services): State<Services>, request: Request) -> Response {
    pass(&services, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn pass(services: &Services, request: Request) -> Result<Response, ApiError> {
    let route = routes::find(request.uri().path()).ok_or_else(ApiError::not_found)?;
    let target = services.target(route.upstream)?;
    let ctx = request
        .extensions()
        .get::<Ctx>()
        .cloned()
        .unwrap_or_else(|| Ctx::internal("-"));
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, rules::BODY_LIMIT)
        .await
        .map_err(|error| rules::body_error(&error))?;
    let bases = target.replicas.targets();
    let uris: Vec<Uri> = bases
        .map(|base| uri(base, &parts.uri))
        .collect::<Result<_, _>>()?;
    let mut headers = headers(&parts, &ctx);
    let priority = priority(&parts, route.upstream, &ctx);
    put(&mut headers, rules::PRIORITY, priority.as_str());
    let call = Call {
        method: route.prefix,
        request_id: &ctx.request_id,
        // By method alone (RFC 9110, section 9.2.2): who sends a key with a POST retries it himself.
        idempotent: parts.method.is_idempotent(),
        deadline: ctx.deadline,
    };
    let client = &services.0.client;
    let mut tried = None;
    let answer = target.slot.call(call, |attempt| {
        let replica = target.replicas.pick(tried.take());
        tried = Some(replica.index());
        if let Some(number) = replica.number() {
            target.slot.routed(&call, attempt.number, number);
        }
        let uri = &uris[replica.index()];
        let request = attempt_request(&parts.method, uri, &headers, body.clone(), attempt);
        async move {
            let answer = Failure::judge(client.request(request).await);
            if answer.as_ref().is_err_and(Failure::is_of_the_connection) {
                replica.failed();
            }
            answer
        }
    });
    let answer = answer.await.unwrap_or_else(Failure::into_response);
    Ok(strip_hop_by_hop(answer))
}

fn attempt_request(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
    attempt: Attempt,
) -> http::Request<Full<Bytes>> {
    let mut request = http::Request::new(Full::new(body));
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers.clone();
    request
        .headers_mut()
        .insert(rules::ATTEMPT, attempt.number.into());
    if let Some(left) = attempt.deadline.to_millis() {
        request
            .headers_mut()
            .insert(rules::DEADLINE, HeaderValue::from(left));
    }
    // Inside the attempt's own span, so that the service's span is its child.
    kit::telemetry::inject(request.headers_mut());
    request
}

fn uri(base: &str, asked: &Uri) -> Result<Uri, ApiError> {
    let path = asked
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    format!("{base}{path}")
        .parse()
        .map_err(|_| ApiError::bad_request("bad_request", "The path can't be forwarded."))
}

/// What the service is told: no neighbour's headers, no trust that was not earned.
fn headers(parts: &Parts, ctx: &Ctx) -> HeaderMap {
    let mut headers = parts.headers.clone();
    remove_hop_by_hop(&mut headers);
    remove_claims(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    headers.insert(rules::CALLER, HeaderValue::from_static(CALLER));
    let shown = parts.headers.get(rules::LAB_TOKEN);
    let shown = shown.filter(|_| ctx.trusted);
    if let Some(token) = shown {
        headers.insert(rules::LAB_TOKEN, token.clone());
    }
    // The lab's own requests come for no customer.
    let of_the_lab = ctx.trusted && !parts.headers.contains_key(rules::FORWARDED_FOR);
    if let Some(client) = ctx.client.filter(|_| !of_the_lab) {
        put(&mut headers, rules::FORWARDED_FOR, &client.to_string());
    }
    let (scheme, host) = ctx.origin.split_once("://").unwrap_or(("http", ""));
    put(&mut headers, rules::FORWARDED_PROTO, scheme);
    // HTTP/2 has the host in its target.
    if !headers.contains_key(header::HOST) {
        put(&mut headers, header::HOST, host);
    }
    put(&mut headers, rules::REQUEST_ID, &ctx.request_id);
    headers
}

fn remove_claims(headers: &mut HeaderMap) {
    for claim in CLAIMS {
        headers.remove(claim);
    }
    let internal = |name: &&HeaderName| INTERNAL.iter().any(|i| name.as_str().starts_with(i));
    let internal: Vec<HeaderName> = headers.keys().filter(internal).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
}

/// Under overload an order that somebody wants to pay for goes before everything else. The lab's
/// load may say otherwise.
fn priority(parts: &Parts, upstream: Upstream, ctx: &Ctx) -> Priority {
    match upstream {
        _ if ctx.trusted && parts.headers.contains_key(rules::PRIORITY) => ctx.priority,
        Upstream::Order if parts.method == Method::POST => Priority::CriticalPlus,
        _ => Priority::default(),
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// What concerns our own connection to the service, and what we say to browsers ourselves.
fn strip_hop_by_hop(mut response: Response) -> Response {
    let headers = response.headers_mut();
    remove_hop_by_hop(headers);
    for ours in [
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        header::SERVER,
    ] {
        headers.remove(ours);
    }
    response
}
