//! The embedded gateway: the contract's routes from one table, health of the
//! whole, request ids, traces and size limits; each service behind the policy of
//! its slot.

#![warn(missing_docs)]

pub mod config;
mod failure;
mod forward;
mod headers;
mod health;
mod origin;
pub mod routes;

use std::time::Duration;

use axum::{
    Router,
    response::Html,
    routing::{any, get},
};
use http::header;
use kit::{
    Common, Env, Running, Server, Slots,
    cli::Service,
    http::{Bounds, serve::Limits},
};

pub use config::Config;
use forward::Services;
use routes::ROUTES;

/// A browser's connection without a request ends after this time.
const IDLE: Duration = Duration::from_secs(60);
/// What a client's headers may take; a service may take more, since we add some.
const HEAD: Bounds = Bounds {
    line: 8 * 1024,
    headers: 20 * 1024,
    lines: 100,
};

/// The gateway's binary.
#[derive(Debug)]
pub struct App;

impl Service for App {
    const NAME: &'static str = "gateway";
    type Config = Config;

    fn config(env: &mut Env) -> Config {
        Config::read(env)
    }

    fn common(config: &Config) -> &Common {
        &config.common
    }

    async fn start(config: Config) -> anyhow::Result<Running> {
        start(config).await
    }

    async fn migrate(_: Config) -> anyhow::Result<()> {
        anyhow::bail!("the gateway has no database")
    }

    async fn seed(_: Config) -> anyhow::Result<()> {
        anyhow::bail!("the gateway has no database")
    }
}

/// Starts the gateway; returns when it answers.
///
/// # Errors
/// When a port can't be had.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    let slots = Slots::new(&config.common);
    let services = Services::new(config.upstreams.into_iter().map(|(upstream, bases)| {
        let slot = slots.with_policy(upstream.link(), upstream.name(), config.policy.clone());
        (upstream, bases, slot)
    }));
    let following = services.clone().follow();
    let routes = headers::with_headers(router(services), &config.cors_origins);
    let limits = Limits {
        idle: IDLE,
        head: HEAD,
        ..Limits::default()
    };
    Ok(Server::new(&config.common)
        .rest(routes)
        .edge()
        .slots(slots)
        .task("replicas", |shutdown| async move {
            shutdown.run_until_cancelled_owned(following).await;
        })
        .limits(limits)
        .start()
        .await?)
}

fn router(services: Services) -> Router {
    let forwarded = ROUTES.iter().fold(Router::new(), |router, route| {
        router
            .route(route.prefix, any(forward::forward))
            .route(&format!("{}/", route.prefix), any(forward::forward))
            .route(
                &format!("{}/{{*rest}}", route.prefix),
                any(forward::forward),
            )
    });
    forwarded
        .route("/health", get(health::all))
        .route("/health/", get(health::all))
        .route("/health/{service}", get(health::one))
        .route("/health/{service}/", get(health::one))
        .route(
            "/livez",
            get(|| async {
                axum::Json(serde_json::json!({ "status": "alive", "service": "gateway" }))
            }),
        )
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route(
            "/page.css",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "text/css")],
                    include_str!("page.css"),
                )
            }),
        )
        .with_state(services)
}
