//! Configuration from environment variables.
//!
//! All problems are collected and named together, with what to do, before
//! anything is started; an unknown variable with one of our prefixes is a
//! problem too, since it is nearly always a typing error.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use resilience::{policy::Policy, server::ServerPolicy};
use secrecy::SecretString;

mod drain;
mod policies;
mod production;

use crate::{
    http::{TrustedProxies, limits::Quotas},
    tls::Tls,
};

use policies::{read_policy, read_server_policy};

/// Variables that start so are ours: one that nobody reads is a typing error.
const PREFIXES: [&str; 16] = [
    "LAB_",
    "DRAIN_",
    "RATE_LIMIT_",
    "GATEWAY_TLS_",
    "RETRY_",
    "CIRCUIT_BREAKER_",
    "RESILIENCE_",
    "GRPC_TLS_",
    "JWT_",
    "FIELD_ENCRYPTION_",
    "USER_SERVICE_",
    "PRODUCT_SERVICE_",
    "PAYMENT_",
    "OUTBOX_",
    "ORDER_SAGA_",
    "ORDER_KEY_",
];

/// Known to the project but not read by every part: never a problem.
const KNOWN: [&str; 35] = [
    "APP_ENV",
    "DRAIN_NOTICE_MS",
    "TRUSTED_PROXIES",
    "RATE_LIMIT_ANONYMOUS",
    "RATE_LIMIT_USER",
    "RATE_LIMIT_STAFF",
    "RATE_LIMIT_LOGIN",
    "GATEWAY_TLS_CERT",
    "GATEWAY_TLS_KEY",
    "LAB_MODE",
    "LAB_CONTROL_PORT",
    "LAB_TOKEN",
    "LAB_WATCH_STDIN",
    "LAB_REQUIRE_ALL",
    "RETRY_MAX_ATTEMPTS",
    "RETRY_WAIT_MULTIPLIER_MS",
    "RETRY_WAIT_MAX_MS",
    "CIRCUIT_BREAKER_FAIL_MAX",
    "CIRCUIT_BREAKER_TIMEOUT",
    "RESILIENCE_PRESET",
    "RESILIENCE_SERVER_PRESET",
    "GRPC_PORT",
    "GRPC_TLS_CERT",
    "GRPC_TLS_KEY",
    "GRPC_TLS_CA",
    "JWT_PRIVATE_KEY_PATH",
    "FIELD_ENCRYPTION_KEYS",
    "FIELD_ENCRYPTION_KEY",
    "USER_SERVICE_URL",
    "USER_SERVICE_GRPC_URL",
    "PRODUCT_SERVICE_URL",
    "PRODUCT_SERVICE_GRPC_URL",
    "ORDER_SERVICE_URL",
    "PAYMENT_SERVICE_GRPC_URL",
    "SERVICE_SECRET",
];

/// The environment of a process, and what was found wrong with it.
#[derive(Debug)]
pub struct Env {
    values: BTreeMap<String, String>,
    problems: Vec<String>,
    read: BTreeSet<String>,
}

/// Everything that was wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration can't be used:")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl Env {
    /// This process's variables.
    pub fn process() -> Self {
        Self::new(
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    /// Made up, for tests.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self::new(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
    }

    fn new(pairs: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            values: pairs.collect(),
            problems: Vec::new(),
            read: BTreeSet::new(),
        }
    }

    /// A variable's text; an empty one counts as absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.read.insert(name.to_owned());
        self.values
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    /// A variable that must be there; its absence is a problem.
    pub fn required(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.problem(format!(
                "{name} is missing: set it (see docs/CONFIGURATION.md)"
            ));
            String::new()
        })
    }

    /// A variable that must be there outside of lab mode, where `lab` stands in.
    pub fn required_unless_lab(&mut self, name: &str, lab: &str) -> String {
        match self.text(name) {
            Some(value) => value,
            None if self.lab_mode() => lab.to_owned(),
            None => self.required(name),
        }
    }

    /// A variable as a value; what can't be read is a problem.
    pub fn parse<T: FromStr>(&mut self, name: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(format!("{name}={text:?} can't be read: {error}"));
                None
            }
        }
    }

    /// [`Env::parse`] with a default.
    pub fn parse_or<T: FromStr>(&mut self, name: &str, default: T) -> T
    where
        T::Err: fmt::Display,
    {
        self.parse(name).unwrap_or(default)
    }

    /// Whether `LAB_MODE` is on (`1` or `true`).
    pub fn lab_mode(&self) -> bool {
        self.values
            .get("LAB_MODE")
            .is_some_and(|v| v == "1" || v == "true")
    }

    /// Whether `APP_ENV` is `production`.
    pub fn production(&self) -> bool {
        self.values
            .get("APP_ENV")
            .is_some_and(|v| v == "production")
    }

    /// Notes a problem.
    pub fn problem(&mut self, message: impl Into<String>) {
        self.problems.push(message.into());
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem, unknown variables of ours included.
    pub fn finish(mut self) -> Result<(), ConfigError> {
        let unknown: Vec<String> = self
            .values
            .keys()
            .filter(|name| PREFIXES.iter().any(|p| name.starts_with(p)))
            .filter(|name| !self.read.contains(*name) && !KNOWN.contains(&name.as_str()))
            .map(|name| unknown_variable(name))
            .collect();
        self.problems.extend(unknown);
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(self.problems))
        }
    }
}

