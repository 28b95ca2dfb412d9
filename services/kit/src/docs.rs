//! Swagger UI from files that ship with us; nothing is loaded from elsewhere.

use axum::Router;
use utoipa::openapi::{
    OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The page under `/docs/<service>/` and its document beside it.
pub fn router(service: &str, mut document: OpenApi) -> Router {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let url = format!("/docs/{service}/openapi.json");
    let config = Config::new([url.clone()])
        .try_it_out_enabled(true)
        .persist_authorization(true)
        .validator_url("none");
    SwaggerUi::new(format!("/docs/{service}"))
        .url(url, document)
        .config(config)
        .into()
}
