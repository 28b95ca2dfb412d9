//! The REST face: decode, call, encode.

mod accounts;
mod audit;
mod cookies;
mod error;
mod extract;
mod feed;
mod keys;
mod people;
mod second_factor;
mod setup;
mod tokens;
mod view;

use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::core::Core;

pub use feed::router as internal;

#[derive(OpenApi)]
#[openapi(info(
    title = "User service",
    description = "Accounts, tokens and two-factor authentication."
))]
struct Document;

/// All routes, and the document that describes them.
pub fn router(core: Arc<Core>) -> (axum::Router, utoipa::openapi::OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(people::list, accounts::create))
        .routes(routes!(accounts::register))
        .routes(routes!(accounts::me, accounts::change_me))
        .routes(routes!(accounts::change_password))
        .routes(routes!(
            people::one,
            people::replace,
            people::change,
            people::deactivate
        ))
        .routes(routes!(audit::list))
        .routes(routes!(tokens::login))
        .routes(routes!(tokens::refresh))
        .routes(routes!(tokens::logout))
        .routes(routes!(setup::set_up))
        .routes(routes!(setup::verify))
        .routes(routes!(setup::disable))
        .routes(routes!(setup::regenerate))
        .routes(routes!(setup::download))
        .routes(routes!(setup::status))
        .routes(routes!(second_factor::verify_login))
        .routes(routes!(keys::jwks))
        .routes(routes!(keys::public_key))
        .routes(routes!(keys::public_key_of_auth))
        .routes(routes!(keys::public_key_of_users))
        .split_for_parts();
    (router.with_state(core), document)
}
