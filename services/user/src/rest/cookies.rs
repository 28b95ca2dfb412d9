//! The cookies of a log-in, and what tells another site's request from ours.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use kit::{ApiError, ApiResult, Ctx};
use time::Duration;

use crate::{
    domain::{session::REFRESH_LIFE_S, two_factor::PENDING_LIFE_MS},
    throttle::{DEVICE_LIFE_MS, DeviceCookie},
};

/// Our own shop's refresh token: no script reads it.
const REFRESH: &str = "shop_refresh";
const REFRESH_PATH: &str = "/api/token/";
/// Where clients of the reference keep theirs, readable by script.
const FOREIGN_REFRESH: &str = "refresh_token";
/// Proof of the password step of a login.
const PENDING: &str = "shop_login";
const PENDING_PATH: &str = "/api/users/2fa/";
/// Where known devices are looked for: at the log-in.
const DEVICE_PATH: &str = "/api/token/";

/// A non-empty refresh token from our cookie.
pub fn refresh_of(jar: &CookieJar) -> Option<String> {
    text(jar, REFRESH)
}

/// The pending login, if there is one.
pub fn pending_of(jar: &CookieJar) -> Option<String> {
    text(jar, PENDING)
}

/// What a known device shows.
pub fn device_of(jar: &CookieJar, name: &str) -> Option<String> {
    text(jar, name)
}

fn text(jar: &CookieJar, name: &str) -> Option<String> {
    jar.get(name)
        .map(Cookie::value)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

/// Keeps a refresh token for our own shop.
pub fn keep_refresh(jar: CookieJar, ctx: &Ctx, token: &str) -> CookieJar {
    let life = Duration::seconds(REFRESH_LIFE_S);
    jar.add(private(REFRESH, token.to_owned(), REFRESH_PATH, life, ctx))
}

/// Re-sets the cookie of a client that sends the token in the body and keeps a
/// script-readable copy, which it forgets to renew; others get none.
pub fn renew_foreign(jar: CookieJar, token: &str) -> CookieJar {
    if jar.get(FOREIGN_REFRESH).is_none() {
        return jar;
    }
    let cookie = Cookie::build((FOREIGN_REFRESH, token.to_owned()))
        .path("/")
        .max_age(Duration::seconds(REFRESH_LIFE_S))
        .same_site(SameSite::Lax);
    jar.add(cookie)
}

/// Takes our refresh token back.
pub fn drop_refresh(jar: CookieJar, ctx: &Ctx) -> CookieJar {
    jar.add(private(
        REFRESH,
        String::new(),
        REFRESH_PATH,
        Duration::ZERO,
        ctx,
    ))
}

/// Remembers the password step.
pub fn keep_pending(jar: CookieJar, ctx: &Ctx, id: String) -> CookieJar {
    jar.add(private(
        PENDING,
        id,
        PENDING_PATH,
        Duration::milliseconds(PENDING_LIFE_MS),
        ctx,
    ))
}

/// Forgets the password step.
pub fn drop_pending(jar: CookieJar, ctx: &Ctx) -> CookieJar {
    jar.add(private(
        PENDING,
        String::new(),
        PENDING_PATH,
        Duration::ZERO,
        ctx,
    ))
}

/// Makes the device known again at the next log-in.
pub fn keep_device(jar: CookieJar, ctx: &Ctx, cookie: DeviceCookie) -> CookieJar {
    let life = Duration::milliseconds(DEVICE_LIFE_MS);
    jar.add(private(cookie.name, cookie.value, DEVICE_PATH, life, ctx))
}

fn private(
    name: impl Into<Cow<'static, str>>,
    value: String,
    path: &'static str,
    life: Duration,
    ctx: &Ctx,
) -> Cookie<'static> {
    Cookie::build((name.into(), value))
        .path(path)
        .max_age(life)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(ctx.origin.starts_with("https://"))
        .build()
}

/// Refuses a request that another site made the browser send with our cookie.
/// `SameSite=Strict` should keep the cookie back already; this is for browsers
/// and sister domains where it does not (OWASP CSRF Prevention Cheat Sheet).
///
/// # Errors
/// 403.
pub fn require_same_site(headers: &HeaderMap, ctx: &Ctx) -> ApiResult<()> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("null"))
    };
    let fetched_cross_site = text("sec-fetch-site").is_some_and(|site| site == "cross-site");
    let host = ctx.origin.split_once("://").map_or("", |(_, host)| host);
    let foreign_origin = text(header::ORIGIN.as_str()).is_some_and(|origin| {
        origin
            .split_once("://")
            .is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host))
    });
    if fetched_cross_site || foreign_origin {
        return Err(ApiError::forbidden());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(headers: &[(&'static str, &'static str)]) -> bool {
        let mut ctx = Ctx::internal("-");
        ctx.origin = "http://shop.test:8080".into();
        let headers = headers
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()));
        require_same_site(&headers.collect(), &ctx).is_err()
    }

    #[test]
    fn only_the_same_host_and_port_is_ours() {
        assert!(!refused(&[]));
        assert!(!refused(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://shop.test:8080")
        ]));
        assert!(!refused(&[("origin", "https://SHOP.test:8080")]));
        for origin in [
            "http://evil.test",
            "http://shop.test",
            "http://shop.test:8080.evil",
            "null",
        ] {
            assert!(refused(&[("origin", origin)]), "{origin}");
        }
        assert!(refused(&[("sec-fetch-site", "cross-site")]));
    }
}
