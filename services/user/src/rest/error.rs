//! Every error of the service as the wire has it, in one place.

use std::time::Duration;

use axum::http::{HeaderName, StatusCode, header};
use kit::{ApiError, auth::CHALLENGE};

use crate::{
    domain::{slowdown::ACCOUNT, two_factor::GUESSES_A_DAY},
    error::{Error, Unique},
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Taken(Unique::Username) => {
                field("username", "A user with that username already exists.")
            }
            Error::Taken(Unique::Email) => field("email", "A user with that email already exists."),
            Error::WrongPassword => wrong_password("password"),
            Error::WeakPassword(problems) => weak_password("new_password", &problems),
            Error::BadCredentials => unauthorized(
                "authentication_failed",
                "No active account found with the given credentials",
            ),
            Error::ActorGone => unauthorized("user_not_found", "User not found"),
            Error::ActorInactive => unauthorized("user_inactive", "User is inactive"),
            Error::SessionEnded => {
                Self::token_not_valid("AccessToken", "access", "The token's session has ended")
            }
            Error::Refresh(why) => Self::token_not_valid("RefreshToken", "refresh", why),
            Error::SecondFactor => {
                unauthorized("authentication_failed", "The code was not accepted")
                    .extra("verified", false)
            }
            Error::TooManyCodes { wait_ms } => throttled(
                wait_ms,
                GUESSES_A_DAY,
                "Too many wrong codes. Please try again later.",
            )
            .extra("verified", false),
            Error::Slowed { wait_ms } => throttled(
                wait_ms,
                ACCOUNT.free,
                "Too many failed attempts. Please try again later.",
            ),
            Error::NoAccount => Self::not_found(),
            Error::TwoFactorOn => Self::bad_request(
                "two_factor_enabled",
                "Two-factor authentication is already enabled.",
            ),
            Error::TwoFactorOff => Self::bad_request(
                "two_factor_disabled",
                "Two-factor authentication is not enabled.",
            ),
            Error::NotConfirmed => {
                Self::bad_request("invalid_token", "The code does not fit this device.")
                    .extra("verified", false)
            }
            Error::Busy => Self::unavailable(Some(Duration::from_secs(1))).source("too much waits"),
            Error::Fixture(why) => Self::bad_request("invalid", why),
            Error::Database(error) => error.into(),
            Error::Sealed(_) | Error::Key(_) | Error::Crypto(_) => Self::internal(error),
        }
    }
}

/// 400 with one message under one field.
pub fn field(name: &str, message: &str) -> ApiError {
    ApiError::bad_request("invalid", message)
        .error("Validation failed")
        .field(name, message)
}

/// 400 for a password that a logged-in user got wrong.
pub fn wrong_password(name: &str) -> ApiError {
    field(name, "The password is wrong.")
}

fn weak_password(name: &str, problems: &[&'static str]) -> ApiError {
    let first = problems
        .first()
        .copied()
        .unwrap_or("The password is refused.");
    let error = ApiError::bad_request("invalid", first).error("Validation failed");
    problems
        .iter()
        .fold(error, |error, problem| error.field(name, *problem))
}

fn unauthorized(code: &'static str, message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, message)
        .header(header::WWW_AUTHENTICATE, CHALLENGE)
}

fn throttled(wait_ms: i64, limit: i64, message: &str) -> ApiError {
    let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
    let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "throttled", message)
        .retry_after(wait)
        .header(LIMIT, &limit.to_string())
        .header(REMAINING, "0")
        .header(RESET, &seconds)
}
