//! A whole product service on free ports, a key that its tokens are signed with,
//! and clients for both its faces.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use kit::{
    Common, Running,
    auth::{KeySet, Verifier},
    cli::Service as _,
    db::Db,
};
use product_service::{App, Config};
use proto::product::{
    ProductInfo, ProductInfoRequest, ReservationRequest, ReserveStockRequest, ReserveStockResponse,
    StockLine, product_service_client::ProductServiceClient,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Row as _;
use tempfile::TempDir;
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Channel};

const KID: &str = "test-key";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum As {
    Nobody,
    Customer,
    Staff,
    Admin,
}

struct Signer {
    key: RsaKeyPair,
    pem: String,
}

/// Made once: key making is slow.
fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let body = STANDARD.encode(der.as_ref());
        Signer {
            key,
            pem: format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"),
        }
    })
}

/// An access token with those roles.
pub fn token(roles: &[&str]) -> String {
    let now = kit::time::now_ms();
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": KID });
    let claims = json!({
        "token_type": "access", "exp": now / 1000 + 900, "iat": now / 1000, "iat_ms": now,
        "jti": "0011", "user_id": 7, "iss": kit::auth::ISSUER, "aud": kit::auth::AUDIENCE,
        "sub": "7", "roles": roles, "sid": "s",
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let Signer { key, .. } = signer();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

type WithSecret = fn(Request<()>) -> Result<Request<()>, Status>;
pub type Grpc = ProductServiceClient<InterceptedService<Channel, WithSecret>>;

fn with_secret(mut request: Request<()>) -> Result<Request<()>, Status> {
    request
        .metadata_mut()
        .insert("authorization", "Bearer test-secret".parse().unwrap());
    Ok(request)
}

/// A service that runs.
pub struct Shop {
    pub running: Running,
    pub grpc: Grpc,
    pub url: String,
    client: reqwest::Client,
    _dir: TempDir,
}

/// An answer, read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The ids of a page.
    pub fn ids(&self) -> Vec<i64> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect()
    }

    /// The names of a page.
    pub fn names(&self) -> Vec<&str> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap())
            .collect()
    }
}

fn config(url: &str, seed: bool) -> Config {
    let mut common = Common::for_test("product");
    common.database_url = Some(url.to_owned());
    common.seed_sample_data = seed;
    common.metrics_port = Some(0);
    let keys = KeySet::from_pem(KID, &signer().pem).unwrap();
    Config {
        common,
        verifier: Verifier::local(keys),
    }
}

impl Shop {
    /// With the sample data.
    pub async fn with_samples() -> Self {
        Self::start(true).await
    }

    /// Without any product.
    pub async fn empty() -> Self {
        Self::start(false).await
    }

    async fn start(seed: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!(
            "sqlite://{}?mode=rwc",
            dir.path().join("product.db").display()
        );
        let running = App::start(config(&url, seed)).await.unwrap();
        let address = format!("http://{}", running.grpc.unwrap());
        let channel = Channel::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap();
        let grpc = ProductServiceClient::with_interceptor(channel, with_secret as WithSecret);
        Self {
            running,
            grpc,
            url,
            client: reqwest::Client::new(),
            _dir: dir,
        }
    }

    /// Runs the `seed` command on the same database.
    pub async fn seed(&self) {
        App::seed(config(&self.url, false)).await.unwrap();
    }

    /// The database, past the service.
    pub async fn db(&self) -> Db {
        Db::open("test", &self.url).await.unwrap()
    }

