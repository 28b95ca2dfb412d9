//! The contract's error body, rendered in one place.

use std::{borrow::Cow, fmt, time::Duration};

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use resilience::{CallError, Reason};
use serde_json::{Map, Value, json};

use crate::telemetry;

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

/// An answer that is an error: status, stable `code`, and a body as the contract
/// wants it (`detail`, `error`, `message`, `code`, `trace_id`, field errors).
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    error: Cow<'static, str>,
    message: String,
    detail: Option<Value>,
    extra: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log alone; never on the wire.
    source: Option<String>,
}

impl ApiError {
    /// An error with a stable, snake-case `code` and a message for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            code,
            error: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
            message: message.into(),
            detail: None,
            extra: Map::new(),
            headers: Vec::new(),
            source: None,
        }))
    }

    /// 400 with one message.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found.")
    }

    /// 403 by role.
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "permission_denied",
            "You do not have permission to perform this action.",
        )
    }

    /// 401 for a caller without credentials.
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "not_authenticated",
            "Authentication credentials were not provided.",
        )
        .header(header::WWW_AUTHENTICATE, crate::auth::CHALLENGE)
    }

    /// 401 for a token that can't be taken.
    pub fn token_not_valid(token_class: &str, token_type: &str, why: impl Into<String>) -> Self {
        let messages = json!([{ "token_class": token_class, "token_type": token_type, "message": why.into() }]);
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token_not_valid",
            "Given token not valid for any token type",
        )
        .header(header::WWW_AUTHENTICATE, crate::auth::CHALLENGE)
        .extra("messages", messages)
    }

    /// 500; the cause goes to the log alone.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong on our side.",
        )
        .source(cause)
    }

    /// 503 because a dependency could not be reached, with a hint when to come back.
    pub fn unavailable(retry_after: Option<Duration>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "The service is temporarily unavailable.",
        )
        .error("Service temporarily unavailable")
        .retry_after(retry_after.unwrap_or(Duration::from_secs(1)))
    }

    /// The `error` key (default: the status' name).
    pub fn error(mut self, error: impl Into<Cow<'static, str>>) -> Self {
        self.0.error = error.into();
        self
    }

    /// The `detail` key (default: the message).
    pub fn detail(mut self, detail: impl Into<Value>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// One more key of the body.
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.extra.insert(key.into(), value.into());
        self
    }

    /// Adds a message to a field's list.
    pub fn field(mut self, field: &str, message: impl Into<String>) -> Self {
        let list = self
            .0
            .extra
            .entry(field)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(Value::String(message.into()));
        }
        self
    }

    /// A header of the answer; one that is no valid value is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// `Retry-After` in whole seconds, rounded up, at least 1.
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        self.header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// The cause, for the log.
    pub fn source(mut self, cause: impl fmt::Display) -> Self {
        self.0.source = Some(cause.to_string());
        self
    }

    /// The status it answers with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// One line a failure, at the boundary. A refusal under overload is no failure
    /// of ours and would fill the log: metrics count those.
    fn log(&self) {
        let Inner {
            status,
            code,
            message,
            source,
            ..
        } = &*self.0;
        let cause = source.as_deref().unwrap_or(message);
        match *status {
            // The lab did it on purpose, and counts it.
            _ if *code == "injected_fault" => tracing::debug!(cause, "a fault was injected"),
            StatusCode::SERVICE_UNAVAILABLE if *code == "service_unavailable" => {
                tracing::debug!(code, cause, "request refused");
            }
            StatusCode::SERVICE_UNAVAILABLE => tracing::warn!(code, cause, "a dependency failed"),
            status if status.is_server_error() => tracing::error!(code, cause, "request failed"),
            _ => {}
        }
    }

    fn body(&self, trace_id: &str) -> Value {
        let inner = &self.0;
        let mut body = inner.extra.clone();
        body.insert(
            "detail".into(),
            inner.detail.clone().unwrap_or_else(|| json!(inner.message)),
        );
        body.insert("error".into(), json!(inner.error));
        body.insert("message".into(), json!(inner.message));
        body.insert("code".into(), json!(inner.code));
        body.insert("trace_id".into(), json!(trace_id));
        Value::Object(body)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.0.status.as_u16(),
            self.0.code,
            self.0.message
        )
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let body = self.body(&telemetry::trace_id());
        let mut response = (self.0.status, Json(body)).into_response();
        for (name, value) in self.0.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::unavailable(None).source(format!("database: {error}"))
            }
            other => Self::internal(format!("database: {other}")),
        }
    }
}

/// A failed call to a dependency as the contract's 503s: a local refusal says
/// when to come back, everything else that retries did not mend.
pub fn from_call<E: fmt::Display>(error: CallError<E>) -> ApiError {
    match error {
        CallError::Rejected {
            reason,
            retry_after,
            last,
            ..
        } if reason != Reason::Deadline => {
            let cause = last.map(|e| e.to_string()).unwrap_or_default();
            ApiError::unavailable(retry_after)
                .source(format!("refused by {reason:?}; last error: {cause:?}"))
        }
        CallError::Rejected { .. } => communication_error("the deadline had passed".into()),
        CallError::TimedOut { attempts } => {
            communication_error(format!("timed out after {attempts} attempts"))
        }
        CallError::Failed { error, attempts } => {
            communication_error(format!("failed after {attempts} attempts: {error}"))
        }
    }
}

fn communication_error(cause: String) -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "service_communication_error",
        "Another part of the shop did not answer. Please try again.",
    )
    .error("Service communication error")
    .retry_after(Duration::from_secs(1))
    .source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_all_five_keys_and_the_fields() {
        let error = ApiError::bad_request("invalid", "Invalid input.")
            .field("name", "a")
            .field("name", "b");
        let body = error.body("0af7");
        for key in ["detail", "error", "message", "code", "trace_id"] {
            assert!(body.get(key).is_some(), "{key}");
        }
        assert_eq!(body["name"], json!(["a", "b"]));
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let response = ApiError::unavailable(Some(Duration::from_millis(1200))).into_response();
        assert_eq!(response.headers()["retry-after"], "2");
        let response = ApiError::unavailable(Some(Duration::ZERO)).into_response();
        assert_eq!(response.headers()["retry-after"], "1");
    }

    #[test]
    fn the_cause_stays_inside() {
        let error = ApiError::internal("password=hunter2");
        assert!(!error.body("x").to_string().contains("hunter2"));
    }
}
