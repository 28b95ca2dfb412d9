//! Whether so many units can be had.

use std::sync::Arc;

use axum::extract::State;
use kit::{
    ApiError, ApiResult,
    auth::User,
    form::Form,
    json::{Json, Object},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProductId;
use crate::{Shared, domain::MAX_UNITS};

/// How many units.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(
    dead_code,
    reason = "it documents the body; the form reads it field by field"
)]
pub struct AvailabilityBody {
    /// At least 1.
    quantity: i32,
}

/// Whether they can be had.
#[derive(Debug, Serialize, ToSchema)]
pub struct Availability {
    product_id: i64,
    product_name: String,
    requested_quantity: i64,
    available_inventory: i64,
    is_available: bool,
}

/// Asks the database, never the cache.
#[utoipa::path(
    post, path = "/api/products/{id}/check_availability/", tag = "products",
    params(("id" = i64, Path, description = "The product's id")),
    request_body = AvailabilityBody,
    responses(
        (status = 200, description = "What can be had", body = Availability),
        (status = 400, description = "No such quantity"),
        (status = 401, description = "Not logged in"),
        (status = 404, description = "No such product"),
    ),
    security(("bearer" = []))
)]
pub async fn check(
    State(shared): State<Arc<Shared>>,
    _user: User,
    ProductId(id): ProductId,
    body: Object,
) -> ApiResult<Json<Availability>> {
    let mut form = Form::new(body);
    let quantity = form.int("quantity", 1..=MAX_UNITS);
    form.finish()?;
    let requested_quantity = quantity.unwrap_or(1);
    let product = shared
        .store
        .find(id)
        .await?
        .ok_or_else(ApiError::not_found)?;
    Ok(Json(Availability {
        product_id: product.id,
        product_name: product.name,
        requested_quantity,
        available_inventory: product.available,
        is_available: product.available >= requested_quantity,
    }))
}
