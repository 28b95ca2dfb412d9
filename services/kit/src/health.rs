//! Health: can this service serve by itself, and how are those it leans on?

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use ::http::StatusCode;
use axum::{Json, Router, response::IntoResponse, routing::get};
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

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
        self.report_of(|_| true).await
    }

    /// Whether it takes work: nobody told it to end, and it has what it can't serve without. What
    /// it can do without is not asked, so that callers may ask often.
    async fn takes_work(&self, draining: &CancellationToken) -> Result<(), &'static str> {
        if draining.is_cancelled() {
            return Err("draining");
        }
        match self.report_of(|critical| critical).await.status {
            Status::Unhealthy => Err("unhealthy"),
            Status::Healthy | Status::Degraded => Ok(()),
        }
    }

    async fn report_of(&self, wanted: impl Fn(bool) -> bool) -> Report {
        let runs = self
            .checks
            .iter()
            .filter(|(_, critical, _)| wanted(*critical))
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

    /// `/health/`, `/livez` and `/readyz`, which says no once `draining` is cancelled.
    pub fn router(self, draining: CancellationToken) -> Router {
        let service = self.service;
        let alive = move || async move {
            Json(serde_json::json!({ "status": "alive", "service": service }))
        };
        let of_health = self.clone();
        let health = move || {
            let health = of_health.clone();
            async move { health.report().await.into_response() }
        };
        let ready = move || {
            let (health, draining) = (self.clone(), draining.clone());
            async move {
                let said = health.takes_work(&draining).await;
                let code = match said {
                    Ok(()) => StatusCode::OK,
                    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                let status = said.err().unwrap_or("ready");
                let body = Json(serde_json::json!({ "status": status, "service": service }));
                (code, [NO_STORE], body)
            }
        };
        Router::new()
            .route("/health/", get(health))
            .route("/livez", get(alive))
            .route("/readyz", get(ready))
    }
}

const NO_STORE: (::http::HeaderName, &str) = (::http::header::CACHE_CONTROL, "no-store");

impl IntoResponse for Report {
    fn into_response(self) -> axum::response::Response {
        let code = match self.status {
            Status::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            Status::Healthy | Status::Degraded => StatusCode::OK,
        };
        (code, [NO_STORE], Json(self)).into_response()
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

    #[tokio::test(start_paused = true)]
    async fn it_takes_work_until_it_is_told_to_end_or_lacks_what_it_needs() {
        let draining = CancellationToken::new();
        let ok = || async { Ok(()) };
        let down = || async { Err("down".to_owned()) };
        let well = Health::new("t")
            .critical("database", ok)
            .optional("cache", down);
        assert_eq!(well.takes_work(&draining).await, Ok(()));
        let dead = Health::new("t").critical("database", down);
        assert_eq!(dead.takes_work(&draining).await, Err("unhealthy"));
        draining.cancel();
        assert_eq!(well.takes_work(&draining).await, Err("draining"));
    }
}
