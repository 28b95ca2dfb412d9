//! A whole order service on free ports, with fakes of the services that it
//! leans on.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod child;
pub mod fakes;
pub mod server;
pub mod tokens;

use std::{path::PathBuf, sync::Arc, time::Duration};

use kit::{Common, cli::Service as _, crypto::FieldKeys};
use order_service::{App, config::Config};
use reqwest::{Client, RequestBuilder, Response};
use resilience::PolicySpec;
use serde_json::{Value, json};
use sqlx::{AnyPool, Row as _};
use tempfile::TempDir;
use tokio::time::Instant;

use fakes::{FakePayments, FakeProducts, FakeUsers};
use server::{GrpcServer, serve_payments, serve_products, serve_users};
use tokens::KeyServer;

/// An ordinary customer.
pub const BUYER: i64 = 987_654_321;

/// What a test may want otherwise than usual.
#[derive(Default)]
pub struct Wish {
    /// Make the sample orders.
    pub seed: bool,
    /// Do not start the fakes of the other services yet: their ports refuse.
    pub alone: bool,
    /// Publish metrics.
    pub metrics: bool,
    /// Another policy than `fast`, for both links.
    pub policy: Option<Value>,
    /// A second replica of the product service.
    pub second: bool,
    /// A payment service.
    pub payments: bool,
    /// How long a saga may take; 30 s otherwise.
    pub saga_ttl: Option<Duration>,
}

/// The service under test, and what surrounds it.
pub struct Shop {
    pub base: String,
    pub users: Arc<FakeUsers>,
    pub products: Arc<FakeProducts>,
    /// The second replica, where one is wished for.
    pub second: Arc<FakeProducts>,
    pub keys: KeyServer,
    user_server: Option<GrpcServer>,
    product_server: Option<GrpcServer>,
    second_server: Option<GrpcServer>,
    /// The payment service, where one is wished for.
    pub payments: Arc<FakePayments>,
    payment_server: Option<GrpcServer>,
    running: Option<kit::Running>,
    config: Config,
    dir: TempDir,
    client: Client,
}

impl Shop {
    /// With everything up.
    pub async fn open() -> Self {
        Self::with(Wish::default()).await
    }

