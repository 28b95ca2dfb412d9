//! Requests that another site makes a browser send.
//!
//! Cookies go along with them, so whatever changes something on the strength of a cookie asks where
//! it comes from (OWASP CSRF Prevention Cheat Sheet: `Sec-Fetch-Site`, else `Origin`). Our own
//! refresh cookie is `SameSite=Strict` besides.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, header};
use kit::{ApiError, Ctx};

/// Origins whose pages may call the API.
#[derive(Clone, Debug)]
pub struct Allowed(pub Arc<[String]>);

/// 403 for a request with a cookie, of a method that changes something, from another site's page.
pub async fn refuse_foreign(
    State(allowed): State<Allowed>,
    request: Request,
    next: Next,
) -> Response {
    let own = request.extensions().get::<Ctx>();
    let own = own.map_or("", |ctx| &*ctx.origin);
    if !request.method().is_safe() && is_foreign(request.headers(), own, &allowed.0) {
        return ApiError::forbidden().into_response();
    }
    next.run(request).await
}

fn is_foreign(headers: &HeaderMap, own: &str, allowed: &[String]) -> bool {
    if !headers.contains_key(header::COOKIE) {
        return false;
    }
    // What can't be read comes from nowhere of ours.
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("null"));
    if let Some(origin) = text("origin") {
        // Whether the page came over TLS is not always known here: the host decides.
        let host = |url: &str| {
            url.split_once("://")
                .map(|(_, host)| host.to_ascii_lowercase())
        };
        let is_own = host(origin).is_some() && host(origin) == host(own);
        return !is_own && !allowed.iter().any(|ours| ours == origin);
    }
    text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()));
        let headers: HeaderMap = pairs.collect();
        is_foreign(
            &headers,
            "http://shop.test:8080",
            &["http://app.test".into()],
        )
    }

    #[test]
    fn a_cookie_counts_from_our_own_pages_alone() {
        let cookie = ("cookie", "shop_refresh=x");
        for ours in [
            &[cookie][..],
            &[cookie, ("origin", "http://shop.test:8080")],
            &[cookie, ("origin", "https://SHOP.test:8080")],
            &[
                cookie,
                ("origin", "http://app.test"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[cookie, ("sec-fetch-site", "same-origin")],
            &[("origin", "http://evil.test")],
        ] {
            assert!(!foreign(ours), "{ours:?}");
        }
        for theirs in [
            &[cookie, ("origin", "http://evil.test")][..],
            &[cookie, ("origin", "null")],
            &[cookie, ("origin", "http://shop.test")],
            &[cookie, ("origin", "http://shop.test:8080.evil.test")],
            &[cookie, ("sec-fetch-site", "cross-site")],
            &[cookie, ("sec-fetch-site", "same-site")],
        ] {
            assert!(foreign(theirs), "{theirs:?}");
        }
    }
}
