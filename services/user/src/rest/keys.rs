//! The public half of the signing key, for whoever checks tokens.

use std::sync::Arc;

use axum::{Json, extract::State, http::header, response::IntoResponse};
use jsonwebtoken::jwk::JwkSet;
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::Core;

/// Verifiers and proxies may keep the keys that long; a rotation keeps the old
/// key for longer.
const CACHE: &str = "public, max-age=300";

/// The key as PEM.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo, PEM.
    public_key: String,
    /// Always `RS256`.
    algorithm: &'static str,
    /// The `kid` of tokens signed with it.
    key_id: String,
}

/// All keys that tokens may be signed with (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "keys",
    responses((status = 200, description = "JSON web key set", body = serde_json::Value)))]
pub async fn jwks(State(core): State<Arc<Core>>) -> impl IntoResponse {
    let keys = vec![core.key().jwk().clone()];
    ([(header::CACHE_CONTROL, CACHE)], Json(JwkSet { keys }))
}

fn answer(core: &Core) -> impl IntoResponse + use<> {
    let key = PublicKey {
        public_key: core.key().public_pem().to_owned(),
        algorithm: "RS256",
        key_id: core.key().kid().to_owned(),
    };
    ([(header::CACHE_CONTROL, CACHE)], Json(key))
}

/// The current key as PEM.
#[utoipa::path(get, path = "/api/users/auth/public-key/", tag = "keys",
    responses((status = 200, body = PublicKey)))]
pub async fn public_key(State(core): State<Arc<Core>>) -> impl IntoResponse {
    answer(&core)
}

/// The current key as PEM.
#[utoipa::path(get, path = "/api/auth/public-key/", tag = "keys",
    responses((status = 200, body = PublicKey)))]
pub async fn public_key_of_auth(State(core): State<Arc<Core>>) -> impl IntoResponse {
    answer(&core)
}

/// The current key as PEM.
#[utoipa::path(get, path = "/api/users/public-key/", tag = "keys",
    responses((status = 200, body = PublicKey)))]
pub async fn public_key_of_users(State(core): State<Arc<Core>>) -> impl IntoResponse {
    answer(&core)
}
