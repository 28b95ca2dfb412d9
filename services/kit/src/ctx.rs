use std::{convert::Infallible, net::IpAddr, sync::Arc};

use ::http::request::Parts;
use axum::extract::FromRequestParts;
use resilience::{deadline::Deadline, priority::Priority};

/// What travels with a request through the shop.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// `x-request-id`, taken or made.
    pub request_id: Arc<str>,
    /// Until when an answer is of use.
    pub deadline: Deadline,
    /// Who is served first when not everybody can be.
    pub priority: Priority,
    /// The client's address, behind the gateway as the gateway saw it.
    pub client: Option<IpAddr>,
    /// Whether the lab's load generator sent it (it presented the lab's token).
    pub trusted: bool,
    /// For whom it is, where that is known: the token's user, or whom the caller names.
    pub user: Option<i64>,
    /// Scheme and host as the client wrote them, for absolute links.
    pub origin: Arc<str>,
}

impl Ctx {
    /// The same, for that user.
    #[must_use]
    pub fn of_user(self, user: i64) -> Self {
        Self {
            user: Some(user),
            ..self
        }
    }

    /// A context of its own, for work that no request asked for.
    pub fn internal(request_id: &str) -> Self {
        Self {
            request_id: request_id.into(),
            deadline: Deadline::NONE,
            priority: Priority::default(),
            client: None,
            trusted: true,
            user: None,
            origin: "".into(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Ctx {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::internal("-")))
    }
}
