//! A shop, its control API and its fault proxy in one process on free ports: just
//! enough of each for a run, with the real policies in the order service's slot.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]
#![allow(dead_code, reason = "each test binary uses a part of it")]

mod hands;
pub mod layer;
mod proxy;

use std::collections::{BTreeMap, HashMap};
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router, body::Body};
use chaos_engine::Target;
use hands::Hands;
pub use layer::Layer;
use layer::faults;
use loadtest::clock::now_ns;
use parking_lot::Mutex;
use proxy::proxy;
use resilience::{
    Call, CallError, Classify, Deadline, Event, FailureKind, Observer, PolicySpec, Slot, SlotName,
};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

pub const TOKEN: &str = "lab-token";

/// What the shop gets wrong.
#[derive(Default)]
pub struct Wrong {
    /// The proxy says that it is down, and lets everything through.
    pub proxy_pretends: bool,
    /// An acknowledged order in so many is not kept.
    pub loses_one_in: Option<i64>,
    /// Browsing is rate-limited from the start.
    pub rate_limits: bool,
    /// The event streams end after so many events.
    pub events_end_after: Option<u32>,
    /// Orders fail in the warm-up and later.
    pub sick: bool,
    /// In so many trials, the first ones, the order of this number fails.
    pub stumbles: Option<Stumble>,
}

/// One order that fails although nothing is broken.
#[derive(Clone, Copy, Default)]
pub struct Stumble {
    pub in_trials: u32,
    /// Counted in each trial from 1, the warm-up included.
    pub at_order: u32,
}

pub struct Shop {
    pub wrong: Wrong,
    pub down: AtomicBool,
    pub resets: AtomicU32,
    /// The fault layer of the product service's two replicas.
    pub layers: [Layer; 2],
    /// What was done to processes: `kill order-service`, …
    pub processes: Mutex<Vec<String>>,
    /// Whether the order service runs; its event streams end when it doesn't.
    pub order_runs: watch::Sender<bool>,
    /// Whether it stands still.
    pub paused: AtomicBool,
    /// What is put into the slots, in order.
    pub policies_put: Mutex<Vec<(String, Value)>>,
    /// Leases of the fault proxies that were renewed, and their seeds.
    pub proxy_leases: AtomicU32,
    pub proxy_seeds: Mutex<Vec<u64>>,
    events: broadcast::Sender<String>,
    slot: Slot,
    next: AtomicI64,
    orders: Mutex<HashMap<i64, Vec<Value>>>,
    stock: Mutex<HashMap<i64, i64>>,
    /// Trials, told by their products, and the orders of the one under way.
    trial: Mutex<(u32, u32)>,
}

impl Shop {
    /// Nothing is broken and nothing stands still.
    pub fn is_clean(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
            && self.layers.iter().all(|l| l.faults.lock().is_empty())
            && *self.order_runs.borrow()
            && !self.paused.load(Ordering::Relaxed)
    }

    fn next_trial(&self) {
        let mut trial = self.trial.lock();
        *trial = (trial.0 + 1, 0);
    }

    /// Whether the next order stumbles.
    fn stumbles(&self) -> bool {
        let mut trial = self.trial.lock();
        trial.1 += 1;
        let at = |s: Stumble| trial.0 <= s.in_trials && trial.1 == s.at_order;
        self.wrong.stumbles.is_some_and(at)
    }
}

#[derive(Debug)]
struct Refused;

impl Classify for Refused {
    fn failure(&self) -> FailureKind {
        FailureKind::NotProcessed
    }

    fn code(&self) -> &str {
        "UNAVAILABLE"
    }
}

struct Tell(broadcast::Sender<String>);

fn ns(at: Instant) -> u64 {
    now_ns() - u64::try_from(at.elapsed().as_nanos()).unwrap()
}

