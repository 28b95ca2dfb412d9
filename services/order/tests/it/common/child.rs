//! The service as a process of its own, which can be killed.

use std::{net::TcpListener, path::Path, process::Stdio, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// A running `order-service`.
pub struct OrderProcess {
    child: Child,
    pub base: String,
    control: String,
    client: Client,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl OrderProcess {
    /// Starts it on a folder's database, and waits until it can serve.
    pub async fn start(dir: &Path, urls: &[(&str, String)]) -> Self {
        loop {
            // On other ports when somebody else has taken one meanwhile.
            if let Some(process) = Self::try_start(dir, urls).await {
                return process;
            }
        }
    }

    async fn try_start(dir: &Path, urls: &[(&str, String)]) -> Option<Self> {
        let (http, control) = (free_port(), free_port());
        let database = format!("sqlite://{}?mode=rwc", dir.join("order.db").display());
        let child = Command::new(env!("CARGO_BIN_EXE_order-service"))
            .env_clear()
            .env("LAB_MODE", "1")
            .env("LAB_TOKEN", "test-token")
            .env("LAB_CONTROL_PORT", control.to_string())
            .env("HTTP_PORT", http.to_string())
            .env("SERVICE_SECRET", "test-secret")
            .env("SEED_SAMPLE_DATA", "0")
            .env("LOG_LEVEL", "error")
            .env("RESILIENCE_PRESET", "fast")
            .env("ORDER_SAGA_TTL_MS", "4000")
            .env("DATABASE_URL", database)
            .env("OUTBOX_DIR", dir.join("outbox"))
            .envs(urls.iter().map(|(name, url)| (*name, url)))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut this = Self {
            child,
            base: format!("http://127.0.0.1:{http}"),
            control: format!("http://127.0.0.1:{control}"),
            client: Client::new(),
        };
        let end = Instant::now() + Duration::from_secs(60);
        while this.serves().await.is_none() {
            if this.has_died() {
                return None;
            }
            assert!(Instant::now() < end, "it does not start");
            sleep(Duration::from_millis(20)).await;
        }
        Some(this)
    }

    async fn serves(&self) -> Option<()> {
        let health = self.client.get(format!("{}/health/", self.base));
        let health: Value = health.send().await.ok()?.json().await.ok()?;
        (health["checks"]["keys"] == "ok").then_some(())
    }

    /// Lets a visit of a failpoint kill it.
    pub async fn arm(&self, point: &str, hit: u64) {
        let url = format!("{}/lab/failpoints/{point}", self.control);
        let put = self.client.put(url).bearer_auth("test-token");
        let answer = put.json(&json!({ "action": "kill", "hit": hit })).send();
        assert_eq!(answer.await.unwrap().status(), 200, "{point}");
    }

    /// Whether it has died by now.
    pub fn has_died(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it dies.
    pub async fn dies(&mut self, why: &str) {
        let limit = Duration::from_secs(30);
        let end = tokio::time::timeout(limit, self.child.wait()).await;
        let end = end
            .unwrap_or_else(|_| panic!("{why} killed nothing"))
            .unwrap();
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(end.signal(), Some(9), "{why}: {end}");
    }
}
