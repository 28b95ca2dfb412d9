//! Reading the catalogue.

use std::sync::Arc;

use axum::extract::State;
use kit::{
    ApiError, ApiResult,
    cache::Served,
    json::Json,
    page::{Page, PageQuery, Params},
};

use super::{ProductId, filters, view::Detail, view::ListItem};
use crate::Shared;

/// The products, newest first unless asked otherwise.
#[utoipa::path(
    get, path = "/api/products/", tag = "products",
    params(
        ("page" = Option<String>, Query, description = "From 1, or `last`"),
        ("page_size" = Option<i64>, Query, description = "Up to 100; 20 otherwise"),
        ("search" = Option<String>, Query, description = "Words; each must begin a word of name or description"),
        ("ordering" = Option<String>, Query, description = "`name`, `price`, `created_at` or `rating`, `-` before it for descending"),
        ("category" = Option<String>, Query, description = "Of this category"),
        ("min_price" = Option<String>, Query, description = "Costs no less"),
        ("max_price" = Option<String>, Query, description = "Costs no more"),
        ("in_stock" = Option<bool>, Query, description = "In stock, or out of it"),
    ),
    responses(
        (status = 200, description = "A page of products", body = Page<ListItem>),
        (status = 400, description = "A parameter can't be read"),
        (status = 404, description = "The page is out of range"),
    )
)]
pub async fn list(
    State(shared): State<Arc<Shared>>,
    page: PageQuery,
    params: Params,
) -> ApiResult<Served<Json<Page<ListItem>>>> {
    let query = filters::read(&params)?;
    let name = format!("{}:{}", page.size(), params.get("page").unwrap_or("1"));
    let rows = |count| {
        page.window(count)
            .ok()
            .map(|window| (window.offset, window.limit))
    };
    let listing = shared.catalogue.list(&query, &name, rows).await?;
    let window = page.window(listing.value.count)?;
    Ok(listing.map(|listing| {
        let items = listing.products.into_iter().map(ListItem::from).collect();
        Json(page.render(listing.count, window, items))
    }))
}

/// One product.
#[utoipa::path(
    get, path = "/api/products/{id}/", tag = "products",
    params(("id" = i64, Path, description = "The product's id")),
    responses(
        (status = 200, description = "The product", body = Detail),
        (status = 404, description = "No such product"),
    )
)]
pub async fn detail(
    State(shared): State<Arc<Shared>>,
    ProductId(id): ProductId,
) -> ApiResult<Served<Json<Detail>>> {
    let served = shared.catalogue.detail(id).await?;
    let Served {
        value: Some(product),
        age,
        stale,
    } = served
    else {
        return Err(ApiError::not_found());
    };
    Ok(Served {
        value: Json(Detail::from(product)),
        age,
        stale,
    })
}