impl Observer for Tell {
    fn on(&self, event: &Event<'_>) {
        let line = match *event {
            Event::Attempt {
                slot,
                call,
                attempt,
                started,
                ended,
                ok,
                status,
                failure,
                cancelled,
            } => json!({
                "kind": "attempt", "link": slot.link, "method": call.method, "request_id": call.request_id,
                "attempt": attempt, "started_ns": ns(started), "t_ns": ns(ended), "ok": ok,
                "status": status, "failure": failure, "cancelled": cancelled,
            }),
            Event::Refused {
                slot,
                call,
                attempt,
                reason,
                ..
            } => json!({
                "kind": "refused", "link": slot.link, "method": call.method, "request_id": call.request_id,
                "attempt": attempt, "reason": reason.as_str(), "t_ns": now_ns(),
            }),
            Event::Call {
                slot,
                call,
                outcome,
                attempts,
                started,
                ended,
            } => json!({
                "kind": "call", "link": slot.link, "method": call.method, "request_id": call.request_id,
                "outcome": outcome.as_str(), "attempts": attempts, "started_ns": ns(started), "t_ns": ns(ended),
            }),
            Event::Breaker {
                slot, transition, ..
            } => json!({
                "kind": "breaker", "link": slot.link, "from": transition.from.as_str(),
                "to": transition.to.as_str(), "t_ns": now_ns(),
            }),
            _ => return,
        };
        // Nobody listening is fine.
        let _ = self.0.send(line.to_string());
    }
}

type Shared = Arc<Shop>;

/// Starts it; the servers end with the runtime.
pub async fn start(wrong: Wrong) -> (Shared, Target) {
    let events = broadcast::Sender::new(16_384);
    let policy = PolicySpec::preset("none").resolve().unwrap();
    let name = SlotName::new("order-product", "order", "product");
    let shop = Arc::new(Shop {
        slot: Slot::new(name, policy, Arc::new(Tell(events.clone())), 1),
        wrong,
        down: AtomicBool::new(false),
        resets: AtomicU32::new(0),
        layers: Default::default(),
        processes: Mutex::default(),
        order_runs: watch::Sender::new(true),
        paused: AtomicBool::new(false),
        policies_put: Mutex::default(),
        proxy_leases: AtomicU32::new(0),
        proxy_seeds: Mutex::default(),
        events,
        next: AtomicI64::new(1),
        orders: Mutex::default(),
        stock: Mutex::default(),
        trial: Mutex::default(),
    });
    let target = Target {
        lab_token: TOKEN.to_owned(),
        control: BTreeMap::from([
            ("user".to_owned(), serve(user(&shop)).await),
            ("product".to_owned(), serve(product(&shop, 0)).await),
            ("product.2".to_owned(), serve(product(&shop, 1)).await),
            ("order".to_owned(), serve(order(&shop)).await),
            ("gateway".to_owned(), serve(gateway(&shop)).await),
        ]),
        proxy_api: Some(serve(proxy(&shop)).await),
        pids: BTreeMap::from([("fake".to_owned(), std::process::id())]),
        processes: Some(Arc::new(Hands(shop.clone()))),
        ..Target::new("fake", serve(entry(&shop)).await)
    };
    (shop, target)
}

async fn serve(router: Router) -> reqwest::Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}").parse().unwrap()
}

fn entry(shop: &Shared) -> Router {
    Router::new()
        .route("/api/products/", get(browse))
        .route("/api/products/{id}/", get(detail))
        .route("/api/orders/", post(make).get(history))
        .with_state(shop.clone())
}

async fn browse(State(shop): State<Shared>) -> Response {
    if shop.wrong.rate_limits {
        return (
            StatusCode::TOO_MANY_REQUESTS,
            Json(json!({"code": "throttled"})),
        )
            .into_response();
    }
    Json(json!({"count": 0, "next": null, "previous": null, "results": []})).into_response()
}

async fn detail(State(shop): State<Shared>, Path(id): Path<i64>) -> Json<Value> {
    Json(json!({"id": id, "inventory_count": shop.stock.lock().get(&id)}))
}

