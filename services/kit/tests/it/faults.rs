//! Faults in a server that is nothing but the kit: at the edge, behind a door, and not at all.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use axum::{Router, routing::get};
use kit::{Common, Running, Server, Slots, http::CALLER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn start(common: &Common, edge: bool) -> Running {
    let routes = Router::new()
        .route("/api/things/", get(|| async { "things" }))
        .route("/livez", get(|| async { "alive" }));
    let server = Server::new(common).rest(routes).slots(Slots::new(common));
    let server = if edge { server.edge() } else { server };
    server.start().await.unwrap()
}

fn things(running: &Running) -> RequestBuilder {
    reqwest::Client::new().get(format!("http://{}/api/things/", running.http))
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

async fn lab(running: &Running, method: Method, path: &str, body: Value) -> Value {
    let url = format!("http://{}{path}", running.control.unwrap());
    let request = reqwest::Client::new().request(method, url);
    let answer = request.bearer_auth("test-token").json(&body).send().await;
    let answer = answer.unwrap();
    assert!(
        answer.status().is_success(),
        "{}",
        answer.text().await.unwrap()
    );
    answer.json().await.unwrap()
}

async fn hold(running: &Running, link: &str, action: Value) {
    let fault = json!({"id": "f", "link": link, "action": action});
    lab(running, Method::POST, "/lab/faults", fault).await;
}

#[tokio::test]
async fn at_the_edge_everybody_is_the_load_but_who_shows_the_labs_token() {
    let running = start(&Common::for_test("gateway"), true).await;
    hold(
        &running,
        "load-gateway",
        json!({"fail": {"share": 1, "status": 502}}),
    )
    .await;
    assert_eq!(status(things(&running)).await, 502);
    let told = || things(&running).header(CALLER, "order");
    assert_eq!(
        status(told()).await,
        502,
        "a stranger's word counts for nothing"
    );
    let trusted = told().header("x-lab-token", "test-token");
    assert_eq!(status(trusted).await, 200);
    let alive = reqwest::get(format!("http://{}/livez", running.http)).await;
    assert_eq!(alive.unwrap().status(), 200, "who watches is left alone");
    running.shutdown().await;
}

#[tokio::test]
async fn work_that_outlives_its_caller_keeps_its_place_behind_the_door() {
    let running = start(&Common::for_test("product"), false).await;
    let policy = json!({"preset": "static", "limit": {"max": 1}, "queue": "off"});
    let slot = "/lab/policies/product.server";
    let url = format!("http://{}{slot}", running.control.unwrap());
    let put = reqwest::Client::new()
        .put(url)
        .bearer_auth("test-token")
        .json(&policy);
    let answer = put.send().await.unwrap();
    assert!(
        answer.status().is_success(),
        "{}",
        answer.text().await.unwrap()
    );
    hold(&running, "*-product", json!({"work": {"time": "2s"}})).await;
    let left = timeout(Duration::from_millis(300), things(&running).send()).await;
    assert!(left.is_err());
    let state = lab(&running, Method::GET, &format!("{slot}/state"), Value::Null).await;
    assert_eq!(state["inflight"], 1, "{state}");
    assert_eq!(
        status(things(&running)).await,
        503,
        "there is no place for another"
    );
    lab(&running, Method::DELETE, "/lab/faults", Value::Null).await;
    let free = async {
        while status(things(&running)).await != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, free)
        .await
        .expect("the place is given back");
    running.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_lets_go_of_what_is_held_up() {
    let running = start(&Common::for_test("product"), false).await;
    hold(&running, "*-product", json!({"hang": {}})).await;
    let hung = tokio::spawn(things(&running).send());
    let reached = async {
        while lab(&running, Method::GET, "/lab/faults/f", Value::Null).await["acted"] != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("it hangs");
    running.shutdown().await;
    assert_eq!(hung.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn outside_of_lab_mode_there_is_nothing_to_talk_to() {
    let common = Common {
        lab: None,
        ..Common::for_test("product")
    };
    let running = start(&common, false).await;
    assert_eq!(running.control, None);
    assert_eq!(status(things(&running).header(CALLER, "order")).await, 200);
    let faults = reqwest::get(format!("http://{}/lab/faults", running.http)).await;
    assert_eq!(faults.unwrap().status(), 404);
    running.shutdown().await;
}
