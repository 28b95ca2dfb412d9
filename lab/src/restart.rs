//! `lab restart`: parts of the running lab ended and started again.
//!
//! Only the process of `lab up` may start children (they die with it), so it takes orders: over HTTP
//! on loopback, on a port that the system chose and the state file names, with the lab's token.
//!
//! A rolling restart takes one replica after the other. Each says first that it takes no work, is
//! left out by the gateway and by other services, finishes what it has, ends, and is waited for until
//! it is healthy again: no request fails.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cli::RestartArgs;
use crate::exit::Exit;
use crate::place::Place;
use crate::processes::{self, Order, Remote};
use crate::progress::Progress;
use crate::replicas::Service;
use crate::secrets::Secrets;
use crate::shop::{PATIENCE, Shop};
use crate::state::State as Running;
use crate::supervisor::GRACE;
use crate::text;

/// `lab restart`
///
/// # Errors
/// When no lab runs, there is no such part, a rolling restart has no second replica to turn to, or a
/// part does not become healthy again.
pub async fn run(place: &Place, args: &RestartArgs) -> Result<Exit> {
    let running = Running::needed(place)?;
    let parts = if args.rolling {
        rolling(&running, &args.parts)?
    } else {
        named(&running, &args.parts)?
    };
    let orders = running.orders.as_deref().filter(|_| running.ready);
    let orders = orders.context("the lab is still starting: wait until `lab status` shows it")?;
    let token = Secrets::load(&place.secrets())?.lab_token;
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE + 2 * GRACE)
        .build()
        .context("HTTP client")?;
    let progress = Progress::new();
    for part in parts {
        progress.step(&format!("restarting {part}"));
        let asked = client
            .post(format!("{orders}/restart/{part}"))
            .bearer_auth(&token)
            .send()
            .await;
        let answer = asked.with_context(|| format!("the lab was asked to restart {part}"))?;
        let status = answer.status();
        let said: Value = answer.json().await.context("the lab's answer")?;
        if status != StatusCode::OK {
            let why = said["error"].as_str().unwrap_or("the lab refuses");
            bail!("{part}: {why}\nits log: `lab logs {part}`");
        }
        let seconds = |field: &str| said[field].as_f64().unwrap_or_default();
        progress.say(&format!(
            "{part}: ended after {:.1} s, healthy {:.1} s later",
            seconds("ended_s"),
            seconds("healthy_s")
        ));
    }
    progress.clear();
    Ok(Exit::Held)
}

/// The parts that were named.
fn named(running: &Running, parts: &[String]) -> Result<Vec<String>> {
    for part in parts {
        if running.part(part).is_none() {
            let names = running.parts.iter().map(|part| part.name.as_str());
            let hint = text::suggest(part, names.clone());
            let all: Vec<&str> = names.collect();
            bail!(
                "the lab has no part {part:?}{hint}; it has {}",
                all.join(", ")
            );
        }
    }
    Ok(parts.to_vec())
}

/// Every replica of the services that were named, or of all that have several.
fn rolling(running: &Running, services: &[String]) -> Result<Vec<String>> {
    let names = Service::ALL.map(Service::name);
    let mut parts = Vec::new();
    for service in services {
        if !names.contains(&service.as_str()) {
            let hint = text::suggest(service, names.into_iter());
            bail!(
                "{service:?} is no service{hint}; the services are {}",
                names.join(", ")
            );
        }
    }
    let wanted = |name: &str| services.is_empty() || services.iter().any(|s| s == name);
    for name in names.into_iter().filter(|name| wanted(name)) {
        let replicas = replicas(running, name);
        match (replicas.len() > 1, services.is_empty()) {
            (true, _) => parts.extend(replicas),
            (false, true) => {}
            (false, false) => bail!(
                "{name} has one process: while it restarts nobody serves. Start the lab with `lab up \
                 --replicas {name}=2`, or leave out --rolling"
            ),
        }
    }
    if parts.is_empty() {
        bail!(
            "no service of this lab has a second process: start it with, say, `lab up --replicas \
             product-service=2`"
        );
    }
    Ok(parts)
}

