//! What Toxiproxy lacks, under `/faultline/`: what each toxic acted on, events
//! as they happen, a lease on everything injected, and the seed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::json as answer;
use crate::error::{Error, Result};
use crate::registry::Registry;

type Proxies = State<Arc<Registry>>;

pub(crate) fn routes(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/faultline/acted", get(acted).delete(forget_acted))
        .route("/faultline/events", get(events))
        .route("/faultline/lease", get(lease).put(renew).delete(end_lease))
        .route("/faultline/seed", get(seed).put(reseed))
        .with_state(registry)
}

async fn acted(State(registry): Proxies) -> Response {
    let proxies = registry.acted().await;
    answer(StatusCode::OK, &json!({ "proxies": proxies }))
}

async fn forget_acted(State(registry): Proxies) -> StatusCode {
    registry.forget_acted().await;
    StatusCode::NO_CONTENT
}

async fn events(State(registry): Proxies) -> Response {
    let lines = stream::unfold(registry.events().listen(), |mut listener| async move {
        let line = listener.next().await?;
        Some((Ok::<_, Infallible>(line), listener))
    });
    let body = Body::from_stream(lines);
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn lease(State(registry): Proxies) -> Response {
    answer(StatusCode::OK, &held(&registry))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseBody {
    lease: String,
}

async fn renew(State(registry): Proxies, body: Bytes) -> Result<Response> {
    let body: LeaseBody = strictly(&body)?;
    registry.lease().renew(&body.lease)?;
    Ok(answer(StatusCode::OK, &held(&registry)))
}

async fn end_lease(State(registry): Proxies) -> StatusCode {
    registry.lease().end();
    StatusCode::NO_CONTENT
}

/// What is left of the lease, null if none is held.
fn held(registry: &Registry) -> Value {
    let left = registry.lease().left();
    json!({ "expires_in_ms": left.map(|left| left.as_millis() as u64) })
}

async fn seed(State(registry): Proxies) -> Response {
    answer(StatusCode::OK, &json!({ "seed": registry.seed() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedBody {
    seed: u64,
}

async fn reseed(State(registry): Proxies, body: Bytes) -> Result<Response> {
    let body: SeedBody = strictly(&body)?;
    registry.reseed(body.seed).await;
    Ok(answer(StatusCode::OK, &json!({ "seed": body.seed })))
}

/// These are ours, so nothing is lenient for old clients' sake.
fn strictly<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| Error::BadRequestBody(e.to_string()))
}
