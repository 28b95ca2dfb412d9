//! A client of Toxiproxy's HTTP API, as far as faults need it.

use std::collections::BTreeMap;

use reqwest::Client;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;

use crate::error::EngineError;
use crate::scenario::Toxic;
use crate::target::{join, send, send_json};

/// The fault proxies of a target.
#[derive(Clone, Debug)]
pub struct Proxies {
    client: Client,
    api: Url,
}

/// A proxy's state.
#[derive(Clone, Debug, Deserialize)]
pub struct ProxyState {
    /// Whether it lets anything through.
    pub enabled: bool,
    /// Its toxics.
    #[serde(default)]
    pub toxics: Vec<serde_json::Value>,
}

impl Proxies {
    /// Proxies whose API is at `api`.
    #[must_use]
    pub fn new(client: Client, api: Url) -> Self {
        Self { client, api }
    }

    fn url(&self, path: &str) -> String {
        join(&self.api, path)
    }

    /// Every proxy by name.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn list(&self) -> Result<BTreeMap<String, ProxyState>, EngineError> {
        send_json(
            "listing the fault proxies",
            self.client.get(self.url("/proxies")),
        )
        .await
    }

    /// Enables every proxy and removes every toxic.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn reset(&self) -> Result<(), EngineError> {
        // A body keeps servers content that insist on a length for POST.
        let request = self.client.post(self.url("/reset")).json(&json!({}));
        send("resetting the fault proxies", request).await.map(drop)
    }

    /// Takes a link down or up again.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn set_enabled(&self, proxy: &str, enabled: bool) -> Result<(), EngineError> {
        let what = format!("taking `{proxy}` {}", if enabled { "up" } else { "down" });
        let url = self.url(&format!("/proxies/{proxy}"));
        send(
            &what,
            self.client.post(url).json(&json!({ "enabled": enabled })),
        )
        .await
        .map(drop)
    }

    /// Adds a toxic under a name.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn add(&self, proxy: &str, name: &str, toxic: &Toxic) -> Result<(), EngineError> {
        let body = json!({
            "name": name,
            "type": toxic.kind,
            "stream": toxic.stream,
            "toxicity": toxic.toxicity,
            "attributes": toxic.attributes,
        });
        let url = self.url(&format!("/proxies/{proxy}/toxics"));
        let what = format!("adding toxic `{name}` to `{proxy}`");
        send(&what, self.client.post(url).json(&body))
            .await
            .map(drop)
    }

    /// Removes a toxic by its name.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn remove(&self, proxy: &str, name: &str) -> Result<(), EngineError> {
        let url = self.url(&format!("/proxies/{proxy}/toxics/{name}"));
        let what = format!("removing toxic `{name}` from `{proxy}`");
        send(&what, self.client.delete(url)).await.map(drop)
    }
}
