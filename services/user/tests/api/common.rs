//! The whole service on free ports, and a client that knows the contract's forms.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use data_encoding::BASE64URL_NOPAD;
use kit::{Common, Running, crypto::FieldKeys};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use user_service::{Clock, Config, keys::SigningKey, start_at};

#[path = "beside.rs"]
mod beside;
#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub use beside::{Binary, Other, until};

/// Password of the sample accounts, and of accounts made by [`Shop::customer`].
pub const SAMPLE: &str = "password123";
pub const PASSWORD: &str = "a long and quiet river";

/// A running service with the sample accounts, and its clock.
pub struct Shop {
    pub clock: Clock,
    pub running: Running,
    pub database: PathBuf,
    pub keys: PathBuf,
    pub client: Client,
    folder: Arc<TempDir>,
}

/// A 4096-bit key takes seconds to make: one serves all tests of a target folder.
pub fn key_path() -> PathBuf {
    static ONE_AT_A_TIME: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("user-service-tests.pem");
    let _guard = ONE_AT_A_TIME.lock();
    SigningKey::load_or_make(&path).unwrap();
    path
}

pub fn key() -> SigningKey {
    SigningKey::load_or_make(&key_path()).unwrap()
}

/// In lab mode, with the sample accounts.
fn lab_config(database: &Path, keys: &Path) -> Config {
    let mut common = Common::for_test("user");
    common.database_url = Some(format!("sqlite://{}?mode=rwc", database.display()));
    common.seed_sample_data = true;
    Config {
        common,
        private_key_path: keys.to_owned(),
        field_keys: FieldKeys::for_test(),
        sample_accounts: true,
        production: false,
    }
}

impl Shop {
    /// In lab mode, with the sample accounts.
    pub async fn start() -> Self {
        Self::start_with(Clock::default(), |_| {}).await
    }

    /// The same with changes to its configuration.
    pub async fn start_with(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let keys = tokio::task::spawn_blocking(key_path).await.unwrap();
        Self::start_in(folder, keys, clock, change).await
    }

