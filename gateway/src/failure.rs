//! When an answer counts as a failure of the service behind.

use std::{fmt, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::client::legacy::Error;
use kit::ApiError;
use resilience::{CallError, Classify, FailureKind, Pushback};

/// A failed attempt: no answer, or one that speaks against the service.
#[derive(Debug)]
pub enum Failure {
    /// It answered, but with a status that says it could not.
    Answer(Box<Response>),
    /// It could not be connected to: nothing was processed.
    Unreachable(String),
    /// The connection broke under the request.
    Broken(String),
}

impl Failure {
    /// Splits answers: what the caller brought on himself is a success.
    ///
    /// # Errors
    /// What speaks against the service.
    pub fn judge(answer: Result<http::Response<Incoming>, Error>) -> Result<Response, Self> {
        match answer {
            Ok(answer) => {
                let answer = answer.map(Body::new);
                if kind(answer.status()).is_some()
                    && !is_rate_limit(answer.status(), answer.headers())
                {
                    Err(Self::Answer(Box::new(answer)))
                } else {
                    Ok(answer)
                }
            }
            Err(error) if error.is_connect() => Err(Self::Unreachable(chain(&error))),
            Err(error) => Err(Self::Broken(chain(&error))),
        }
    }

    /// Whether there was no answer at all.
    pub fn is_of_the_connection(&self) -> bool {
        !matches!(self, Self::Answer(_))
    }

    /// What the client gets: the service's own answer where there is one.
    pub fn into_response(error: CallError<Self>) -> Response {
        match error {
            CallError::Failed {
                error: Self::Answer(answer),
                ..
            } => *answer,
            other => ApiError::into_response(kit::error::from_call(other)),
        }
    }
}

/// A 429 by a rate limit is the caller's own doing and speaks against no service; one under
/// overload does. The header alone says nothing: every answer to somebody who is counted has it.
fn is_rate_limit(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS && headers.contains_key("ratelimit-limit")
}

fn kind(status: StatusCode) -> Option<FailureKind> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(FailureKind::Exhausted),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => Some(FailureKind::Unavailable),
        StatusCode::GATEWAY_TIMEOUT => Some(FailureKind::Timeout),
        status if status.is_server_error() => Some(FailureKind::Internal),
        _ => None,
    }
}

impl Classify for Failure {
    fn failure(&self) -> FailureKind {
        match self {
            Self::Answer(answer) => kind(answer.status()).unwrap_or(FailureKind::Unknown),
            Self::Unreachable(_) => FailureKind::NotProcessed,
            Self::Broken(_) => FailureKind::Unavailable,
        }
    }

    /// `Retry-After` in seconds (RFC 9110, section 10.2.3). A date is read as nothing said: the
    /// services don't send one.
    fn pushback(&self) -> Option<Pushback> {
        let Self::Answer(answer) = self else {
            return None;
        };
        let seconds = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
        let seconds = seconds.trim().parse().ok()?;
        Some(Pushback::Wait(Duration::from_secs(seconds)))
    }

    fn code(&self) -> &str {
        match self {
            Self::Answer(answer) => answer.status().canonical_code(),
            Self::Unreachable(_) => "unreachable",
            Self::Broken(_) => "broken",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => write!(f, "status {}", answer.status().as_u16()),
            Self::Unreachable(why) => write!(f, "no connection: {why}"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
        }
    }
}

/// A status as a text that lives long enough for a label.
trait CanonicalCode {
    fn canonical_code(&self) -> &'static str;
}

impl CanonicalCode for StatusCode {
    fn canonical_code(&self) -> &'static str {
        match self.as_u16() {
            429 => "429",
            500 => "500",
            501 => "501",
            502 => "502",
            503 => "503",
            504 => "504",
            _ => "5xx",
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(retry_after: Option<&str>) -> Failure {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        if let Some(value) = retry_after {
            let value = value.parse().unwrap();
            answer.headers_mut().insert(header::RETRY_AFTER, value);
        }
        Failure::Answer(Box::new(answer))
    }

    #[test]
    fn a_refusal_under_overload_is_no_rate_limit_though_both_are_counted() {
        let counted = HeaderMap::from_iter([("ratelimit-limit".parse().unwrap(), 9.into())]);
        assert!(is_rate_limit(StatusCode::TOO_MANY_REQUESTS, &counted));
        assert!(!is_rate_limit(StatusCode::SERVICE_UNAVAILABLE, &counted));
        let nobody = HeaderMap::new();
        assert!(!is_rate_limit(StatusCode::TOO_MANY_REQUESTS, &nobody));
    }

    #[test]
    fn retry_after_in_seconds_is_obeyed() {
        let wait = |seconds| Some(Pushback::Wait(Duration::from_secs(seconds)));
        assert_eq!(answered(Some("2")).pushback(), wait(2));
        assert_eq!(answered(Some(" 0 ")).pushback(), wait(0));
        for nothing in [
            None,
            Some("soon"),
            Some("-1"),
            Some("Mon, 23 Nov 2026 10:00:00 GMT"),
        ] {
            assert_eq!(answered(nothing).pushback(), None, "{nothing:?}");
        }
        assert_eq!(Failure::Broken(String::new()).pushback(), None);
    }
}
