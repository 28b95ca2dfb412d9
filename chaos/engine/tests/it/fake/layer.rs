//! The fault layers of the fake shop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{post, put};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Shared;

/// The fault layer of one service: fails the share that a fault says.
#[derive(Default)]
pub struct Layer {
    pub faults: Mutex<BTreeMap<String, Held>>,
    /// What was posted, in order.
    pub posted: Mutex<Vec<Value>>,
    pub renewed: AtomicU32,
}

/// A fault in force.
pub struct Held {
    pub share: f64,
    pub matched: u64,
    pub acted: u64,
}

impl Layer {
    /// Whether a request fails. Which ones is the fault layer's own affair; here it is
    /// every so-manieth.
    pub(super) fn fails(&self) -> bool {
        let mut faults = self.faults.lock();
        faults.values_mut().fold(false, |fails, fault| {
            fault.matched += 1;
            let due = (fault.matched as f64 * fault.share) as u64;
            let acts = due > fault.acted;
            fault.acted += u64::from(acts);
            fails || acts
        })
    }
}

/// The faults of one replica's fault layer.
pub(super) fn faults(replica: usize) -> Router<Shared> {
    let add = async move |State(shop): State<Shared>, Json(body): Json<Value>| {
        let layer = &shop.layers[replica];
        let held = Held {
            share: body["action"]["fail"]["share"].as_f64().unwrap(),
            matched: 0,
            acted: 0,
        };
        let id = body["id"].as_str().unwrap().to_owned();
        layer.posted.lock().push(body.clone());
        layer.faults.lock().insert(id, held);
        (StatusCode::CREATED, Json(body))
    };
    let renew = async move |State(shop): State<Shared>, Path(id): Path<String>| {
        let layer = &shop.layers[replica];
        layer.renewed.fetch_add(1, Ordering::Relaxed);
        match layer.faults.lock().contains_key(&id) {
            true => StatusCode::OK,
            false => StatusCode::NOT_FOUND,
        }
    };
    let remove = async move |State(shop): State<Shared>, Path(id): Path<String>| {
        let removed = shop.layers[replica].faults.lock().remove(&id);
        let state = |f: Held| Json(json!({"id": id, "matched": f.matched, "acted": f.acted}));
        removed.map(state).ok_or(StatusCode::NOT_FOUND)
    };
    let remove_all = async move |State(shop): State<Shared>| {
        shop.layers[replica].faults.lock().clear();
        Json(json!({"removed": []}))
    };
    Router::new()
        .route("/lab/faults", post(add).delete(remove_all))
        .route("/lab/faults/{id}", put(renew).delete(remove))
}
