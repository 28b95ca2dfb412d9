//! What the service is configured with.

use kit::{Common, Env};

/// Health, unless `HTTP_PORT` says otherwise.
const HTTP_PORT: u16 = 8004;
/// gRPC, unless `GRPC_PORT` says otherwise.
const GRPC_PORT: u16 = 50053;
/// Where the data is, unless `DATABASE_URL` says otherwise.
const DATABASE_URL: &str = "sqlite://payment-service.db?mode=rwc";

/// The service's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// Amounts above it are declined; none, nothing is.
    pub limit_cents: Option<i64>,
}

impl Config {
    /// Reads it; what is wrong is noted in `env`.
    pub fn read(env: &mut Env) -> Self {
        Self {
            common: Common::read(
                env,
                crate::NAME,
                HTTP_PORT,
                Some(GRPC_PORT),
                Some(DATABASE_URL),
            ),
            limit_cents: env.parse("PAYMENT_LIMIT_CENTS"),
        }
    }
}
