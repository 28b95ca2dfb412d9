//! Requests to the control and proxy APIs.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};
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
pub(crate) async fn send(what: &str, request: RequestBuilder) -> Result<bytes::Bytes, EngineError> {
    let answer = request
        .timeout(PATIENCE)
        .send()
        .await
        .map_err(|e| EngineError::http(what, innermost(&e)))?;
    let status = answer.status();
    let body = answer
        .bytes()
        .await
        .map_err(|e| EngineError::http(what, innermost(&e)))?;
    if status.is_success() {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body);
    let start: String = text.trim().chars().take(300).collect();
    Err(EngineError::http(what, format!("{status}: {start}")))
}

/// Sends a request and reads its JSON answer.
pub(crate) async fn send_json<T: DeserializeOwned>(
    what: &str,
    request: RequestBuilder,
) -> Result<T, EngineError> {
    let body = send(what, request).await?;
    serde_json::from_slice(&body)
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
