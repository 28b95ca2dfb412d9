//! The service's door for HTTP: under overload some requests are turned away here, before any
//! work is done for them.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use resilience::server::{Arrival, End, ServerSlot, Shed};

use crate::{
    ApiError, Ctx,
    lab::faults::{Faults, Held},
};

/// The door, and the faults behind it.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) slot: ServerSlot,
    pub(crate) faults: Option<Faults>,
}

/// Waits for a place, serves, and tells the door how it went. Dropped in between, the caller has
/// gone, which the door hears by itself.
pub(crate) async fn admit(
    State(Door { slot, faults }): State<Door>,
    mut request: Request,
    next: Next,
) -> Response {
    let ctx = request
        .extensions()
        .get::<Ctx>()
        .cloned()
        .unwrap_or_else(|| Ctx::internal("-"));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    if watches(route) {
        return next.run(request).await;
    }
    let arrival = Arrival {
        method: route,
        request_id: &ctx.request_id,
        priority: ctx.priority,
        deadline: ctx.deadline,
    };
    let place = match slot.admit(arrival).await {
        Ok(place) => place,
        Err(shed) => return turned_away(&shed),
    };
    let place = Held::new(place, faults.as_ref(), request.extensions_mut());
    let answer = next.run(request).await;
    place.finish(end(&answer));
    answer
}

/// Whoever watches a service must see it under overload too.
pub(crate) fn watches(route: &str) -> bool {
    route.starts_with("/health") || matches!(route, "/livez" | "/readyz")
}

fn turned_away(shed: &Shed) -> Response {
    ApiError::unavailable(Some(shed.retry_after))
        .source(shed)
        .into_response()
}

/// A 5xx may be quick because it did nothing: its time teaches the limit nothing.
fn end(answer: &Response) -> End {
    if answer.status().is_server_error() {
        End::Ignore
    } else {
        End::Ok
    }
}
