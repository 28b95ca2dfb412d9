use std::convert::Infallible;

use ::http::request::Parts;
use axum::extract::FromRequestParts;

use super::Principal;
use crate::ApiError;

/// A logged-in caller; anonymous → 401.
#[derive(Clone, Debug)]
pub struct User(pub Principal);

/// A caller who may be anonymous.
#[derive(Clone, Debug)]
pub struct MaybeUser(pub Option<Principal>);

/// A member of staff; anonymous → 401, others → 403.
#[derive(Clone, Debug)]
pub struct Staff(pub Principal);

/// An admin; anonymous → 401, others → 403.
#[derive(Clone, Debug)]
pub struct Admin(pub Principal);

fn principal(parts: &Parts) -> Option<Principal> {
    parts.extensions.get::<Principal>().cloned()
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        principal(parts)
            .map(Self)
            .ok_or_else(ApiError::unauthorized)
    }
}

impl<S: Sync> FromRequestParts<S> for MaybeUser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(principal(parts)))
    }
}

impl<S: Sync> FromRequestParts<S> for Staff {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let User(principal) = User::from_request_parts(parts, state).await?;
        if principal.roles.staff {
            Ok(Self(principal))
        } else {
            Err(ApiError::forbidden())
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let User(principal) = User::from_request_parts(parts, state).await?;
        if principal.roles.admin {
            Ok(Self(principal))
        } else {
            Err(ApiError::forbidden())
        }
    }
}
