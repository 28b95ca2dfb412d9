use ::http::{Method, StatusCode, Uri, header, uri::PathAndQuery};
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::path::has_one_reading;

/// Paths of the API end with a slash: without it GET is sent there (308), other
/// methods are served as if it were there.
pub(super) async fn apply(mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let ours = path.starts_with("/api/");
    if !ours || path.ends_with('/') || !has_one_reading(path) {
        return next.run(request).await;
    }
    let Some(slashed) = with_slash(request.uri()) else {
        return next.run(request).await;
    };
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let to = slashed
            .path_and_query()
            .map_or("/", PathAndQuery::as_str)
            .to_owned();
        return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response();
    }
    *request.uri_mut() = slashed;
    next.run(request).await
}

fn with_slash(uri: &Uri) -> Option<Uri> {
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}/{query}", uri.path()).parse().ok()?);
    Uri::from_parts(parts).ok()
}
