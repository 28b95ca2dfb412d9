//! The feed of revocations, for the verifiers of other services: not on the gateway, and only with
//! the service secret.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    http::header,
    response::IntoResponse,
    routing::get,
};
use kit::{
    ApiResult,
    auth::feed::{Cursor, FEED_PATH, FeedPage},
    json::Json,
};

use crate::core::Core;

/// The route, its state applied.
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route(FEED_PATH, get(revocations))
        .with_state(core)
}

async fn revocations(
    State(core): State<Arc<Core>>,
    Query(from): Query<Cursor>,
) -> ApiResult<impl IntoResponse> {
    let page: FeedPage = core.revocations(from).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)))
}