/// The token of customer 7 is `c7`.
fn customer(headers: &HeaderMap) -> i64 {
    let token = headers["authorization"].to_str().unwrap();
    token.strip_prefix("Bearer c").unwrap().parse().unwrap()
}

async fn history(State(shop): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let orders = shop
        .orders
        .lock()
        .get(&customer(&headers))
        .cloned()
        .unwrap_or_default();
    Json(json!({"count": orders.len(), "next": null, "previous": null, "results": orders}))
}

async fn make(State(shop): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if shop.stumbles() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let request_id = headers["x-request-id"].to_str().unwrap();
    let call = Call {
        method: "GetProducts",
        request_id,
        idempotent: true,
        deadline: Deadline::NONE,
    };
    let shop_ref = &shop;
    let called = shop
        .slot
        .call(call, |_| async move {
            let stopped = !*shop_ref.order_runs.borrow() || shop_ref.paused.load(Ordering::Relaxed);
            let down = stopped || shop_ref.down.load(Ordering::Relaxed);
            let replica = &shop_ref.layers[shop_ref.next.load(Ordering::Relaxed) as usize % 2];
            let broken = (down || replica.fails()) && !shop_ref.wrong.proxy_pretends;
            if broken || shop_ref.wrong.sick {
                Err(Refused)
            } else {
                Ok(())
            }
        })
        .await;
    let unavailable =
        |code: &str| (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"code": code}))).into_response();
    match called {
        Ok(()) => {}
        Err(CallError::Rejected { .. }) => return unavailable("service_unavailable"),
        Err(_) => return unavailable("service_communication_error"),
    }
    let id = shop.next.fetch_add(1, Ordering::Relaxed);
    let mut items = Vec::new();
    for line in body["items"].as_array().unwrap() {
        let (product, quantity) = (
            line["product_id"].as_i64().unwrap(),
            line["quantity"].as_i64().unwrap(),
        );
        *shop.stock.lock().get_mut(&product).unwrap() -= quantity;
        items.push(json!({"product_id": product.to_string(), "quantity": quantity}));
    }
    let order = json!({"id": id, "status": "pending", "items": items});
    if shop.wrong.loses_one_in.is_none_or(|n| id % n != 0) {
        shop.orders
            .lock()
            .entry(customer(&headers))
            .or_default()
            .push(order.clone());
    }
    (StatusCode::CREATED, Json(order)).into_response()
}

fn control(shop: &Shared) -> Router<Shared> {
    let _ = shop;
    Router::new().route(
        "/lab/reset",
        post(|State(shop): State<Shared>| async move {
            shop.slot.reset();
            Json(json!({"reset": []}))
        }),
    )
}

fn quiet_events() -> Router<Shared> {
    Router::new().route(
        "/lab/events",
        get(|State(shop): State<Shared>| async move { stream(&shop, false) }),
    )
}

/// Policies of slots that nothing goes through.
fn slots(names: &'static [&'static str]) -> Router<Shared> {
    let all: serde_json::Map<String, Value> = names
        .iter()
        .map(|n| ((*n).to_owned(), json!("none")))
        .collect();
    let answer = json!({ "slots": all });
    Router::new()
        .route("/lab/policies", get(move || async move { Json(answer) }))
        .route("/lab/policies/{slot}", put(put_aside))
}

async fn put_aside(
    State(shop): State<Shared>,
    Path(slot): Path<String>,
    Json(spec): Json<Value>,
) -> Json<Value> {
    shop.policies_put.lock().push((slot, spec.clone()));
    Json(spec)
}

