use std::sync::Arc;

use ::http::{StatusCode, header};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::ApiError;

/// Routes that answer those alone who show the service secret, as on gRPC:
/// `authorization: Bearer <SERVICE_SECRET>`. Without a secret nobody is answered.
pub(crate) fn behind_secret(router: Router, secret: &SecretString) -> Router {
    let expected = match secret.expose_secret() {
        "" => None,
        secret => Some(Arc::new(SecretString::from(format!("Bearer {secret}")))),
    };
    router.layer(middleware::from_fn_with_state(expected, require))
}

async fn require(
    State(expected): State<Option<Arc<SecretString>>>,
    request: Request,
    next: Next,
) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    let known = match (&expected, shown) {
        (Some(expected), Some(shown)) => {
            bool::from(expected.expose_secret().as_bytes().ct_eq(shown.as_bytes()))
        }
        _ => false,
    };
    if known {
        return next.run(request).await;
    }
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "not_authenticated",
        "The service secret is missing or wrong.",
    )
    .header(header::WWW_AUTHENTICATE, super::CHALLENGE)
    .into_response()
}
