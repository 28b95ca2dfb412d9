//! Answers as the wire has them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Account;

/// An account as others see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserView {
    id: i64,
    username: String,
    email: String,
    first_name: String,
    last_name: String,
    /// ISO 8601, UTC.
    date_joined: String,
    /// On one's own account alone: `staff`, `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<String>>,
}

impl UserView {
    /// Somebody else's account.
    pub fn of(account: Account) -> Self {
        Self {
            id: account.id,
            username: account.username,
            email: account.email,
            first_name: account.first_name,
            last_name: account.last_name,
            date_joined: kit::time::iso(account.joined_ms),
            roles: None,
        }
    }

    /// One's own account.
    pub fn own(account: Account) -> Self {
        let roles = Some(account.roles.names());
        Self {
            roles,
            ..Self::of(account)
        }
    }
}

/// A text for people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    message: &'static str,
}

impl Message {
    /// With that text.
    pub fn new(message: &'static str) -> Self {
        Self { message }
    }
}

/// What a registration answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Registered {
    pub message: &'static str,
    pub user: UserView,
}

/// A page of accounts, for the document.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "kit's generic page carries the data; this describes it"
)]
pub struct UserPage {
    count: i64,
    next: Option<String>,
    previous: Option<String>,
    #[schema(inline)]
    results: Vec<UserView>,
}

/// The error body of the contract; field errors add one key a field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "kit's ApiError makes the body; this describes it")]
#[schema(as = Error)]
pub struct ErrorBody {
    /// For people; an object where said.
    detail: String,
    error: String,
    message: String,
    /// Stable, snake case.
    code: String,
    trace_id: String,
}
