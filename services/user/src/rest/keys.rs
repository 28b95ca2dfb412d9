//! The public halves of the signing keys, for whoever checks tokens.

use std::sync::Arc;

use axum::{Json, extract::State, http::header, response::IntoResponse};
use jsonwebtoken::jwk::JwkSet;
use kit::{ApiError, ApiResult, page::Params};
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::Core;

/// Verifiers and proxies may keep the keys that long: not longer than a new key is
/// published before it signs ([`crate::keyring::LEAD_S`]).
const CACHE: &str = "public, max-age=30";

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

/// All keys that tokens may be signed with (RFC 7517): after a rotation the old one
/// stays until the last token signed with it has expired.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "keys",
    responses((status = 200, description = "JSON web key set", body = serde_json::Value)))]
pub async fn jwks(State(core): State<Arc<Core>>) -> impl IntoResponse {
    let published = core.keys().published(core.now_ms());
    let keys = published.iter().map(|key| key.jwk().clone()).collect();
    ([(header::CACHE_CONTROL, CACHE)], Json(JwkSet { keys }))
}

/// The key that signs now, or the published one that `key_id` names.
fn answer(core: &Core, params: &Params) -> ApiResult<impl IntoResponse + use<>> {
    let now_ms = core.now_ms();
    let key = match params.get("key_id") {
        None => core.keys().signing(now_ms),
        Some(kid) => {
            let mut published = core.keys().published(now_ms).into_iter();
            let named = published.find(|key| key.kid() == kid);
            named.ok_or_else(ApiError::not_found)?
        }
    };
    let key = PublicKey {
        public_key: key.public_pem().to_owned(),
        algorithm: "RS256",
        key_id: key.kid().to_owned(),
    };
    Ok(([(header::CACHE_CONTROL, CACHE)], Json(key)))
}

/// The current key as PEM, or an older one that tokens may still be signed with.
#[utoipa::path(get, path = "/api/users/auth/public-key/", tag = "keys",
    params(("key_id" = Option<String>, Query)),
    responses((status = 200, body = PublicKey), (status = 404, body = super::view::ErrorBody)))]
pub async fn public_key(
    State(core): State<Arc<Core>>,
    params: Params,
) -> ApiResult<impl IntoResponse> {
    answer(&core, &params)
}

/// The current key as PEM, or an older one that tokens may still be signed with.
#[utoipa::path(get, path = "/api/auth/public-key/", tag = "keys",
    params(("key_id" = Option<String>, Query)),
    responses((status = 200, body = PublicKey), (status = 404, body = super::view::ErrorBody)))]
pub async fn public_key_of_auth(
    State(core): State<Arc<Core>>,
    params: Params,
) -> ApiResult<impl IntoResponse> {
    answer(&core, &params)
}

/// The current key as PEM, or an older one that tokens may still be signed with.
#[utoipa::path(get, path = "/api/users/public-key/", tag = "keys",
    params(("key_id" = Option<String>, Query)),
    responses((status = 200, body = PublicKey), (status = 404, body = super::view::ErrorBody)))]
pub async fn public_key_of_users(
    State(core): State<Arc<Core>>,
    params: Params,
) -> ApiResult<impl IntoResponse> {
    answer(&core, &params)
}
