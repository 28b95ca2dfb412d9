//! What handlers ask of a request beyond its body.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use kit::{ApiError, Ctx, auth::User};

use crate::{accounts::Actor, audit::Source, core::Core};

impl FromRequestParts<Arc<Core>> for Actor {
    type Rejection = ApiError;

    /// The account behind the token as it is now: one that is gone or inactive is
    /// refused, however fresh the token.
    async fn from_request_parts(parts: &mut Parts, core: &Arc<Core>) -> Result<Self, ApiError> {
        let User(principal) = User::from_request_parts(parts, core).await?;
        let Ok(ctx) = Ctx::from_request_parts(parts, core).await;
        Ok(core.actor(&principal, Source::from(&ctx)).await?)
    }
}

/// A member of staff, by the account and not by the token.
pub struct StaffActor;

impl FromRequestParts<Arc<Core>> for StaffActor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, core: &Arc<Core>) -> Result<Self, ApiError> {
        let actor = Actor::from_request_parts(parts, core).await?;
        if actor.account.roles.staff {
            Ok(Self)
        } else {
            Err(ApiError::forbidden())
        }
    }
}

/// `{id}` of a path. What is no id is no account: 404.
pub struct AccountId(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for AccountId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Ok(Path(path)) = path else {
            return Err(ApiError::not_found());
        };
        let text = path.get("id").map_or("", String::as_str);
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let id = text.parse().ok().filter(|_| digits);
        id.map(Self).ok_or_else(ApiError::not_found)
    }
}
