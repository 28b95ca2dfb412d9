//! What a basket would cost: the read that crosses services.

use std::sync::Arc;

use axum::extract::State;
use kit::{ApiResult, Ctx, auth::User, json::Json, page::Params};

use super::{Shared, lines, view::QuoteView};
use crate::error::OrderError;

/// What these lines would cost now, and whether they can be had.
#[utoipa::path(
    get,
    path = "/api/orders/quote/",
    tag = "orders",
    security(("bearer" = [])),
    params(("items" = String, Query, description = "Lines, such as `1x2,5x1`: two of product 1, one of 5")),
    responses(
        (status = 200, body = QuoteView),
        (status = 400, description = "Malformed lines, or an unknown product"),
        (status = 401, description = "Not logged in"),
        (status = 503, description = "The product service does not answer"),
    )
)]
pub async fn quote(
    State(shared): State<Arc<Shared>>,
    ctx: Ctx,
    _user: User,
    params: Params,
) -> ApiResult<Json<QuoteView>> {
    let lines = lines::of_query(params.get("items")).map_err(OrderError::Lines)?;
    let quote = shared.checkout.quote(&ctx, &lines).await?;
    Ok(Json(quote.into()))
}
