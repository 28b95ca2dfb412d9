//! What the service is configured with.

use std::path::PathBuf;

use kit::{Common, Env, crypto::FieldKeys};

/// REST, unless `HTTP_PORT` says otherwise.
const HTTP_PORT: u16 = 8001;
/// gRPC, unless `GRPC_PORT` says otherwise.
const GRPC_PORT: u16 = 50051;
/// Where the data is, unless `DATABASE_URL` says otherwise.
const DATABASE_URL: &str = "sqlite://user-service.db?mode=rwc";
/// Where the signing key is, unless `JWT_PRIVATE_KEY_PATH` says otherwise.
const PRIVATE_KEY_PATH: &str = "keys/jwt-private.pem";

/// The service's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// The file of the signing key; made at first start.
    pub private_key_path: PathBuf,
    /// What second-factor secrets are sealed with.
    pub field_keys: FieldKeys,
    /// Whether the sample accounts may exist and be used: in lab mode alone, since
    /// everybody knows their password.
    pub sample_accounts: bool,
    /// `APP_ENV=production`: a database that has sample accounts is refused.
    pub production: bool,
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
        let sample_accounts = env.lab_mode();
        if common.seed_sample_data && !sample_accounts {
            env.problem(
                "SEED_SAMPLE_DATA=1 is for LAB_MODE=1 alone: everybody knows the sample password",
            );
        }
        let key_path = env.text("JWT_PRIVATE_KEY_PATH");
        Self {
            common,
            private_key_path: key_path
                .unwrap_or_else(|| PRIVATE_KEY_PATH.to_owned())
                .into(),
            field_keys: FieldKeys::read(env),
            sample_accounts,
            production: env.production(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_the_lab_nothing_secret_has_a_default() {
        let mut env = Env::from_pairs(&[("SEED_SAMPLE_DATA", "1")]);
        let config = Config::read(&mut env);
        assert!(!config.sample_accounts);
        let problems = env.finish().unwrap_err().to_string();
        for name in [
            "SERVICE_SECRET",
            "FIELD_ENCRYPTION_KEYS",
            "SEED_SAMPLE_DATA",
        ] {
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
            (8001, Some(50051))
        );
        assert!(config.common.seed_sample_data && config.sample_accounts);
    }
}
