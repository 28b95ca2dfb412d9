//! Accounts by id, and their list, for staff and for oneself.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use kit::{
    ApiError, ApiResult,
    json::{Json, Object},
    page::{Page, PageQuery, Params},
};

use super::{
    accounts::{ProfileBody, read_change},
    extract::{AccountId, StaffActor},
    view::{ErrorBody, UserPage, UserView},
};
use crate::{accounts::Actor, core::Core, domain::Account};

/// Longest search text that is looked for; longer ones find nothing.
const SEARCH_MAX: usize = 254;

/// All accounts by id, or those with a text in username, e-mail or names.
#[utoipa::path(get, path = "/api/users/", tag = "people", security(("bearer" = [])),
    params(("page" = Option<String>, Query, description = "from 1, or `last`"),
        ("page_size" = Option<i64>, Query, description = "at most 100"),
        ("search" = Option<String>, Query)),
    responses((status = 200, body = UserPage), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn list(
    State(core): State<Arc<Core>>,
    _staff: StaffActor,
    query: PageQuery,
    params: Params,
) -> ApiResult<Json<Page<UserView>>> {
    let search = params.get("search").unwrap_or("");
    if search.chars().count() > SEARCH_MAX {
        return Ok(Json(query.render(0, query.window(0)?, Vec::new())));
    }
    let count = core.count_accounts(search).await?;
    let window = query.window(count)?;
    let accounts = core
        .list_accounts(search, window.offset, window.limit)
        .await?;
    let views = accounts.into_iter().map(UserView::of).collect();
    Ok(Json(query.render(count, window, views)))
}

/// One account: one's own, or anybody's for staff.
#[utoipa::path(get, path = "/api/users/{id}/", tag = "people", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, body = UserView), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn one(
    State(core): State<Arc<Core>>,
    actor: Actor,
    AccountId(id): AccountId,
) -> ApiResult<Json<UserView>> {
    require(&actor, id)?;
    let account = core.account(id).await?;
    Ok(Json(view(&actor, account)))
}

/// Changes an account; the e-mail address must be given.
#[utoipa::path(put, path = "/api/users/{id}/", tag = "people", security(("bearer" = [])),
    params(("id" = i64, Path)), request_body = ProfileBody,
    responses((status = 200, body = UserView), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub async fn replace(
    State(core): State<Arc<Core>>,
    actor: Actor,
    AccountId(id): AccountId,
    body: Object,
) -> ApiResult<Json<UserView>> {
    write(&core, &actor, id, body, true).await
}

/// Changes parts of an account.
#[utoipa::path(patch, path = "/api/users/{id}/", tag = "people", security(("bearer" = [])),
    params(("id" = i64, Path)), request_body = ProfileBody,
    responses((status = 200, body = UserView), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub async fn change(
    State(core): State<Arc<Core>>,
    actor: Actor,
    AccountId(id): AccountId,
    body: Object,
) -> ApiResult<Json<UserView>> {
    write(&core, &actor, id, body, false).await
}

async fn write(
    core: &Core,
    actor: &Actor,
    id: i64,
    body: Object,
    email_required: bool,
) -> ApiResult<Json<UserView>> {
    require(actor, id)?;
    core.account(id).await?;
    let change = read_change(body, email_required)?;
    let account = core.change_profile(actor, id, change).await?;
    Ok(Json(view(actor, account)))
}

/// Deactivates an account: its sessions end, nothing is deleted.
#[utoipa::path(delete, path = "/api/users/{id}/", tag = "people", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 204), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn deactivate(
    State(core): State<Arc<Core>>,
    actor: Actor,
    AccountId(id): AccountId,
) -> ApiResult<StatusCode> {
    require(&actor, id)?;
    core.deactivate(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn require(actor: &Actor, id: i64) -> ApiResult<()> {
    if actor.may_handle(id) {
        Ok(())
    } else {
        Err(ApiError::forbidden())
    }
}

fn view(actor: &Actor, account: Account) -> UserView {
    if actor.account.id == account.id {
        UserView::own(account)
    } else {
        UserView::of(account)
    }
}
