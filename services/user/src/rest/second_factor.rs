//! The second step of a log-in.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use axum_extra::extract::cookie::CookieJar;
use kit::{
    ApiResult, Ctx,
    form::Form,
    json::{Json, Object},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    cookies,
    view::{ErrorBody, UserView},
};
use crate::{
    audit::Source,
    core::Core,
    domain::profile,
    error::{Error, Result},
    second_factor::Completed,
};

/// Refusals are answered after a whole number of these: without a pending login
/// there is less to do than for a wrong code, and the time must not tell which it was.
const REFUSAL_STEP: Duration = Duration::from_millis(100);
/// Longest code that is looked at: a backup token with some blanks.
const CODE_MAX: usize = 64;

/// The second step.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct SecondStepBody {
    username: String,
    /// Six digits, or a backup token.
    token: String,
}

/// A session that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecondStepDone {
    verified: bool,
    access: String,
    refresh: String,
    user: UserView,
    message: &'static str,
    /// Only with a backup token.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_token_used: Option<bool>,
    /// Only with a backup token.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_backup_tokens: Option<i64>,
}

/// Completes a log-in that passed the password step (its cookie proves it).
#[utoipa::path(post, path = "/api/users/2fa/verify-login/", tag = "two-factor",
    request_body = SecondStepBody,
    responses((status = 200, body = SecondStepDone), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn verify_login(
    State(core): State<Arc<Core>>,
    ctx: Ctx,
    jar: CookieJar,
    body: Object,
) -> ApiResult<(CookieJar, Json<SecondStepDone>)> {
    let begun = Instant::now();
    let mut form = Form::new(body);
    let username = form.text("username", 1..=profile::USERNAME_MAX);
    let code = form.text("token", 1..=CODE_MAX);
    form.finish()?;
    let (username, code) = (username.unwrap_or_default(), code.unwrap_or_default());
    let pending = cookies::pending_of(&jar);
    let completed = core
        .complete_login(
            username.trim(),
            &code,
            pending.as_deref(),
            &Source::from(&ctx),
        )
        .await;
    count(&completed);
    if matches!(completed, Err(Error::SecondFactor)) {
        tokio::time::sleep_until(begun + whole_steps(begun.elapsed())).await;
    }
    let Completed {
        session,
        backup_tokens_left,
    } = completed?;
    let jar = cookies::drop_pending(CookieJar::new(), &ctx);
    let jar = cookies::keep_refresh(jar, &ctx, &session.tokens.refresh);
    let device = core.device_cookie(&session.account.username);
    let jar = cookies::keep_device(jar, &ctx, device);
    Ok((jar, Json(answer(session, backup_tokens_left))))
}

/// That time, rounded up to whole steps, at least one.
fn whole_steps(time: Duration) -> Duration {
    let steps = time.as_nanos().div_ceil(REFUSAL_STEP.as_nanos()).max(1);
    REFUSAL_STEP * u32::try_from(steps).unwrap_or(u32::MAX)
}

fn answer(session: crate::core::Session, backup_tokens_left: Option<i64>) -> SecondStepDone {
    SecondStepDone {
        verified: true,
        access: session.tokens.access,
        refresh: session.tokens.refresh,
        user: UserView::own(session.account),
        message: match backup_tokens_left {
            None => "Logged in.",
            Some(_) => "Logged in with a backup token, which does not work again.",
        },
        backup_token_used: backup_tokens_left.map(|_| true),
        remaining_backup_tokens: backup_tokens_left,
    }
}

fn count(completed: &Result<Completed>) {
    count_login(match completed {
        Ok(_) => "ok",
        Err(Error::SecondFactor) => "second_factor_refused",
        Err(Error::TooManyCodes { .. }) => "limited",
        Err(_) => "error",
    });
}

/// Counts how a step of a log-in ended.
pub fn count_login(outcome: &'static str) {
    metrics::counter!("shop_logins_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_take_whole_steps() {
        for (millis, answered) in [(0, 100), (1, 100), (99, 100), (100, 100), (101, 200)] {
            let time = Duration::from_millis(millis);
            assert_eq!(whole_steps(time), Duration::from_millis(answered));
        }
    }
}
