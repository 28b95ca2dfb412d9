//! A key, tokens signed with it, a stand-in for the user service, and a service that checks.

use std::{
    future::IntoFuture as _,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use axum::{Json, Router, extract::State, http::HeaderMap, routing::get};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use kit::{
    Common, Running, Server,
    auth::{
        KeySet, User, Verifier,
        feed::{FEED_PATH, FeedPage},
    },
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

pub const KID: &str = "test-key";

/// A key pair, made once: that is slow.
pub fn key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// A key that nobody has published.
pub fn strange_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).unwrap())
}

pub fn pem(key: &KeyPair) -> String {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let body = STANDARD.encode(der.as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

/// The key as a JSON web key.
pub fn jwk(key: &KeyPair, kid: &str) -> Value {
    // RSAPublicKey of RFC 8017: SEQUENCE { INTEGER modulus, INTEGER exponent }; of a 2048-bit key
    // the modulus stands behind nine bytes of framing.
    let der = key.public_key().as_ref();
    assert_eq!(der.len(), 270);
    let modulus = URL_SAFE_NO_PAD.encode(&der[9..265]);
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": modulus, "e": "AQAB" })
}

pub fn verifier() -> Arc<Verifier> {
    Verifier::local(KeySet::from_pem(KID, &pem(key())).unwrap())
}

/// A good header.
pub fn header() -> Value {
    json!({ "alg": "RS256", "typ": "JWT", "kid": KID })
}

/// Good claims of an access token.
pub fn claims() -> Value {
    let now_ms = kit::time::now_ms();
    json!({
        "token_type": "access", "exp": now_ms / 1000 + 900, "iat": now_ms / 1000,
        "iat_ms": now_ms, "jti": "0011", "user_id": 7, "iss": kit::auth::ISSUER,
        "aud": kit::auth::AUDIENCE, "sub": "7", "roles": ["staff"], "sid": "family",
    })
}

/// The good claims with some changed.
pub fn claims_with(changes: &[(&str, Value)]) -> Value {
    let mut claims = claims();
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims
}

/// A token with that header and those claims, signed whatever they say.
pub fn sign_with(key: &KeyPair, header: &Value, claims: &str) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims)
    );
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

pub fn sign(claims: &Value) -> String {
    sign_with(key(), &header(), &claims.to_string())
}

#[derive(Clone, Default)]
struct Published {
    page: Arc<Mutex<FeedPage>>,
    keys: Arc<Mutex<Vec<Value>>>,
    key_fetches: Arc<AtomicUsize>,
}

/// What stands in for the user service.
pub struct UserService {
    pub url: String,
    published: Published,
    task: JoinHandle<()>,
}

impl UserService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let published = Published::default();
        published.keys.lock().push(jwk(key(), KID));
        let app = Router::new()
            .route("/.well-known/jwks.json", get(jwks))
            .route(FEED_PATH, get(feed))
            .with_state(published.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).into_future().await;
        });
        Self {
            url,
            published,
            task,
        }
    }

    /// What its feed says from now on.
    pub fn tell(&self, page: FeedPage) {
        *self.published.page.lock() = page;
    }

    pub fn publish_key(&self, key: Value) {
        self.published.keys.lock().push(key);
    }

    pub fn key_fetches(&self) -> usize {
        self.published.key_fetches.load(Ordering::SeqCst)
    }

    /// It answers no more.
    pub async fn end(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn jwks(State(published): State<Published>) -> Json<Value> {
    published.key_fetches.fetch_add(1, Ordering::SeqCst);
    let keys = published.keys.lock().clone();
    Json(json!({ "keys": keys }))
}

async fn feed(State(published): State<Published>, headers: HeaderMap) -> Json<FeedPage> {
    assert_eq!(headers["authorization"], "Bearer test-secret");
    let mut page = published.page.lock().clone();
    page.now_ms = kit::time::now_ms();
    let ids = published.keys.lock();
    page.keys = ids
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect();
    Json(page)
}

/// A service like order or product: it follows the user service.
pub struct Service {
    pub url: String,
    _running: Running,
    client: reqwest::Client,
}

impl Service {
    pub async fn start(name: &'static str, users: &str) -> Self {
        let common = Common::for_test(name);
        let who = |User(principal): User| async move { Json(json!({ "id": principal.user_id })) };
        let router = Router::new()
            .route("/api/who/", get(who))
            .route("/api/open/", get(|| async { Json(json!({})) }));
        let verifier = Verifier::remote(users);
        let running = Server::new(&common)
            .rest(router)
            .auth(Arc::clone(&verifier))
            .start()
            .await
            .unwrap();
        let service = Self {
            url: format!("http://{}", running.http),
            _running: running,
            client: reqwest::Client::new(),
        };
        until("keys arrive", || std::future::ready(verifier.is_ready())).await;
        service
    }

    pub async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.url));
        let response = request.bearer_auth(token).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    pub async fn status(&self, token: &str) -> u16 {
        self.get("/api/who/", token).await.0
    }
}

/// Waits until something holds, and fails when it does not within the 5 s of the contract.
pub async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed().as_secs() < 5, "{what}: not within 5 s");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
