//! Policies by hand: what sits in each slot, how it stands, another in its place.

use std::time::Duration;

use ::http::StatusCode;
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use resilience::{
    SlotSpec,
    breaker::{BreakerView, Forced},
    policy::PolicyError,
    server::ServerSpec,
    slot::{AlternativeView, Slot},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::control::{Control, refuse};
use crate::{Place, Slots};

/// Whoever forces a breaker must say so again within this time, or it lets go.
const LONGEST_LEASE: Duration = Duration::from_secs(15);

pub(super) async fn all(State(control): State<Control>) -> Response {
    let all = control.slots.iter().flat_map(Slots::all);
    let slots: Map<String, Value> = all.map(|(name, place)| (name, policy(&place))).collect();
    Json(json!({ "slots": slots })).into_response()
}

pub(super) async fn one(State(control): State<Control>, Path(name): Path<String>) -> Response {
    answer(find(&control, &name).map(|place| policy(&place)))
}

pub(super) async fn state(State(control): State<Control>, Path(name): Path<String>) -> Response {
    answer(find(&control, &name).map(|place| standing(&place)))
}

pub(super) async fn set(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    answer(find(&control, &name).and_then(|place| {
        put(&place, &body).map_err(bad_request)?;
        Ok(policy(&place))
    }))
}

pub(super) async fn force(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    answer(find(&control, &name).and_then(|place| {
        force_breaker(&place, &body).map_err(bad_request)?;
        Ok(standing(&place))
    }))
}

/// The answer to a request that can't be done.
type Refused = Box<Response>;

fn bad_request(why: String) -> Refused {
    Box::new(refuse(StatusCode::BAD_REQUEST, why))
}

fn answer(result: Result<Value, Refused>) -> Response {
    result.map_or_else(|refused| *refused, |value| Json(value).into_response())
}

fn find(control: &Control, name: &str) -> Result<Place, Refused> {
    let found = control.slots.as_ref().and_then(|slots| slots.get(name));
    found.ok_or_else(|| {
        let known: Vec<String> = control
            .slots
            .iter()
            .flat_map(Slots::all)
            .map(|(name, _)| name)
            .collect();
        let why = format!("no slot {name:?} here; there are: {}", known.join(", "));
        Box::new(refuse(StatusCode::NOT_FOUND, why))
    })
}

fn put(place: &Place, body: &[u8]) -> Result<(), String> {
    let value: Value = read(body)?;
    match place {
        Place::Caller(slot) => {
            let spec = SlotSpec::try_from(value).map_err(text)?;
            slot.set_split(spec.resolve().map_err(text)?);
        }
        Place::Server(slot) => {
            let spec = ServerSpec::try_from(value).map_err(text)?;
            slot.set(spec.resolve().map_err(text)?);
        }
    }
    Ok(())
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body can't be read: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: PolicyError) -> String {
    error.to_string()
}

/// The policy as it can be put back: one, or the alternatives with their weights.
fn policy(place: &Place) -> Value {
    match place {
        Place::Server(slot) => json!(slot.policy()),
        Place::Caller(slot) => match &slot.alternatives()[..] {
            [one] => json!(one.policy),
            several => several
                .iter()
                .map(|one| json!({ "weight": one.weight, "policy": one.policy }))
                .collect(),
        },
    }
}

/// Where it stands: breakers, budgets, limits.
fn standing(place: &Place) -> Value {
    match place {
        Place::Server(slot) => {
            let view = slot.view();
            json!({ "limit": view.limit, "inflight": view.inflight, "waiting": view.waiting })
        }
        Place::Caller(slot) => {
            let all: Vec<Value> = slot.alternatives().iter().map(alternative).collect();
            json!({ "alternatives": all })
        }
    }
}

fn alternative(one: &AlternativeView) -> Value {
    json!({
        "policy": one.label, "weight": one.weight, "budget_left": one.budget_left,
        "breaker": one.breaker.as_ref().map(breaker),
    })
}

fn breaker(view: &BreakerView) -> Value {
    json!({
        "state": view.state, "forced": view.forced, "failures_in_a_row": view.failures_in_a_row,
        "failure_rate": view.failure_rate, "calls": view.calls,
        "retry_after_ms": view.retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// `{"force": "open" | "closed" | "disabled" | "none", "lease": "15s"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    force: Wish,
    #[serde(default = "longest", with = "humantime_serde")]
    lease: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wish {
    Open,
    Closed,
    Disabled,
    None,
}

fn longest() -> Duration {
    LONGEST_LEASE
}

fn force_breaker(place: &Place, body: &[u8]) -> Result<(), String> {
    let wanted: Wanted = read(body)?;
    let slot: &Slot = match place {
        Place::Caller(slot) => slot,
        Place::Server(_) => return Err("a server's slot has no breaker to force".to_owned()),
    };
    if wanted.lease.is_zero() || wanted.lease > LONGEST_LEASE {
        return Err("`lease` is longer than 0 s and at most 15 s; renew it to hold on".to_owned());
    }
    let forced = match wanted.force {
        Wish::Open => Some(Forced::Open),
        Wish::Closed => Some(Forced::Closed),
        Wish::Disabled => Some(Forced::Disabled),
        Wish::None => None,
    };
    let until = forced.map(|_| Instant::now() + wanted.lease);
    if slot.force(forced, until) {
        Ok(())
    } else {
        Err("the policy in this slot has no breaker to force".to_owned())
    }
}
