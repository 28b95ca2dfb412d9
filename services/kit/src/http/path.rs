//! Paths that two readers could take for two different ones are nobody's: a gateway that sees
//! `/api/orders/..%2fusers` as orders must not send it to a service that sees users.

use ::http::{Method, StatusCode};
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::wire::Refusal;
use crate::ApiError;

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Refuses what was no request to begin with, methods that nothing here has, and paths with two
/// readings.
pub(super) async fn apply(request: Request, next: Next) -> Response {
    if let Some(refusal) = request.extensions().get::<Refusal>() {
        return refused(*refusal).into_response();
    }
    if !METHODS.contains(request.method()) {
        let known = METHODS.map(|method| method.to_string()).join(",");
        return ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed.",
        )
        .header(::http::header::ALLOW, &known)
        .into_response();
    }
    if !has_one_reading(request.uri().path()) {
        return ApiError::bad_request("bad_request", "The path can't be used.").into_response();
    }
    if has_control_characters(request.uri().path()) {
        // One reading, but nothing is called so.
        return ApiError::not_found().into_response();
    }
    next.run(request).await
}

fn refused(refusal: Refusal) -> ApiError {
    let error = match refusal {
        Refusal::Malformed(why) => {
            tracing::debug!(why, "a malformed request was refused");
            ApiError::bad_request("bad_request", "The request is malformed.")
        }
        Refusal::LineTooLong => ApiError::new(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            "The request's target is too long.",
        ),
        Refusal::HeadersTooLarge => ApiError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            "The request's headers are too large.",
        ),
    };
    error.header(::http::header::CONNECTION, "close")
}

fn has_control_characters(path: &str) -> bool {
    decoded(path).is_none_or(|bytes| bytes.iter().any(u8::is_ascii_control))
}

/// No empty or dot segments, no encoded slash, backslash or percent sign, no broken escapes.
pub(super) fn has_one_reading(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let Some(decoded) = decoded(segment) else {
            return false;
        };
        let is_empty = decoded.is_empty() && !is_last;
        let is_dots = matches!(&*decoded, b"." | b"..");
        let is_odd = |byte: &u8| matches!(byte, b'/' | b'\\' | b'%');
        // A `;` begins parameters for some readers: `..;/` climbs there.
        let climbs = decoded.starts_with(b".;") || decoded.starts_with(b"..;");
        if is_empty || is_dots || climbs || decoded.iter().any(is_odd) {
            return false;
        }
    }
    true
}

/// Percent-decoded once; none if an escape is broken.
fn decoded(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_reading() {
        for path in [
            "/",
            "/api/products/7/",
            "/.well-known/jwks.json",
            "/docs/user/index.html",
            "/api/products/caf%C3%A9/",
            "/api/a%20b/",
        ] {
            assert!(has_one_reading(path), "{path}");
        }
        for path in [
            "//api/products/",
            "/api//products/",
            "/api/products//",
            "/api/./products/",
            "/api/orders/../users/",
            "/api/orders/%2e%2e/users/",
            "/api/orders/.%2E/users/",
            "/api/orders/..",
            "/api/orders/..%2fusers/",
            "/api/orders%5c..%5cusers/",
            "/api/orders/%252e%252e/users/",
            "/api/orders/..;/users/",
            "/api/orders/%2",
            "/api/orders/%zz/",
        ] {
            assert!(!has_one_reading(path), "{path}");
        }
        for path in ["/api/orders/%00/", "/api/%0d%0aX:y/", "/%7f"] {
            assert!(
                has_one_reading(path) && has_control_characters(path),
                "{path}"
            );
        }
        assert!(!has_control_characters("/api/caf%C3%A9/"));
    }
}
