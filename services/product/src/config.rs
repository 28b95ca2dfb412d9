//! What the service is configured with.

use std::sync::Arc;

use kit::{Common, Env, auth::Verifier};

/// REST, unless `HTTP_PORT` says otherwise.
const HTTP_PORT: u16 = 8002;
/// gRPC, unless `GRPC_PORT` says otherwise.
const GRPC_PORT: u16 = 50052;
/// Where the data is, unless `DATABASE_URL` says otherwise.
const DATABASE_URL: &str = "sqlite://product-service.db?mode=rwc";
/// The user service in a lab whose ports were not moved.
const LAB_USER_SERVICE_URL: &str = "http://127.0.0.1:8001";

/// The service's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// Where the keys come from that tokens are checked with.
    pub verifier: Arc<Verifier>,
}

impl Config {
    /// Reads it; what is wrong is noted in `env`.
    pub fn read(env: &mut Env) -> Self {
        let common = Common::read(
            env,
            crate::NAME,
            HTTP_PORT,
            Some(GRPC_PORT),
            Some(DATABASE_URL),
        );
        let user_service = env.required_unless_lab("USER_SERVICE_URL", LAB_USER_SERVICE_URL);
        Self {
            common,
            verifier: Verifier::remote(&user_service),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_the_lab_nothing_secret_has_a_default() {
        let mut env = Env::from_pairs(&[]);
        let _ = Config::read(&mut env);
        let problems = env.finish().unwrap_err().to_string();
        for name in ["SERVICE_SECRET", "USER_SERVICE_URL"] {
            assert!(problems.contains(name), "{name}: {problems}");
        }
    }

    #[test]
    fn the_lab_starts_without_a_variable_but_its_own() {
        let mut env = Env::from_pairs(&[("LAB_MODE", "1")]);
        let config = Config::read(&mut env);
        env.finish().unwrap();
        assert_eq!(
            (config.common.http_port, config.common.grpc_port),
            (8002, Some(50052))
        );
        assert!(config.common.seed_sample_data);
    }
}
