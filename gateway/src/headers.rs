//! What every answer says to browsers.

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderName, HeaderValue, Method, header};
use tower_http::{
    compression::{
        CompressionLayer, Predicate as _,
        predicate::{DefaultPredicate, NotForContentType},
    },
    cors::{AllowOrigin, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

use kit::Ctx;

use crate::origin::{Allowed, refuse_foreign};

/// Swagger UI and the pages bring their own files; nothing comes from elsewhere.
/// Swagger UI styles its widgets inline and draws icons from data URIs.
const CSP: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
     object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Browsers come back over TLS for a year (RFC 6797); sent over TLS alone.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

/// Puts security headers, CORS, gzip and the refusal of other sites' requests round the routes.
pub fn with_headers(router: Router, cors_origins: &[String]) -> Router {
    let allowed = Allowed(cors_origins.into());
    let router = router.layer(middleware::from_fn_with_state(allowed, refuse_foreign));
    // The others that every answer has are kit's.
    let router = router.layer(SetResponseHeaderLayer::if_not_present(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CSP),
    ));
    // A stream of server-sent events must not wait for a block to fill.
    let worth_it = DefaultPredicate::new().and(NotForContentType::const_new("text/event-stream"));
    router
        .layer(middleware::from_fn(hsts))
        .layer(cors(cors_origins))
        .layer(CompressionLayer::new().compress_when(worth_it))
}

async fn hsts(request: Request, next: Next) -> Response {
    let over_tls = request.extensions().get::<Ctx>();
    let over_tls = over_tls.is_some_and(|ctx| ctx.origin.starts_with("https://"));
    let mut answer = next.run(request).await;
    if over_tls {
        answer
            .headers_mut()
            .insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    answer
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("traceparent"),
        ])
        .expose_headers([
            header::RETRY_AFTER,
            header::AGE,
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-degraded"),
            HeaderName::from_static("ratelimit-limit"),
            HeaderName::from_static("ratelimit-remaining"),
            HeaderName::from_static("ratelimit-reset"),
        ])
        .max_age(std::time::Duration::from_secs(600))
}
