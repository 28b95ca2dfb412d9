//! What stops and starts the processes of a target.

use std::collections::BTreeMap;

/// What came of it; the error says why in words.
pub type ProcessResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Whoever holds the processes of a target. Parts are called as in compose:
/// `user-service`, `product-service.2`.
#[async_trait::async_trait]
pub trait Processes: Send + Sync {
    /// The parts there are, replicas each on its own.
    fn parts(&self) -> Vec<String>;

    /// Their process ids as they are now, by the same names; parts that don't run are
    /// left out.
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
