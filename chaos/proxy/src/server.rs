//! Puts the parts together and serves.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::api::{metrics_routes, routes};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::proxy::Shared;
use crate::registry::Registry;

/// How long requests may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// A fault proxy whose ports are open and whose configured proxies listen.
pub struct Server {
    api: TcpListener,
    metrics_listener: Option<TcpListener>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Opens the ports and sets up the proxies of the configuration file.
    ///
    /// # Errors
    /// A port that is taken ([`Error::Bind`], naming it), a configuration that
    /// can't be read or set up ([`Error::ReadConfig`], [`Error::Config`]).
    pub async fn bind(options: &Options) -> Result<Self> {
        let api = listen("the API", &options.host, options.port).await?;
        let metrics_listener = match options.metrics_port {
            Some(port) => Some(listen("metrics", &options.host, port).await?),
            None => None,
        };
        let seed = options.seed.unwrap_or_else(rand::random);
        let metrics = Arc::new(Metrics::new());
        let shared = Shared {
            seed: Arc::new(AtomicU64::new(seed)),
            metrics: Arc::clone(&metrics),
            events: Events::new(),
        };
        let server = Self {
            api,
            metrics_listener,
            registry: Arc::new(Registry::new(shared)),
            metrics,
        };
        if let Some(path) = &options.config {
            server.configure(path).await?;
        }
        tracing::info!(address = %server.api_addr()?, seed, "listening");
        Ok(server)
    }

    async fn configure(&self, path: &Path) -> Result<()> {
        let read = tokio::fs::read(path).await;
        let body = read.map_err(|source| Error::ReadConfig {
            path: path.to_owned(),
            source,
        })?;
        let (_, result) = self.registry.populate(&body).await;
        if let Err(error) = result {
            self.registry.shut_down().await;
            return Err(Error::Config {
                path: path.to_owned(),
                source: Box::new(error),
            });
        }
        Ok(())
    }

    /// Where the API listens.
    ///
    /// # Errors
    /// [`Error::Serve`] if the system no longer knows.
    pub fn api_addr(&self) -> Result<SocketAddr> {
        self.api.local_addr().map_err(Error::Serve)
    }

    /// Where the metrics are, if they have a port of their own.
    ///
    /// # Errors
    /// [`Error::Serve`] if the system no longer knows.
    pub fn metrics_addr(&self) -> Result<Option<SocketAddr>> {
        self.metrics_listener
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()
            .map_err(Error::Serve)
    }

    /// Serves until `shutdown`, then closes every proxy and connection.
    ///
    /// # Errors
    /// [`Error::Serve`] if a listener broke.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let stop = CancellationToken::new();
        let api = routes(Arc::clone(&self.registry), Arc::clone(&self.metrics));
        let api = serve(self.api, api, stop.clone());
        let metrics = async {
            match self.metrics_listener {
                Some(listener) => serve(listener, metrics_routes(self.metrics), stop.clone()).await,
                None => {
                    stop.cancelled().await;
                    Ok(())
                }
            }
        };
        let registry = Arc::clone(&self.registry);
        let lease = tokio::spawn(async move { registry.keep_lease().await });
        let mut serving = pin!(async { tokio::try_join!(api, metrics) });
        let broken = tokio::select! {
            () = shutdown => None,
            result = &mut serving => Some(result),
        };
        stop.cancel();
        lease.abort();
        self.registry.events().close();
        // Requests that are being answered may end; one that hangs may not.
        let result = match broken {
            Some(result) => result,
            None => timeout(DRAIN, serving).await.unwrap_or(Ok(((), ()))),
        };
        self.registry.shut_down().await;
        result.map(|_| ()).map_err(Error::Serve)
    }
}

async fn listen(what: &'static str, host: &str, port: u16) -> Result<TcpListener> {
    let bound = TcpListener::bind((host, port)).await;
    bound.map_err(|source| Error::Bind {
        what,
        host: host.to_owned(),
        port,
        source,
    })
}

async fn serve(
    listener: TcpListener,
    routes: axum::Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}
