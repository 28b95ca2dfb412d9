//! A key of the user service, made once, and the place where it is published.

use std::{future::IntoFuture as _, sync::OnceLock};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

const KEY_ID: &str = "test-key";

fn key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// `/.well-known/jwks.json`.
pub struct KeyServer {
    pub url: String,
    task: JoinHandle<()>,
}

impl KeyServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().route(
            "/.well-known/jwks.json",
            axum::routing::get(|| async { axum::Json(jwks()) }),
        );
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).into_future().await;
        });
        Self { url, task }
    }

    /// An access token.
    pub fn token(&self, user_id: i64, roles: &[&str]) -> String {
        sign(&json!({
            "token_type": "access",
            "exp": now() + 900,
            "iat": now(),
            "iat_ms": now() * 1000,
            "jti": format!("jti-{user_id}"),
            "user_id": user_id,
            "iss": "faultline",
            "aud": "shop",
            "sub": user_id.to_string(),
            "roles": roles,
            "sid": "sid",
        }))
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn now() -> i64 {
    kit::time::now_ms() / 1000
}

fn sign(claims: &Value) -> String {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; key().public_modulus_len()];
    key()
        .sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )
        .unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn jwks() -> Value {
    // RSAPublicKey of RFC 8017: SEQUENCE { INTEGER modulus, INTEGER exponent }; of a
    // 2048-bit key the modulus stands behind nine bytes of framing.
    let der = key().public_key().as_ref();
    assert_eq!(der.len(), 270);
    let modulus = URL_SAFE_NO_PAD.encode(&der[9..265]);
    json!({ "keys": [
        { "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": modulus, "e": "AQAB" }
    ] })
}
