//! The REST face: decode, call, encode.

mod admin;
mod availability;
mod body;
mod filters;
mod products;
mod view;

use std::{collections::HashMap, sync::Arc};

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use kit::ApiError;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{Shared, store::StoreError};

#[derive(OpenApi)]
#[openapi(info(
    title = "Product service",
    description = "The catalogue and its stock."
))]
struct Document;

/// All routes, and the document that describes them.
pub fn router(shared: Arc<Shared>) -> (axum::Router, utoipa::openapi::OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(products::list, admin::create))
        .routes(routes!(
            products::detail,
            admin::replace,
            admin::update,
            admin::delete
        ))
        .routes(routes!(availability::check))
        .split_for_parts();
    (router.with_state(shared), document)
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// `{id}` of a path. What is no id is no product: 404.
struct ProductId(i64);

impl<S: Send + Sync> FromRequestParts<S> for ProductId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Ok(Path(path)) = path else {
            return Err(ApiError::not_found());
        };
        let text = path.get("id").map_or("", String::as_str);
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let id = text.parse().ok().filter(|_| digits);
        id.map(Self).ok_or_else(ApiError::not_found)
    }
}