    pub async fn with(wish: Wish) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (users, products) = (FakeUsers::new(), FakeProducts::new());
        let mut user_server = GrpcServer::reserve();
        let mut product_server = GrpcServer::reserve();
        let second = FakeProducts::new();
        let second_server = wish.second.then(|| {
            let mut server = GrpcServer::reserve();
            serve_products(&mut server, &second);
            server
        });
        if !wish.alone {
            serve_users(&mut user_server, &users);
            serve_products(&mut product_server, &products);
        }
        let keys = KeyServer::start().await;
        let mut config = config(&dir, &wish, &keys, &user_server, &product_server);
        if let Some(server) = &second_server {
            config.product_grpc_url = format!("{},{}", config.product_grpc_url, server.url());
        }
        let payments = FakePayments::new();
        let payment_server = wish.payments.then(|| {
            let mut server = GrpcServer::reserve();
            serve_payments(&mut server, &payments);
            server
        });
        config.payment_grpc_url = payment_server.as_ref().map(GrpcServer::url);
        let running = App::start(config.clone()).await.unwrap();
        let shop = Self {
            base: format!("http://{}", running.http),
            users,
            products,
            second,
            keys,
            user_server: Some(user_server),
            product_server: Some(product_server),
            second_server,
            payments,
            payment_server,
            running: Some(running),
            config,
            dir,
            client: Client::new(),
        };
        shop.wait_for_keys().await;
        shop
    }

    /// Starts the fakes that [`Wish::alone`] left out.
    pub fn serve_all(&mut self) {
        serve_users(self.user_server.as_mut().unwrap(), &self.users);
        serve_products(self.product_server.as_mut().unwrap(), &self.products);
    }

    /// The product service dies: its connections break, its port refuses.
    pub async fn kill_products(&mut self) {
        self.product_server.take().unwrap().stop().await;
    }

    pub async fn kill_payments(&mut self) {
        self.payment_server.take().unwrap().stop().await;
    }

    pub async fn kill_users(&mut self) {
        self.user_server.take().unwrap().stop().await;
    }

    /// The same database and surroundings, a new process.
    pub async fn restart(&mut self) {
        self.stop().await;
        let running = App::start(self.config.clone()).await.unwrap();
        self.base = format!("http://{}", running.http);
        self.running = Some(running);
        self.wait_for_keys().await;
    }

    /// The same with another configuration.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.restart().await;
    }

    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    async fn wait_for_keys(&self) {
        poll("keys", || async {
            let health: Value = self
                .client
                .get(self.url("/health/"))
                .send()
                .await
                .ok()?
                .json()
                .await
                .ok()?;
            (health["checks"]["keys"] == "ok").then_some(())
        })
        .await;
    }

    /// A policy that no slowness of a busy machine trips.
    pub async fn patient() -> Self {
        Self::with(Wish {
            policy: Some(json!("shop")),
            ..Wish::default()
        })
        .await
    }

    /// Everything that is measured, as text.
    pub async fn metrics(&self) -> String {
        let address = self.running.as_ref().unwrap().metrics.unwrap();
        let answer = self
            .client
            .get(format!("http://{address}/metrics"))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    }

    /// Base of the lab's control API.
    pub fn control(&self) -> String {
        format!("http://{}", self.running.as_ref().unwrap().control.unwrap())
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn get(&self, user: i64, path: &str) -> RequestBuilder {
        self.client
            .get(self.url(path))
            .bearer_auth(self.keys.token(user, &[]))
    }

    /// An order with an `Idempotency-Key`.
    pub fn post_keyed(&self, user: i64, key: &str, lines: &[(i32, i32)]) -> RequestBuilder {
        self.post(user, lines).header("idempotency-key", key)
    }

    /// The owner calls an order off.
    pub fn cancel(&self, user: i64, id: i64) -> RequestBuilder {
        self.client
            .post(self.url(&format!("/api/orders/{id}/cancel/")))
            .bearer_auth(self.keys.token(user, &[]))
    }

    /// The staff takes an order a step further.
    pub fn patch(&self, id: i64, status: &str) -> RequestBuilder {
        self.client
            .patch(self.url(&format!("/api/orders/{id}/status/")))
            .bearer_auth(self.keys.token(2, &["staff"]))
            .json(&json!({ "status": status }))
    }

    /// The `X-Event-Id`s of the mails in the outbox folder, without their order keys, sorted.
    pub fn mails(&self) -> Vec<String> {
        mails_in(&self.dir.path().join("outbox"))
    }

    /// Every saga's state.
    pub async fn sagas(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT state FROM sagas ORDER BY created_ms, order_key")
            .fetch_all(&self.sql().await)
            .await
            .unwrap()
    }

    /// Until no saga is open.
    pub async fn settled(&self) {
        poll("all sagas over", || async {
            let over = |s: &String| ["done", "undone", "cancelled"].contains(&s.as_str());
            self.sagas().await.iter().all(over).then_some(())
        })
        .await;
    }

    /// The folder of this shop's files.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The configuration that it was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn get_as_staff(&self, path: &str) -> RequestBuilder {
        self.client
            .get(self.url(path))
            .bearer_auth(self.keys.token(2, &["staff"]))
    }

    pub fn get_anonymously(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// An order of these products and quantities.
    pub fn post(&self, user: i64, lines: &[(i32, i32)]) -> RequestBuilder {
        self.post_raw(user, &order_body(lines))
    }

    pub fn post_raw(&self, user: i64, body: &Value) -> RequestBuilder {
        self.client
            .post(self.url("/api/orders/"))
            .bearer_auth(self.keys.token(user, &[]))
            .json(body)
    }

    /// Places an order that must succeed.
    pub async fn order(&self, user: i64, lines: &[(i32, i32)]) -> Value {
        let (status, body) = read(self.post(user, lines)).await;
        assert_eq!(status, 201, "{body}");
        body
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("order.db")
    }

    /// Another connection to the service's database.
    pub async fn sql(&self) -> AnyPool {
        sqlx::any::install_default_drivers();
        AnyPool::connect(&format!("sqlite://{}", self.database().display()))
            .await
            .unwrap()
    }

    /// Every order's key and what is known of its stock.
    pub async fn reservations(&self) -> Vec<(String, String)> {
        let rows = sqlx::query("SELECT order_key, reservation_state FROM orders ORDER BY id")
            .fetch_all(&self.sql().await)
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Until all orders' stock is noted as final.
    pub async fn all_committed(&self, orders: usize) {
        poll("all committed", || async {
            let known = self.reservations().await;
            (known.len() == orders && known.iter().all(|(_, state)| state != "held")).then_some(())
        })
        .await;
    }
}

/// The status in each mail's name, sorted.
pub fn mails_in(dir: &std::path::Path) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.ends_with(".eml"));
    let mut mails: Vec<String> = names
        .map(|name| name.rsplit('.').nth(1).unwrap().to_owned())
        .collect();
    mails.sort();
    mails
}

fn config(
    dir: &TempDir,
    wish: &Wish,
    keys: &KeyServer,
    users: &GrpcServer,
    products: &GrpcServer,
) -> Config {
    let mut common = Common::for_test("order");
    common.grpc_port = None;
    common.database_url = Some(format!(
        "sqlite://{}?mode=rwc",
        dir.path().join("order.db").display()
    ));
    common.seed_sample_data = wish.seed;
    common.metrics_port = wish.metrics.then_some(0);
    if let Some(spec) = &wish.policy {
        let spec: PolicySpec = serde_json::from_value(spec.clone()).unwrap();
        common.policy = spec.resolve().unwrap();
    }
    Config {
        common,
        user_url: keys.url.clone(),
        user_grpc_url: users.url(),
        product_grpc_url: products.url(),
        payment_grpc_url: None,
        field_keys: FieldKeys::for_test(),
        saga_ttl: wish.saga_ttl.unwrap_or(Duration::from_secs(30)),
        keep_keys: Duration::from_secs(3600),
        smtp: None,
        outbox_dir: dir.path().join("outbox"),
        sender: Config::sender(),
    }
}

/// A body that asks for these products and quantities.
pub fn order_body(lines: &[(i32, i32)]) -> Value {
    let items: Vec<Value> = lines
        .iter()
        .map(|(id, n)| json!({ "product_id": id, "quantity": n }))
        .collect();
    json!({ "items": items })
}

/// Status and JSON body of an answer.
pub async fn read(request: RequestBuilder) -> (u16, Value) {
    read_response(request.send().await.unwrap()).await
}

pub async fn read_response(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")),
    )
}

/// Asserts the keys that every error body has.
pub fn assert_error(body: &Value, error: &str) {
    assert_eq!(body["error"], error, "{body}");
    for key in ["detail", "message", "code", "trace_id"] {
        assert!(!body[key].is_null(), "{key} in {body}");
    }
}

/// Asks again until there is an answer, for ten seconds at most.
pub async fn poll<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
