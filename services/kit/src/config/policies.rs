//! What slots start with.

use std::time::Duration;

use resilience::{
    policy::{Policy, PolicySpec},
    server::{ServerPolicy, ServerSpec},
};
use serde_json::json;

use super::Env;

/// The preset first, then the variables.
pub(super) fn read_policy(env: &mut Env) -> Policy {
    let preset = env
        .text("RESILIENCE_PRESET")
        .unwrap_or_else(|| "shop".into());
    let mut changes = serde_json::Map::new();
    let mut retry = serde_json::Map::new();
    if let Some(n) = env.parse::<u32>("RETRY_MAX_ATTEMPTS") {
        retry.insert("max_attempts".into(), json!(n));
    }
    if let Some(ms) = env.parse::<u64>("RETRY_WAIT_MULTIPLIER_MS") {
        retry.insert(
            "base".into(),
            json!(duration_text(Duration::from_millis(ms))),
        );
    }
    if let Some(ms) = env.parse::<u64>("RETRY_WAIT_MAX_MS") {
        retry.insert(
            "cap".into(),
            json!(duration_text(Duration::from_millis(ms))),
        );
    }
    let mut breaker = serde_json::Map::new();
    if let Some(n) = env.parse::<u32>("CIRCUIT_BREAKER_FAIL_MAX") {
        breaker.insert("failures".into(), json!(n));
    }
    if let Some(s) = env.parse::<u64>("CIRCUIT_BREAKER_TIMEOUT") {
        breaker.insert("reset".into(), json!(duration_text(Duration::from_secs(s))));
    }
    changes.insert("preset".into(), json!(preset));
    for (name, part) in [("retry", retry), ("breaker", breaker)] {
        if !part.is_empty() {
            changes.insert(name.into(), part.into());
        }
    }
    resolve_policy(env, changes.into())
}

pub(super) fn read_server_policy(env: &mut Env) -> ServerPolicy {
    let preset = env
        .text("RESILIENCE_SERVER_PRESET")
        .unwrap_or_else(|| "unlimited".into());
    ServerSpec::preset(preset)
        .resolve()
        .unwrap_or_else(|error| {
            env.problem(format!("RESILIENCE_SERVER_PRESET: {error}"));
            resilience::server::preset::unlimited()
        })
}

fn resolve_policy(env: &mut Env, spec: serde_json::Value) -> Policy {
    let resolved = serde_json::from_value::<PolicySpec>(spec)
        .map_err(|error| error.to_string())
        .and_then(|spec| spec.resolve().map_err(|error| error.to_string()));
    resolved.unwrap_or_else(|error| {
        env.problem(format!(
            "RESILIENCE_PRESET, RETRY_… or CIRCUIT_BREAKER_…: {error}"
        ));
        resilience::preset::get("shop").unwrap_or_else(|| unreachable!("a preset of ours"))
    })
}

fn duration_text(d: Duration) -> String {
    format!("{}ms", d.as_millis())
}
