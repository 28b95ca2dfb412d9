//! What a service's books say: `GET /lab/integrity`, for the checker of docs/INTEGRITY_CHECKER.md.

use std::{future::Future, sync::Arc};

use ::http::StatusCode;
use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::control::refuse;
use crate::{ApiError, ApiResult};

type Tell = Arc<dyn Fn(Option<&'static str>) -> BoxFuture<'static, ApiResult<Value>> + Send + Sync>;

/// A service's books, and the parts of them that can be asked for alone.
#[derive(Clone)]
pub(crate) struct Books {
    parts: &'static [&'static str],
    tell: Tell,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    only: Option<String>,
}

impl Books {
    /// `tell` gets the part that is asked for, or none for everything.
    pub(crate) fn new<F>(
        parts: &'static [&'static str],
        tell: impl Fn(Option<&'static str>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Value, ApiError>> + Send + 'static,
    {
        let tell: Tell = Arc::new(move |only| Box::pin(tell(only)));
        Self { parts, tell }
    }

    /// The part that a request names, as this service has it.
    fn part(&self, asked: Option<String>) -> Result<Option<&'static str>, String> {
        let Some(asked) = asked else { return Ok(None) };
        let known = self.parts.iter().find(|part| **part == asked);
        let known = known.ok_or_else(|| match self.parts {
            [] => format!("`only` {asked:?}: these books have no parts"),
            parts => format!("`only` {asked:?}: there are: {}", parts.join(", ")),
        });
        known.map(|part| Some(*part))
    }
}

/// The route. A part of the shop without books says who has them.
pub(super) fn router(books: Option<Books>) -> Router {
    match books {
        Some(books) => Router::new()
            .route("/lab/integrity", get(told))
            .with_state(books),
        None => Router::new().route("/lab/integrity", get(|| async { no_books() })),
    }
}

fn no_books() -> Response {
    refuse(
        StatusCode::NOT_FOUND,
        "this part keeps no books; product-service, order-service and payment-service do",
    )
}

async fn told(State(books): State<Books>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let part = asked
        .map_err(|error| error.to_string())
        .and_then(|Query(asked)| books.part(asked.only));
    match part {
        Err(why) => refuse(StatusCode::BAD_REQUEST, why),
        Ok(part) => match (books.tell)(part).await {
            Ok(told) => Json(told).into_response(),
            Err(error) => error.into_response(),
        },
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::Request};
    use serde_json::json;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(books: Option<Books>, uri: &str) -> (u16, Value) {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let answer = router(books).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await;
        (status, serde_json::from_slice(&body.unwrap()).unwrap())
    }

    fn books(parts: &'static [&'static str]) -> Option<Books> {
        Some(Books::new(parts, |only| async move {
            match only {
                Some("broken") => Err(ApiError::unavailable(None)),
                only => Ok(json!({ "only": only })),
            }
        }))
    }

    #[tokio::test]
    async fn everything_or_a_part_of_it_is_told() {
        let parts = &["stock", "broken"];
        let all = ask(books(parts), "/lab/integrity").await;
        assert_eq!(all, (200, json!({ "only": null })));
        let stock = ask(books(parts), "/lab/integrity?only=stock").await;
        assert_eq!(stock, (200, json!({ "only": "stock" })));
        let broken = ask(books(parts), "/lab/integrity?only=broken").await;
        assert_eq!(broken.0, 503);
    }

    #[tokio::test]
    async fn what_is_not_there_is_named() {
        let (status, body) = ask(books(&["stock", "x"]), "/lab/integrity?only=y").await;
        assert_eq!(status, 400);
        assert!(body["error"].as_str().unwrap().contains("stock, x"));
        let (status, body) = ask(books(&[]), "/lab/integrity?only=y").await;
        assert_eq!(status, 400);
        assert!(body["error"].as_str().unwrap().contains("no parts"));
        let (status, body) = ask(books(&[]), "/lab/integrity?all=1").await;
        assert_eq!(status, 400);
        assert!(body["error"].as_str().unwrap().contains("all"), "{body}");
        assert_eq!(ask(None, "/lab/integrity").await.0, 404);
    }
}
