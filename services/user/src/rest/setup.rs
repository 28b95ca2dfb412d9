//! Setting up and managing the second factor.

use std::sync::Arc;

use axum::extract::State;
use data_encoding::BASE64;
use kit::{
    ApiResult,
    form::Form,
    json::{Json, Object},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::view::{ErrorBody, Message};
use crate::{accounts::Actor, core::Core, domain::password};

/// Most tokens that are put into a file, and the most characters of each.
const FILE_TOKENS: usize = 100;
const FILE_TOKEN_MAX: usize = 64;

/// What is shown once.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetupShown {
    /// PNG as a data URI.
    qr_code: String,
    /// Base32.
    secret_key: String,
    backup_tokens: Vec<String>,
    device_id: i64,
    otpauth_url: String,
    message: &'static str,
}

/// The proof of holding the device.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct VerifyBody {
    device_id: i64,
    /// Six digits.
    token: String,
}

/// The second factor is on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verified {
    verified: bool,
    message: &'static str,
}

/// One's password once more.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct PasswordOnly {
    password: String,
}

/// Backup tokens, shown once.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupTokens {
    backup_tokens: Vec<String>,
    message: &'static str,
}

/// Tokens to put into a file.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct DownloadBody {
    tokens: Vec<String>,
}

/// A file with backup tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct Download {
    filename: String,
    /// Base64 of ASCII text.
    content: String,
    mime_type: &'static str,
    message: &'static str,
}

/// Whether the second factor is on.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusShown {
    enabled: bool,
    device_name: Option<String>,
    backup_tokens_remaining: i64,
    message: &'static str,
}

/// Makes a secret and backup tokens; a code must confirm them before they count.
#[utoipa::path(post, path = "/api/users/2fa/setup/", tag = "two-factor",
    security(("bearer" = [])),
    responses((status = 200, body = SetupShown), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody)))]
pub async fn set_up(State(core): State<Arc<Core>>, actor: Actor) -> ApiResult<Json<SetupShown>> {
    let setup = core.set_up_device(&actor).await?;
    Ok(Json(SetupShown {
        qr_code: format!("data:image/png;base64,{}", setup.qr_png),
        secret_key: setup.secret_key,
        backup_tokens: setup.backup_tokens,
        device_id: setup.device_id,
        otpauth_url: setup.otpauth_url,
        message: "Scan the code, then confirm with a code of your app. \
                  The backup tokens are shown only now.",
    }))
}

/// Turns the second factor on.
#[utoipa::path(post, path = "/api/users/2fa/verify-setup/", tag = "two-factor",
    security(("bearer" = [])), request_body = VerifyBody,
    responses((status = 200, body = Verified), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody)))]
pub async fn verify(
    State(core): State<Arc<Core>>,
    actor: Actor,
    body: Object,
) -> ApiResult<Json<Verified>> {
    let mut form = Form::new(body);
    let device_id = form.int("device_id", 0..=i64::MAX);
    let token = form.text("token", 1..=64);
    form.finish()
        .map_err(|error| error.extra("verified", false))?;
    core.confirm_device(&actor, device_id.unwrap_or(0), &token.unwrap_or_default())
        .await?;
    Ok(Json(Verified {
        verified: true,
        message: "Two-factor authentication is on.",
    }))
}

/// Turns the second factor off.
#[utoipa::path(post, path = "/api/users/2fa/disable/", tag = "two-factor",
    security(("bearer" = [])), request_body = PasswordOnly,
    responses((status = 200, body = Message), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn disable(
    State(core): State<Arc<Core>>,
    actor: Actor,
    body: Object,
) -> ApiResult<Json<Message>> {
    let password = read_password(body)?;
    core.remove_device(&actor, &password).await?;
    Ok(Json(Message::new("Two-factor authentication is off.")))
}

/// Voids all backup tokens and makes others.
#[utoipa::path(post, path = "/api/users/2fa/regenerate-backup-tokens/", tag = "two-factor",
    security(("bearer" = [])), request_body = PasswordOnly,
    responses((status = 200, body = BackupTokens), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn regenerate(
    State(core): State<Arc<Core>>,
    actor: Actor,
    body: Object,
) -> ApiResult<Json<BackupTokens>> {
    let password = read_password(body)?;
    let backup_tokens = core.new_backup_tokens(&actor, &password).await?;
    let message = "The old backup tokens do not work any more.";
    Ok(Json(BackupTokens {
        backup_tokens,
        message,
    }))
}

fn read_password(body: Object) -> ApiResult<String> {
    let mut form = Form::new(body);
    let password = form.text("password", 0..=password::MAX);
    form.finish()?;
    Ok(password.unwrap_or_default())
}

/// Puts backup tokens, which only their owner has, into a file.
#[utoipa::path(post, path = "/api/users/2fa/download-backup-tokens/", tag = "two-factor",
    security(("bearer" = [])), request_body = DownloadBody,
    responses((status = 200, body = Download), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody)))]
pub async fn download(actor: Actor, body: Object) -> ApiResult<Json<Download>> {
    let mut form = Form::new(body);
    let tokens = read_tokens(&mut form);
    form.finish()?;
    let account = &actor.account;
    let mut text = String::from("Faultline Shop: backup tokens\n");
    // A username may have letters beyond ASCII, which the file must not.
    text.push_str(&format!(
        "Account no. {}. Each token works once.\n\n",
        account.id
    ));
    tokens.iter().for_each(|token| text.extend([token, "\n"]));
    Ok(Json(Download {
        filename: format!("backup-tokens-{}.txt", account.id),
        content: BASE64.encode(text.as_bytes()),
        mime_type: "text/plain",
        message: "Keep this file where nobody else finds it.",
    }))
}

fn read_tokens(form: &mut Form) -> Vec<String> {
    let Some(list) = form.array("tokens") else {
        return Vec::new();
    };
    let token = |value: &Value| {
        let text = value.as_str()?;
        let fits = (1..=FILE_TOKEN_MAX).contains(&text.len());
        (fits && text.bytes().all(|b| b.is_ascii_graphic())).then(|| text.to_owned())
    };
    let tokens: Vec<String> = list.iter().filter_map(token).collect();
    if tokens.len() != list.len() || !(1..=FILE_TOKENS).contains(&list.len()) {
        form.error("tokens", "Expected a list of 1 to 100 backup tokens.");
    }
    tokens
}

/// Whether the second factor is on.
#[utoipa::path(get, path = "/api/users/2fa/status/", tag = "two-factor",
    security(("bearer" = [])),
    responses((status = 200, body = StatusShown), (status = 401, body = ErrorBody)))]
pub async fn status(State(core): State<Arc<Core>>, actor: Actor) -> ApiResult<Json<StatusShown>> {
    let status = core.second_factor_status(&actor).await?;
    let enabled = status.device_name.is_some();
    Ok(Json(StatusShown {
        enabled,
        device_name: status.device_name,
        backup_tokens_remaining: status.backup_tokens_left,
        message: match enabled {
            true => "Two-factor authentication is on.",
            false => "Two-factor authentication is off.",
        },
    }))
}
