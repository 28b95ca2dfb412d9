//! What the gateway makes of requests that claim, climb, come from elsewhere or come too often.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::any,
};
use common::{Gateway, Service};
use kit::http::limits::Quotas;
use parking_lot::Mutex;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What a service was sent.
#[derive(Default)]
struct Seen(Mutex<Vec<(String, HeaderMap)>>);

impl Seen {
    fn paths(&self) -> Vec<String> {
        self.0.lock().iter().map(|(path, _)| path.clone()).collect()
    }

    fn last(&self) -> HeaderMap {
        self.0.lock().last().unwrap().1.clone()
    }
}

/// A service that notes what it is sent, and a gateway before it.
async fn noting() -> (Gateway, Service, Arc<Seen>) {
    noting_behind(|_| {}).await
}

async fn noting_behind(change: impl FnOnce(&mut gateway::Config)) -> (Gateway, Service, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let notes = Arc::clone(&seen);
    let app = Router::new().fallback(any(move |request: Request| {
        let path = request.uri().to_string();
        notes.0.lock().push((path, request.headers().clone()));
        async { Json(json!({ "ok": true })) }
    }));
    let service = Service::start(app).await;
    let gateway = Gateway::start_with(&service.url, change).await;
    (gateway, service, seen)
}

/// A request as it is written, which clients would tidy up.
async fn raw(gateway: &Gateway, line: &str) -> u16 {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer[9..12].parse().unwrap()
}

// attack(headers from outside): deadline, priority, fault, forwarding, account and lab headers from outside -> stripped or bounded
#[tokio::test]
async fn headers_from_outside_are_claims() {
    let (gateway, _service, seen) = noting().await;
    let claims = [
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.1"),
        ("x-real-ip", "203.0.113.1"),
        ("true-client-ip", "203.0.113.1"),
        ("x-original-url", "/api/users/"),
        ("x-rewrite-url", "/api/users/"),
        ("x-http-method-override", "DELETE"),
        ("x-user-id", "1"),
        ("x-caller", "order"),
        ("x-attempt", "7"),
        ("x-request-priority", "critical-plus"),
        ("x-lab-token", "guessed"),
        ("x-lab-fault", "x"),
        ("grpc-timeout", "1H"),
        ("grpc-previous-rpc-attempts", "3"),
        ("x-request-deadline", "999999999"),
    ];
    let mut request = gateway.request(Method::GET, "/api/orders/");
    for (name, value) in claims {
        request = request.header(name, value);
    }
    assert_eq!(request.send().await.unwrap().status(), 200);
    let told = seen.last();
    for (name, value) in claims {
        let passed = told.get(name).map(|value| value.to_str().unwrap());
        assert_ne!(passed, Some(value), "{name}");
    }
    assert_eq!(told["x-forwarded-for"], "127.0.0.1");
    assert_eq!(told["x-forwarded-proto"], "http");
    assert_eq!(told["x-caller"], "gateway");
    assert_eq!(told["x-attempt"], "1");
    assert_eq!(told["x-request-priority"], "critical");
    for none in [
        "x-user-id",
        "x-lab-token",
        "x-lab-fault",
        "x-forwarded-host",
    ] {
        assert!(!told.contains_key(none), "{none}");
    }
    let left = told
        .get("x-request-deadline")
        .map(|ms| ms.to_str().unwrap());
    let left: u64 = left.map_or(0, |ms| ms.parse().unwrap());
    assert!(left <= 60_000, "bounded: {left}");
}

// attack(forged X-Forwarded-For): forged X-Forwarded-For -> counts only from a trusted proxy, and there only what that one wrote
#[tokio::test]
async fn only_a_trusted_proxy_says_who_the_client_is() {
    let forged = |gateway: &Gateway| {
        let request = gateway.request(Method::GET, "/api/products/");
        let forged = request.header("x-forwarded-for", "6.6.6.6, 203.0.113.9");
        forged.send()
    };
    let (gateway, _service, seen) = noting().await;
    forged(&gateway).await.unwrap();
    assert_eq!(seen.last()["x-forwarded-for"], "127.0.0.1");
    let proxied = |config: &mut gateway::Config| {
        config.common.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    };
    let (gateway, _service, seen) = noting_behind(proxied).await;
    forged(&gateway).await.unwrap();
    assert_eq!(seen.last()["x-forwarded-for"], "203.0.113.9");
}

