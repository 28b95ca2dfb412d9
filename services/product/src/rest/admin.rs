//! What admins do to the catalogue.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use kit::{
    ApiError, ApiResult,
    auth::Admin,
    json::{Json, Object},
    time::now_ms,
};

use super::{
    ProductId,
    body::{self, ProductBody, ProductChanges},
    view::Detail,
};
use crate::{Shared, domain::Changes};

/// Makes a product.
#[utoipa::path(
    post, path = "/api/products/", tag = "admin", request_body = ProductBody,
    responses(
        (status = 201, description = "Made", body = Detail),
        (status = 400, description = "A field can't be taken"),
        (status = 401, description = "Not logged in"),
        (status = 403, description = "No admin"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(shared): State<Arc<Shared>>,
    _admin: Admin,
    body: Object,
) -> ApiResult<(StatusCode, Json<Detail>)> {
    let product = shared
        .store
        .create(body::new_product(body)?, now_ms())
        .await?;
    shared.catalogue.product_changed(product.id);
    Ok((StatusCode::CREATED, Json(product.into())))
}

/// Replaces a product's fields.
#[utoipa::path(
    put, path = "/api/products/{id}/", tag = "admin", request_body = ProductBody,
    params(("id" = i64, Path, description = "The product's id")),
    responses(
        (status = 200, description = "Replaced", body = Detail),
        (status = 400, description = "A field can't be taken"),
        (status = 401, description = "Not logged in"),
        (status = 403, description = "No admin"),
        (status = 404, description = "No such product"),
    ),
    security(("bearer" = []))
)]
pub async fn replace(
    State(shared): State<Arc<Shared>>,
    _admin: Admin,
    ProductId(id): ProductId,
    body: Object,
) -> ApiResult<Json<Detail>> {
    change(&shared, id, body::replacement(body)?).await
}

/// Changes some of a product's fields.
#[utoipa::path(
    patch, path = "/api/products/{id}/", tag = "admin", request_body = ProductChanges,
    params(("id" = i64, Path, description = "The product's id")),
    responses(
        (status = 200, description = "Changed", body = Detail),
        (status = 400, description = "A field can't be taken"),
        (status = 401, description = "Not logged in"),
        (status = 403, description = "No admin"),
        (status = 404, description = "No such product"),
    ),
    security(("bearer" = []))
)]
pub async fn update(
    State(shared): State<Arc<Shared>>,
    _admin: Admin,
    ProductId(id): ProductId,
    body: Object,
) -> ApiResult<Json<Detail>> {
    change(&shared, id, body::changes(body)?).await
}

/// Takes a product out of the shop; orders and the ledger keep it.
#[utoipa::path(
    delete, path = "/api/products/{id}/", tag = "admin",
    params(("id" = i64, Path, description = "The product's id")),
    responses(
        (status = 204, description = "Gone"),
        (status = 401, description = "Not logged in"),
        (status = 403, description = "No admin"),
        (status = 404, description = "No such product"),
    ),
    security(("bearer" = []))
)]
pub async fn delete(
    State(shared): State<Arc<Shared>>,
    _admin: Admin,
    ProductId(id): ProductId,
) -> ApiResult<StatusCode> {
    if !shared.store.delete(id, now_ms()).await? {
        return Err(ApiError::not_found());
    }
    shared.catalogue.product_changed(id);
    Ok(StatusCode::NO_CONTENT)
}

async fn change(shared: &Shared, id: i64, changes: Changes) -> ApiResult<Json<Detail>> {
    let product = shared
        .store
        .change(id, changes, now_ms())
        .await?
        .ok_or_else(ApiError::not_found)?;
    shared.catalogue.product_changed(id);
    Ok(Json(product.into()))
}
