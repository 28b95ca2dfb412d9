use std::time::Duration;

use tokio::{sync::Notify, time::Instant};

use super::KeySet;
use crate::replicas;

/// Between tries while the user service does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// However many unknown key ids arrive, keys are fetched at most this often.
const REFETCH_EVERY: Duration = Duration::from_secs(30);

/// Fetches the key set, at start and when an unknown key id was seen.
#[derive(Debug)]
pub(super) struct Fetcher {
    /// Of each replica.
    urls: Vec<String>,
    unknown: Notify,
}

impl Fetcher {
    pub(super) fn new(bases: &str) -> Self {
        let urls = replicas::addresses(bases)
            .into_iter()
            .map(|base| format!("{base}/.well-known/jwks.json"))
            .collect();
        Self {
            urls,
            unknown: Notify::new(),
        }
    }

    /// An unknown key id was seen.
    pub(super) fn unknown_key(&self) {
        self.unknown.notify_one();
    }

    pub(super) async fn run(&self, mut put: impl FnMut(KeySet)) {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap_or_default();
        loop {
            put(self.fetch_until_it_works(&client).await);
            let fetched = Instant::now();
            self.unknown.notified().await;
            tokio::time::sleep_until(fetched + REFETCH_EVERY).await;
        }
    }

    async fn fetch_until_it_works(&self, client: &reqwest::Client) -> KeySet {
        let mut wait = RETRY_FIRST;
        loop {
            for url in &self.urls {
                match fetch(client, url).await {
                    Ok(keys) => {
                        tracing::info!(keys = ?keys, "verification keys fetched");
                        return keys;
                    }
                    Err(error) => tracing::debug!(url, error, "no keys here"),
                }
            }
            tracing::debug!(wait_ms = wait.as_millis(), "no keys yet");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
    }
}

async fn fetch(client: &reqwest::Client, url: &str) -> Result<KeySet, String> {
    let response = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    let body = response
        .map_err(|e| e.to_string())?
        .bytes()
        .await
        .map_err(|e| e.to_string())?;
    let keys = KeySet::from_jwks(&body).map_err(|e| e.to_string())?;
    if keys.is_empty() {
        Err("the key set is empty".into())
    } else {
        Ok(keys)
    }
}
