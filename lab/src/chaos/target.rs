//! The shop as the engine knows it.

use anyhow::{Context as _, Result};
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
    let mut target = Target::new("embedded", url(&part("gateway")?.url)?);
    target.lab_token = token.to_owned();
    target.proxy_api = Some(url(&part("toxiproxy")?.url)?);
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
            orders: None,
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
}
