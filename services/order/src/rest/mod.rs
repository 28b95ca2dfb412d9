//! The wire of this service: one file a resource.

mod life;
mod lines;
mod orders;
mod quote;
mod view;

use std::sync::Arc;

use axum::Router;
use tokio_util::sync::DropGuard;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{checkout::Checkout, store::Guarded};

pub use view::body_of;

/// What the handlers share.
pub struct Shared {
    /// Places orders.
    pub checkout: Checkout,
    /// Keeps them.
    pub store: Guarded,
    /// Tells, by being dropped, that no request is left.
    pub _serving: DropGuard,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Order service",
        description = "Quotes, orders and their history. Send an access token of the user \
                       service as `Authorization: Bearer …`."
    ),
    tags((name = "orders", description = "Orders"))
)]
struct Document;

/// Every route of this service, and its documentation under `/docs/order/`.
pub fn router(shared: Arc<Shared>) -> Router {
    let (routes, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(orders::list, orders::create))
        .routes(routes!(quote::quote))
        .routes(routes!(orders::detail))
        .routes(routes!(orders::of_user))
        .routes(routes!(life::change))
        .routes(routes!(life::cancel))
        .split_for_parts();
    routes
        .with_state(shared)
        .merge(kit::docs::router("order", document))
}
