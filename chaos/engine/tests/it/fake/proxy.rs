//! The fault proxy of the fake shop: it has leases and seeds, and counts nothing.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Shared;

pub(super) fn proxy(shop: &Shared) -> Router {
    Router::new()
        .route(
            "/proxies",
            get(|State(shop): State<Shared>| async move {
                let up = !shop.down.load(Ordering::Relaxed);
                Json(json!({"order-product": {"enabled": up, "toxics": []}}))
            }),
        )
        .route(
            "/proxies/order-product",
            post(
                |State(shop): State<Shared>, Json(ask): Json<Value>| async move {
                    shop.down
                        .store(!ask["enabled"].as_bool().unwrap(), Ordering::Relaxed);
                    Json(json!({"name": "order-product"}))
                },
            ),
        )
        .route(
            "/faultline/lease",
            put(|State(shop): State<Shared>| async move {
                shop.proxy_leases.fetch_add(1, Ordering::Relaxed);
            })
            .delete(|| async {}),
        )
        .route(
            "/faultline/seed",
            put(
                |State(shop): State<Shared>, Json(ask): Json<Value>| async move {
                    shop.proxy_seeds.lock().push(ask["seed"].as_u64().unwrap());
                },
            ),
        )
        .route(
            "/reset",
            post(|State(shop): State<Shared>| async move {
                shop.down.store(false, Ordering::Relaxed);
                shop.resets.fetch_add(1, Ordering::Relaxed);
                StatusCode::NO_CONTENT
            }),
        )
        .with_state(shop.clone())
}
