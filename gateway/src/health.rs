//! The aggregate: each service with its checks, asked over the links that
//! requests take.

use std::time::Duration;

use axum::{
    Json,
    body::to_bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use http::{StatusCode, header};
use kit::ApiError;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{forward::Services, routes::Upstream};

/// A service that takes longer to answer is not well.
const PATIENCE: Duration = Duration::from_secs(3);
const LARGEST_REPORT: usize = 64 * 1024;

/// GET `/health`: 200 when every service can serve, else 503.
pub async fn all(State(services): State<Services>) -> Response {
    let asked = Upstream::ALL.map(|upstream| {
        let services = services.clone();
        async move { (upstream, ask(&services, upstream).await) }
    });
    let answers = join_all(asked).await;
    let well = answers.iter().all(|(_, (status, _))| status.is_success());
    let degraded = answers
        .iter()
        .any(|(_, (_, report))| report["status"] == "degraded");
    let reports: Map<String, Value> = answers
        .into_iter()
        .map(|(upstream, (_, report))| (upstream.name().to_owned(), report))
        .collect();
    let (code, status) = match (well, degraded) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
        (true, true) => (StatusCode::OK, "degraded"),
        (true, false) => (StatusCode::OK, "healthy"),
    };
    answer(
        code,
        json!({ "status": status, "service": "gateway", "services": reports }),
    )
}

/// GET `/health/{service}`: that service's own report.
pub async fn one(State(services): State<Services>, Path(name): Path<String>) -> Response {
    match Upstream::ALL
        .into_iter()
        .find(|upstream| upstream.name() == name)
    {
        Some(upstream) => {
            let (code, report) = ask(&services, upstream).await;
            answer(code, report)
        }
        None => ApiError::not_found().into_response(),
    }
}

fn answer(code: StatusCode, report: Value) -> Response {
    (code, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

async fn ask(services: &Services, upstream: Upstream) -> (StatusCode, Value) {
    let report = timeout(PATIENCE, read(services, upstream)).await;
    report.ok().flatten().unwrap_or_else(|| {
        let report = json!({ "status": "unhealthy", "service": upstream.name(), "checks": { "reachable": "no answer" } });
        (StatusCode::SERVICE_UNAVAILABLE, report)
    })
}

async fn read(services: &Services, upstream: Upstream) -> Option<(StatusCode, Value)> {
    let answer = services.get(upstream, "/health/").await.ok()?;
    let status = answer.status();
    let body = to_bytes(answer.into_body(), LARGEST_REPORT).await.ok()?;
    Some((status, serde_json::from_slice(&body).ok()?))
}
