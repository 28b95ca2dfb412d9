//! Who stops and starts the processes of the fake shop.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use chaos_engine::target::{ProcessResult, Processes};

use super::Shared;

/// Stops and starts the order service.
pub(super) struct Hands(pub(super) Shared);

impl Hands {
    fn did(&self, what: &str, part: &str) {
        self.0.processes.lock().push(format!("{what} {part}"));
    }
}

#[async_trait::async_trait]
impl Processes for Hands {
    fn parts(&self) -> Vec<String> {
        let parts = ["user-service", "order-service"];
        parts.map(str::to_owned).to_vec()
    }

    fn pids(&self) -> BTreeMap<String, u32> {
        BTreeMap::new()
    }

    async fn kill(&self, part: &str) -> ProcessResult {
        self.did("kill", part);
        self.0.order_runs.send_replace(false);
        Ok(())
    }

    async fn pause(&self, part: &str) -> ProcessResult {
        self.did("pause", part);
        self.0.paused.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn resume(&self, part: &str) -> ProcessResult {
        self.did("resume", part);
        self.0.paused.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn start(&self, part: &str) -> ProcessResult {
        self.did("start", part);
        self.0.order_runs.send_replace(true);
        Ok(())
    }

    async fn restart(&self, part: &str) -> ProcessResult {
        self.did("restart", part);
        Ok(())
    }
}