// attack(path tricks): method, slash and %2e tricks -> 400, 404 or 405, and never another route
#[tokio::test]
async fn a_path_leads_to_one_route_or_to_none() {
    let (gateway, _service, seen) = noting().await;
    for path in [
        "/api/orders/../users/",
        "/api/orders/./",
        "/api/orders/%2e%2e/users/",
        "/api/orders/%2E%2E/users/",
        "/api/orders/.%2e/users/",
        "/api/orders/..%2fusers/",
        "/api/orders/%2e%2e%2fusers/",
        "/api/orders/..%5cusers/",
        "/api/orders/%252e%252e/users/",
        "/api/orders/..;/users/",
        "/api/orders/..",
        "/api//orders/",
        "//api/orders/",
        "///api/orders/",
        "/api/orders//",
        "/api/orders/%00/",
        "/api/orders/%0d%0aX:y/",
        "/api/orders/%/",
        "/api/orders%2f",
        "/api%2forders/",
        "/%61pi/orders/",
        "/api/%6frders/",
        "/API/orders/",
        "/api/Orders/",
        "/api/ordersx/",
        "/api/",
        "/lab/policies",
        "/metrics",
        "/.env",
        "/.git/config",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let status = raw(&gateway, &format!("{method} {path}")).await;
            assert!(matches!(status, 400 | 404), "{method} {path}: {status}");
        }
    }
    for method in ["TRACE", "TRACK", "PROPFIND", "PURGE", "DEBUG", "LOCK"] {
        let status = raw(&gateway, &format!("{method} /api/orders/")).await;
        assert_eq!(status, 405, "{method}");
    }
    assert_eq!(seen.paths(), Vec::<String>::new());
    assert_eq!(raw(&gateway, "GET /api/orders/7/?next=../../x").await, 200);
    assert_eq!(seen.paths(), ["/api/orders/7/?next=../../x"]);
}

// attack(lab API): the control API's paths at the gateway's public port, with the lab's token -> 404, no service is asked
#[tokio::test]
async fn the_lab_is_not_steered_from_outside() {
    let (gateway, _service, seen) = noting().await;
    for path in [
        "/lab",
        "/lab/health",
        "/lab/policies",
        "/lab/policies/gateway-order",
        "/lab/policies/gateway-order/breaker",
        "/lab/faults",
        "/lab/failpoints",
        "/lab/defects",
        "/lab/reset",
        "/lab/fixtures",
        "/lab/events",
        "/api/lab/health",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let request = gateway.request(method.clone(), path);
            let answer = request.bearer_auth("test-token").send().await.unwrap();
            assert_eq!(answer.status(), 404, "{method} {path}");
        }
    }
    assert_eq!(seen.paths(), Vec::<String>::new());
}

// attack(cross-site refresh, cross-site log-out): cross-site refresh, log-out and every other cookie-bearing change -> 403
#[tokio::test]
async fn another_sites_page_changes_nothing() {
    let (gateway, _service, seen) = noting_behind(|config| {
        config.cors_origins = vec!["http://app.test".into()];
    })
    .await;
    let own = format!("http://{}", gateway.address());
    let send = |path: &'static str, headers: &[(&'static str, &str)]| {
        let mut request = gateway
            .request(Method::POST, path)
            .header("cookie", "shop_refresh=x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move { request.send().await.unwrap().status().as_u16() }
    };
    for path in [
        "/api/token/refresh/",
        "/api/token/logout/",
        "/api/users/me/",
    ] {
        for foreign in [
            &[("origin", "http://evil.test")][..],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(send(path, foreign).await, 403, "{path} {foreign:?}");
        }
    }
    assert_eq!(seen.paths(), Vec::<String>::new());
    let path = "/api/token/refresh/";
    assert_eq!(send(path, &[]).await, 200, "no browser");
    assert_eq!(send(path, &[("origin", &own)]).await, 200);
    assert_eq!(send(path, &[("sec-fetch-site", "same-origin")]).await, 200);
    assert_eq!(send(path, &[("origin", "http://app.test")]).await, 200);
}

