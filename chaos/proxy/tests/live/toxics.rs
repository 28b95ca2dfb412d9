//! Toxics on real connections, steered over the API.

use std::io::ErrorKind;

use crate::support::{Lab, PATIENCE, echo, round_trip};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn down_kills_and_refuses_and_comes_back_on_the_same_port() {
    let lab = Lab::start(1).await;
    let address = lab.proxy("p", echo().await).await;
    let mut live = TcpStream::connect(address).await.unwrap();
    assert_eq!(round_trip(&mut live, b"hello").await.unwrap(), b"hello");

    let (status, shown) = lab.post("/proxies/p", r#"{"enabled":false}"#).await;
    assert_eq!((status, &shown["enabled"]), (200, &false.into()));
    // The answer came after the listener and the connections were closed.
    assert_eq!(live.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let (_, shown) = lab.post("/proxies/p", r#"{"enabled":true}"#).await;
    assert_eq!(shown["listen"], address.to_string());
    let mut again = TcpStream::connect(address).await.unwrap();
    assert_eq!(round_trip(&mut again, b"again").await.unwrap(), b"again");
    lab.stop().await;
}

#[tokio::test]
async fn a_reset_reaches_a_connection_that_was_there_before_the_toxic() {
    let lab = Lab::start(1).await;
    let address = lab.proxy("p", echo().await).await;
    let mut live = TcpStream::connect(address).await.unwrap();
    round_trip(&mut live, b"hello").await.unwrap();
    lab.toxic("p", r#"{"type":"reset_peer"}"#).await;
    let error = round_trip(&mut live, b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    lab.stop().await;
}

#[tokio::test]
async fn a_half_closed_connection_still_gets_its_answer() {
    let lab = Lab::start(1).await;
    let address = lab.proxy("p", echo().await).await;
    for latency in [false, true] {
        if latency {
            lab.toxic("p", r#"{"type":"latency","attributes":{"latency":30}}"#)
                .await;
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"all of it").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut back))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(back, b"all of it");
    }
    lab.stop().await;
}

/// Which of 40 connections, one after the other, were cut off.
async fn cut_off(seed: u64) -> Vec<bool> {
    let lab = Lab::start(seed).await;
    let address = lab.proxy("p", echo().await).await;
    lab.toxic("p", r#"{"type":"reset_peer","toxicity":0.5}"#)
        .await;
    let mut fates = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        fates.push(round_trip(&mut stream, b"x").await.is_err());
    }
    lab.stop().await;
    fates
}

#[tokio::test]
async fn toxicity_is_decided_by_the_seed() {
    let first = cut_off(11).await;
    assert_eq!(first, cut_off(11).await, "the same seed, the same fates");
    assert_ne!(first, cut_off(12).await, "another seed, others");
    let cut = first.iter().filter(|cut| **cut).count();
    assert!((8..=32).contains(&cut), "{cut} of 40 at toxicity 0.5");
}

#[tokio::test]
async fn a_removed_toxic_leaves_untouched_connections_alone() {
    let lab = Lab::start(1).await;
    let address = lab.proxy("p", echo().await).await;
    lab.toxic("p", r#"{"type":"timeout","toxicity":0}"#).await;
    let mut live = TcpStream::connect(address).await.unwrap();
    round_trip(&mut live, b"one").await.unwrap();
    assert_eq!(
        lab.delete("/proxies/p/toxics/timeout_downstream").await,
        204
    );
    round_trip(&mut live, b"two").await.unwrap();
    lab.stop().await;
}

#[tokio::test]
async fn a_dead_upstream_closes_only_its_own_client() {
    let lab = Lab::start(1).await;
    // A port that was free a moment ago: nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dead = lab.proxy("dead", nobody).await;
    let alive = lab.proxy("alive", echo().await).await;
    let mut stream = TcpStream::connect(dead).await.unwrap();
    let read = timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap();
    assert_eq!(read.unwrap_or(0), 0);
    let mut stream = TcpStream::connect(alive).await.unwrap();
    round_trip(&mut stream, b"x").await.unwrap();
    lab.stop().await;
}

#[tokio::test]
async fn connections_and_bytes_are_counted_by_link_and_direction() {
    let lab = Lab::start(1).await;
    let address = lab.proxy("order-product", echo().await).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    round_trip(&mut stream, &[0; 500]).await.unwrap();
    let text = lab.text("/metrics").await;
    for direction in ["upstream", "downstream"] {
        let labels = format!(r#"{{link="order-product",direction="{direction}"}}"#);
        for line in [
            format!("proxy_bytes_total{labels} 500"),
            format!("proxy_connections{labels} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_reset_of_all_goes_on_past_a_proxy_that_cannot_start() {
    let lab = Lab::start(1).await;
    let upstream = echo().await;
    let taken = lab.proxy("a", upstream).await;
    lab.proxy("b", upstream).await;
    lab.toxic("b", r#"{"type":"latency"}"#).await;
    lab.post("/proxies/a", r#"{"enabled":false}"#).await;
    let _holder = tokio::net::TcpListener::bind(taken).await.unwrap();
    let (status, body) = lab.post("/reset", "").await;
    assert_eq!(status, 500);
    let message = body["error"].as_str().unwrap();
    assert!(
        message.contains(&taken.to_string()) && message.contains("in use"),
        "{message}"
    );
    assert_eq!(lab.text("/proxies/b/toxics").await, "[]");
    lab.stop().await;
}
