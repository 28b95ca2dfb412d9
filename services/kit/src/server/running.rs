use std::{net::SocketAddr, time::Duration};

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// After a shutdown began, everything together gets this long.
const DRAIN: Duration = Duration::from_secs(10);

/// A service that answers.
#[derive(Debug)]
pub struct Running {
    /// Where REST is.
    pub http: SocketAddr,
    /// Where gRPC is.
    pub grpc: Option<SocketAddr>,
    /// Where metrics are.
    pub metrics: Option<SocketAddr>,
    /// Where the lab's control API is.
    pub control: Option<SocketAddr>,
    pub(super) notice: Duration,
    pub(super) draining: CancellationToken,
    pub(super) shutdown: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Running {
    /// Stops accepting, lets what is under way end (at most 10 s).
    pub async fn shutdown(self) {
        self.draining.cancel();
        self.shutdown.cancel();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("not everything ended in time");
        }
    }

    /// Runs until the process is told to end (SIGTERM, SIGINT), then drains. It says first that it
    /// takes no work, and goes on taking it for the notice (`DRAIN_NOTICE_MS`); told a second time,
    /// it doesn't wait for that.
    pub async fn wait(self) {
        told_to_end().await;
        tracing::info!(notice_ms = self.notice.as_millis(), "draining");
        self.draining.cancel();
        tokio::select! {
            () = tokio::time::sleep(self.notice) => {}
            () = told_to_end() => {}
        }
        self.shutdown().await;
    }
}

async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    let Ok(mut terminate) = terminate else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        () = parent_gone() => {}
    }
}

/// Where the system can't end a child with its parent, the parent holds our
/// standard input open: its end is ours.
async fn parent_gone() {
    if std::env::var_os("LAB_WATCH_STDIN").is_none() {
        return std::future::pending().await;
    }
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    while matches!(tokio::io::AsyncReadExt::read(&mut stdin, &mut buffer).await, Ok(n) if n > 0) {}
}
