//! Failpoints and seeded defects by hand: `/lab/failpoints`, `/lab/defects`.

use ::http::StatusCode;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::{get, put},
};
use serde_json::Value;

use super::{Defects, Failpoints, control::refuse};

/// The routes of both.
pub(super) fn router(points: Failpoints, defects: Defects) -> Router {
    let failpoints = Router::new()
        .route("/lab/failpoints", get(points_all).delete(points_clear))
        .route("/lab/failpoints/{name}", put(arm).delete(disarm))
        .with_state(points);
    let defects = Router::new()
        .route("/lab/defects", get(defects_all).delete(defects_clear))
        .route("/lab/defects/{name}", put(set).delete(unset))
        .with_state(defects);
    failpoints.merge(defects)
}

async fn points_all(State(points): State<Failpoints>) -> Response {
    Json(points.show()).into_response()
}

async fn points_clear(State(points): State<Failpoints>) -> Response {
    Json(points.disarm(None)).into_response()
}

async fn arm(State(points): State<Failpoints>, Path(name): Path<String>, body: Bytes) -> Response {
    told(points.arm(&name, &body))
}

async fn disarm(State(points): State<Failpoints>, Path(name): Path<String>) -> Response {
    Json(points.disarm(Some(&name))).into_response()
}

async fn defects_all(State(defects): State<Defects>) -> Response {
    Json(defects.show()).into_response()
}

async fn defects_clear(State(defects): State<Defects>) -> Response {
    Json(defects.clear(None)).into_response()
}

async fn set(State(defects): State<Defects>, Path(name): Path<String>, body: Bytes) -> Response {
    told(defects.set(&name, &body))
}

async fn unset(State(defects): State<Defects>, Path(name): Path<String>) -> Response {
    Json(defects.clear(Some(&name))).into_response()
}

fn told(result: Result<Value, String>) -> Response {
    match result {
        Ok(shown) => Json(shown).into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, why),
    }
}
