use std::sync::Arc;

use ::http::header;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{TokenType, Verifier};
use crate::Ctx;

/// Looks at the `Authorization` header once, before any handler: a good token
/// leaves a [`super::Principal`] with the request, a bad one is refused on public
/// endpoints too.
pub(crate) async fn authenticate(
    State(verifier): State<Arc<Verifier>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return next.run(request).await;
    };
    let Some(token) = value.to_str().ok().and_then(bearer) else {
        // Another scheme is not ours to judge: the caller is anonymous.
        return next.run(request).await;
    };
    match verifier.verify(token) {
        Ok(principal) => {
            if let Some(ctx) = request.extensions_mut().get_mut::<Ctx>() {
                ctx.user = Some(principal.user_id);
            }
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(error) => error.into_response(TokenType::Access).into_response(),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
