use std::{convert::Infallible, sync::Arc};

use ::http::{StatusCode, header};
use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use futures_util::{future::BoxFuture, stream};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::{
    armed, books,
    books::Books,
    events::EventBus,
    faults::{self, Faults},
    policies,
};
use crate::{ApiError, Slots};

pub(crate) type Fixtures =
    Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, ApiError>> + Send + Sync>;
pub(crate) type Reset = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What the control API drives.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) slots: Option<Slots>,
    pub(crate) bus: EventBus,
    pub(crate) faults: Option<Faults>,
    pub(crate) fixtures: Option<Fixtures>,
    pub(crate) books: Option<Books>,
    pub(crate) resets: Vec<Reset>,
    pub(crate) token: Arc<SecretString>,
}

pub(crate) fn router(control: Control) -> Router {
    let token = Arc::clone(&control.token);
    let (held, books) = (control.faults.clone(), control.books.clone());
    let slots = control.slots.as_ref();
    let points = slots.map(Slots::failpoints).unwrap_or_default();
    let defects = slots.map(Slots::defects).unwrap_or_default();
    Router::new()
        .route("/lab/health", get(|| async { Json(json!({ "ok": true })) }))
        .route("/lab/policies", get(policies::all))
        .route(
            "/lab/policies/{slot}",
            get(policies::one).put(policies::set),
        )
        .route("/lab/policies/{slot}/state", get(policies::state))
        .route("/lab/policies/{slot}/breaker", put(policies::force))
        .route("/lab/reset", post(reset))
        .route("/lab/fixtures", post(fixtures))
        .route("/lab/events", get(events))
        .with_state(control)
        .merge(held.map(faults::router).unwrap_or_default())
        .merge(armed::router(points, defects))
        .merge(books::router(books))
        .fallback(|| async {
            refuse(
                StatusCode::NOT_FOUND,
                "no such control; see docs/CONTROL_API.md",
            )
        })
        .layer(middleware::from_fn_with_state(token, guard))
}

pub(super) fn refuse(status: StatusCode, why: impl Into<String>) -> Response {
    (status, Json(json!({ "error": why.into() }))).into_response()
}

async fn guard(State(token): State<Arc<SecretString>>, request: Request, next: Next) -> Response {
    let expected = format!("Bearer {}", token.expose_secret());
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(::http::HeaderValue::as_bytes)
        .unwrap_or_default();
    if bool::from(expected.as_bytes().ct_eq(shown)) {
        next.run(request).await
    } else {
        refuse(
            StatusCode::UNAUTHORIZED,
            "the lab's token is missing or wrong: Authorization: Bearer <LAB_TOKEN>",
        )
    }
}

async fn reset(State(control): State<Control>) -> Response {
    let slots = control
        .slots
        .iter()
        .flat_map(Slots::all)
        .map(|(name, place)| {
            place.reset();
            name
        });
    let names: Vec<String> = slots.collect();
    for reset in &control.resets {
        reset().await;
    }
    Json(json!({ "reset": names })).into_response()
}

async fn fixtures(State(control): State<Control>, body: axum::body::Bytes) -> Response {
    let Some(make) = &control.fixtures else {
        return refuse(
            StatusCode::NOT_FOUND,
            "this part makes no fixtures; user-service and product-service do",
        );
    };
    let wanted = match serde_json::from_slice::<Value>(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                format!("the body is no JSON: {error}"),
            );
        }
    };
    match make(wanted).await {
        Ok(made) => Json(made).into_response(),
        Err(error) => refuse(error.status(), error.to_string()),
    }
}

async fn events(State(control): State<Control>) -> Response {
    let lines = stream::unfold(control.bus.listen(), |mut listener| async move {
        let line = listener.next().await?;
        Some((Ok::<_, Infallible>(line), listener))
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}
