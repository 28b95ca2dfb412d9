//! Faults by hand: `/lab/faults`.

use ::http::StatusCode;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::Faults;
use crate::lab::control::refuse;

pub(crate) fn router(faults: Faults) -> Router {
    Router::new()
        .route("/lab/faults", get(all).post(add).delete(clear))
        .route("/lab/faults/{id}", get(one).put(renew).delete(remove))
        .with_state(faults)
}

async fn all(State(faults): State<Faults>) -> Response {
    Json(json!({ "faults": faults.all() })).into_response()
}

async fn add(State(faults): State<Faults>, body: Bytes) -> Response {
    match faults.add(&body) {
        Ok(shown) => (StatusCode::CREATED, Json(shown)).into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, why),
    }
}

async fn clear(State(faults): State<Faults>) -> Response {
    Json(json!({ "removed": faults.clear() })).into_response()
}

async fn one(State(faults): State<Faults>, Path(id): Path<String>) -> Response {
    found(&faults, &id, faults.one(&id))
}

async fn renew(State(faults): State<Faults>, Path(id): Path<String>, body: Bytes) -> Response {
    match faults.renew(&id, &body) {
        Ok(shown) => found(&faults, &id, shown),
        Err(why) => refuse(StatusCode::BAD_REQUEST, why),
    }
}

async fn remove(State(faults): State<Faults>, Path(id): Path<String>) -> Response {
    found(&faults, &id, faults.remove(&id))
}

fn found(faults: &Faults, id: &str, shown: Option<Value>) -> Response {
    match shown {
        Some(shown) => Json(shown).into_response(),
        None => refuse(StatusCode::NOT_FOUND, missing(faults, id)),
    }
}

fn missing(faults: &Faults, id: &str) -> String {
    let ids = faults.ids();
    if ids.is_empty() {
        format!("no fault {id:?} here: none is held (was its lease renewed in time?)")
    } else {
        format!("no fault {id:?} here; there are: {}", ids.join(", "))
    }
}
