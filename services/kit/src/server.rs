use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, middleware, routing::get};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    ApiError, Common, Slots,
    auth::{self, Verifier},
    grpc,
    health::Health,
    http::{self, serve::Limits},
    lab::{
        self, Control, Fixtures, Reset,
        events::EventBus,
        faults::{Faults, RestFaults},
    },
    telemetry,
};

/// After a shutdown began, everything together gets this long.
const DRAIN: Duration = Duration::from_secs(10);

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A port could not be had.
    #[error(
        "{what} can't listen on {address}: {source}; stop what holds the port, or set {variable} to another one"
    )]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Which variable says so.
        variable: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The reflection service.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

type Task = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// A service being assembled: its routes, its slots, and what runs beside them.
#[must_use]
pub struct Server {
    common: Common,
    rest: Router,
    internal: Router,
    verifier: Option<Arc<Verifier>>,
    grpc: Option<(Routes, Vec<&'static str>)>,
    health: Option<Health>,
    slots: Option<Slots>,
    fixtures: Option<Fixtures>,
    resets: Vec<Reset>,
    tasks: Vec<(&'static str, Task)>,
    limits: Limits,
    edge: bool,
}

impl Server {
    /// With nothing in it.
    pub fn new(common: &Common) -> Self {
        Self {
            common: common.clone(),
            rest: Router::new(),
            internal: Router::new(),
            verifier: None,
            grpc: None,
            health: None,
            slots: None,
            fixtures: None,
            resets: Vec::new(),
            tasks: Vec::new(),
            limits: Limits::default(),
            edge: false,
        }
    }

    /// REST routes, their state applied.
    pub fn rest(mut self, router: Router) -> Self {
        self.rest = self.rest.merge(router);
        self
    }

    /// REST routes for other services alone, their state applied: those must show the service
    /// secret as on gRPC. Faults, the door and limits don't touch them.
    pub fn internal(mut self, router: Router) -> Self {
        let router = auth::behind_secret(router, &self.common.service_secret);
        self.internal = self.internal.merge(router);
        self
    }

    /// Tokens of requests are checked by this; it is kept supplied with keys and revocations.
    pub fn auth(mut self, verifier: Arc<Verifier>) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// gRPC services and their full names, for health and reflection.
    pub fn grpc(mut self, routes: Routes, names: &[&'static str]) -> Self {
        self.grpc = Some((routes, names.to_vec()));
        self
    }

    /// `/health/` and `/livez`.
    pub fn health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// Slots that the lab may change.
    pub fn slots(mut self, slots: Slots) -> Self {
        self.slots = Some(slots);
        self
    }

    /// What the lab's `POST /lab/fixtures` does here.
    pub fn fixtures<F>(mut self, make: impl Fn(Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, ApiError>> + Send + 'static,
    {
        self.fixtures = Some(Arc::new(move |wanted| Box::pin(make(wanted))));
        self
    }

    /// What else the lab's `POST /lab/reset` empties here: caches.
    pub fn on_reset<F>(mut self, reset: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.resets.push(Arc::new(move || Box::pin(reset())));
        self
    }

    /// Work beside the requests; it ends when its token says so.
    pub fn task<F>(
        mut self,
        name: &'static str,
        work: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks
            .push((name, Box::new(move |token| Box::pin(work(token)))));
        self
    }

    /// Other limits for HTTP connections.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// This part faces the outside: a priority counts only together with the lab's token.
    pub fn edge(mut self) -> Self {
        self.edge = true;
        self
    }

    /// Binds all ports, then serves.
    ///
    /// # Errors
    /// [`ServerError`] when a port can't be had.
    pub async fn start(mut self) -> Result<Running, ServerError> {
        let bind = self.common.bind;
        let http = listen("HTTP", bind, self.common.http_port, "HTTP_PORT").await?;
        let grpc = match &self.grpc {
            Some(_) => Some(
                listen(
                    "gRPC",
                    bind,
                    self.common.grpc_port.unwrap_or(0),
                    "GRPC_PORT",
                )
                .await?,
            ),
            None => None,
        };
        let metrics = match self.common.metrics_port {
            Some(port) => Some(listen("metrics", bind, port, "METRICS_PORT").await?),
            None => None,
        };
        let control = match &self.common.lab {
            Some(lab) => {
                Some(listen("the lab's control API", bind, lab.port, "LAB_CONTROL_PORT").await?)
            }
            None => None,
        };
        let running = Running {
            http: address(&http),
            grpc: grpc.as_ref().map(address),
            metrics: metrics.as_ref().map(address),
            control: control.as_ref().map(address),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        self.start_control(control, &running);
        start_metrics(metrics, self.common.name, &running);
        self.start_grpc(grpc, &running).await?;
        self.start_tasks(&running);
        self.end_faults(&running);
        self.start_http(http, &running);
        running.tasks.close();
        tracing::info!(http = %running.http, grpc = ?running.grpc, metrics = ?running.metrics, control = ?running.control, "listening");
        Ok(running)
    }

    fn start_http(self, listener: TcpListener, running: &Running) {
        let faults = self.faults().cloned();
        let mut router = self.rest;
        if let Some(faults) = &faults {
            router = router.layer(RestFaults::new(faults.clone(), self.edge));
        }
        if let Some(verifier) = self.verifier {
            router = router.layer(middleware::from_fn_with_state(verifier, auth::authenticate));
        }
        if let Some(slots) = &self.slots {
            let slot = slots.server();
            let door = http::Door { slot, faults };
            router = router.layer(middleware::from_fn_with_state(door, http::admit));
        }
        if let Some(health) = self.health {
            router = router.merge(health.router());
        }
        router = router.merge(self.internal);
        let app = http::with_rules(
            router,
            self.common.name,
            self.common.lab.as_ref(),
            self.edge,
        );
        running.tasks.spawn(http::serve::serve(
            listener,
            app,
            self.limits,
            running.shutdown.clone(),
        ));
    }

    async fn start_grpc(
        &mut self,
        listener: Option<TcpListener>,
        running: &Running,
    ) -> Result<(), ServerError> {
        let (Some(listener), Some((routes, names))) = (listener, self.grpc.take()) else {
            return Ok(());
        };
        let (reporter, health) = tonic_health::server::health_reporter();
        for name in names {
            reporter
                .set_service_status(name, tonic_health::ServingStatus::Serving)
                .await;
        }
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let routes = routes.add_service(health).add_service(reflection);
        let door = self.slots.as_ref().map(Slots::server);
        let serving = grpc::serve(
            listener,
            self.common.name,
            routes,
            door,
            self.faults().cloned(),
            running.shutdown.clone(),
        );
        running.tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the gRPC server ended");
            }
        });
        Ok(())
    }

    fn faults(&self) -> Option<&Faults> {
        self.slots.as_ref().and_then(Slots::faults)
    }

    /// What faults hold up goes on when the process is told to end.
    fn end_faults(&self, running: &Running) {
        if let Some(faults) = self.faults().cloned() {
            let shutdown = running.shutdown.clone();
            running.tasks.spawn(async move {
                shutdown.cancelled().await;
                faults.end().await;
            });
        }
    }

    fn start_tasks(&mut self, running: &Running) {
        if let Some(verifier) = self.verifier.clone() {
            let shutdown = running.shutdown.clone();
            let secret = self.common.service_secret.clone();
            running.tasks.spawn(async move {
                shutdown.run_until_cancelled(verifier.follow(&secret)).await;
            });
        }
        for (name, work) in std::mem::take(&mut self.tasks) {
            let work = work(running.shutdown.clone());
            running.tasks.spawn(async move {
                work.await;
                tracing::debug!(task = name, "task ended");
            });
        }
    }

    fn start_control(&self, listener: Option<TcpListener>, running: &Running) {
        let (Some(listener), Some(lab)) = (listener, &self.common.lab) else {
            return;
        };
        let control = Control {
            slots: self.slots.clone(),
            bus: self.slots.as_ref().map_or_else(
                || EventBus::new(self.common.name),
                |slots| slots.bus().clone(),
            ),
            faults: self.faults().cloned(),
            fixtures: self.fixtures.clone(),
            resets: self.resets.clone(),
            token: Arc::new(lab.token.clone()),
        };
        spawn_internal(listener, lab::router(control), running);
    }
}

fn start_metrics(listener: Option<TcpListener>, service: &'static str, running: &Running) {
    let Some(listener) = listener else { return };
    let handle = telemetry::recorder(service);
    let process = metrics_process::Collector::default();
    let upkeep = handle.clone();
    let shutdown = running.shutdown.clone();
    running.tasks.spawn(async move {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        let runtime = tokio_metrics::RuntimeMetricsReporterBuilder::default().describe_and_run();
        let upkeep = async {
            loop {
                every.tick().await;
                upkeep.run_upkeep();
            }
        };
        tokio::select! {
            () = upkeep => {}
            () = runtime => {}
            () = shutdown.cancelled() => {}
        }
    });
    let render = move || {
        process.collect();
        let text = handle.render();
        async move {
            (
                [(::http::header::CONTENT_TYPE, "text/plain; version=0.0.4")],
                text,
            )
        }
    };
    spawn_internal(
        listener,
        Router::new().route("/metrics", get(render)),
        running,
    );
}

fn spawn_internal(listener: TcpListener, router: Router, running: &Running) {
    let limits = Limits {
        drain: Duration::from_millis(200),
        ..Limits::default()
    };
    let app = tower::util::BoxCloneSyncService::new(router);
    // Internal listeners stay until the others have drained, so that the lab sees the end.
    running.tasks.spawn(http::serve::serve(
        listener,
        app,
        limits,
        running.shutdown.clone(),
    ));
}

async fn listen(
    what: &'static str,
    bind: IpAddr,
    port: u16,
    variable: &'static str,
) -> Result<TcpListener, ServerError> {
    let address = SocketAddr::new(bind, port);
    TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Listen {
            what,
            address,
            variable,
            source,
        })
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)))
}

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
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    /// Stops accepting, lets what is under way end (at most 10 s).
    pub async fn shutdown(self) {
        self.shutdown.cancel();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("not everything ended in time");
        }
    }

    /// Runs until the process is told to end (SIGTERM, SIGINT), then drains.
    pub async fn wait(self) {
        told_to_end().await;
        tracing::info!("draining");
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
