//! What the gateway is configured with.

use kit::{Common, Env};
use resilience::{Policy, PolicySpec};

use crate::routes::Upstream;

/// Everything the gateway is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all parts share.
    pub common: Common,
    /// Base address of each service.
    pub upstreams: [(Upstream, String); 3],
    /// What the slots of its callers start with.
    pub policy: Policy,
    /// Origins whose pages may call the API.
    pub cors_origins: Vec<String>,
}

impl Config {
    /// Reads the environment.
    pub fn read(env: &mut Env) -> Self {
        Self {
            upstreams: [
                (Upstream::User, upstream(env, "USER_SERVICE_URL", 8001)),
                (
                    Upstream::Product,
                    upstream(env, "PRODUCT_SERVICE_URL", 8002),
                ),
                (Upstream::Order, upstream(env, "ORDER_SERVICE_URL", 8003)),
            ],
            policy: policy(env),
            cors_origins: cors(env),
            // The gateway calls no gRPC service, so it needs no secret of theirs.
            common: Common::without_secret(env, "gateway", 8080),
        }
    }
}

fn upstream(env: &mut Env, name: &str, port: u16) -> String {
    let url = env
        .text(name)
        .unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
    let url = url.trim_end_matches('/').to_owned();
    match url::Url::parse(&url) {
        Ok(parsed) if parsed.scheme() == "http" && parsed.has_host() && parsed.path() == "/" => {}
        _ => env.problem(format!(
            "{name}={url:?} can't be used: it is http://host:port"
        )),
    }
    url
}

/// One attempt and a deadline longer than that of the services' own calls;
/// retrying belongs to one layer, and that is theirs.
fn policy(env: &mut Env) -> Policy {
    let text = r#"{ "preset": "none", "deadline": "15s" }"#;
    let spec = match env.text("GATEWAY_PRESET") {
        Some(preset) => serde_json::from_value(serde_json::Value::String(preset)),
        None => serde_json::from_str::<PolicySpec>(text),
    };
    let resolved = spec
        .map_err(|e| e.to_string())
        .and_then(|spec| spec.resolve().map_err(|e| e.to_string()));
    resolved.unwrap_or_else(|error| {
        env.problem(format!("GATEWAY_PRESET: {error}"));
        resilience::preset::get("none").unwrap_or_else(|| unreachable!("a preset of ours"))
    })
}

fn cors(env: &mut Env) -> Vec<String> {
    let list = env.text("CORS_ALLOWED_ORIGINS").unwrap_or_default();
    let origins: Vec<String> = list
        .split(',')
        .map(str::trim)
        .filter(|o| !o.is_empty())
        .map(str::to_owned)
        .collect();
    for origin in &origins {
        let whole =
            url::Url::parse(origin).is_ok_and(|u| u.origin().ascii_serialization() == *origin);
        if !whole {
            env.problem(format!(
                "CORS_ALLOWED_ORIGINS: {origin:?} is no origin: scheme://host[:port], no wildcard"
            ));
        }
    }
    origins
}
