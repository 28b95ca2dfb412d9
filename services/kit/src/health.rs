//! Health: can this service serve by itself, and how are those it leans on?

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use ::http::StatusCode;
use axum::{Json, Router, response::IntoResponse, routing::get};
use serde::Serialize;
use tokio::time::timeout;

/// A check that takes longer than this has failed.
const CHECK: Duration = Duration::from_secs(2);

type Probe =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The checks of one service.
#[derive(Clone)]
pub struct Health {
    service: &'static str,
    checks: Vec<(&'static str, bool, Probe)>,
}

/// How the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything answers.
    Healthy,
    /// It serves, but something it leans on is down.
    Degraded,
    /// It can't serve.
    Unhealthy,
}

/// The answer of `/health/`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The worst of the checks.
    pub status: Status,
    /// Whose.
    pub service: &'static str,
    /// `ok`, or what is wrong, by check.
    pub checks: BTreeMap<&'static str, String>,
}

impl Health {
    /// Of that service, without checks.
    pub fn new(service: &'static str) -> Self {
        Self {
            service,
            checks: Vec::new(),
        }
    }

    /// Adds what it can't serve without: its own database, its keys.
    #[must_use]
    pub fn critical<F>(
        self,
        name: &'static str,
        probe: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(name, true, probe)
    }

    /// Adds what it can do without: a cache, another service.
    #[must_use]
    pub fn optional<F>(
        self,
        name: &'static str,
        probe: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(name, false, probe)
    }

    fn add<F>(
        mut self,
        name: &'static str,
        critical: bool,
        probe: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks
            .push((name, critical, Arc::new(move || Box::pin(probe()))));
        self
    }

    /// Runs all checks at once.
    pub async fn report(&self) -> Report {
        let runs = self
            .checks
            .iter()
            .map(|(name, critical, probe)| async move {
                let outcome = timeout(CHECK, probe())
                    .await
                    .unwrap_or_else(|_| Err("no answer in time".into()));
                (*name, *critical, outcome)
            });
        let outcomes = futures_util::future::join_all(runs).await;
        let status =
            outcomes
                .iter()
                .fold(Status::Healthy, |status, (_, critical, outcome)| {
                    match (outcome, critical) {
                        (Err(_), true) => Status::Unhealthy,
                        (Err(_), false) if status == Status::Healthy => Status::Degraded,
                        _ => status,
                    }
                });
        let text =
            |outcome: Result<(), String>| outcome.map_or_else(|why| why, |()| "ok".to_owned());
        let checks = outcomes
            .into_iter()
            .map(|(name, _, outcome)| (name, text(outcome)))
            .collect();
        Report {
            status,
            service: self.service,
            checks,
        }
    }

    /// `/health/` and `/livez`.
    pub fn router(self) -> Router {
        let service = self.service;
        let alive = move || async move {
            Json(serde_json::json!({ "status": "alive", "service": service }))
        };
        let health = move || {
            let health = self.clone();
            async move { health.report().await.into_response() }
        };
        Router::new()
            .route("/health/", get(health))
            .route("/livez", get(alive))
    }
}

impl IntoResponse for Report {
    fn into_response(self) -> axum::response::Response {
        let code = match self.status {
            Status::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            Status::Healthy | Status::Degraded => StatusCode::OK,
        };
        (
            code,
            [(::http::header::CACHE_CONTROL, "no-store")],
            Json(self),
        )
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_critical_check_makes_it_unhealthy() {
        let ok = || async { Ok(()) };
        let down = || async { Err("down".to_owned()) };
        let degraded = Health::new("t")
            .critical("database", ok)
            .optional("cache", down)
            .report()
            .await;
        assert_eq!(degraded.status, Status::Degraded);
        assert_eq!(degraded.checks["cache"], "down");
        let dead = Health::new("t")
            .critical("database", down)
            .optional("cache", down)
            .report()
            .await;
        assert_eq!(dead.status, Status::Unhealthy);
        let hung = Health::new("t")
            .critical("database", std::future::pending)
            .report()
            .await;
        assert_eq!(hung.status, Status::Unhealthy);
    }
}
