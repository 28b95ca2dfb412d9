//! The gRPC face: what other services may ask.

use std::sync::Arc;

use proto::user::{
    UserInfo, ValidateUserRequest, ValidateUserResponse, user_service_server::UserService,
};
use tonic::{Request, Response, Status};

use crate::{core::Core, domain::Account, error::Error};

/// The service's full name, for health and reflection.
pub const NAME: &str = "user.UserService";

/// The service.
pub struct Grpc(pub Arc<Core>);

#[async_trait::async_trait]
impl UserService for Grpc {
    /// An unknown or inactive user is an OK answer with `valid` false.
    async fn validate_user(
        &self,
        request: Request<ValidateUserRequest>,
    ) -> Result<Response<ValidateUserResponse>, Status> {
        let asked = request.into_inner();
        tracing::debug!(
            user_id = asked.user_id,
            by = asked.requesting_service,
            "validate user"
        );
        if asked.user_id <= 0 {
            return Ok(invalid(asked.user_id));
        }
        match self.0.account(asked.user_id.into()).await {
            Ok(account) => Ok(Response::new(found(asked.user_id, account))),
            Err(Error::NoAccount) => Ok(invalid(asked.user_id)),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn found(id: i32, account: Account) -> ValidateUserResponse {
    ValidateUserResponse {
        valid: account.is_active,
        error_message: match account.is_active {
            true => String::new(),
            false => format!("User {id} is not active"),
        },
        user_info: Some(UserInfo {
            id,
            username: account.username,
            email: account.email,
            is_active: account.is_active,
        }),
    }
}

fn invalid(id: i32) -> Response<ValidateUserResponse> {
    Response::new(ValidateUserResponse {
        valid: false,
        user_info: None,
        error_message: format!("User {id} does not exist"),
    })
}

/// No text of a library leaves the service; a database that can't be reached is
/// worth a retry, everything else is not.
fn failed(error: &Error) -> Status {
    match error {
        Error::Database(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) => {
            tracing::warn!(%error, "validate user refused");
            Status::unavailable("the user database does not answer")
        }
        _ => {
            tracing::error!(%error, "validate user failed");
            Status::internal("internal error")
        }
    }
}