// attack(POST once): POST retried by the gateway -> sent once; its JSON error kept
#[tokio::test]
async fn a_post_is_sent_once_and_its_error_kept() {
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let app = Router::new().fallback(any(move || {
        count.fetch_add(1, Ordering::SeqCst);
        async {
            let body = json!({ "code": "service_unavailable", "trace_id": "t" });
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [("retry-after", "0")],
                Json(body),
            )
                .into_response()
        }
    }));
    let service = Service::start(app).await;
    let gateway = Gateway::start(&service.url).await;
    gateway.set("gateway-order", json!("naive")).await;
    let post = gateway.request(Method::POST, "/api/orders/");
    let answer = post.header("idempotency-key", "k").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "0");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(
        body,
        json!({ "code": "service_unavailable", "trace_id": "t" })
    );
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    gateway.get("/api/orders/").await;
    assert!(seen.load(Ordering::SeqCst) > 2, "a GET is retried there");
}

// attack: a body over 1 MiB, with its length told or not -> 413
#[tokio::test]
async fn a_large_body_is_refused() {
    let (gateway, _service, seen) = noting().await;
    let send = async |body: reqwest::Body| -> Response {
        let post = gateway.request(Method::POST, "/api/token/");
        post.body(body).send().await.unwrap()
    };
    let megabyte = vec![b'x'; 1 << 20];
    assert_eq!(send(megabyte.clone().into()).await.status(), 200);
    let told = send([&megabyte[..], b"x"].concat().into()).await;
    let parts = [megabyte, b"x".to_vec()].map(Ok::<_, std::io::Error>);
    let parts = futures_util::stream::iter(parts);
    let untold = send(reqwest::Body::wrap_stream(parts)).await;
    for answer in [told, untold] {
        assert_eq!(answer.status(), 413);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["code"], "payload_too_large");
    }
    assert_eq!(seen.paths().len(), 1);
}

// attack: a flood from one address -> 429 with Retry-After and RateLimit-*, at the gateway already; other addresses are served
#[tokio::test]
async fn a_flood_from_one_address_is_turned_away_at_the_gateway() {
    let (gateway, _service, seen) = noting_behind(|config| {
        config.common.rate_limits = Quotas::per_minute([20, 0, 0, 0]);
        config.common.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    })
    .await;
    let from = async |address: &str| {
        let request = gateway.request(Method::GET, "/api/products/");
        let request = request.header("authorization", "Bearer forged");
        request
            .header("x-forwarded-for", address)
            .send()
            .await
            .unwrap()
    };
    let mut refused = None;
    for _ in 0..100 {
        let answer = from("203.0.113.1").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 200);
    }
    let refused = refused.expect("a flood is turned away");
    let served = seen.paths().len();
    // Twenty; and twenty more where the minute ended meanwhile.
    assert!((20..=40).contains(&served), "{served}");
    for header in [
        "retry-after",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    ] {
        let value = refused.headers()[header].to_str().unwrap();
        assert!(value.parse::<u32>().is_ok(), "{header}: {value}");
    }
    assert_eq!(refused.headers()["ratelimit-limit"], "20");
    assert_eq!(
        refused.json::<Value>().await.unwrap()["code"],
        "rate_limited"
    );
    assert_eq!(from("203.0.113.2").await.status(), 200);
}

// attack: a limit's 429 of a service, many times -> passed on as it is; the breaker towards the service stays closed
#[tokio::test]
async fn a_rate_limit_speaks_against_the_client_not_the_service() {
    let app = Router::new().fallback(any(|| async {
        let headers = [("ratelimit-limit", "1"), ("retry-after", "9")];
        (
            StatusCode::TOO_MANY_REQUESTS,
            headers,
            Json(json!({ "code": "rate_limited" })),
        )
    }));
    let service = Service::start(app).await;
    let gateway = Gateway::start(&service.url).await;
    gateway.set("gateway-user", json!("naive")).await;
    for _ in 0..20 {
        let answer = gateway.get("/api/users/").await;
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "9");
    }
}
