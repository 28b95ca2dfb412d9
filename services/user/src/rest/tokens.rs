//! Logging in, refreshing, logging out.

use std::sync::Arc;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use axum_extra::extract::cookie::CookieJar;
use kit::{
    ApiResult, Ctx,
    form::Form,
    json::{Json, Object},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    cookies,
    view::{ErrorBody, Message, UserView},
};
use crate::{
    audit::Source,
    core::{Core, Session},
    domain::{password, profile},
    error::{Error, Result},
    sessions::{Attempt, Login},
};

/// Longest refresh token that is looked at; ours have about 1 200 characters.
const TOKEN_MAX: usize = 8192;

/// A log-in.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct LoginBody {
    username: String,
    password: String,
}

/// A refresh token; the cookie serves as well.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct RefreshBody {
    refresh: Option<String>,
}

/// A session that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedIn {
    refresh: String,
    access: String,
    user: UserView,
    requires_2fa: bool,
}

/// The second factor is asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecondFactorAsked {
    requires_2fa: bool,
    username: String,
    message: &'static str,
}

/// The next pair.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refreshed {
    access: String,
    refresh: String,
}

/// Logs in; with 2FA on, the answer asks for the second step.
#[utoipa::path(post, path = "/api/token/", tag = "tokens", request_body = LoginBody,
    responses((status = 200, description = "logged in, or SecondFactorAsked", body = LoggedIn),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn login(
    State(core): State<Arc<Core>>,
    ctx: Ctx,
    jar: CookieJar,
    body: Object,
) -> ApiResult<Response> {
    let mut form = Form::new(body);
    let username = form.text("username", 1..=profile::USERNAME_MAX);
    // Not `1..`: that would refuse a password of blanks, which is one.
    let password = form.text("password", 0..=password::MAX);
    if password.as_deref() == Some("") {
        form.error("password", "This field may not be blank.");
    }
    form.finish()?;
    let (username, password) = (username.unwrap_or_default(), password.unwrap_or_default());
    let username = username.trim();
    let device = cookies::device_of(&jar, &core.device_cookie_name(username));
    let attempt = Attempt {
        username,
        password: &password,
        device: device.as_deref(),
        source: &Source::from(&ctx),
    };
    let login = core.login(attempt).await;
    count(&login);
    Ok(match login? {
        Login::Done(session) => begun(&core, &ctx, *session),
        Login::SecondFactor {
            pending_id,
            username,
        } => {
            let jar = cookies::keep_pending(CookieJar::new(), &ctx, pending_id);
            let message = "Enter the code of your authenticator app, or a backup token.";
            let asked = SecondFactorAsked {
                requires_2fa: true,
                username,
                message,
            };
            (jar, Json(asked)).into_response()
        }
    })
}

fn begun(core: &Core, ctx: &Ctx, session: Session) -> Response {
    let Session { account, tokens } = session;
    let jar = cookies::keep_refresh(CookieJar::new(), ctx, &tokens.refresh);
    let jar = cookies::keep_device(jar, ctx, core.device_cookie(&account.username));
    let answer = LoggedIn {
        refresh: tokens.refresh,
        access: tokens.access,
        user: UserView::own(account),
        requires_2fa: false,
    };
    (jar, Json(answer)).into_response()
}

fn count(login: &Result<Login>) {
    let outcome = match login {
        Ok(Login::Done(_)) => "ok",
        Ok(Login::SecondFactor { .. }) => "second_factor_asked",
        Err(Error::BadCredentials) => "refused",
        Err(Error::Slowed { .. }) => "slowed",
        Err(Error::Busy) => "busy",
        Err(_) => "error",
    };
    super::second_factor::count_login(outcome);
}

/// The next pair for a refresh token in the body or in our cookie.
#[utoipa::path(post, path = "/api/token/refresh/", tag = "tokens", request_body = RefreshBody,
    responses((status = 200, body = Refreshed), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody)))]
pub async fn refresh(
    State(core): State<Arc<Core>>,
    ctx: Ctx,
    headers: HeaderMap,
    jar: CookieJar,
    body: Object,
) -> ApiResult<(CookieJar, Json<Refreshed>)> {
    let token = presented(body, &headers, &jar, &ctx)?;
    let token = token.ok_or(Error::Refresh("No refresh token was sent"))?;
    let tokens = core.refresh(&token, &Source::from(&ctx)).await?;
    let jar = cookies::renew_foreign(jar, &tokens.refresh);
    let jar = cookies::keep_refresh(jar, &ctx, &tokens.refresh);
    Ok((
        jar,
        Json(Refreshed {
            access: tokens.access,
            refresh: tokens.refresh,
        }),
    ))
}

/// Ends the session of a refresh token; one that is no good ends nothing.
#[utoipa::path(post, path = "/api/token/logout/", tag = "tokens", request_body = RefreshBody,
    responses((status = 200, body = Message), (status = 403, body = ErrorBody)))]
pub async fn logout(
    State(core): State<Arc<Core>>,
    ctx: Ctx,
    headers: HeaderMap,
    jar: CookieJar,
    body: Object,
) -> ApiResult<(CookieJar, Json<Message>)> {
    if let Some(token) = presented(body, &headers, &jar, &ctx)? {
        core.logout(&token, &Source::from(&ctx)).await?;
    }
    Ok((
        cookies::drop_refresh(jar, &ctx),
        Json(Message::new("Logged out.")),
    ))
}

/// The refresh token of a request. The body has precedence; only where the cookie
/// speaks for the user can another site misuse it.
fn presented(
    body: Object,
    headers: &HeaderMap,
    jar: &CookieJar,
    ctx: &Ctx,
) -> ApiResult<Option<String>> {
    let mut form = Form::new(body);
    let sent = form
        .opt_text("refresh", 0..=TOKEN_MAX)
        .filter(|token| !token.is_empty());
    if !form.is_ok() {
        return Err(Error::Refresh("Token is invalid").into());
    }
    if sent.is_some() {
        return Ok(sent);
    }
    let kept = cookies::refresh_of(jar);
    if kept.is_some() {
        cookies::require_same_site(headers, ctx)?;
    }
    Ok(kept)
}
