//! Rate limits and misuse at a service that is nothing but the kit.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, OnceLock};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use axum::{
    Router,
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use kit::{
    Common, Running, Server,
    auth::{KeySet, User, Verifier},
    db::Db,
    http::limits::{DatabaseCounts, Quotas},
    json::Object,
};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

const LOGIN: &str = "/api/token/";

struct Signer {
    key: RsaKeyPair,
    pem: String,
}

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let body = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        Signer { key, pem }
    })
}

fn token(user: i64, roles: &[&str]) -> String {
    let now = kit::time::now_ms();
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "k" });
    let claims = json!({
        "token_type": "access", "exp": now / 1000 + 900, "iat": now / 1000, "iat_ms": now,
        "jti": "0011", "user_id": user, "iss": kit::auth::ISSUER, "aud": kit::auth::AUDIENCE,
        "sub": user.to_string(), "roles": roles, "sid": "s",
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = &signer().key;
    let mut signature = vec![0; key.public_modulus_len()];
    let random = SystemRandom::new();
    key.sign(
        &RSA_PKCS1_SHA256,
        &random,
        message.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn quotas() -> Quotas {
    Quotas::per_minute([10, 20, 30, 5])
}

async fn start(db: Option<Db>) -> Running {
    let common = Common {
        rate_limits: quotas(),
        ..Common::for_test("product")
    };
    let routes = Router::new()
        .route("/api/things/", get(|| async { "things" }))
        .route("/api/mine/", get(|User(_): User| async { "mine" }))
        .route("/api/echo/", post(|_: Object| async { "ok" }))
        .route(LOGIN, post(|_: Object| async { "in" }));
    let server = Server::new(&common)
        .rest(routes)
        .auth(Verifier::local(
            KeySet::from_pem("k", &signer().pem).unwrap(),
        ))
        .logins(&[LOGIN]);
    let server = match db {
        Some(db) => server.shared_counts(Arc::new(DatabaseCounts::new(db).await.unwrap())),
        None => server,
    };
    server.start().await.unwrap()
}

fn request(running: &Running, path: &str) -> RequestBuilder {
    let url = format!("http://{}{path}", running.http);
    let client = reqwest::Client::new();
    if path == LOGIN {
        client.post(url).json(&json!({ "username": "a" }))
    } else {
        client.get(url)
    }
}

fn from(running: &Running, path: &str, address: &str) -> RequestBuilder {
    request(running, path).header("x-forwarded-for", address)
}

/// How many are served of so many; how the first refusal is told.
async fn flood(tries: u32, send: impl Fn() -> RequestBuilder) -> (u32, Option<Response>) {
    let mut served = 0;
    for _ in 0..tries {
        let answer = send().send().await.unwrap();
        match answer.status().as_u16() {
            200 => served += 1,
            429 => return (served, Some(answer)),
            other => panic!("{other}"),
        }
    }
    (served, None)
}

/// The limit; up to twice that where the minute ended meanwhile.
fn assert_limited(served: u32, limit: u32) {
    assert!((limit..=2 * limit).contains(&served), "{served} of {limit}");
}

// attack(login flood): a flood of anonymous requests, of one account's, of staff's, of log-ins -> 429 (never 401) with Retry-After, RateLimit-Limit, -Remaining, -Reset; log-ins strictest
#[tokio::test]
async fn every_class_has_its_limit() {
    let running = start(None).await;
    let (user, staff) = (token(7, &[]), token(8, &["staff"]));
    let a = |n: u8| format!("203.0.113.{n}");
    let anonymous = flood(100, || from(&running, "/api/things/", &a(1))).await;
    let login = flood(100, || from(&running, LOGIN, &a(2))).await;
    let user = flood(100, || {
        from(&running, "/api/mine/", &a(3)).bearer_auth(&user)
    })
    .await;
    let staff = flood(100, || {
        from(&running, "/api/mine/", &a(3)).bearer_auth(&staff)
    })
    .await;
    for ((served, refused), limit) in [(anonymous, 10), (login, 5), (user, 20), (staff, 30)] {
        assert_limited(served, limit);
        let refused = refused.unwrap();
        let number =
            |name: &str| -> u32 { refused.headers()[name].to_str().unwrap().parse().unwrap() };
        assert_eq!(
            (number("ratelimit-limit"), number("ratelimit-remaining")),
            (limit, 0)
        );
        assert!((1..=60).contains(&number("ratelimit-reset")));
        assert!((1..=120).contains(&number("retry-after")));
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["code"], "rate_limited");
        for key in ["detail", "error", "message", "trace_id"] {
            assert!(body.get(key).is_some(), "{key}");
        }
    }
    let other = from(&running, "/api/things/", &a(9)).send().await.unwrap();
    assert_eq!(other.status(), 200, "others are served");
    assert!(other.headers().contains_key("ratelimit-remaining"));
    let health = request(&running, "/livez").send().await.unwrap();
    assert_ne!(health.status(), 429);
}

// attack(forged X-Forwarded-For): one account from many addresses -> counted by account; many forged addresses from outside of a proxy -> counted by the true one
#[tokio::test]
async fn changing_the_address_does_not_help() {
    let running = start(None).await;
    let user = token(7, &[]);
    let addresses = std::cell::Cell::new(0_u8);
    let next = || {
        addresses.set(addresses.get().wrapping_add(1));
        format!("203.0.113.{}", addresses.get())
    };
    let by_account = || from(&running, "/api/mine/", &next()).bearer_auth(&user);
    let (served, refused) = flood(100, by_account).await;
    assert_limited(served, 20);
    assert!(refused.is_some());
    // The proxy appends whom it saw; what stands before it was sent by the client.
    let forged = || {
        from(
            &running,
            "/api/things/",
            &format!("{}, 198.51.100.1", next()),
        )
    };
    let (served, refused) = flood(100, forged).await;
    assert_limited(served, 10);
    assert!(refused.is_some());
}

// attack: guessing tokens -> 401, then 429 by address; a good token from there is still taken
#[tokio::test]
async fn guessed_tokens_are_counted() {
    let running = start(None).await;
    let guess = || from(&running, "/api/mine/", "203.0.113.1").bearer_auth("a.b.c");
    let mut refused = 0;
    for _ in 0..30 {
        match guess().send().await.unwrap().status().as_u16() {
            401 => {}
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused >= 10, "{refused}");
    let good = from(&running, "/api/mine/", "203.0.113.1").bearer_auth(token(7, &[]));
    assert_eq!(good.send().await.unwrap().status(), 200);
}

// attack: a flood over two replicas -> together little more than one limit
#[tokio::test]
async fn replicas_count_together() {
    // A minute that ends in between says nothing: then once more.
    for _ in 0..3 {
        let minute = kit::time::now_ms() / 60_000;
        let served = served_by_the_second().await;
        if kit::time::now_ms() / 60_000 == minute {
            // Alone it would have served twenty.
            assert!(served <= 12, "{served}");
            return;
        }
    }
    panic!("three minutes ended within a few seconds each");
}

/// What a second replica serves of an account whose limit is used up at the first.
async fn served_by_the_second() -> u32 {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/d.db?mode=rwc", dir.path().display());
    let db = || async { Some(Db::open("product", &url).await.unwrap()) };
    let (one, two) = (start(db().await).await, start(db().await).await);
    let user = token(7, &[]);
    let at = |running| from(running, "/api/mine/", "203.0.113.1").bearer_auth(&user);
    let (_, refused) = flood(100, || at(&one)).await;
    assert!(refused.is_some());
    // It hears of it once it has something to tell itself: more than a tenth of the limit.
    let mut served = 0;
    while at(&two).send().await.unwrap().status() == 200 {
        served += 1;
        if served > 3 {
            // The counts meet once a second.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    }
    served
}

// attack: the lab's load, thousands of customers with accounts and addresses of their own -> never a 429
#[tokio::test]
async fn honest_customers_meet_no_limit() {
    let running = start(None).await;
    let lab = |request: RequestBuilder| request.header("x-lab-token", "test-token");
    for n in 0..300_u32 {
        let address = format!("100.64.{}.{}", n / 256, n % 256);
        let browse = lab(from(&running, "/api/things/", &address));
        assert_eq!(browse.send().await.unwrap().status(), 200);
    }
    // What the lab asks for itself comes for no customer.
    for _ in 0..50 {
        let own = lab(request(&running, "/api/things/"));
        assert_eq!(own.send().await.unwrap().status(), 200);
    }
}

// attack: JSON of the wrong kind, deep, huge or no JSON -> 400, 413 or 415 as JSON with the security headers
#[tokio::test]
async fn a_body_that_is_none_is_refused_as_json() {
    let running = start(None).await;
    let url = format!("http://{}/api/echo/", running.http);
    let send = async |kind: &str, body: Vec<u8>| {
        let post = reqwest::Client::new()
            .post(&url)
            .header("content-type", kind);
        // Each from an address of its own: this is about bodies.
        let address = format!("203.0.113.{}", body.len() % 250);
        let post = post.header("x-forwarded-for", address);
        post.body(body).send().await.unwrap()
    };
    let json = "application/json";
    for (kind, body, expected) in [
        (json, b"{".to_vec(), 400),
        (json, b"[]".to_vec(), 400),
        (json, b"\xff\xfe".to_vec(), 400),
        (json, b"{\"a\":1e999}".to_vec(), 400),
        (json, "[".repeat(100_000).into_bytes(), 400),
        (json, vec![b' '; (1 << 20) + 1], 413),
        ("text/plain", b"{}".to_vec(), 415),
    ] {
        let answer = send(kind, body).await;
        assert_eq!(answer.status(), expected);
        let headers = answer.headers().clone();
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["x-frame-options"], "DENY");
        assert!(
            headers["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("'none'")
        );
        assert!(answer.json::<Value>().await.unwrap()["trace_id"].is_string());
    }
}
