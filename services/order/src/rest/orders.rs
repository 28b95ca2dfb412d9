//! Orders: placing them, and their history.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header};
use kit::{
    ApiError, ApiResult, Ctx,
    auth::User,
    json::{Json, Object},
    page::{Page, PageQuery, Params},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Shared, lines,
    view::{ListedOrder, OrderView},
};
use crate::{
    checkout,
    domain::{Line, Order, Status},
    error::OrderError,
    saga::Claim,
    store::{Filter, OrderStore as _},
};

/// The longest `Idempotency-Key`, in characters.
const MAX_KEY: usize = 255;

/// An order to be placed. Prices come from the catalogue.
#[derive(Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "documents the body; `lines` reads it, to name every problem"
)]
pub struct OrderBody {
    /// 1 to 100 lines; those of one product are merged.
    items: Vec<LineBody>,
}

/// One line of an order to be placed.
#[derive(Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "documents the body; `lines` reads it, to name every problem"
)]
pub struct LineBody {
    /// The product's id.
    #[schema(minimum = 1, example = 1)]
    product_id: i32,
    /// Units.
    #[schema(minimum = 1, example = 2)]
    quantity: i32,
}

/// Places an order. With an `Idempotency-Key`, a repeat by the same user gets the first 2xx answer,
/// byte for byte.
#[utoipa::path(
    post,
    path = "/api/orders/",
    tag = "orders",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters")),
    request_body = OrderBody,
    responses(
        (status = 201, body = OrderView),
        (status = 400, description = "Invalid lines, user or product, or too little stock"),
        (status = 401, description = "Not logged in"),
        (status = 409, description = "The key's first request is under way"),
        (status = 422, description = "The key was used for other lines"),
        (status = 503, description = "A service that the order needs does not answer"),
    )
)]
pub async fn create(
    State(shared): State<Arc<Shared>>,
    ctx: Ctx,
    User(principal): User,
    headers: HeaderMap,
    Object(body): Object,
) -> ApiResult<Response> {
    let (lines, claim) = read_order(&headers, body.get("items")).map_err(checkout::counted)?;
    let answer = shared
        .checkout
        .place(&ctx, principal.user_id, &lines, claim)
        .await?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((StatusCode::CREATED, json, answer).into_response())
}

fn read_order(
    headers: &HeaderMap,
    items: Option<&Value>,
) -> Result<(Vec<Line>, Option<Claim>), OrderError> {
    let key = headers.get("idempotency-key");
    let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    if key
        .as_ref()
        .is_some_and(|key| key.chars().count() > MAX_KEY)
    {
        return Err(OrderError::KeyTooLong);
    }
    let lines = lines::of_body(items).map_err(OrderError::Lines)?;
    // An empty header names nothing.
    let claim = key.filter(|key| !key.is_empty()).map(|key| Claim {
        key,
        body: lines::text(&lines),
    });
    Ok((lines, claim))
}

/// One's own orders; the staff's view has everybody's. Newest first.
#[utoipa::path(
    get,
    path = "/api/orders/",
    tag = "orders",
    security(("bearer" = [])),
    params(
        ("page" = Option<String>, Query, description = "From 1, or `last`"),
        ("page_size" = Option<i64>, Query, description = "Up to 100, 20 by default"),
        ("user_id" = Option<i64>, Query, description = "This owner's alone (staff; ignored otherwise)"),
        ("status" = Option<String>, Query, description = "Those in this status alone"),
    ),
    responses(
        (status = 200, body = Page<ListedOrder>),
        (status = 400, description = "A filter that can't be read"),
        (status = 401, description = "Not logged in"),
        (status = 404, description = "No such page"),
    )
)]
pub async fn list(
    State(shared): State<Arc<Shared>>,
    ctx: Ctx,
    User(principal): User,
    page: PageQuery,
    params: Params,
) -> ApiResult<Json<Page<ListedOrder>>> {
    let owner = if principal.roles.staff {
        params.get("user_id").map(user_filter).transpose()?
    } else {
        Some(principal.user_id)
    };
    let status = params.get("status").map(status_filter).transpose()?;
    render(&shared, &ctx, &page, Filter { owner, status }).await
}

fn user_filter(text: &str) -> ApiResult<i64> {
    text.parse()
        .map_err(|_| bad_filter("user_id", "A valid integer is required."))
}

fn status_filter(text: &str) -> ApiResult<Status> {
    text.parse()
        .map_err(|error: crate::domain::NoStatus| bad_filter("status", &error.to_string()))
}

fn bad_filter(field: &str, message: &str) -> ApiError {
    ApiError::bad_request("invalid", message)
        .error("Validation failed")
        .field(field, message)
}

/// One order.
#[utoipa::path(
    get,
    path = "/api/orders/{id}/",
    tag = "orders",
    security(("bearer" = [])),
    params(("id" = i64, Path, description = "The order's number")),
    responses(
        (status = 200, body = OrderView),
        (status = 401, description = "Not logged in"),
        (status = 404, description = "No such order, or somebody else's"),
    )
)]
pub async fn detail(
    State(shared): State<Arc<Shared>>,
    ctx: Ctx,
    User(principal): User,
    Path(id): Path<String>,
) -> ApiResult<Json<OrderView>> {
    let id: i64 = id.parse().map_err(|_| OrderError::NotFound)?;
    let found = shared.store.of(&ctx).find(id).await?;
    let visible = |order: &Order| principal.roles.staff || order.user_id == principal.user_id;
    let order = found.filter(visible).ok_or(OrderError::NotFound)?;
    Ok(Json(order.into()))
}

/// One user's orders, newest first: for that user and the staff. For everybody
/// else it is forbidden by role (403), whether or not there is such a user.
#[utoipa::path(
    get,
    path = "/api/orders/user/{user_id}/",
    tag = "orders",
    security(("bearer" = [])),
    params(
        ("user_id" = i64, Path, description = "The owner's id"),
        ("page" = Option<String>, Query, description = "From 1, or `last`"),
        ("page_size" = Option<i64>, Query, description = "Up to 100, 20 by default"),
    ),
    responses(
        (status = 200, body = Page<ListedOrder>),
        (status = 401, description = "Not logged in"),
        (status = 403, description = "Somebody else's history"),
        (status = 404, description = "No such page"),
    )
)]
pub async fn of_user(
    State(shared): State<Arc<Shared>>,
    ctx: Ctx,
    User(principal): User,
    Path(user_id): Path<String>,
    page: PageQuery,
) -> ApiResult<Json<Page<ListedOrder>>> {
    let user_id: i64 = user_id.parse().map_err(|_| OrderError::NotFound)?;
    if user_id != principal.user_id && !principal.roles.staff {
        return Err(ApiError::forbidden());
    }
    render(&shared, &ctx, &page, Filter::of(user_id)).await
}

async fn render(
    shared: &Shared,
    ctx: &Ctx,
    page: &PageQuery,
    filter: Filter,
) -> ApiResult<Json<Page<ListedOrder>>> {
    let store = shared.store.of(ctx);
    let count = store.count(filter).await?;
    let window = page.window(count)?;
    let orders = store.list(filter, window.offset, window.limit).await?;
    Ok(Json(page.render(
        count,
        window,
        orders.into_iter().map(ListedOrder::from).collect(),
    )))
}
