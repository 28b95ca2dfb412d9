//! A client of Toxiproxy's HTTP API, as far as faults need it, and of what Faultline's
//! own proxy has beside it under `/faultline/`, which a real Toxiproxy answers with 404.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Client;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;

use crate::error::EngineError;
use crate::scenario::Toxic;
use crate::target::{join, read, send, send_if_there, send_json};

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

    /// Removes a toxic by its name; one that isn't there is removed already.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn remove(&self, proxy: &str, name: &str) -> Result<(), EngineError> {
        let url = self.url(&format!("/proxies/{proxy}/toxics/{name}"));
        let what = format!("removing toxic `{name}` from `{proxy}`");
        send_if_there(&what, self.client.delete(url))
            .await
            .map(drop)
    }

    /// What each toxic and each `down` acted on; `None` where nobody counts.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn acted(&self) -> Result<Option<Acted>, EngineError> {
        let what = "reading what the fault proxies acted on";
        let request = self.client.get(self.url("/faultline/acted"));
        let body = send_if_there(what, request).await?;
        body.map(|body| read(what, &body)).transpose()
    }

    /// Has everything reset unless the lease is renewed in time; nothing happens where
    /// there are no leases.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn lease(&self, lease: Duration) -> Result<(), EngineError> {
        let body = json!({ "lease": humantime::format_duration(lease).to_string() });
        let request = self.client.put(self.url("/faultline/lease")).json(&body);
        send_if_there("renewing the lease of the fault proxies", request)
            .await
            .map(drop)
    }

    /// Ends the lease: nothing is in force any more.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn end_lease(&self) -> Result<(), EngineError> {
        let request = self.client.delete(self.url("/faultline/lease"));
        send_if_there("ending the lease of the fault proxies", request)
            .await
            .map(drop)
    }

    /// Sets what their draws come from; nothing happens where the seed can't be set.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn seed(&self, seed: u64) -> Result<(), EngineError> {
        let request = self.client.put(self.url("/faultline/seed"));
        send_if_there(
            "seeding the fault proxies",
            request.json(&json!({ "seed": seed })),
        )
        .await
        .map(drop)
    }
}

/// What the fault proxies acted on, by proxy.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Acted {
    #[serde(default)]
    proxies: BTreeMap<String, OfProxy>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OfProxy {
    down: Connections,
    toxics: BTreeMap<String, Connections>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Connections {
    connections: u64,
}

impl Acted {
    /// Connections that a proxy has closed because it was down, ever.
    #[must_use]
    pub fn down(&self, proxy: &str) -> u64 {
        self.proxies.get(proxy).map_or(0, |p| p.down.connections)
    }

    /// Connections that a toxic has acted on since it was added.
    #[must_use]
    pub fn toxic(&self, proxy: &str, name: &str) -> u64 {
        let toxic = self.proxies.get(proxy).and_then(|p| p.toxics.get(name));
        toxic.map_or(0, |t| t.connections)
    }
}