    /// With a key folder of its own, so that its keys can be rotated.
    pub async fn with_own_keys() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let shared = tokio::task::spawn_blocking(key_path).await.unwrap();
        let keys = folder.path().join("keys/jwt.pem");
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        std::fs::copy(shared, &keys).unwrap();
        Self::start_in(folder, keys, Clock::default(), |_| {}).await
    }

    /// Another replica, on the same database, keys and clock.
    pub async fn replica(&self) -> Self {
        self.replica_with(|_| {}).await
    }

    /// The same with changes to its configuration.
    pub async fn replica_with(&self, change: impl FnOnce(&mut Config)) -> Self {
        let (folder, keys) = (Arc::clone(&self.folder), self.keys.clone());
        Self::start_in(folder, keys, self.clock.clone(), change).await
    }

    /// Another process on the same database, out of lab mode.
    pub async fn out_of_lab(&self) -> Self {
        self.replica_with(|config| {
            config.common.seed_sample_data = false;
            config.common.lab = None;
            config.sample_accounts = false;
        })
        .await
    }

    async fn start_in(
        folder: Arc<TempDir>,
        keys: PathBuf,
        clock: Clock,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let database = folder.path().join("users.db");
        let mut config = lab_config(&database, &keys);
        change(&mut config);
        let running = start_at(config, clock.clone()).await.unwrap();
        let client = Client::new(format!("http://{}", running.http));
        Self {
            clock,
            running,
            database,
            keys,
            client,
            folder,
        }
    }

    /// Tries to start `APP_ENV=production` on the shop's database and keys; why it did not.
    pub async fn refused_in_production(&self) -> Option<String> {
        let mut config = lab_config(&self.database, &self.keys);
        config.common.seed_sample_data = false;
        config.common.lab = None;
        config.sample_accounts = false;
        config.production = true;
        let started = start_at(config, self.clock.clone()).await;
        started.err().map(|error| format!("{error:#}"))
    }

    /// Runs the binary on the shop's database and keys; success, and what it printed.
    pub async fn run(&self, args: &[&str], input: Option<&str>) -> (bool, String) {
        self.binary().run(args, input, &[]).await
    }

    /// The binary on the shop's database and keys.
    pub fn binary(&self) -> Binary {
        Binary {
            database: self.database.clone(),
            keys: self.keys.clone(),
        }
    }

    /// A new customer, logged in: id, access token, refresh token.
    pub async fn customer(&self, name: &str) -> Customer {
        let body = json!({
            "username": name, "email": format!("{name}@mail.test"), "password": PASSWORD,
        });
        let made = self.client.post("/api/users/register/", &body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        self.login(name, PASSWORD).await
    }

    pub async fn login(&self, name: &str, password: &str) -> Customer {
        let body = json!({ "username": name, "password": password });
        let answer = self.client.post("/api/token/", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Customer {
            id: answer.body["user"]["id"].as_i64().unwrap(),
            access: answer.text("access"),
            refresh: answer.text("refresh"),
            client: self.client.with_token(&answer.text("access")),
        }
    }

    /// The database behind the service's back.
    pub async fn database(&self) -> kit::db::Db {
        let url = format!("sqlite://{}", self.database.display());
        kit::db::Db::open("test", &url).await.unwrap()
    }
}

pub struct Customer {
    pub id: i64,
    pub access: String,
    pub refresh: String,
    pub client: Client,
}

#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub token: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl Client {
    pub fn new(base: String) -> Self {
        let policy = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().redirect(policy).build().unwrap();
        Self {
            http,
            base,
            token: None,
            headers: Vec::new(),
        }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request.send().await.unwrap()).await
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        };
        Self {
            status,
            headers,
            body,
        }
    }

    pub fn text(&self, key: &str) -> String {
        self.body[key]
            .as_str()
            .unwrap_or_else(|| panic!("{key} in {}", self.body))
            .to_owned()
    }

    /// An error with the contract's body.
    #[track_caller]
    pub fn is_error(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
        for key in ["detail", "error", "message", "trace_id"] {
            assert!(
                self.body.get(key).is_some(),
                "{key} is missing: {}",
                self.body
            );
        }
        if status == 401 {
            assert_eq!(self.headers["www-authenticate"], "Bearer realm=\"api\"");
        }
        if code == "token_not_valid" {
            for key in ["token_class", "token_type", "message"] {
                assert!(self.body["messages"][0][key].is_string(), "{}", self.body);
            }
        }
    }

    /// A 400 whose only field errors are these.
    #[track_caller]
    pub fn is_invalid(&self, fields: &[&str]) {
        self.is_error(400, "invalid");
        let known = ["detail", "error", "message", "code", "trace_id", "verified"];
        let map = self.body.as_object().unwrap();
        let mut found: Vec<&str> = map
            .keys()
            .map(String::as_str)
            .filter(|key| !known.contains(key))
            .collect();
        let mut fields = fields.to_vec();
        found.sort_unstable();
        fields.sort_unstable();
        assert_eq!(found, fields, "{}", self.body);
        for field in fields {
            assert!(
                map[field][0].is_string(),
                "a list of messages: {}",
                self.body
            );
        }
    }

    /// The `Set-Cookie` header of that cookie.
    pub fn set_cookie(&self, name: &str) -> Option<String> {
        let lines = self.headers.get_all("set-cookie").iter();
        let mut lines = lines.map(|line| line.to_str().unwrap().to_owned());
        lines.find(|line| line.starts_with(&format!("{name}=")))
    }

    /// `name=value` of a cookie that was set, for the next request.
    #[track_caller]
    pub fn cookie(&self, name: &str) -> String {
        let line = self
            .set_cookie(name)
            .unwrap_or_else(|| panic!("no cookie {name}"));
        line.split(';').next().unwrap().to_owned()
    }
}

/// What a token says, unchecked.
pub fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

pub const REFRESH: &str = "/api/token/refresh/";

pub async fn refresh(client: &Client, token: &str) -> Answer {
    client.post(REFRESH, &json!({ "refresh": token })).await
}
