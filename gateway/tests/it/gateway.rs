//! The gateway in front of stub services, over real sockets.

#![allow(clippy::unwrap_used)] // helpers beside the tests

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Json, Router, extract::Request, http::StatusCode, response::IntoResponse, routing::any,
};
use gateway::{Config, routes::Upstream};
use kit::{Common, Running, replicas::addresses};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

/// Answers everything with what it was asked.
async fn echo(request: Request) -> impl IntoResponse {
    let headers: Value = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or("?"))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let (method, path) = (request.method().to_string(), request.uri().to_string());
    let body = axum::body::to_bytes(request.into_body(), usize::MAX)
        .await
        .unwrap();
    Json(json!({ "method": method, "path": path, "headers": headers, "bytes": body.len() }))
}

async fn stub(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Each with the addresses of its replicas, commas between.
async fn gateway(user: &str, product: &str, order: &str) -> Running {
    let config = Config {
        common: Common {
            grpc_port: None,
            trusted_proxies: kit::http::TrustedProxies::default(),
            ..Common::for_test("gateway")
        },
        upstreams: [
            (Upstream::User, addresses(user)),
            (Upstream::Product, addresses(product)),
            (Upstream::Order, addresses(order)),
        ],
        policy: resilience::preset::get("none").unwrap(),
        cors_origins: vec!["http://shop.test".into()],
    };
    gateway::start(config).await.unwrap()
}

async fn echoing() -> Running {
    let url = stub(Router::new().fallback(any(echo))).await;
    gateway(&url, &url, &url).await
}

fn url(running: &Running, path: &str) -> String {
    format!("http://{}{path}", running.http)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    let gateway = echoing().await;
    let answer = client()
        .post(url(&gateway, "/api/orders/?page=2"))
        .header("x-request-id", "abc-1")
        .json(&json!({ "a": 1 }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-request-id"], "abc-1");
    let seen: Value = answer.json().await.unwrap();
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["path"], "/api/orders/?page=2");
    assert_eq!(seen["bytes"], 7);
    assert_eq!(seen["headers"]["x-request-id"], "abc-1");
    assert_eq!(seen["headers"]["host"], gateway.http.to_string());
    let left: u64 = seen["headers"]["x-request-deadline"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(left <= 1000, "the slot's deadline travels: {left}");
}

#[tokio::test]
async fn headers_from_outside_that_claim_trust_are_not_passed_on() {
    let gateway = echoing().await;
    let request = |token: &'static str| {
        client()
            .get(url(&gateway, "/api/products/"))
            .header("x-forwarded-for", "10.9.9.9")
            .header("x-request-priority", "critical-plus")
            .header("x-lab-token", token)
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .send()
    };
    let seen: Value = request("wrong").await.unwrap().json().await.unwrap();
    assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1");
    for name in ["x-lab-token", "x-hop", "connection"] {
        assert!(seen["headers"].get(name).is_none(), "{name}");
    }
    assert_eq!(
        seen["headers"]["x-request-priority"], "critical",
        "ours, not theirs"
    );
    let seen: Value = request("test-token").await.unwrap().json().await.unwrap();
    assert_eq!(seen["headers"]["x-forwarded-for"], "10.9.9.9");
    assert_eq!(seen["headers"]["x-request-priority"], "critical-plus");
}

#[tokio::test]
async fn an_order_to_be_placed_goes_first_under_overload() {
    let gateway = echoing().await;
    let order = client()
        .post(url(&gateway, "/api/orders/"))
        .json(&json!({}));
    let seen: Value = order.send().await.unwrap().json().await.unwrap();
    assert_eq!(seen["headers"]["x-request-priority"], "critical-plus");
}

#[tokio::test]
async fn a_path_without_its_slash_is_led_there() {
    let gateway = echoing().await;
    let answer = client()
        .get(url(&gateway, "/api/products?x=1"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 308);
    assert_eq!(answer.headers()["location"], "/api/products/?x=1");
    let seen: Value = client()
        .post(url(&gateway, "/api/products"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(seen["path"], "/api/products/");
}

#[tokio::test]
async fn unknown_paths_wrong_methods_and_large_bodies_are_json_errors() {
    let gateway = echoing().await;
    let answer = client()
        .get(url(&gateway, "/nowhere"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    let body: Value = answer.json().await.unwrap();
    assert!(body["trace_id"].is_string() && body["code"] == "not_found");
    let answer = client().post(url(&gateway, "/livez")).send().await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers()["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD")
    );
    let answer = client()
        .post(url(&gateway, "/api/orders/"))
        .body(vec![0; (1 << 20) + 1])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(
        answer.json::<Value>().await.unwrap()["code"],
        "payload_too_large"
    );
}

#[tokio::test]
async fn a_service_that_is_gone_is_a_503_that_says_when_to_come_back() {
    let gateway = gateway(&nobody().await, &nobody().await, &nobody().await).await;
    let answer = client()
        .get(url(&gateway, "/api/products/"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let text = answer.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["code"], "service_communication_error");
    assert!(!text.contains("127.0.0.1"), "no internal address: {text}");
}

#[tokio::test]
async fn an_error_of_the_service_is_passed_on_as_it_is() {
    let app = Router::new().fallback(any(|| async {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            [("retry-after", "7")],
            Json(json!({ "code": "service_unavailable" })),
        )
    }));
    let url_of = stub(app).await;
    let gateway = gateway(&url_of, &url_of, &url_of).await;
    let answer = client()
        .post(url(&gateway, "/api/orders/"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["retry-after"].to_str().unwrap()
        ),
        (503, "7")
    );
    assert_eq!(
        answer.json::<Value>().await.unwrap()["code"],
        "service_unavailable"
    );
}

/// Reads a request, then closes: the worst moment.
async fn breaking() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.unwrap_or(0) > 0 {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (format!("http://{address}"), seen)
}

#[tokio::test]
async fn a_post_whose_connection_broke_is_sent_once_even_where_gets_are_retried() {
    let (url_of, seen) = breaking().await;
    let gateway = gateway(&url_of, &url_of, &url_of).await;
    let control = format!(
        "http://{}/lab/policies/gateway-order",
        gateway.control.unwrap()
    );
    let put = client()
        .put(control)
        .bearer_auth("test-token")
        .json(&json!("naive"))
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), 200);
    assert_eq!(
        client()
            .post(url(&gateway, "/api/orders/"))
            .send()
            .await
            .unwrap()
            .status(),
        503
    );
    assert_eq!(seen.swap(0, Ordering::SeqCst), 1);
    assert_eq!(
        client()
            .get(url(&gateway, "/api/orders/"))
            .send()
            .await
            .unwrap()
            .status(),
        503
    );
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn health_is_that_of_the_whole() {
    let well =
        stub(Router::new().fallback(any(|| async { Json(json!({ "status": "healthy" })) }))).await;
    let gateway_up = gateway(&well, &well, &well).await;
    let answer = client()
        .get(url(&gateway_up, "/health"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.json::<Value>().await.unwrap()["services"]["order"]["status"],
        "healthy"
    );
    let gateway_down = gateway(&well, &nobody().await, &well).await;
    let answer = client()
        .get(url(&gateway_down, "/health"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(
        body["services"]["product"]["checks"]["reachable"],
        "no answer"
    );
    assert_eq!(
        client()
            .get(url(&gateway_down, "/health/user/"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        client()
            .get(url(&gateway_down, "/health/product"))
            .send()
            .await
            .unwrap()
            .status(),
        503
    );
    assert_eq!(
        client()
            .get(url(&gateway_down, "/health/nobody"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
}

#[tokio::test]
async fn browsers_are_told_what_they_may_do() {
    let gateway = echoing().await;
    let answer = client()
        .get(url(&gateway, "/"))
        .header("origin", "http://shop.test")
        .send()
        .await
        .unwrap();
    let headers = answer.headers();
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'self'")
    );
    let origins: Vec<_> = headers
        .get_all("access-control-allow-origin")
        .iter()
        .collect();
    assert_eq!(origins, ["http://shop.test"]);
    let preflight = client()
        .request(reqwest::Method::OPTIONS, url(&gateway, "/api/orders/"))
        .header("origin", "http://shop.test")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 200);
    assert!(
        preflight.headers()["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("POST")
    );
    let foreign = client()
        .get(url(&gateway, "/"))
        .header("origin", "http://evil.test")
        .send()
        .await
        .unwrap();
    assert!(
        !foreign
            .headers()
            .contains_key("access-control-allow-origin")
    );
}

#[tokio::test]
async fn the_control_api_wants_its_token_and_names_what_it_knows() {
    let gateway = echoing().await;
    let base = format!("http://{}", gateway.control.unwrap());
    let get = |path: &str, token: &str| {
        client()
            .get(format!("{base}{path}"))
            .bearer_auth(token)
            .send()
    };
    assert_eq!(get("/lab/policies", "wrong").await.unwrap().status(), 401);
    let all: Value = get("/lab/policies", "test-token")
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(all["slots"]["gateway-order"]["preset"], "none");
    let unknown = get("/lab/policies/gateway-ordr", "test-token")
        .await
        .unwrap();
    assert_eq!(unknown.status(), 404);
    assert!(unknown.text().await.unwrap().contains("gateway-order"));
    let wrong = client()
        .put(format!("{base}/lab/policies/gateway-order"))
        .bearer_auth("test-token")
        .json(&json!({ "preset": "fast", "retry": { "max_attemps": 2 } }))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(
        wrong.text().await.unwrap().contains("max_attempts"),
        "the nearest name is suggested"
    );
}

#[tokio::test]
async fn events_tell_of_each_attempt() {
    let gateway = echoing().await;
    let mut events = client()
        .get(format!("http://{}/lab/events", gateway.control.unwrap()))
        .bearer_auth("test-token")
        .send()
        .await
        .unwrap();
    let hello = events.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&hello).contains("\"hello\""));
    client()
        .get(url(&gateway, "/api/products/"))
        .header("x-request-id", "e-1")
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    while text.lines().count() < 2 {
        text.push_str(&String::from_utf8_lossy(
            &events.chunk().await.unwrap().unwrap(),
        ));
    }
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["link"]),
        (&json!("attempt"), &json!("gateway-product"))
    );
    assert_eq!(
        (
            &lines[0]["request_id"],
            &lines[0]["attempt"],
            &lines[0]["ok"]
        ),
        (&json!("e-1"), &json!(1), &json!(true))
    );
    assert_eq!(
        (&lines[1]["kind"], &lines[1]["outcome"]),
        (&json!("call"), &json!("ok"))
    );
}
