mod internal;
mod running;

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use axum::{Router, middleware};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    ApiError, ApiResult, Common, Slots,
    auth::{self, Verifier},
    grpc,
    health::Health,
    http::{
        self,
        limits::{self, Gate, Limiter, Shared},
        serve::Limits,
    },
    lab::{
        self, Books, Control, Fixtures, Reset,
        events::EventBus,
        faults::{Faults, RestFaults},
    },
};

use internal::{address, listen, spawn_internal, start_metrics};
pub use running::Running;

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
    books: Option<Books>,
    resets: Vec<Reset>,
    tasks: Vec<(&'static str, Task)>,
    limits: Limits,
    limiter: Arc<Limiter>,
    logins: Vec<&'static str>,
    shared_counts: Option<Arc<dyn Shared>>,
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
            books: None,
            resets: Vec::new(),
            tasks: Vec::new(),
            limits: Limits::default(),
            limiter: Arc::new(Limiter::new(common.rate_limits)),
            logins: Vec::new(),
            shared_counts: None,
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

    /// What the lab's `GET /lab/integrity` tells here: the one of `parts` that `?only=` names, or all.
    pub fn books<F>(
        mut self,
        parts: &'static [&'static str],
        tell: impl Fn(Option<&'static str>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ApiResult<Value>> + Send + 'static,
    {
        self.books = Some(Books::new(parts, tell));
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

    /// Routes (as they are written in the router) whose POST tries a password or a code: they have
    /// the strictest rate limit.
    pub fn logins(mut self, routes: &[&'static str]) -> Self {
        self.logins.extend(routes);
        self
    }

    /// Where the replicas of this service add up what they count for the rate limits.
    pub fn shared_counts(mut self, shared: Arc<dyn Shared>) -> Self {
        self.shared_counts = Some(shared);
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
            notice: self.common.drain_notice,
            draining: CancellationToken::new(),
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
        let gate = Gate {
            limiter: self.limiter,
            service: self.common.name,
            logins: self.logins.into(),
            edge: self.edge,
        };
        let mut router = self.rest;
        if let Some(faults) = &faults {
            router = router.layer(RestFaults::new(faults.clone(), self.edge));
        }
        if let Some(verifier) = self.verifier {
            let by_account = middleware::from_fn_with_state(gate.clone(), limits::account);
            router = router
                .layer(by_account)
                .layer(middleware::from_fn_with_state(verifier, auth::authenticate));
        }
        if let Some(slots) = &self.slots {
            let slot = slots.server();
            let door = http::Door { slot, faults };
            router = router.layer(middleware::from_fn_with_state(door, http::admit));
        }
        router = router.layer(middleware::from_fn_with_state(gate, limits::anybody));
        if let Some(health) = self.health {
            router = router.merge(health.router(running.draining.clone()));
        }
        router = router.merge(self.internal);
        let rules = http::Rules::new(&self.common, self.edge);
        let app = http::with_rules(router, rules);
        running.tasks.spawn(http::serve::serve_with(
            listener,
            app,
            self.limits,
            self.common.http_tls,
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
        for name in &names {
            reporter
                .set_service_status(*name, tonic_health::ServingStatus::Serving)
                .await;
        }
        let draining = running.draining.clone();
        running.tasks.spawn(async move {
            draining.cancelled().await;
            for name in names.into_iter().chain([""]) {
                let no_more = tonic_health::ServingStatus::NotServing;
                reporter.set_service_status(name, no_more).await;
            }
        });
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let routes = routes.add_service(health).add_service(reflection);
        let door = self.slots.as_ref().map(Slots::server);
        let serving = grpc::Serving {
            service: self.common.name,
            routes,
            door,
            faults: self.faults().cloned(),
            tls: self.common.grpc_tls.clone(),
        };
        let serving = serving.serve(listener, running.shutdown.clone());
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
        if let Some(shared) = self.shared_counts.take() {
            let limiter = Arc::clone(&self.limiter);
            let shutdown = running.shutdown.clone();
            running.tasks.spawn(async move {
                shutdown.run_until_cancelled(limiter.follow(shared)).await;
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

    /// What `POST /lab/reset` empties: what the service said, and what was counted.
    fn resets(&self) -> Vec<Reset> {
        let limiter = Arc::clone(&self.limiter);
        let forget: Reset = Arc::new(move || {
            limiter.forget();
            Box::pin(std::future::ready(()))
        });
        self.resets.iter().cloned().chain([forget]).collect()
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
            books: self.books.clone(),
            resets: self.resets(),
            token: Arc::new(lab.token.clone()),
        };
        spawn_internal(listener, lab::router(control), running);
    }
}
