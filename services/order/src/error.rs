//! What can go wrong with an order, and what the wire says of it.

use crate::domain::{BasketError, Shortage, Status};
use http::StatusCode;
use kit::{ApiError, crypto};
use resilience::{CallError, Classify as _, FailureKind};
use serde_json::json;

/// Everything that ends a request of this service early.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The lines asked for can't be an order.
    #[error("the lines are not valid: {}", .0.join(" "))]
    Lines(Vec<String>),
    /// The `Idempotency-Key` header is too long.
    #[error("the idempotency key has more than 255 characters")]
    KeyTooLong,
    /// The key was used for another body.
    #[error("the idempotency key was used for another body")]
    KeyReused,
    /// The key's first request is under way.
    #[error("the idempotency key's first request is under way")]
    KeyInFlight,
    /// The payment service does not set the amount aside.
    #[error("the payment was declined")]
    PaymentDeclined,
    /// Recovery took the saga over: what becomes of the order is open.
    #[error("the order's saga was taken over")]
    SagaLost,
    /// An order can't go from the one to the other.
    #[error("an order that is {from} can't become {to}", from = .from.as_str(), to = .to.as_str())]
    NotAllowed {
        /// Where it stands.
        from: Status,
        /// Where it was to go.
        to: Status,
    },
    /// The user service does not let this user order.
    #[error("user {user_id} may not order: {reason}")]
    User {
        /// Who wanted to order.
        user_id: i64,
        /// What the user service says.
        reason: String,
    },
    /// The catalogue does not have these products.
    #[error("unknown products {0:?}")]
    UnknownProducts(Vec<i32>),
    /// Too few units can be sold.
    #[error("too little stock: {0:?}")]
    Shortage(Vec<Shortage>),
    /// A dependency was not reached, or the call was refused on our side.
    #[error("call to {dependency} failed: {error}")]
    Call {
        /// Whom we called.
        dependency: &'static str,
        /// How it ended.
        error: CallError<tonic::Status>,
    },
    /// A dependency answered, but not what its contract says.
    #[error("{dependency} answered nonsense: {what}")]
    BadAnswer {
        /// Whom we called.
        dependency: &'static str,
        /// What was wrong with the answer.
        what: String,
    },
    /// The request's deadline passed before the order was stored.
    #[error("the deadline passed before the order was stored")]
    DeadlinePassed,
    /// There is no such order, or it is not the caller's.
    #[error("no such order")]
    NotFound,
    /// The database.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// An encrypted field can't be read or written.
    #[error("encrypted field of order {order_key}: {error}")]
    Field {
        /// Whose field.
        order_key: String,
        /// What the cipher says.
        error: crypto::CryptoError,
    },
    /// A stored row breaks a rule of ours.
    #[error("order {order_id} is stored wrongly: {what}")]
    Stored {
        /// Which row.
        order_id: i64,
        /// What is wrong with it.
        what: String,
    },
    /// The task that finishes an order ended without an answer.
    #[error("the order's task ended without an answer")]
    TaskLost,
}

/// What this crate's functions return.
pub type Result<T, E = OrderError> = std::result::Result<T, E>;

impl OrderError {
    /// Whether the dependency may have acted on a call that ended so: false only
    /// when it surely never saw it.
    pub fn may_have_happened(&self) -> bool {
        let Self::Call { error, .. } = self else {
            return true;
        };
        match error {
            CallError::Failed { error, attempts } => {
                *attempts > 1 || error.failure() != FailureKind::NotProcessed
            }
            CallError::TimedOut { .. } => true,
            CallError::Rejected { attempts, .. } => *attempts > 0,
        }
    }

    /// Whether our clock ended a call that may still be under way at the other end.
    pub fn was_cut_short(&self) -> bool {
        matches!(
            self,
            Self::Call {
                error: CallError::TimedOut { .. },
                ..
            }
        )
    }

    /// The label of `shop_orders_total` for an order that ended so.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Lines(_) | Self::KeyTooLong => "invalid",
            Self::KeyReused | Self::KeyInFlight => "repeated",
            Self::PaymentDeclined => "payment_declined",
            Self::User { .. } => "user_rejected",
            Self::UnknownProducts(_) => "product_unknown",
            Self::Shortage(_) => "out_of_stock",
            Self::Call {
                error: CallError::Rejected { .. },
                ..
            } => "refused",
            Self::Call { .. } | Self::BadAnswer { .. } | Self::DeadlinePassed => {
                "dependency_failed"
            }
            Self::NotFound
            | Self::NotAllowed { .. }
            | Self::SagaLost
            | Self::Database(_)
            | Self::Field { .. }
            | Self::Stored { .. }
            | Self::TaskLost => "failed",
        }
    }
}

