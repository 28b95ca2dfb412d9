//! Security events, for staff.

use std::sync::Arc;

use axum::extract::State;
use kit::{
    ApiResult,
    json::Json,
    page::{Page, PageQuery, Params},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{extract::StaffActor, view::ErrorBody};
use crate::{audit::Event, core::Core, store::AuditFilter};

/// One security event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub struct EventView {
    id: i64,
    /// ISO 8601, UTC.
    at: String,
    /// `logged_in`, `login_refused`, `password_changed`, …
    event: String,
    /// Whose account it is about.
    user_id: Option<i64>,
    /// Who did it, where that is somebody else.
    actor_id: Option<i64>,
    /// The client's; empty for a command.
    address: String,
    request_id: String,
    detail: String,
}

/// A page of events, for the document.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "kit's generic page carries the data; this describes it"
)]
pub struct EventPage {
    count: i64,
    next: Option<String>,
    previous: Option<String>,
    #[schema(inline)]
    results: Vec<EventView>,
}

/// Security events, newest first.
#[utoipa::path(get, path = "/api/users/audit/", tag = "people", security(("bearer" = [])),
    params(("page" = Option<String>, Query, description = "from 1, or `last`"),
        ("page_size" = Option<i64>, Query, description = "at most 100"),
        ("user_id" = Option<i64>, Query), ("event" = Option<String>, Query)),
    responses((status = 200, body = EventPage), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn list(
    State(core): State<Arc<Core>>,
    _staff: StaffActor,
    query: PageQuery,
    params: Params,
) -> ApiResult<Json<Page<EventView>>> {
    let user_id = params.get("user_id");
    let filter = AuditFilter {
        // What is no id is nobody's.
        user_id: user_id.map_or(0, |text| {
            text.parse().ok().filter(|id| *id > 0).unwrap_or(-1)
        }),
        event: params.get("event").unwrap_or("").to_owned(),
    };
    let count = core.store.count_events(&filter).await?;
    let window = query.window(count)?;
    let events = core
        .store
        .list_events(&filter, window.offset, window.limit)
        .await?;
    let views = events.into_iter().map(view).collect();
    Ok(Json(query.render(count, window, views)))
}

fn view((id, event): (i64, Event)) -> EventView {
    EventView {
        id,
        at: kit::time::iso(event.at_ms),
        event: event.event,
        user_id: event.user_id,
        actor_id: event.actor_id,
        address: event.address,
        request_id: event.request_id,
        detail: event.detail,
    }
}