    pub async fn call(&self, who: As, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self
            .client
            .request(method, format!("http://{}{path}", self.running.http));
        let roles: &[&str] = match who {
            As::Nobody | As::Customer => &[],
            As::Staff => &["staff"],
            As::Admin => &["staff", "admin"],
        };
        if who != As::Nobody {
            request = request.bearer_auth(token(roles));
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(As::Nobody, Method::GET, path, None).await
    }

    /// A list with those parameters.
    pub async fn list(&self, parameters: &[(&str, &str)]) -> Answer {
        let base = format!("http://{}/api/products/", self.running.http);
        let url = reqwest::Url::parse_with_params(&base, parameters).unwrap();
        read(self.client.get(url).send().await.unwrap()).await
    }

    pub async fn admin(&self, method: Method, path: &str, body: Value) -> Answer {
        self.call(As::Admin, method, path, Some(body)).await
    }

    /// A product of that many units; its id.
    pub async fn product(&self, name: &str, units: i64) -> i32 {
        let body = json!({ "name": name, "price": "9.90", "inventory_count": units });
        let answer = self.admin(Method::POST, "/api/products/", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        i32::try_from(answer.body["id"].as_i64().unwrap()).unwrap()
    }

    pub async fn control(&self, path: &str, body: Value) -> Answer {
        let url = format!("http://{}{path}", self.running.control.unwrap());
        read(
            self.client
                .post(url)
                .bearer_auth("test-token")
                .json(&body)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub async fn info(&self, id: i32) -> Option<ProductInfo> {
        let request = ProductInfoRequest {
            product_id: id,
            requesting_service: "test".into(),
        };
        let answer = self
            .grpc
            .clone()
            .get_product_info(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.exists, answer.product_info.is_some());
        answer.product_info
    }

    /// Units of a product that can be sold, as gRPC says.
    pub async fn units(&self, id: i32) -> i32 {
        self.info(id).await.unwrap().inventory_count
    }

    pub async fn reserve(
        &self,
        key: &str,
        lines: &[(i32, i32)],
    ) -> Result<ReserveStockResponse, Status> {
        self.reserve_for(key, lines, 0).await
    }

    /// A reservation that expires after so many milliseconds.
    pub async fn reserve_for(
        &self,
        key: &str,
        lines: &[(i32, i32)],
        ttl_ms: i64,
    ) -> Result<ReserveStockResponse, Status> {
        let lines = lines
            .iter()
            .map(|&(product_id, quantity)| StockLine {
                product_id,
                quantity,
            })
            .collect();
        let request = ReserveStockRequest {
            order_key: key.into(),
            lines,
            requesting_service: "test".into(),
            ttl_ms,
        };
        self.grpc
            .clone()
            .reserve_stock(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub async fn commit(&self, key: &str) -> i32 {
        self.try_commit(key).await.unwrap()
    }

    pub async fn try_commit(&self, key: &str) -> Result<i32, Status> {
        let call = self.grpc.clone().commit_reservation(reservation(key)).await;
        call.map(|answer| answer.into_inner().state)
    }

    pub async fn release(&self, key: &str) -> i32 {
        self.try_release(key).await.unwrap()
    }

    pub async fn try_release(&self, key: &str) -> Result<i32, Status> {
        let call = self
            .grpc
            .clone()
            .release_reservation(reservation(key))
            .await;
        call.map(|answer| answer.into_inner().state)
    }

    pub async fn give_back(&self, key: &str) -> i32 {
        self.grpc
            .clone()
            .return_reservation(reservation(key))
            .await
            .unwrap()
            .into_inner()
            .state
    }

    /// What the books say.
    pub async fn books(&self, query: &str) -> Answer {
        let control = self.running.control.unwrap();
        let url = format!("http://{control}/lab/integrity{query}");
        let get = self.client.get(url).bearer_auth("test-token");
        read(get.send().await.unwrap()).await
    }

    /// Switches a seeded defect on.
    pub async fn defect(&self, name: &str) {
        let control = self.running.control.unwrap();
        let url = format!("http://{control}/lab/defects/{name}");
        let put = self.client.put(url).bearer_auth("test-token");
        assert_eq!(put.send().await.unwrap().status(), 200, "{name}");
    }

    /// What the ledger says of a product: its sum, and its rows.
    pub async fn ledger(&self, id: i32) -> (i64, Vec<(String, i64)>) {
        let rows =
            sqlx::query("SELECT reason, delta FROM stock_ledger WHERE product_id = $1 ORDER BY id")
                .bind(i64::from(id))
                .fetch_all(&self.db().await.read)
                .await
                .unwrap();
        let rows: Vec<(String, i64)> = rows
            .iter()
            .map(|row| (row.get("reason"), row.get("delta")))
            .collect();
        (rows.iter().map(|(_, delta)| delta).sum(), rows)
    }
}

fn reservation(key: &str) -> ReservationRequest {
    ReservationRequest {
        order_key: key.into(),
        requesting_service: "test".into(),
    }
}

async fn read(answer: reqwest::Response) -> Answer {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let bytes = answer.bytes().await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer {
        status,
        headers,
        body,
    }
}