impl From<BasketError> for OrderError {
    fn from(error: BasketError) -> Self {
        match error {
            BasketError::Unknown(ids) => Self::UnknownProducts(ids),
            other => Self::Lines(vec![other.to_string()]),
        }
    }
}

impl From<OrderError> for ApiError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Lines(problems) => lines_error(&problems),
            OrderError::KeyTooLong => Self::bad_request(
                "idempotency_key_too_long",
                "The Idempotency-Key header may have 255 characters at most.",
            ),
            OrderError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another order.",
            ),
            OrderError::KeyInFlight => Self::new(
                StatusCode::CONFLICT,
                "idempotency_key_in_flight",
                "The first request with this Idempotency-Key is under way.",
            ),
            OrderError::PaymentDeclined => {
                Self::bad_request("payment_declined", "The payment was declined.")
                    .error("Payment declined")
            }
            OrderError::NotAllowed { from, to } => not_allowed(from, to),
            lost @ OrderError::SagaLost => not_answered(lost.to_string()),
            OrderError::User { reason, .. } => {
                Self::bad_request("user_validation_failed", reason).error("User validation failed")
            }
            OrderError::UnknownProducts(ids) => unknown_products(&ids),
            OrderError::Shortage(shortages) => too_little_stock(&shortages),
            OrderError::Call { error, .. } => kit::error::from_call(error),
            OrderError::NotFound => Self::not_found(),
            OrderError::Database(error) => error.into(),
            OrderError::DeadlinePassed => not_answered(OrderError::DeadlinePassed.to_string()),
            bad @ OrderError::BadAnswer { .. } => not_answered(bad.to_string()),
            other @ (OrderError::Field { .. }
            | OrderError::Stored { .. }
            | OrderError::TaskLost) => Self::internal(other),
        }
    }
}

/// The same answer as for a call that failed after its retries.
fn not_answered(cause: String) -> ApiError {
    kit::error::from_call(CallError::Failed {
        error: tonic::Status::internal(cause),
        attempts: 1,
    })
}

fn not_allowed(from: Status, to: Status) -> ApiError {
    let (from, to) = (from.as_str(), to.as_str());
    let message = format!("An order that is {from} can't become {to}.");
    ApiError::bad_request("status_not_allowed", message.clone())
        .error("Validation failed")
        .field("status", message)
}

fn lines_error(problems: &[String]) -> ApiError {
    let message = problems.first().map_or("Invalid input.", String::as_str);
    let error = ApiError::bad_request("invalid", message)
        .error("Validation failed")
        .detail(json!({ "items": problems }));
    problems.iter().fold(error, |error, problem| {
        error.field("items", problem.as_str())
    })
}

fn unknown_products(ids: &[i32]) -> ApiError {
    let names: Vec<String> = ids
        .iter()
        .map(|id| format!("Product {id} does not exist."))
        .collect();
    ApiError::bad_request("product_validation_failed", names.join(" "))
        .error("Product validation failed")
}

fn too_little_stock(shortages: &[Shortage]) -> ApiError {
    let lines: Vec<String> = shortages
        .iter()
        .map(|s| {
            format!(
                "Insufficient inventory for product {}: {} left.",
                s.product_id, s.left
            )
        })
        .collect();
    ApiError::bad_request("insufficient_inventory", lines.join(" ")).error("Insufficient inventory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use resilience::Reason;

    fn call(error: CallError<tonic::Status>) -> OrderError {
        OrderError::Call {
            dependency: "product",
            error,
        }
    }

    #[test]
    fn only_a_call_that_was_surely_never_seen_needs_no_undoing() {
        let rejected = |attempts| {
            call(CallError::Rejected {
                reason: Reason::Breaker,
                retry_after: None,
                attempts,
                last: None,
            })
        };
        assert!(!rejected(0).may_have_happened());
        assert!(rejected(1).may_have_happened());
        assert!(call(CallError::TimedOut { attempts: 1 }).may_have_happened());
        let failed = |attempts| {
            call(CallError::Failed {
                error: tonic::Status::deadline_exceeded("late"),
                attempts,
            })
        };
        assert!(failed(1).may_have_happened());
        assert!(
            OrderError::BadAnswer {
                dependency: "product",
                what: "x".into()
            }
            .may_have_happened()
        );
    }
}
