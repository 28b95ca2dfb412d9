//! What ours has beside Toxiproxy's API: acted, events, lease, seed.

use crate::support::{Lab, PATIENCE, echo, round_trip};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep, timeout};

async fn connected(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    round_trip(&mut stream, b"hello").await.unwrap();
    stream
}

/// Waits until that holds.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(
            start.elapsed() < PATIENCE,
            "it never came to be that {what}"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn acted_tells_what_each_toxic_and_down_acted_on() {
    let lab = Lab::start(1).await;
    let address = lab.proxy("order-product", echo().await).await;
    let nothing = json!({ "down": { "connections": 0 }, "toxics": {} });
    assert_eq!(
        lab.json("/faultline/acted").await,
        json!({ "proxies": { "order-product": nothing } })
    );
    lab.toxic("order-product", r#"{"name":"slow","type":"latency"}"#)
        .await;
    lab.toxic(
        "order-product",
        r#"{"name":"never","type":"timeout","toxicity":0}"#,
    )
    .await;
    let mut live = Vec::new();
    for _ in 0..3 {
        live.push(connected(address).await);
    }
    lab.post("/proxies/order-product", r#"{"enabled":false}"#)
        .await;
    lab.delete("/proxies/order-product/toxics/slow").await;
    lab.post("/reset", "").await;
    let acted = lab.json("/faultline/acted").await["proxies"]["order-product"].take();
    assert_eq!(acted["down"]["connections"], 3);
    let slow = &acted["toxics"]["slow"];
    assert_eq!(
        (&slow["type"], &slow["connections"]),
        (&json!("latency"), &json!(3))
    );
    assert_eq!(slow["bytes"], 15);
    assert!(slow["chunks"].as_u64().unwrap() >= 3);
    let never = json!({ "type": "timeout", "connections": 0, "chunks": 0, "bytes": 0 });
    assert_eq!(acted["toxics"]["never"], never);
    let text = lab.text("/metrics").await;
    let metric = r#"proxy_toxic_acted_total{link="order-product",toxic="slow"} "#;
    let line = text.lines().find_map(|line| line.strip_prefix(metric));
    assert!(line.unwrap().parse::<u64>().unwrap() >= 3, "{text}");

    // Down goes on counting; a toxic added again begins anew.
    let _live = connected(address).await;
    lab.post("/proxies/order-product", r#"{"enabled":false}"#)
        .await;
    lab.toxic("order-product", r#"{"name":"slow","type":"noop"}"#)
        .await;
    let acted = lab.json("/faultline/acted").await["proxies"]["order-product"].take();
    assert_eq!(acted["down"]["connections"], 4);
    assert_eq!(acted["toxics"]["slow"]["connections"], 0);

    lab.delete("/proxies/order-product/toxics/slow").await;
    assert_eq!(lab.delete("/faultline/acted").await, 204);
    assert_eq!(
        lab.json("/faultline/acted").await["proxies"]["order-product"],
        nothing
    );
    lab.stop().await;
}

#[tokio::test]
async fn events_tell_what_is_done_and_each_connection_acted_on_once() {
    let lab = Lab::start(1).await;
    let address = lab.proxy("p", echo().await).await;
    let mut events = lab.events().await;
    lab.toxic(
        "p",
        r#"{"name":"slow","type":"latency","stream":"upstream"}"#,
    )
    .await;
    let added = events.find("toxic_added").await;
    assert_eq!(
        (&added["link"], &added["toxic"]),
        (&json!("p"), &json!("slow"))
    );
    assert_eq!(added["attributes"], json!({ "latency": 0, "jitter": 0 }));
    for number in [1, 2] {
        let mut stream = connected(address).await;
        round_trip(&mut stream, b"more").await.unwrap();
        let acted = events.next().await.unwrap();
        let shown = ["kind", "link", "toxic", "type", "stream"].map(|f| acted[f].clone());
        assert_eq!(shown, ["toxic_acted", "p", "slow", "latency", "upstream"]);
        assert_eq!(acted["connection"], number);
        assert!(acted["t_ns"].as_u64().unwrap() > added["t_ns"].as_u64().unwrap());
    }
    lab.post("/proxies/p/toxics/slow", r#"{"toxicity":0.5}"#)
        .await;
    assert_eq!(events.next().await.unwrap()["kind"], "toxic_updated");
    lab.delete("/proxies/p/toxics/slow").await;
    assert_eq!(events.next().await.unwrap()["kind"], "toxic_removed");
    let live = connected(address).await;
    lab.post("/proxies/p", r#"{"enabled":false}"#).await;
    // Those before may be about to be noticed as gone, and count as well.
    let down = events.next().await.unwrap();
    assert_eq!(
        (&down["kind"], &down["link"]),
        (&json!("down"), &json!("p"))
    );
    assert!(down["connections"].as_u64().unwrap() >= 1);
    drop(live);
    lab.post("/reset", "").await;
    assert_eq!(events.next().await.unwrap()["kind"], "up");
    // A reader that stays doesn't keep the server from stopping.
    lab.stop().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_resets_everything() {
    let lab = Lab::start(1).await;
    let address = lab.proxy("p", echo().await).await;
    let other = lab.proxy("other", echo().await).await;
    let mut events = lab.events().await;
    let (status, held) = lab.put("/faultline/lease", r#"{"lease":"15s"}"#).await;
    assert_eq!(status, 200);
    let left = held["expires_in_ms"].as_u64().unwrap();
    assert!(left > 10_000 && left <= 15_000, "{held}");
    lab.toxic("p", r#"{"type":"timeout"}"#).await;
    lab.post("/proxies/other", r#"{"enabled":false}"#).await;
    // A live connection is freed too: a removed timeout closes it.
    let mut hanging = TcpStream::connect(address).await.unwrap();
    lab.put("/faultline/lease", r#"{"lease":"50ms"}"#).await;
    events.find("lease_expired").await;
    assert_eq!(
        lab.json("/faultline/lease").await,
        json!({ "expires_in_ms": null })
    );
    assert_eq!(lab.text("/proxies/p/toxics").await, "[]");
    connected(other).await;
    connected(address).await;
    let closed = timeout(PATIENCE, hanging.read(&mut [0; 8])).await.unwrap();
    assert_eq!(closed.unwrap_or(0), 0);
    lab.stop().await;
}

#[tokio::test]
async fn a_lease_given_back_resets_nothing() {
    let lab = Lab::start(1).await;
    lab.proxy("p", echo().await).await;
    lab.toxic("p", r#"{"type":"latency"}"#).await;
    lab.put("/faultline/lease", r#"{"lease":"80ms"}"#).await;
    assert_eq!(lab.delete("/faultline/lease").await, 204);
    let start = Instant::now();
    until("a lease would be over", || async {
        start.elapsed() > Duration::from_millis(200)
    })
    .await;
    assert!(lab.text("/proxies/p/toxics").await.contains("latency"));
    lab.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_says_why() {
    let lab = Lab::start(9).await;
    for (path, body, why) in [
        ("/faultline/lease", r#"{"lease":"16s"}"#, "at most 15s"),
        ("/faultline/lease", r#"{"lease":"soon"}"#, "\"15s\""),
        ("/faultline/lease", r#"{"leese":"5s"}"#, "expected `lease`"),
        ("/faultline/lease", "", "bad request body"),
        ("/faultline/seed", r#"{"seed":-1}"#, "expected u64"),
        ("/faultline/seed", r#"{"seed":1,"x":2}"#, "expected `seed`"),
        ("/faultline/seed", "{}", "missing field `seed`"),
    ] {
        let (status, answer) = lab.put(path, body).await;
        assert_eq!(status, 400, "{path} {body}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(why), "{body}: {error}");
    }
    assert_eq!(lab.json("/faultline/seed").await, json!({ "seed": 9 }));
    lab.stop().await;
}

/// Which of the next 30 connections a toxicity of one half cuts off.
async fn fates(address: std::net::SocketAddr) -> Vec<bool> {
    let mut fates = Vec::new();
    for _ in 0..30 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        fates.push(round_trip(&mut stream, b"x").await.is_err());
    }
    fates
}

#[tokio::test]
async fn a_seed_set_again_repeats_the_fates_of_all_proxies() {
    let lab = Lab::start(1).await;
    let mut addresses = Vec::new();
    for name in ["a", "b"] {
        addresses.push(lab.proxy(name, echo().await).await);
        lab.toxic(name, r#"{"type":"reset_peer","toxicity":0.5}"#)
            .await;
    }
    let mut seen: Vec<[Vec<bool>; 2]> = Vec::new();
    for seed in [u64::MAX, 5, u64::MAX] {
        let (status, answer) = lab
            .put("/faultline/seed", &format!(r#"{{"seed":{seed}}}"#))
            .await;
        assert_eq!((status, answer), (200, json!({ "seed": seed })));
        seen.push([fates(addresses[0]).await, fates(addresses[1]).await]);
    }
    assert_eq!(seen[0], seen[2], "the same seed, the same fates");
    assert_ne!(seen[0], seen[1], "another seed, others");
    assert_ne!(seen[0][0], seen[0][1], "each proxy has its own");
    // The command line's does the same, on proxies made later as well.
    let first: Value = lab.json("/faultline/seed").await;
    assert_eq!(first["seed"], u64::MAX);
    let late = Lab::start(u64::MAX).await;
    let address = late.proxy("a", echo().await).await;
    late.toxic("a", r#"{"type":"reset_peer","toxicity":0.5}"#)
        .await;
    assert_eq!(fates(address).await, seen[0][0]);
    late.stop().await;
    lab.stop().await;
}
