//! One proxy: a listener, an upstream, and the toxics between them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::address::{resolve_listen, upstream};
use crate::connection::{Link, serve};
use crate::draw::Seed;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::toxics::{ToxicView, Toxics};

/// Live connections of one proxy; further clients wait in the listen queue.
const MOST_CONNECTIONS: usize = 16 * 1024;

/// Pause after a failed accept (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What all proxies of a server share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub seed: Seed,
    pub metrics: Arc<Metrics>,
}

/// A proxy, enabled (listening) or not.
pub(crate) struct Proxy {
    name: String,
    /// As it was asked for until the first start, as it was bound after.
    listen: String,
    upstream: String,
    pub(crate) toxics: Toxics,
    shared: Shared,
    /// Clients so far. Goes on over a restart, so that each has its own draws.
    accepted: Arc<AtomicU64>,
    running: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A proxy as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct ProxyView {
    pub name: String,
    pub listen: String,
    pub upstream: String,
    pub enabled: bool,
    pub toxics: Vec<ToxicView>,
}

/// What an update may change; what is absent stays.
#[derive(Debug, Default)]
pub(crate) struct ProxyChange {
    pub listen: Option<String>,
    pub upstream: Option<String>,
    pub enabled: Option<bool>,
}

impl Proxy {
    /// A proxy that is not started yet.
    pub(crate) fn new(name: String, listen: String, upstream: String, shared: Shared) -> Self {
        Self {
            name,
            listen,
            upstream,
            toxics: Toxics::new(),
            shared,
            accepted: Arc::default(),
            running: None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn view(&self) -> ProxyView {
        ProxyView {
            name: self.name.clone(),
            listen: self.listen.clone(),
            upstream: self.upstream.clone(),
            enabled: self.running.is_some(),
            toxics: self.toxics.views(),
        }
    }

    /// Listens, unless it does already. The port of the first start is kept.
    pub(crate) async fn start(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let address = resolve_listen(&self.listen, "listen tcp: ").await?;
        let (listener, bound) = bind(address)
            .await
            .map_err(|e| Error::listen(address, &e))?;
        self.listen = bound.to_string();
        let link = Arc::new(Link {
            name: self.name.clone(),
            upstream: upstream(&self.upstream),
            seed: self.shared.seed.with(&self.name),
            toxics: self.toxics.watch(),
            metrics: Arc::clone(&self.shared.metrics),
        });
        let stop = CancellationToken::new();
        let accepting = accept(listener, link, Arc::clone(&self.accepted), stop.clone());
        self.running = Some(Running {
            task: tokio::spawn(accepting),
            stop,
        });
        tracing::info!(
            link = self.name,
            listen = self.listen,
            upstream = self.upstream,
            "enabled"
        );
        Ok(())
    }

    /// *Down*: closes the listener and every live connection, and returns when
    /// that is done.
    pub(crate) async fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.stop.cancel();
        if let Err(error) = running.task.await {
            tracing::error!(link = self.name, %error, "the accept loop broke");
        }
        tracing::info!(link = self.name, listen = self.listen, "disabled");
    }

    /// Would these addresses be a change?
    pub(crate) async fn differs(&self, listen: &str, upstream: &str) -> Result<bool> {
        let resolved = resolve_listen(listen, "").await?;
        Ok(self.listen != resolved.to_string() || self.upstream != upstream)
    }

    /// Applies a change; new addresses restart the proxy.
    pub(crate) async fn update(&mut self, change: ProxyChange) -> Result<()> {
        let listen = change.listen.unwrap_or_else(|| self.listen.clone());
        let upstream = change.upstream.unwrap_or_else(|| self.upstream.clone());
        let enabled = change.enabled.unwrap_or(self.running.is_some());
        if self.differs(&listen, &upstream).await? {
            self.stop().await;
            self.listen = listen;
            self.upstream = upstream;
        }
        if enabled {
            self.start().await
        } else {
            self.stop_if_running().await
        }
    }

    async fn stop_if_running(&mut self) -> Result<()> {
        self.stop().await;
        Ok(())
    }
}

/// Binds; where there is no IPv6, "every interface" is IPv4's.
async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = match TcpListener::bind(address).await {
        Err(error) if address.ip().is_unspecified() && no_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await?
        }
        bound => bound?,
    };
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
    )
}

/// Accepts clients until told to stop, then closes them all. Each is dialled in
/// a task of its own, so that a slow upstream holds up nobody else.
async fn accept(
    listener: TcpListener,
    link: Arc<Link>,
    accepted: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let mut live = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = live.join_next() => report(&link.name, ended),
            client = listener.accept(), if live.len() < MOST_CONNECTIONS => match client {
                Ok((client, _)) => spawn(&mut live, &link, client, &accepted),
                Err(error) => {
                    tracing::warn!(link = link.name, %error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    live.shutdown().await;
}

fn spawn(live: &mut JoinSet<()>, link: &Arc<Link>, client: TcpStream, accepted: &AtomicU64) {
    let number = accepted.fetch_add(1, Ordering::Relaxed) + 1;
    live.spawn(serve(Arc::clone(link), client, number));
}

fn report(link: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(link, %error, "a connection's task broke");
    }
}
