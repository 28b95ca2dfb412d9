//! What this service is configured with: the only reader of its environment.

use kit::{Common, Env, crypto::FieldKeys};

/// Where the database is unless `DATABASE_URL` says otherwise.
pub const DATABASE: &str = "sqlite://order-service.db?mode=rwc";

/// Everything that `order-service` reads from its environment.
#[derive(Clone)]
pub struct Config {
    /// What all services share.
    pub common: Common,
    /// Base address of the user service's REST side, for its keys.
    pub user_url: String,
    /// The user service's gRPC side (link `order-user`).
    pub user_grpc_url: String,
    /// The product service's gRPC side (link `order-product`).
    pub product_grpc_url: String,
    /// Keys of the encrypted fields; the first encrypts.
    pub field_keys: FieldKeys,
}

impl Config {
    /// Reads the environment; problems are collected in `env`.
    pub fn read(env: &mut Env) -> Self {
        Self {
            common: Common::read(env, "order", 8003, None, Some(DATABASE)),
            user_url: env.required_unless_lab("USER_SERVICE_URL", "http://127.0.0.1:8001"),
            user_grpc_url: env
                .required_unless_lab("USER_SERVICE_GRPC_URL", "http://127.0.0.1:50051"),
            product_grpc_url: env
                .required_unless_lab("PRODUCT_SERVICE_GRPC_URL", "http://127.0.0.1:50052"),
            field_keys: FieldKeys::read(env),
        }
    }
}
