//! What the gateway is configured with.

use kit::{Common, Env, replicas};
use resilience::{Policy, PolicySpec};

use crate::routes::Upstream;

/// Everything the gateway is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all parts share.
    pub common: Common,
    /// Base address of each service, of each of its replicas where there are several.
    pub upstreams: [(Upstream, Vec<String>); 3],
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
            common: Common::of_gateway(env, "gateway", 8080),
        }
    }
}

fn upstream(env: &mut Env, name: &str, port: u16) -> Vec<String> {
    let list = env
        .text(name)
        .unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
    let urls = replicas::addresses(&list);
    if urls.is_empty() || !urls.iter().all(|url| is_base(url)) {
        env.problem(format!(
            "{name}={list:?} can't be used: it is http://host:port, of several replicas with \
             commas between"
        ));
    }
    urls
}

fn is_base(url: &str) -> bool {
    url::Url::parse(url)
        .is_ok_and(|url| url.scheme() == "http" && url.has_host() && url.path() == "/")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let mut env = Env::from_pairs(&[&[("LAB_MODE", "1")], pairs].concat());
        let config = Config::read(&mut env);
        env.finish().map(|()| config).map_err(|e| e.to_string())
    }

    #[test]
    fn a_service_has_one_address_or_one_for_each_replica() {
        let list = "http://127.0.0.1:1/, http://127.0.0.1:2";
        let config = read(&[("PRODUCT_SERVICE_URL", list)]).unwrap();
        let [user, product, _] = config.upstreams;
        assert_eq!(user.1, ["http://127.0.0.1:8001"]);
        assert_eq!(product.1, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        for wrong in ["http://a:1,ftp://b:2", ",", "http://a:1/api"] {
            let error = read(&[("PRODUCT_SERVICE_URL", wrong)]).unwrap_err();
            assert!(error.contains("PRODUCT_SERVICE_URL"), "{error}");
        }
    }

    #[test]
    fn a_deadline_of_its_own_is_all_that_the_gateway_starts_with() {
        let policy = read(&[]).unwrap().policy;
        assert_eq!(policy.deadline, Some(std::time::Duration::from_secs(15)));
        assert!(policy.retry.is_none() && policy.propagate_deadline);
    }
}