fn unknown_variable(name: &str) -> String {
    let nearest = KNOWN
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.8);
    match nearest {
        Some((_, known)) => format!("{name} is no variable of ours: did you mean {known}?"),
        None => format!("{name} is no variable of ours: remove it"),
    }
}

/// The lab's way in: present only when the process was started in lab mode.
#[derive(Clone, Debug)]
pub struct LabConfig {
    /// Port of the control API; 0 lets the system choose.
    pub port: u16,
    /// Bearer token of the control API, and of the load's trusted headers.
    pub token: SecretString,
}

/// What all services are configured with.
#[derive(Clone, Debug)]
pub struct Common {
    /// The service's label: `user`, `product`, `order`, `gateway`.
    pub name: &'static str,
    /// Address all listeners bind.
    pub bind: IpAddr,
    /// REST port; 0 lets the system choose.
    pub http_port: u16,
    /// gRPC port, where the service has one.
    pub grpc_port: Option<u16>,
    /// Prometheus port; none, no listener.
    pub metrics_port: Option<u16>,
    /// Database address, where the service has one.
    pub database_url: Option<String>,
    /// What gRPC callers must present.
    pub service_secret: SecretString,
    /// Certificates for the calls between services, where they are configured.
    pub grpc_tls: Option<Arc<Tls>>,
    /// The certificate that REST is served with, where there is one.
    pub http_tls: Option<Arc<Tls>>,
    /// Whose word about a client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// How many requests who may send.
    pub rate_limits: Quotas,
    /// Present in lab mode alone.
    pub lab: Option<LabConfig>,
    /// What client slots start with.
    pub policy: Policy,
    /// What the slot at the service's door starts with.
    pub server_policy: ServerPolicy,
    /// How long it still takes work after it was told to end, while it says already that it takes
    /// none: callers turn to another replica meanwhile.
    pub drain_notice: Duration,
    /// Whether the sample data is made at first start.
    pub seed_sample_data: bool,
    /// `tracing` filter.
    pub log_level: String,
    /// OTLP/gRPC collector, where traces are wanted.
    pub otlp_endpoint: Option<String>,
}

impl Common {
    /// Reads what all services share.
    pub fn read(
        env: &mut Env,
        name: &'static str,
        default_http: u16,
        default_grpc: Option<u16>,
        default_database: Option<&str>,
    ) -> Self {
        let service_secret = read_secret(env);
        Self {
            service_secret,
            grpc_tls: Tls::read(env, "GRPC_TLS", true),
            trusted_proxies: env.parse_or("TRUSTED_PROXIES", TrustedProxies::loopback()),
            rate_limits: Quotas::read(env, Quotas::SERVICE),
            ..Self::shared(env, name, default_http, default_grpc, default_database)
        }
    }

    fn shared(
        env: &mut Env,
        name: &'static str,
        default_http: u16,
        default_grpc: Option<u16>,
        default_database: Option<&str>,
    ) -> Self {
        production::check(env);
        Self {
            name,
            bind: env.parse_or("BIND", IpAddr::V4(Ipv4Addr::LOCALHOST)),
            http_port: env.parse_or("HTTP_PORT", default_http),
            grpc_port: default_grpc.map(|port| env.parse_or("GRPC_PORT", port)),
            metrics_port: env.parse("METRICS_PORT"),
            database_url: default_database
                .map(|url| env.text("DATABASE_URL").unwrap_or_else(|| url.to_owned())),
            service_secret: SecretString::default(),
            grpc_tls: None,
            http_tls: None,
            trusted_proxies: TrustedProxies::default(),
            rate_limits: Quotas::UNLIMITED,
            lab: read_lab(env),
            policy: read_policy(env),
            server_policy: read_server_policy(env),
            drain_notice: drain::read_notice(env),
            seed_sample_data: read_flag(env, "SEED_SAMPLE_DATA"),
            log_level: env.text("LOG_LEVEL").unwrap_or_else(|| "info".into()),
            otlp_endpoint: env.text("OTEL_EXPORTER_OTLP_ENDPOINT"),
        }
    }

