//! The contract's common HTTP rules, once for all services.

mod body;
mod door;
mod layer;
pub mod limits;
mod path;
pub mod serve;
mod slash;
mod trust;
mod wire;

use ::http::HeaderName;
use axum::{Router, extract::DefaultBodyLimit, middleware, response::Response};
use tower::{Layer as _, util::BoxCloneSyncService};
use tower_http::catch_panic::CatchPanicLayer;

use crate::ApiError;

pub use body::{BodyError, body_error};
pub(crate) use door::{Door, admit, watches};
pub use layer::{DEADLINE, FORWARDED_FOR, FORWARDED_PROTO, LAB_TOKEN, PRIORITY, REQUEST_ID};
pub(crate) use layer::{Rules, late, priority};
pub use trust::{Net, NetError, TrustedProxies};
pub use wire::{Bounds, Refusal};

/// Who calls, by the service's label. Our callers write it; the gateway drops a stranger's.
pub const CALLER: HeaderName = HeaderName::from_static("x-caller");
/// Which attempt of its call a request is: 1 for the first; a hedge counts as one.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-attempt");
/// For which user a call is made, where the caller knows it and no token says so.
pub const USER_ID: HeaderName = HeaderName::from_static("x-user-id");

/// The largest body, in bytes.
pub const BODY_LIMIT: usize = 1 << 20;
/// The longest deadline a caller can ask for.
pub const LONGEST_DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// A router with everything round it.
pub type App = BoxCloneSyncService<axum::extract::Request, Response, std::convert::Infallible>;

/// Puts the common rules round a router: request id, trace, metrics, deadline,
/// body limit, JSON errors, panics as 500, paths with one reading, and the trailing-slash rule.
pub(crate) fn with_rules(router: Router, rules: Rules) -> App {
    let router = router
        .fallback(|| async {
            ApiError::new(::http::StatusCode::NOT_FOUND, "not_found", "No such page.")
        })
        .layer(CatchPanicLayer::custom(layer::panicked))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(path::apply))
        .layer(middleware::from_fn_with_state(rules, layer::apply));
    let service = middleware::from_fn(slash::apply).layer(router);
    BoxCloneSyncService::new(service)
}
