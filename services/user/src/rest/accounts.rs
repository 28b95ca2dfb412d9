//! Registration, one's own profile and password.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use kit::{
    ApiResult, Ctx,
    form::Form,
    json::{Json, Object},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    error,
    view::{ErrorBody, Message, Registered, UserView},
};
use crate::{
    accounts::{Actor, Registration},
    audit::Source,
    core::Core,
    domain::{ProfileChange, password, profile},
    error::Error,
};

/// What somebody registers with.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct RegistrationBody {
    /// Letters, digits and `@.+-_`, at most 150.
    username: String,
    email: String,
    /// 8 to 128 characters.
    password: String,
    /// The password again; optional at `register/`.
    password_confirm: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

/// Changes to a profile.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct ProfileBody {
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

/// A change of password.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; Form reads it")]
pub struct PasswordBody {
    old_password: String,
    new_password: String,
}

/// Makes an account.
#[utoipa::path(post, path = "/api/users/", tag = "accounts", request_body = RegistrationBody,
    responses((status = 201, body = Registered), (status = 400, body = ErrorBody)))]
pub async fn create(
    State(core): State<Arc<Core>>,
    ctx: Ctx,
    body: Object,
) -> ApiResult<(StatusCode, Json<Registered>)> {
    registration(&core, &ctx, body, true).await
}

/// Makes an account; the password need not be confirmed.
#[utoipa::path(post, path = "/api/users/register/", tag = "accounts",
    request_body = RegistrationBody,
    responses((status = 201, body = Registered), (status = 400, body = ErrorBody)))]
pub async fn register(
    State(core): State<Arc<Core>>,
    ctx: Ctx,
    body: Object,
) -> ApiResult<(StatusCode, Json<Registered>)> {
    registration(&core, &ctx, body, false).await
}

async fn registration(
    core: &Core,
    ctx: &Ctx,
    body: Object,
    confirm: bool,
) -> ApiResult<(StatusCode, Json<Registered>)> {
    let mut form = Form::new(body);
    let new = read_registration(&mut form, confirm);
    if let Some(new) = &new {
        let (username, email) = core.taken(&new.username, &new.email).await?;
        if username {
            form.error("username", "A user with that username already exists.");
        }
        if email {
            form.error("email", "A user with that email already exists.");
        }
    }
    form.finish()?;
    let new = new.ok_or_else(|| kit::ApiError::internal("a form without problems or values"))?;
    let account = core
        .register(new, kit::auth::Roles::default(), &Source::from(ctx))
        .await?;
    let message = "User registered successfully";
    Ok((
        StatusCode::CREATED,
        Json(Registered {
            message,
            user: UserView::own(account),
        }),
    ))
}

/// `None` when a required field is missing; other problems are left in the form.
fn read_registration(form: &mut Form, confirm: bool) -> Option<Registration> {
    let username = read_trimmed(form, "username");
    check(
        form,
        "username",
        username.as_deref(),
        profile::username_problem,
    );
    let email = read_trimmed(form, "email");
    check(form, "email", email.as_deref(), profile::email_problem);
    let first_name = read_name(form, "first_name").unwrap_or_default();
    let last_name = read_name(form, "last_name").unwrap_or_default();
    let password = form.text("password", 0..=usize::MAX);
    let again = match confirm {
        true => form.text("password_confirm", 0..=usize::MAX),
        false => form.opt_text("password_confirm", 0..=usize::MAX),
    };
    if let Some(password) = &password {
        let name = username.as_deref().unwrap_or("");
        let texts = [
            name,
            email.as_deref().unwrap_or(""),
            &first_name,
            &last_name,
        ];
        for problem in password::problems(password, &texts) {
            form.error("password", problem);
        }
        if again.is_some_and(|again| again != *password) {
            form.non_field("The two passwords do not match.");
        }
    }
    Some(Registration {
        username: username?,
        email: email?,
        password: password?,
        first_name,
        last_name,
    })
}

fn check(
    form: &mut Form,
    name: &str,
    text: Option<&str>,
    rule: impl Fn(&str) -> Option<&'static str>,
) {
    if let Some(problem) = text.and_then(rule) {
        form.error(name, problem);
    }
}

/// A required text; blanks around it, which a phone's keyboard likes to add, don't
/// count.
fn read_trimmed(form: &mut Form, field: &str) -> Option<String> {
    form.text(field, 1..=usize::MAX)
        .map(|text| text.trim().to_owned())
}

fn read_name(form: &mut Form, field: &str) -> Option<String> {
    let name = form
        .opt_text(field, 0..=usize::MAX)
        .map(|name| name.trim().to_owned());
    check(form, field, name.as_deref(), profile::name_problem);
    name
}

/// Reads changes to a profile; everything else in the body, roles above all, is
/// ignored.
pub fn read_change(body: Object, email_required: bool) -> ApiResult<ProfileChange> {
    let mut form = Form::new(body);
    let email = match email_required || form.has("email") {
        true => read_trimmed(&mut form, "email"),
        false => None,
    };
    check(&mut form, "email", email.as_deref(), profile::email_problem);
    let first_name = read_name(&mut form, "first_name");
    let last_name = read_name(&mut form, "last_name");
    form.finish()?;
    Ok(ProfileChange {
        email,
        first_name,
        last_name,
    })
}

/// One's own account.
#[utoipa::path(get, path = "/api/users/me/", tag = "accounts", security(("bearer" = [])),
    responses((status = 200, body = UserView), (status = 401, body = ErrorBody)))]
pub async fn me(actor: Actor) -> Json<UserView> {
    Json(UserView::own(actor.account))
}

/// Changes one's own account.
#[utoipa::path(patch, path = "/api/users/me/", tag = "accounts", security(("bearer" = [])),
    request_body = ProfileBody,
    responses((status = 200, body = UserView), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody)))]
pub async fn change_me(
    State(core): State<Arc<Core>>,
    actor: Actor,
    body: Object,
) -> ApiResult<Json<UserView>> {
    let change = read_change(body, false)?;
    let account = core
        .change_profile(&actor, actor.account.id, change)
        .await?;
    Ok(Json(UserView::own(account)))
}

/// Changes one's own password; all other sessions end.
#[utoipa::path(post, path = "/api/users/me/password/", tag = "accounts",
    security(("bearer" = [])), request_body = PasswordBody,
    responses((status = 200, body = Message), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn change_password(
    State(core): State<Arc<Core>>,
    actor: Actor,
    body: Object,
) -> ApiResult<Json<Message>> {
    let mut form = Form::new(body);
    let old = form.text("old_password", 0..=password::MAX);
    let new = form.text("new_password", 0..=usize::MAX);
    form.finish()?;
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    match core.change_password(&actor, &old, &new).await {
        Ok(()) => Ok(Json(Message::new(
            "Password changed; all other sessions have ended.",
        ))),
        Err(Error::WrongPassword) => Err(error::wrong_password("old_password")),
        Err(other) => Err(other.into()),
    }
}
