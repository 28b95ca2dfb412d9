//! Requests to the control and proxy APIs.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::error::EngineError;

/// How long the control and proxy APIs may take. They are local and do little.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client for the control and proxy APIs: no proxy of the environment, no
/// redirects, bounded in time.
pub(crate) fn http_client() -> Result<Client, EngineError> {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(PATIENCE)
        .build()
        .map_err(|e| EngineError::http("making an HTTP client", e))
}

/// `base` followed by `path`.
pub(crate) fn join(base: &Url, path: &str) -> String {
    format!("{}{path}", base.as_str().trim_end_matches('/'))
}

/// Sends a request; anything but 2xx is an error with the body's beginning.
pub(crate) async fn send(what: &str, request: RequestBuilder) -> Result<Bytes, EngineError> {
    let (status, body) = answer(what, request).await?;
    if status.is_success() {
        return Ok(body);
    }
    Err(EngineError::http(what, complaint(status, &body)))
}

/// Sends a request about something that may not be there: `None` for a 404.
pub(crate) async fn send_if_there(
    what: &str,
    request: RequestBuilder,
) -> Result<Option<Bytes>, EngineError> {
    match answer(what, request).await? {
        (StatusCode::NOT_FOUND, _) => Ok(None),
        (status, body) if status.is_success() => Ok(Some(body)),
        (status, body) => Err(EngineError::http(what, complaint(status, &body))),
    }
}

async fn answer(what: &str, request: RequestBuilder) -> Result<(StatusCode, Bytes), EngineError> {
    let failed = |e: reqwest::Error| EngineError::http(what, innermost(&e));
    let answer = request.timeout(PATIENCE).send().await.map_err(failed)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(failed)?;
    Ok((status, body))
}

/// The words of a part that says what is wrong, `{"error": "…"}`; else how it answered.
fn complaint(status: StatusCode, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Plain {
        error: String,
    }
    if let Ok(plain) = serde_json::from_slice::<Plain>(body) {
        return plain.error;
    }
    let text = String::from_utf8_lossy(body);
    let start: String = text.trim().chars().take(300).collect();
    format!("{status}: {start}")
}

/// Sends a request and reads its JSON answer.
pub(crate) async fn send_json<T: DeserializeOwned>(
    what: &str,
    request: RequestBuilder,
) -> Result<T, EngineError> {
    let body = send(what, request).await?;
    read(what, &body)
}

/// Reads a JSON answer.
pub(crate) fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(body)
        .map_err(|e| EngineError::http(what, format!("not the agreed answer: {e}")))
}

/// The first cause of an error, which is the one that says something.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
