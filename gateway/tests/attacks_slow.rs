//! Clients that take their time, and floods that cost the sender little, on real sockets.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use axum::{Router, routing::any};
use common::{Gateway, Service};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedWriteHalf},
    time::{Instant, interval, timeout},
};

/// What reliability.md promises.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// Frames of HTTP/2 (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn start() -> (Gateway, Service) {
    let app = Router::new().fallback(any(|_: axum::body::Bytes| async { "{}" }));
    let service = Service::start(app).await;
    let gateway = Gateway::start(&service.url).await;
    (gateway, service)
}

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.address()).await.unwrap()
}

/// Writes a byte every quarter of a second until the other side closes; what it said.
async fn drip(gateway: &Gateway, begin: &str) -> String {
    let mut stream = connect(gateway).await;
    stream.write_all(begin.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let dripping = async {
        let mut every = interval(Duration::from_millis(250));
        loop {
            every.tick().await;
            if to.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    let ended = async {
        tokio::select! {
            read = from.read_to_end(&mut answer) => drop(read),
            () = dripping => {}
        }
    };
    timeout(CLOSED_WITHIN, ended)
        .await
        .expect("closed within 10 s");
    String::from_utf8_lossy(&answer).into_owned()
}

// attack(slow headers): slow headers; a connection that says nothing, or begins HTTP/2 and stops -> closed within 10 s
#[tokio::test]
async fn slow_headers_are_not_waited_for() {
    let (gateway, _service) = start().await;
    let silent = async |begin: &str| {
        let mut stream = connect(&gateway).await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(CLOSED_WITHIN, stream.read_to_end(&mut answer)).await;
        let _ = read.expect("closed within 10 s");
        answer
    };
    let (dripped, nothing, preface, half) = tokio::join!(
        drip(&gateway, "GET /api/orders/ HTTP/1.1\r\nHost: a\r\nX: "),
        silent(""),
        silent("PRI * HTTP/2.0\r\n"),
        silent("GET /api/orders/ HTTP/1.1\r\n"),
    );
    assert_eq!(dripped, "");
    for answer in [nothing, preface, half] {
        assert_eq!(answer, b"");
    }
    assert_eq!(gateway.get("/api/orders/").await.status(), 200);
}

// attack(slow body): slow body, by length or in chunks -> 408 and closed within 10 s
#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let (gateway, _service) = start().await;
    let head = "POST /api/orders/ HTTP/1.1\r\nHost: a\r\n";
    let by_length = format!("{head}Content-Length: 1000\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n3e8\r\n");
    let (by_length, chunked) = tokio::join!(drip(&gateway, &by_length), drip(&gateway, &chunked));
    for answer in [by_length, chunked] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request's headers, compressed (RFC 7541, appendix A): `method` is 2 for GET, 3 for POST.
fn request(method: u8) -> Vec<u8> {
    let mut block = vec![0x80 | method, 0x86];
    for (name, value) in [(0x04, "/api/orders/"), (0x01, "a")] {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend(value.as_bytes());
    }
    block
}

/// Sends `flood`, piece after piece, until the gateway says GOAWAY or closes.
async fn ends(gateway: &Gateway, flood: impl Fn(u32) -> Vec<u8>) {
    let mut stream = connect(gateway).await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let sending = async {
        for n in 0.. {
            if write(&mut to, &flood(n)).await.is_err() {
                break;
            }
            // In one thread the server must have its turn.
            tokio::task::yield_now().await;
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut head = [0; 9];
        while from.read_exact(&mut head).await.is_ok() {
            if head[3] == GOAWAY {
                break;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if from.read_exact(&mut payload).await.is_err() {
                break;
            }
        }
    };
    let ended = async {
        tokio::select! {
            () = sending => {}
            () = reading => {}
        }
    };
    timeout(CLOSED_WITHIN, ended)
        .await
        .expect("GOAWAY or closed within 10 s");
}

async fn write(to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await
}

// attack(rapid reset): rapid reset (CVE-2023-44487) -> GOAWAY, others are served
#[tokio::test]
async fn a_rapid_reset_is_ended() {
    let (gateway, _service) = start().await;
    ends(&gateway, |n| {
        let stream = 2 * n + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(2));
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    })
    .await;
    assert_eq!(gateway.get("/api/orders/").await.status(), 200);
}

// attack(empty DATA): empty DATA frames without end (CVE-2019-9518) -> GOAWAY, others are served
#[tokio::test]
async fn a_flood_of_empty_data_is_ended() {
    let (gateway, _service) = start().await;
    ends(&gateway, |n| match n {
        0 => frame(HEADERS, END_HEADERS, 1, &request(3)),
        _ => frame(DATA, 0, 1, &[]).repeat(100),
    })
    .await;
    assert_eq!(gateway.get("/api/orders/").await.status(), 200);
}

// attack(CONTINUATION flood): CONTINUATION flood (CVE-2024-27316) -> GOAWAY, others are served
#[tokio::test]
async fn a_flood_of_continuations_is_ended() {
    let (gateway, _service) = start().await;
    // A header that is never indexed, again and again.
    let header = [&[0x10, 1, b'x', 100][..], &[b'y'; 100]].concat();
    ends(&gateway, |n| match n {
        0 => frame(HEADERS, END_STREAM, 1, &request(2)),
        _ => frame(CONTINUATION, 0, 1, &header.repeat(10)),
    })
    .await;
    assert_eq!(gateway.get("/api/orders/").await.status(), 200);
}

/// The 99th percentile of 300 requests, one after the other.
async fn p99(gateway: &Gateway) -> Duration {
    let mut times = Vec::new();
    for _ in 0..300 {
        let begun = Instant::now();
        assert_eq!(gateway.get("/api/orders/").await.status(), 200);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

// attack(slow connections): 2 000 slow connections -> p99 of others at most doubles; all are closed within 10 s
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_connections_hold_nobody_up() {
    let (gateway, _service) = start().await;
    p99(&gateway).await;
    let alone = p99(&gateway).await;
    let mut slow = Vec::new();
    for _ in 0..2_000 {
        let mut stream = connect(&gateway).await;
        stream
            .write_all(b"POST /api/orders/ HTTP/1.1\r\nHost:")
            .await
            .unwrap();
        slow.push(stream);
    }
    let opened = Instant::now();
    let among = p99(&gateway).await;
    // A loaded machine's own hiccups are not the slow ones' doing.
    let floor = Duration::from_millis(20);
    assert!(
        among <= (2 * alone).max(floor),
        "{alone:?} alone, {among:?} among them"
    );
    for mut stream in slow {
        let mut rest = Vec::new();
        let left = CLOSED_WITHIN.saturating_sub(opened.elapsed());
        let read = timeout(left, stream.read_to_end(&mut rest)).await;
        let _ = read.expect("closed within 10 s");
    }
}
