//! Toxiproxy's HTTP API, version 2.12.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::extensions;
use crate::metrics::Metrics;
use crate::registry::Registry;

/// The version of Toxiproxy whose API this is; clients adapt to it.
pub const API_VERSION: &str = "2.12.0";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-toxiproxy-request-id");

#[derive(Clone)]
struct Api {
    registry: Arc<Registry>,
}

/// The whole API, with `/metrics` beside it.
pub(crate) fn routes(registry: Arc<Registry>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/reset", post(reset))
        .route("/populate", post(populate))
        .route("/proxies", get(list).post(create))
        .route(
            "/proxies/{proxy}",
            get(show).post(update).patch(update).delete(delete),
        )
        .route("/proxies/{proxy}/toxics", get(toxics).post(add_toxic))
        .route(
            "/proxies/{proxy}/toxics/{toxic}",
            get(toxic)
                .post(update_toxic)
                .patch(update_toxic)
                .delete(remove_toxic),
        )
        .with_state(Api {
            registry: Arc::clone(&registry),
        })
        .merge(extensions::routes(registry))
        .merge(metrics_routes(metrics))
        .route_layer(from_fn(refuse_browsers))
        .route_layer(from_fn(identify))
        .fallback(unknown)
}

/// `/metrics` alone, for its own port.
pub(crate) fn metrics_routes(metrics: Arc<Metrics>) -> Router {
    let render = async move || {
        (
            [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            metrics.render(),
        )
    };
    Router::new().route("/metrics", get(render))
}

/// A web page must not be able to steer the proxy of whoever looks at it.
async fn refuse_browsers(request: Request, next: Next) -> Response {
    let agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes);
    if agent.is_some_and(|agent| agent.starts_with(b"Mozilla/")) {
        return (StatusCode::FORBIDDEN, "User agent not allowed\n").into_response();
    }
    next.run(request).await
}

/// Gives each request an id, as Toxiproxy does, and logs it under that.
async fn identify(request: Request, next: Next) -> Response {
    // Its router has no HEAD.
    if request.method() == Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let id = format!("{:020x}", rand::random::<u64>());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    tracing::debug!(request_id = id, %method, %uri, status, "request");
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

async fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

async fn version() -> Response {
    let body = format!("{{\"version\": \"{API_VERSION}\"}}\n");
    ([(CONTENT_TYPE, "application/json;charset=utf-8")], body).into_response()
}

async fn reset(State(api): State<Api>) -> Result<StatusCode> {
    whole(async move { api.registry.reset().await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn populate(State(api): State<Api>, body: Bytes) -> Response {
    let populated = whole(async move { Ok(api.registry.populate(&body).await) }).await;
    let (done, result) = populated.unwrap_or_else(|error| (Vec::new(), Err(error)));
    // Toxiproxy writes an empty list as null, and clients know it that way.
    let proxies = if done.is_empty() {
        serde_json::Value::Null
    } else {
        serde_json::json!(done)
    };
    match result {
        Ok(()) => json(
            StatusCode::CREATED,
            &serde_json::json!({ "proxies": proxies }),
        ),
        Err(error) => {
            let status = error.status();
            let mut body = error_body(&error);
            body["proxies"] = proxies;
            json(status, &body)
        }
    }
}

async fn list(State(api): State<Api>) -> Response {
    json(StatusCode::OK, &api.registry.all().await)
}

async fn create(State(api): State<Api>, body: Bytes) -> Result<Response> {
    let made = whole(async move { api.registry.create(&body).await }).await?;
    Ok(json(StatusCode::CREATED, &made))
}

async fn show(State(api): State<Api>, Path(proxy): Path<String>) -> Result<Response> {
    Ok(json(StatusCode::OK, &api.registry.show(&proxy).await?))
}

async fn update(
    State(api): State<Api>,
    Path(proxy): Path<String>,
    body: Bytes,
) -> Result<Response> {
    let updated = whole(async move { api.registry.update(&proxy, &body).await }).await?;
    Ok(json(StatusCode::OK, &updated))
}

async fn delete(State(api): State<Api>, Path(proxy): Path<String>) -> Result<StatusCode> {
    whole(async move { api.registry.delete(&proxy).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn toxics(State(api): State<Api>, Path(proxy): Path<String>) -> Result<Response> {
    Ok(json(StatusCode::OK, &api.registry.toxics(&proxy).await?))
}

async fn add_toxic(
    State(api): State<Api>,
    Path(proxy): Path<String>,
    body: Bytes,
) -> Result<Response> {
    Ok(json(
        StatusCode::OK,
        &api.registry.add_toxic(&proxy, &body).await?,
    ))
}

type ToxicPath = Path<(String, String)>;

async fn toxic(State(api): State<Api>, Path((proxy, name)): ToxicPath) -> Result<Response> {
    Ok(json(
        StatusCode::OK,
        &api.registry.toxic(&proxy, &name).await?,
    ))
}

async fn update_toxic(
    State(api): State<Api>,
    Path((proxy, name)): ToxicPath,
    body: Bytes,
) -> Result<Response> {
    Ok(json(
        StatusCode::OK,
        &api.registry.update_toxic(&proxy, &name, &body).await?,
    ))
}

async fn remove_toxic(
    State(api): State<Api>,
    Path((proxy, name)): ToxicPath,
) -> Result<StatusCode> {
    api.registry.remove_toxic(&proxy, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does it to the end even if the client hangs up meanwhile: half a restart
/// would leave the proxy down.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Serve(std::io::Error::other(error))),
    }
}

pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    (status, axum::Json(body)).into_response()
}

fn error_body(error: &Error) -> serde_json::Value {
    serde_json::json!({ "error": error.to_string(), "status": error.status().as_u16() })
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.status().is_server_error() {
            tracing::error!(error = %self, "a request failed");
        }
        json(self.status(), &error_body(&self))
    }
}