fn user(shop: &Shared) -> Router {
    control(shop)
        .merge(quiet_events())
        .merge(slots(&["user.server"]))
        .route(
            "/lab/fixtures",
            post(
                |State(shop): State<Shared>, Json(ask): Json<Value>| async move {
                    let people: Vec<Value> = (0..ask["customers"].as_i64().unwrap())
                .map(|_| {
                    let id = shop.next.fetch_add(1, Ordering::Relaxed);
                    json!({"user_id": id, "username": format!("c{id}"), "access": format!("c{id}")})
                })
                .collect();
                    Json(json!({"customers": people, "staff": [], "password": "x"}))
                },
            ),
        )
        .with_state(shop.clone())
}

fn product(shop: &Shared, replica: usize) -> Router {
    control(shop)
        .merge(faults(replica))
        .merge(quiet_events())
        .merge(slots(&["product.server"]))
        .route(
            "/lab/fixtures",
            post(
                |State(shop): State<Shared>, Json(ask): Json<Value>| async move {
                    let units = ask["units"].as_i64().unwrap();
                    shop.next_trial();
                    let made: Vec<Value> = (0..ask["products"].as_i64().unwrap())
                        .map(|_| {
                            let id = shop.next.fetch_add(1, Ordering::Relaxed);
                            shop.stock.lock().insert(id, units);
                            json!({"id": id, "name": "p", "price": "9.90", "units": units})
                        })
                        .collect();
                    Json(json!({"products": made}))
                },
            ),
        )
        .with_state(shop.clone())
}

fn gateway(shop: &Shared) -> Router {
    control(shop)
        .merge(quiet_events())
        .merge(slots(&[
            "gateway-user",
            "gateway-product",
            "gateway-order",
            "gateway.server",
        ]))
        .with_state(shop.clone())
}

fn order(shop: &Shared) -> Router {
    control(shop)
        .route(
            "/lab/policies",
            get(|| async {
                Json(json!({"slots": {
                    "order-user": "fast", "order-product": "shop", "order-payment": "shop",
                    "order-database": "none", "order.server": "unlimited",
                    // The payment service is no part of its own here.
                    "payment.server": "unlimited",
                }}))
            }),
        )
        .route("/lab/policies/{slot}", put(set))
        .route(
            "/lab/events",
            get(
                |State(shop): State<Shared>, headers: HeaderMap| async move {
                    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
                    stream(&shop, true)
                },
            ),
        )
        .with_state(shop.clone())
}

async fn set(
    State(shop): State<Shared>,
    Path(slot): Path<String>,
    Json(spec): Json<Value>,
) -> Json<Value> {
    shop.policies_put.lock().push((slot.clone(), spec.clone()));
    if slot.ends_with(".server") {
        return Json(spec);
    }
    let spec: PolicySpec = serde_json::from_value(spec).unwrap();
    let policy = spec.resolve().unwrap();
    if slot == "order-product" {
        shop.slot.set(policy.clone());
    }
    Json(serde_json::to_value(policy).unwrap())
}

fn stream(shop: &Shared, tells: bool) -> Response {
    let mut events = shop.events.subscribe();
    let runs = shop.order_runs.subscribe();
    if tells && !*runs.borrow() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let end = shop.wrong.events_end_after;
    let (tx, rx) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(64);
    tokio::spawn(async move {
        let line = |seq: u32, rest: &str| {
            let rest = rest.trim_start_matches('{');
            format!("{{\"seq\":{seq},\"service\":\"order\",{rest}\n")
        };
        let hello = json!({"kind": "hello", "t_ns": now_ns()}).to_string();
        let mut seq = 1;
        if tx.send(Ok(line(seq, &hello))).await.is_err() {
            return;
        }
        let mut runs = runs;
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                // A process that is killed takes its streams with it.
                _ = runs.wait_for(|runs| !runs), if tells => return,
            };
            let Ok(event) = event else { return };
            seq += 1;
            if end.is_some_and(|n| seq > n)
                || tells && tx.send(Ok(line(seq, &event))).await.is_err()
            {
                return;
            }
        }
    });
    let lines = futures_util::stream::unfold(rx, |mut rx| async { Some((rx.recv().await?, rx)) });
    Body::from_stream(lines).into_response()
}
