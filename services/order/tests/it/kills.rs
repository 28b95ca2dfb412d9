//! A process that dies, as by `kill -9`, at each failpoint: what it leaves is finished or undone by
//! its successor.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use std::{path::Path, sync::Arc, time::Duration};

use common::{
    BUYER,
    child::OrderProcess,
    fakes::{FakePayments, FakeProducts, FakeUsers, Fault::Fail},
    mails_in, order_body, read,
    server::{GrpcServer, serve_payments, serve_products, serve_users},
    tokens::KeyServer,
};
use order_service::store::FAILPOINTS;
use proto::product::ReservationState;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use tonic::Code;

/// What surrounds the process, and outlives it.
struct World {
    dir: TempDir,
    keys: KeyServer,
    products: Arc<FakeProducts>,
    payments: Arc<FakePayments>,
    urls: Vec<(&'static str, String)>,
    client: Client,
    _servers: Vec<GrpcServer>,
}

impl World {
    async fn new() -> Self {
        let (users, products) = (FakeUsers::new(), FakeProducts::new());
        let payments = FakePayments::new();
        let mut servers: Vec<_> = (0..3).map(|_| GrpcServer::reserve()).collect();
        serve_users(&mut servers[0], &users);
        serve_products(&mut servers[1], &products);
        serve_payments(&mut servers[2], &payments);
        let keys = KeyServer::start().await;
        let urls = vec![
            ("USER_SERVICE_URL", keys.url.clone()),
            ("USER_SERVICE_GRPC_URL", servers[0].url()),
            ("PRODUCT_SERVICE_GRPC_URL", servers[1].url()),
            ("PAYMENT_SERVICE_GRPC_URL", servers[2].url()),
        ];
        Self {
            dir: tempfile::tempdir().unwrap(),
            keys,
            products,
            payments,
            urls,
            client: Client::new(),
            _servers: servers,
        }
    }

    async fn start(&self) -> OrderProcess {
        OrderProcess::start(self.dir.path(), &self.urls).await
    }

    /// One request; none when no answer came.
    async fn ask(
        &self,
        process: &OrderProcess,
        method: Method,
        path: &str,
        who: &[&str],
        body: &Value,
    ) -> Option<(u16, Value)> {
        let user = if who.is_empty() { BUYER } else { 2 };
        let request = self
            .client
            .request(method, format!("{}{path}", process.base))
            .bearer_auth(self.keys.token(user, who))
            .header("idempotency-key", "the-key")
            .header("x-request-deadline", "1500")
            .json(body);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap_or_default()))
    }

    /// Everything that an order goes through, each step until it stands; true when the process
    /// died on the way.
    async fn whole_life(&self, process: &mut OrderProcess) -> bool {
        let order = order_body(&[(1, 2)]);
        let confirmed = json!({ "status": "confirmed" });
        let none = json!({});
        let staff: &[&str] = &["staff"];
        let steps = [
            (Method::POST, "/api/orders/", &[] as &[&str], &order, 201),
            (
                Method::PATCH,
                "/api/orders/1/status/",
                staff,
                &confirmed,
                200,
            ),
            (Method::POST, "/api/orders/1/cancel/", &[], &none, 200),
        ];
        for (method, path, who, body, wanted) in steps {
            for _ in 0..600 {
                if process.has_died() {
                    return true;
                }
                let answer = self.ask(process, method.clone(), path, who, body).await;
                match answer {
                    Some((status, _)) if status == wanted => break,
                    // An earlier try was done, and its answer lost.
                    Some((400, body)) if body["code"] == "status_not_allowed" => break,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
        false
    }

    /// An order that loses the race for the last units.
    async fn refused(&self, process: &OrderProcess) {
        *self.products.meanwhile.lock() = Some((7, Some(0)));
        let body = order_body(&[(7, 1)]);
        let request = self.client.post(format!("{}/api/orders/", process.base));
        let request = request.bearer_auth(self.keys.token(BUYER, &[])).json(&body);
        let _ = request.send().await;
    }

    async fn settled(&self) -> Vec<String> {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}", self.dir.path().join("order.db").display());
        let pool = sqlx::AnyPool::connect(&url).await.unwrap();
        // Longer than any lease.
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let open: i64 = sqlx::query_scalar(
                "SELECT (SELECT COUNT(*) FROM sagas WHERE state NOT IN ('done', 'undone', \
                 'cancelled')) + (SELECT COUNT(*) FROM outbox WHERE delivered_ms IS NULL)",
            )
            .fetch_one(&pool)
            .await
            .unwrap();
            if open == 0 {
                break;
            }
            assert!(Instant::now() < end, "{open} sagas and mails are left");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        sqlx::query_scalar("SELECT status FROM orders")
            .fetch_all(&pool)
            .await
            .unwrap()
    }

    /// One order was made, confirmed and cancelled, whatever died in between.
    async fn check(&self, point: &str, mails: &Path) {
        let orders = self.settled().await;
        assert_eq!(orders, ["cancelled"], "{point}");
        let states = self.products.states();
        let over = [ReservationState::Returned, ReservationState::Released];
        assert!(
            states.iter().all(|state| over.contains(state)),
            "{point}: {states:?}"
        );
        assert_eq!(self.products.units(1), 100, "{point}");
        assert_eq!(self.payments.paid(), 0, "{point}");
        assert_eq!(
            mails_in(mails),
            ["cancelled", "confirmed", "pending"],
            "{point}"
        );
    }
}

async fn killed_at(point: &'static str) {
    let world = World::new().await;
    if point.starts_with("order.recovery") {
        // A saga that is left to recovery.
        let calls = &world.products.calls;
        calls.plan("CommitReservation", vec![Fail(Code::Unavailable); 3]);
    }
    let mut process = world.start().await;
    process.arm(point, 1).await;
    if point == "order.refuse.before_reply" {
        world.refused(&process).await;
    }
    world.whole_life(&mut process).await;
    process.dies(point).await;
    let mut process = world.start().await;
    assert!(!world.whole_life(&mut process).await, "{point}");
    world.check(point, &world.dir.path().join("outbox")).await;
}

/// Some at once: each waits for leases most of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_at_a_failpoint_is_finished_or_undone() {
    let places = Arc::new(Semaphore::new(6));
    let mut all = JoinSet::new();
    for point in FAILPOINTS {
        let places = Arc::clone(&places);
        all.spawn(async move {
            let _place = places.acquire().await.unwrap();
            killed_at(point).await;
        });
    }
    while let Some(one) = all.join_next().await {
        one.unwrap();
    }
}

/// The chosen visit, and no earlier one.
#[tokio::test]
async fn the_third_order_dies() {
    let world = World::new().await;
    let mut process = world.start().await;
    process.arm("order.place.after_commit", 3).await;
    for n in 1..=3 {
        let request = world.client.post(format!("{}/api/orders/", process.base));
        let request = request.bearer_auth(world.keys.token(BUYER, &[]));
        let request = request.json(&order_body(&[(n, 1)]));
        if n < 3 {
            assert_eq!(read(request).await.0, 201);
        } else {
            assert!(request.send().await.is_err());
        }
    }
    process.dies("the third order").await;
}