fn replicas(running: &Running, service: &str) -> Vec<String> {
    let further = format!("{service}.");
    let names = running.parts.iter().map(|part| part.name.clone());
    names
        .filter(|name| name == service || name.starts_with(&further))
        .collect()
}

/// Begins to take orders for the shop, tells where, and hands out what the shop's owner is to pass
/// to [`Shop::obey`].
///
/// # Errors
/// When no port can be had.
pub async fn take_orders(shop: &mut Shop) -> Result<mpsc::Receiver<Order>> {
    let (remote, orders) = processes::remote(shop)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.context("cannot listen for orders to restart parts")?;
    let address = listener.local_addr().context("the orders' address")?;
    let authorization = format!("Bearer {}", shop.token);
    let guard = middleware::from_fn_with_state(Arc::<str>::from(authorization), with_token);
    let app = Router::new()
        .route("/restart/{part}", post(restart))
        .with_state(remote)
        .layer(guard);
    // It ends with the lab's process, which has nothing else to do but wait.
    tokio::spawn(async move { axum::serve(listener, app).await });
    shop.state.orders = Some(format!("http://{address}"));
    shop.write_state()?;
    Ok(orders)
}

async fn with_token(
    State(authorization): State<Arc<str>>,
    request: Request,
    next: Next,
) -> Response {
    let shown = request.headers().get("authorization");
    if shown.is_some_and(|shown| shown.as_bytes() == authorization.as_bytes()) {
        next.run(request).await
    } else {
        let error = json!({ "error": "the lab's token is missing or wrong" });
        (StatusCode::UNAUTHORIZED, Json(error)).into_response()
    }
}

async fn restart(State(remote): State<Arc<Remote>>, Path(part): Path<String>) -> Response {
    match remote.restart_if_it_runs(&part).await {
        Ok(took) => Json(json!({
            "ended_s": seconds(took.ended),
            "healthy_s": seconds(took.healthy),
        }))
        .into_response(),
        Err(error) => {
            let error = json!({ "error": format!("{error:#}") });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response()
        }
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::PartState;

    fn lab(names: &[&str]) -> Running {
        let part = |name: &&str| PartState {
            name: (*name).to_owned(),
            kind: "service".to_owned(),
            url: String::new(),
            grpc: None,
            metrics: None,
            control: None,
            pid: None,
            alive: String::new(),
            log: Default::default(),
            ended: None,
        };
        Running {
            pid: 1,
            port_base: None,
            ready: true,
            orders: None,
            parts: names.iter().map(part).collect(),
        }
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_rolling_restart_takes_every_replica_in_turn() {
        let two = lab(&[
            "user-service",
            "product-service",
            "product-service.2",
            "order-service",
            "order-service.2",
            "gateway",
        ]);
        assert_eq!(
            rolling(&two, &[]).unwrap(),
            words(&[
                "product-service",
                "product-service.2",
                "order-service",
                "order-service.2"
            ])
        );
        let order = words(&["order-service"]);
        assert_eq!(
            rolling(&two, &order).unwrap(),
            words(&["order-service", "order-service.2"])
        );
    }

    #[test]
    fn what_cannot_roll_is_refused_with_the_way_out() {
        let one = lab(&["user-service", "product-service", "gateway"]);
        let refused = |services: &[&str]| rolling(&one, &words(services)).unwrap_err().to_string();
        assert!(refused(&["user-service"]).contains("--replicas user-service=2"));
        assert!(refused(&[]).contains("--replicas"));
        assert!(refused(&["gateway"]).contains("is no service"));
        assert!(refused(&["user-servce"]).contains("did you mean \"user-service\""));
        let error = named(&one, &words(&["gatway"])).unwrap_err().to_string();
        assert!(error.contains("did you mean \"gateway\""), "{error}");
        assert_eq!(
            named(&one, &words(&["gateway"])).unwrap(),
            words(&["gateway"])
        );
    }
}
