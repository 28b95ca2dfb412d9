//! The shop, or another system, as the engine knows it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use chaos_engine::Target;

use crate::state::State;

/// The shop: addresses by the short names of its parts, `user`, `product.2`.
///
/// # Errors
/// When a part is missing.
pub fn of_shop(state: &State, token: &str) -> Result<Target> {
    let url = |text: &str| text.parse().with_context(|| format!("{text} is not a URL"));
    let part = |name: &str| {
        state
            .part(name)
            .with_context(|| format!("the lab has no {name}"))
    };
    let mut target = Target {
        kind: "embedded".to_owned(),
        entry: url(&part("gateway")?.url)?,
        lab_token: token.to_owned(),
        control: Default::default(),
        metrics: Default::default(),
        proxy_api: url(&part("toxiproxy")?.url)?,
        pids: Default::default(),
        processes: None,
    };
    for part in &state.parts {
        let name = part.name.replacen("-service", "", 1);
        if let Some(control) = &part.control {
            target.control.insert(name.clone(), url(control)?);
        }
        if let Some(metrics) = &part.metrics {
            target.metrics.insert(name.clone(), url(metrics)?);
        }
        if let Some(pid) = part.pid {
            target.pids.insert(name, pid);
        }
    }
    Ok(target)
}

/// The system that a file describes.
///
/// # Errors
/// When the file can't be read or is no target, or names an address that is not this machine's
/// while nobody has said that it may be broken.
pub fn from_file(path: &Path, may_break: bool) -> Result<Target> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the target file {}", path.display()))?;
    let target: Target =
        toml::from_str(&text).with_context(|| format!("{} describes no target", path.display()))?;
    if !may_break {
        require_loopback(&target)?;
    }
    Ok(target)
}

fn require_loopback(target: &Target) -> Result<()> {
    let controls = target.control.values().chain(target.metrics.values());
    for url in controls.chain([&target.entry, &target.proxy_api]) {
        let host = url.host_str().unwrap_or_default();
        if !is_loopback(host) {
            bail!(
                "{host} is not this machine: breaking somebody else's system needs \
                 --i-may-break-this"
            );
        }
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::state::PartState;

    fn part(name: &str, control: Option<&str>) -> PartState {
        PartState {
            name: name.to_owned(),
            kind: "service".to_owned(),
            url: "http://127.0.0.1:1000".to_owned(),
            grpc: None,
            metrics: Some("http://127.0.0.1:1001/metrics".to_owned()),
            control: control.map(str::to_owned),
            pid: Some(7),
            alive: String::new(),
            log: PathBuf::new(),
            ended: None,
        }
    }

    #[test]
    fn the_engine_is_told_of_every_part_by_its_short_name() {
        let control = Some("http://127.0.0.1:1002");
        let state = State {
            pid: 1,
            port_base: None,
            ready: true,
            parts: vec![
                part("toxiproxy", None),
                part("user-service", control),
                part("user-service.2", control),
                part("gateway", control),
            ],
        };
        let target = of_shop(&state, "token").unwrap();
        assert_eq!(
            target.control.keys().collect::<Vec<_>>(),
            ["gateway", "user", "user.2"]
        );
        assert_eq!(
            target.pids.keys().collect::<Vec<_>>(),
            ["gateway", "toxiproxy", "user", "user.2"]
        );
        let without_gateway = State {
            parts: vec![part("toxiproxy", None)],
            ..state
        };
        assert!(of_shop(&without_gateway, "token").is_err());
    }

    #[test]
    fn loopback_is_told_by_its_address() {
        for host in ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "127.0.0.1.example", "example.org", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
