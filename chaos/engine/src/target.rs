//! Where a run happens, and how the engine reaches it.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// How long the control and proxy APIs may take. They are local and do little.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running system: its entry, its controls and its fault proxies.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Target {
    /// `embedded`, `real`, …: goes into the results.
    pub kind: String,
    /// Where the load enters.
    pub entry: Url,
    /// The bearer token of the control API.
    pub lab_token: String,
    /// Control listeners by part: `user`, `product`, `order`, `gateway`.
    pub control: BTreeMap<String, Url>,
    /// Metrics listeners by part.
    pub metrics: BTreeMap<String, Url>,
    /// The API of the fault proxies (Toxiproxy's).
    pub proxy_api: Url,
    /// Process ids by part, for CPU times.
    pub pids: BTreeMap<String, u32>,
    /// Whoever can stop and start its processes; never written.
    pub processes: Option<std::sync::Arc<dyn Processes>>,
}

/// A target as it is written: addresses are text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: String,
    entry: String,
    lab_token: String,
    control: BTreeMap<String, String>,
    #[serde(default)]
    metrics: BTreeMap<String, String>,
    proxy_api: String,
    #[serde(default)]
    pids: BTreeMap<String, u32>,
}

impl TryFrom<Written> for Target {
    type Error = String;

    fn try_from(w: Written) -> Result<Self, String> {
        let url = |text: String| Url::parse(&text).map_err(|e| format!("`{text}`: {e}"));
        let urls = |of: BTreeMap<String, String>| {
            of.into_iter()
                .map(|(part, text)| Ok((part, url(text)?)))
                .collect::<Result<_, String>>()
        };
        Ok(Self {
            kind: w.kind,
            entry: url(w.entry)?,
            lab_token: w.lab_token,
            control: urls(w.control)?,
            metrics: urls(w.metrics)?,
            proxy_api: url(w.proxy_api)?,
            pids: w.pids,
            processes: None,
        })
    }
}

impl From<Target> for Written {
    fn from(t: Target) -> Self {
        let texts = |of: BTreeMap<String, Url>| {
            of.into_iter()
                .map(|(part, url)| (part, url.to_string()))
                .collect()
        };
        Self {
            kind: t.kind,
            entry: t.entry.to_string(),
            lab_token: t.lab_token,
            control: texts(t.control),
            metrics: texts(t.metrics),
            proxy_api: t.proxy_api.to_string(),
            pids: t.pids,
        }
    }
}

impl std::fmt::Debug for Target {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("kind", &self.kind)
            .field("entry", &self.entry.as_str())
            .field("control", &self.control)
            .field("proxy_api", &self.proxy_api.as_str())
            .finish_non_exhaustive()
    }
}

impl Target {
    /// The control listener of a part.
    ///
    /// # Errors
    /// [`EngineError::Missing`].
    pub fn control_of(&self, part: &str) -> Result<&Url, EngineError> {
        self.control.get(part).ok_or_else(|| EngineError::Missing {
            what: "control API",
            part: part.to_owned(),
        })
    }
}

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

/// What came of it; the error says why in words.
pub type ProcessResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Whoever holds the processes of a target. Parts are called as in compose:
/// `user-service`, `product-service.2`.
#[async_trait::async_trait]
pub trait Processes: Send + Sync {
    /// The parts there are, replicas each on its own.
    fn parts(&self) -> Vec<String>;

    /// Their process ids as they are now, by the same names; parts that don't run are left out.
    fn pids(&self) -> BTreeMap<String, u32>;

    /// SIGKILL; returns when the process has gone.
    async fn kill(&self, part: &str) -> ProcessResult;

    /// SIGSTOP.
    async fn pause(&self, part: &str) -> ProcessResult;

    /// SIGCONT; nothing to do for a process that isn't stopped.
    async fn resume(&self, part: &str) -> ProcessResult;

    /// Starts a part that was killed, on the ports it had; returns when it is
    /// healthy. Nothing to do for one that runs.
    async fn start(&self, part: &str) -> ProcessResult;

    /// SIGTERM and start; returns when it is healthy again.
    async fn restart(&self, part: &str) -> ProcessResult;
}
