//! One proxy: a listener, an upstream, and the toxics between them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::acted::{Acted, Reports};
use crate::address::{resolve_listen, upstream};
use crate::connection::{Link, serve};
use crate::draw::{Numbering, Seed};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::toxics::{ToxicView, Toxics};

/// Live connections of one proxy; further clients wait in the listen queue.
const MOST_CONNECTIONS: usize = 16 * 1024;

/// Pause after a failed accept (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What all proxies of a server share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub seed: Arc<AtomicU64>,
    pub metrics: Arc<Metrics>,
    pub events: Events,
}

impl Shared {
    /// The seed of the proxy of that name.
    fn seed_of(&self, name: &str) -> Seed {
        Seed::new(self.seed.load(Ordering::Relaxed)).with(name)
    }
}

/// A proxy, enabled (listening) or not.
pub(crate) struct Proxy {
    name: String,
    /// As it was asked for until the first start, as it was bound after.
    listen: String,
    upstream: String,
    pub(crate) toxics: Toxics,
    shared: Shared,
    /// Goes on over a restart, so that each client has its own draws.
    numbering: Arc<Numbering>,
    running: Option<Running>,
    /// Connections that being disabled closed, so far.
    cut_down: usize,
}

struct Running {
    stop: CancellationToken,
    /// Returns how many connections it closed.
    task: JoinHandle<usize>,
}

/// What was done to a proxy's connections, as `/faultline/acted` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct ActedView {
    down: DownView,
    toxics: BTreeMap<String, Acted>,
}

#[derive(Debug, Serialize)]
struct DownView {
    connections: usize,
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
        let reports = Reports {
            link: name.as_str().into(),
            events: shared.events.clone(),
            metrics: Arc::clone(&shared.metrics),
        };
        Self {
            toxics: Toxics::new(reports),
            numbering: Arc::new(Numbering::new(shared.seed_of(&name))),
            name,
            listen,
            upstream,
            shared,
            running: None,
            cut_down: 0,
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
            toxics: self.toxics.watch(),
            metrics: Arc::clone(&self.shared.metrics),
        });
        let stop = CancellationToken::new();
        let accepting = accept(listener, link, Arc::clone(&self.numbering), stop.clone());
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
        let events = &self.shared.events;
        events.send("up", || json!({ "link": self.name, "listen": self.listen }));
        Ok(())
    }

    /// *Down*: closes the listener and every live connection, and returns how
    /// many those were when that is done; `None` if it was down already.
    pub(crate) async fn stop(&mut self) -> Option<usize> {
        let running = self.running.take()?;
        running.stop.cancel();
        let connections = running.task.await.unwrap_or_else(|error| {
            tracing::error!(link = self.name, %error, "the accept loop broke");
            0
        });
        tracing::info!(
            link = self.name,
            listen = self.listen,
            connections,
            "disabled"
        );
        let events = &self.shared.events;
        events.send(
            "down",
            || json!({ "link": self.name, "connections": connections }),
        );
        Some(connections)
    }

    /// Its connections are numbered from 1 again, and draw from the seed that
    /// now holds.
    pub(crate) fn reseed(&self) {
        self.numbering.restart(self.shared.seed_of(&self.name));
    }

    pub(crate) fn acted(&self) -> ActedView {
        let down = DownView {
            connections: self.cut_down,
        };
        ActedView {
            down,
            toxics: self.toxics.acted(),
        }
    }

    pub(crate) fn forget_acted(&mut self) {
        self.cut_down = 0;
        self.toxics.forget_acted();
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
            return self.start().await;
        }
        if let Some(connections) = self.stop().await {
            self.cut_down += connections;
        }
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

/// Accepts clients until told to stop, then closes them all and says how many
/// they were. Each is dialled in a task of its own, so that a slow upstream holds
/// up nobody else.
async fn accept(
    listener: TcpListener,
    link: Arc<Link>,
    numbering: Arc<Numbering>,
    stop: CancellationToken,
) -> usize {
    let mut live = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = live.join_next() => report(&link.name, ended),
            client = listener.accept(), if live.len() < MOST_CONNECTIONS => match client {
                Ok((client, _)) => { live.spawn(serve(Arc::clone(&link), client, numbering.next())); },
                Err(error) => {
                    tracing::warn!(link = link.name, %error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = live.try_join_next() {
        report(&link.name, ended);
    }
    let closed = live.len();
    live.shutdown().await;
    closed
}

fn report(link: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(link, %error, "a connection's task broke");
    }
}
