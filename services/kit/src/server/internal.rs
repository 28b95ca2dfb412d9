//! Listeners for whoever watches: not for callers.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{Router, routing::get};
use tokio::net::TcpListener;

use super::{Running, ServerError};
use crate::{
    http::{self, serve::Limits},
    telemetry,
};

pub(super) fn start_metrics(
    listener: Option<TcpListener>,
    service: &'static str,
    running: &Running,
) {
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

pub(super) fn spawn_internal(listener: TcpListener, router: Router, running: &Running) {
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

pub(super) async fn listen(
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

pub(super) fn address(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)))
}
