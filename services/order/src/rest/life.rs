//! An order's further life: the staff's steps, and the owner's second thoughts.

use std::sync::Arc;

use axum::extract::{Path, State};
use kit::{
    ApiError, ApiResult, Ctx,
    auth::User,
    json::{Json, Object},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Shared, view::OrderView};
use crate::{
    domain::{NoStatus, Status},
    error::OrderError,
};

/// Where an order is to go.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "documents the body; `wanted` reads it")]
pub struct StatusBody {
    /// The next status: pending → confirmed → processing → shipped → delivered; cancelled from
    /// the first two.
    #[schema(example = "confirmed")]
    status: String,
}

/// Takes an order a step further; its owner gets an e-mail.
#[utoipa::path(
    patch,
    path = "/api/orders/{id}/status/",
    tag = "orders",
    security(("bearer" = [])),
    params(("id" = i64, Path, description = "The order's number")),
    request_body = StatusBody,
    responses(
        (status = 200, body = OrderView),
        (status = 400, description = "No status, or one that can't follow"),
        (status = 401, description = "Not logged in"),
        (status = 403, description = "Not staff"),
        (status = 404, description = "No such order"),
    )
)]
pub async fn change(
    State(shared): State<Arc<Shared>>,
    ctx: Ctx,
    User(principal): User,
    Path(id): Path<String>,
    Object(body): Object,
) -> ApiResult<Json<OrderView>> {
    if !principal.roles.staff {
        return Err(ApiError::forbidden());
    }
    let to = wanted(body.get("status"))?;
    let order = shared.checkout.change(&ctx, number(&id)?, to).await?;
    Ok(Json(order.into()))
}

/// Calls one's order off while it is pending or confirmed; its stock goes back.
#[utoipa::path(
    post,
    path = "/api/orders/{id}/cancel/",
    tag = "orders",
    security(("bearer" = [])),
    params(("id" = i64, Path, description = "The order's number")),
    responses(
        (status = 200, body = OrderView),
        (status = 400, description = "Too late: it is being packed, or cancelled already"),
        (status = 401, description = "Not logged in"),
        (status = 404, description = "No such order, or somebody else's"),
    )
)]
pub async fn cancel(
    State(shared): State<Arc<Shared>>,
    ctx: Ctx,
    User(principal): User,
    Path(id): Path<String>,
) -> ApiResult<Json<OrderView>> {
    let checkout = &shared.checkout;
    let order = checkout
        .cancel(&ctx, number(&id)?, principal.user_id)
        .await?;
    Ok(Json(order.into()))
}

fn number(id: &str) -> Result<i64, OrderError> {
    id.parse().map_err(|_| OrderError::NotFound)
}

fn wanted(status: Option<&Value>) -> ApiResult<Status> {
    let bad = |message: String| {
        ApiError::bad_request("invalid", message.clone())
            .error("Validation failed")
            .field("status", message)
    };
    match status {
        None | Some(Value::Null) => Err(bad("This field is required.".to_owned())),
        Some(Value::String(text)) => text
            .parse()
            .map_err(|error: NoStatus| bad(error.to_string())),
        Some(other) => Err(bad(format!("\"{other}\" is not a valid choice."))),
    }
}