    /// [`Common::read`] for the gateway: no gRPC calls, TLS towards browsers, no proxy in front of
    /// it unless one is named, and coarse limits.
    pub fn of_gateway(env: &mut Env, name: &'static str, default_http: u16) -> Self {
        Self {
            http_tls: Tls::read(env, "GATEWAY_TLS", false),
            trusted_proxies: env.parse_or("TRUSTED_PROXIES", TrustedProxies::default()),
            rate_limits: Quotas::read(env, Quotas::GATEWAY),
            ..Self::shared(env, name, default_http, None, None)
        }
    }

    /// Free ports, lab mode with the token `test-token`, the secret
    /// `test-secret`; for tests.
    pub fn for_test(name: &'static str) -> Self {
        Self {
            name,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_port: 0,
            grpc_port: Some(0),
            metrics_port: None,
            database_url: None,
            service_secret: SecretString::from("test-secret"),
            grpc_tls: None,
            http_tls: None,
            trusted_proxies: TrustedProxies::loopback(),
            rate_limits: Quotas::UNLIMITED,
            lab: Some(LabConfig {
                port: 0,
                token: SecretString::from("test-token"),
            }),
            policy: resilience::preset::get("fast")
                .unwrap_or_else(|| unreachable!("a preset of ours")),
            server_policy: resilience::server::preset::unlimited(),
            drain_notice: Duration::ZERO,
            seed_sample_data: false,
            log_level: "warn".into(),
            otlp_endpoint: None,
        }
    }
}

fn read_secret(env: &mut Env) -> SecretString {
    SecretString::from(env.required_unless_lab("SERVICE_SECRET", production::LAB_SECRET))
}

fn read_flag(env: &mut Env, name: &str) -> bool {
    match env.text(name).as_deref() {
        None => env.lab_mode(),
        Some("1" | "true") => true,
        Some("0" | "false") => false,
        Some(other) => {
            env.problem(format!("{name}={other:?} can't be read: it is 1 or 0"));
            false
        }
    }
}

fn read_lab(env: &mut Env) -> Option<LabConfig> {
    let port = env.parse("LAB_CONTROL_PORT");
    let token = env.text("LAB_TOKEN");
    if !env.lab_mode() {
        return None;
    }
    match (port, token) {
        (Some(port), Some(token)) => Some(LabConfig {
            port,
            token: SecretString::from(token),
        }),
        (None, None) => None,
        _ => {
            env.problem("LAB_CONTROL_PORT and LAB_TOKEN go together: set both or neither");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_is_named_outside_lab_mode() {
        let mut env = Env::from_pairs(&[]);
        let _ = Common::read(&mut env, "user", 8001, Some(50051), None);
        let text = env.finish().unwrap_err().to_string();
        assert!(text.contains("SERVICE_SECRET is missing"), "{text}");
    }

    #[test]
    fn a_mistyped_variable_is_named_with_what_was_meant() {
        let mut env = Env::from_pairs(&[("LAB_MODE", "1"), ("RETRY_MAX_ATEMPTS", "3")]);
        let _ = Common::read(&mut env, "user", 8001, Some(50051), None);
        let text = env.finish().unwrap_err().to_string();
        assert!(text.contains("did you mean RETRY_MAX_ATTEMPTS?"), "{text}");
    }

    #[test]
    fn variables_change_the_preset() {
        let mut env = Env::from_pairs(&[
            ("LAB_MODE", "1"),
            ("RESILIENCE_PRESET", "shop"),
            ("RETRY_MAX_ATTEMPTS", "7"),
            ("CIRCUIT_BREAKER_TIMEOUT", "3"),
        ]);
        let common = Common::read(&mut env, "order", 8003, None, None);
        env.finish().unwrap();
        let policy = serde_json::to_value(&common.policy).unwrap();
        assert_eq!(policy["retry"]["max_attempts"], 7);
        assert_eq!(policy["breaker"]["reset"], "3s");
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut env = Env::from_pairs(&[
            ("LAB_MODE", "1"),
            ("HTTP_PORT", "x"),
            ("RESILIENCE_PRESET", "fst"),
        ]);
        let _ = Common::read(&mut env, "user", 8001, None, None);
        let ConfigError(problems) = env.finish().unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
