//! Requests that two parsers could read in two ways, byte for byte, against a gateway with a
//! back-end that counts.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::any};
use common::{Gateway, Service};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway, and how many requests have reached what is behind it.
async fn counting() -> (Gateway, Service, Arc<AtomicU32>) {
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let app = Router::new().fallback(any(move |body: axum::body::Bytes| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { format!("{{\"bytes\":{}}}", body.len()) }
    }));
    let service = Service::start(app).await;
    let gateway = Gateway::start(&service.url).await;
    (gateway, service, seen)
}

/// What the gateway says until it closes.
async fn say(gateway: &Gateway, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let mut answer = Vec::new();
    // A refusal may come before all is sent, and a reset after it is a close, too.
    let both = async { tokio::join!(to.write_all(bytes), from.read_to_end(&mut answer)) };
    let _ = timeout(PATIENCE, both).await.expect("the gateway closes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    // A body may end without a line's end.
    let answers = answer.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| &answer[..3]).collect()
}

/// The request that would be smuggled past a gateway that is fooled.
const INNER: &str = "GET /api/orders/ HTTP/1.1\r\nHost: a\r\n\r\n";

/// Each ends in [`INNER`], of which nothing may be seen. `^` stands for CR LF.
const REFUSED: [&str; 72] = [
    // Two lengths.
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 4^Transfer-Encoding: chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: chunked^Content-Length: 4^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 0^Transfer-Encoding: chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 4^Content-Length: 5^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 4^Content-Length: 4^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 4, 4^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 4,5^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: +4^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: -4^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 0x4^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 4 4^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 4;^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: four^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: ^^abcd",
    "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 99999999999999999999^^abcd",
    // Codings.
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: chunked^Transfer-Encoding: chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: chunked^Transfer-Encoding: x^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: x^Transfer-Encoding: chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: chunked, chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: gzip, chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: chunked, identity^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: identity^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: xchunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: \"chunked\"^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: chunked;q=1^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: \u{b}chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding:^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding : chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding\t: chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^ Transfer-Encoding: chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^X: y^\tTransfer-Encoding: chunked^^0^^",
    "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding:^ chunked^^0^^",
    "POST /api/orders/ HTTP/1.0^Host: a^Transfer-Encoding: chunked^^0^^",
    // Ends of lines.
    "GET /api/orders/ HTTP/1.1\nHost: a\n\n",
    "GET /api/orders/ HTTP/1.1\nHost: a^^",
    "GET /api/orders/ HTTP/1.1^Host: a\n^",
    "GET /api/orders/ HTTP/1.1^Host: a^X: y\nTransfer-Encoding: chunked^^",
    "GET /api/orders/ HTTP/1.1^Host: a^X: y\rTransfer-Encoding: chunked^^",
    "GET /api/orders/ HTTP/1.1\r\r\nHost: a^^",
    "GET /api/orders/ HTTP/1.1^Host: a^\n",
    "^GET /api/orders/ HTTP/1.1^Host: a^^",
    "\nGET /api/orders/ HTTP/1.1^Host: a^^",
    // Names and values.
    "GET /api/orders/ HTTP/1.1^Host: a^: nameless^^",
    "GET /api/orders/ HTTP/1.1^Host: a^no colon^^",
    "GET /api/orders/ HTTP/1.1^Host: a^X Y: z^^",
    "GET /api/orders/ HTTP/1.1^Host: a^X\0: y^^",
    "GET /api/orders/ HTTP/1.1^Host: a^X: y\0^^",
    "GET /api/orders/ HTTP/1.1^Host: a^X: \u{7f}^^",
    "GET /api/orders/ HTTP/1.1^Host: a^X(y): z^^",
    "GET /api/orders/ HTTP/1.1^Host: a^X: y^ folded^^",
    "GET /api/orders/ HTTP/1.1^ X: y^Host: a^^",
    // Hosts.
    "GET /api/orders/ HTTP/1.1^^",
    "GET /api/orders/ HTTP/1.1^Host: a^Host: b^^",
    "GET /api/orders/ HTTP/1.1^Host: a, b^^",
    "GET /api/orders/ HTTP/1.1^Host: a@b^^",
    "GET /api/orders/ HTTP/1.1^Host: a/api^^",
    "GET /api/orders/ HTTP/1.1^Host:^^",
    // Request lines.
    "GET http://b/api/orders/ HTTP/1.1^Host: a^^",
    "GET  /api/orders/ HTTP/1.1^Host: a^^",
    "GET /api/orders/  HTTP/1.1^Host: a^^",
    "GET\t/api/orders/ HTTP/1.1^Host: a^^",
    "GET /api/orders/ HTTP/1.1 ^Host: a^^",
    "GET /api/orders/^Host: a^^",
    "GET /api/orders/ HTTP/2.0^Host: a^^",
    "GET /api/orders/ HTTP/1.2^Host: a^^",
    "GET /api/orders/ http/1.1^Host: a^^",
    "GET api/orders/ HTTP/1.1^Host: a^^",
    "GET /api/\0orders/ HTTP/1.1^Host: a^^",
    "GET /api/orders/#x HTTP/1.1^Host: a^^",
    "get /api/orders/ HTTP/1.1^Host: a^^",
    "G\u{e9}T /api/orders/ HTTP/1.1^Host: a^^",
    "CONNECT a:80 HTTP/1.1^Host: a^^",
];

/// Bodies whose head is in order. Each ends in [`INNER`].
const REFUSED_BODIES: [&str; 16] = [
    "4;ext=1^abcd^0^^",
    "4;^abcd^0^^",
    "4 ^abcd^0^^",
    " 4^abcd^0^^",
    "0x4^abcd^0^^",
    "+4^abcd^0^^",
    "-1^abcd^0^^",
    "4\nabcd\n0\n\n",
    "4^abcd\n0^^",
    "4^abcde^0^^",
    "3^abcd^0^^",
    "ffffffffffffffff^abcd^0^^",
    "g^abcd^0^^",
    "^abcd^0^^",
    "0^X: y^^",
    "4^abcd^0;x^^",
];

fn raw(text: &str) -> Vec<u8> {
    format!("{text}{INNER}").replace('^', "\r\n").into_bytes()
}

// attack(raw requests): CL + TE, two TE, two CL, bare LF, obs-fold, absolute-form, nul bytes, odd hosts and request lines (72 raw requests) -> 400 and close; the back-end sees none
#[tokio::test]
async fn a_request_with_two_readings_is_none() {
    let (gateway, _service, seen) = counting().await;
    for request in REFUSED {
        let answer = say(&gateway, &raw(request)).await;
        assert_eq!(statuses(&answer), ["400"], "{request:?}: {answer}");
        assert!(
            answer.to_ascii_lowercase().contains("connection: close"),
            "{answer}"
        );
        assert!(answer.contains("\"code\":\"bad_request\""), "{answer}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

// attack(raw requests): chunk extensions, bad chunk sizes, trailers, bare LF in chunks (16 raw bodies) -> 400 and close; the back-end sees none
#[tokio::test]
async fn a_chunked_body_with_two_readings_is_none() {
    let (gateway, _service, seen) = counting().await;
    for body in REFUSED_BODIES {
        let head = "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: chunked^^";
        let answer = say(&gateway, &raw(&format!("{head}{body}"))).await;
        assert_eq!(statuses(&answer), ["400"], "{body:?}: {answer}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

// attack(back-end count): a refused request behind good ones on one connection -> the good ones are served, then 400 and close; back-end count = accepted
#[tokio::test]
async fn the_back_end_sees_as_many_requests_as_were_accepted() {
    let (gateway, _service, seen) = counting().await;
    let good = [
        "GET /api/orders/ HTTP/1.1^Host: a^^",
        "POST /api/orders/ HTTP/1.1^Host: a^Content-Length: 4^^abcd",
        "POST /api/orders/ HTTP/1.1^Host: a^Transfer-Encoding: chunked^^4^abcd^A^0123456789^0^^",
        "GET /api/orders/?q=%2e HTTP/1.1^Host: [::1]:80^X-Odd: a, b ;c=\"d\"^^",
    ];
    let mut accepted = 0;
    for (n, bad) in REFUSED.iter().enumerate().step_by(7) {
        let before = &good[..=n % good.len()];
        let answer = say(&gateway, &raw(&format!("{}{bad}", before.concat()))).await;
        let mut expected = vec!["200"; before.len()];
        expected.push("400");
        assert_eq!(statuses(&answer), expected, "{bad:?}: {answer}");
        accepted += before.len();
    }
    assert_eq!(seen.load(Ordering::SeqCst) as usize, accepted);
}

// attack: a request cut into single bytes, good or not -> as in one piece
#[tokio::test]
async fn where_a_request_is_cut_makes_no_difference() {
    let (gateway, _service, seen) = counting().await;
    let drip = |request: Vec<u8>| {
        let address = gateway.address();
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            for byte in request {
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let mut answer = Vec::new();
            let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
                .await
                .unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        }
    };
    let good = "POST /api/orders/ HTTP/1.1^Host: a^Connection: close^Transfer-Encoding: chunked^^\
                4^abcd^0^^"
        .replace('^', "\r\n");
    let answer = drip(good.into_bytes()).await;
    assert_eq!(statuses(&answer), ["200"], "{answer}");
    assert!(answer.contains("{\"bytes\":4}"), "{answer}");
    let answer = drip(raw(REFUSED[0])).await;
    assert_eq!(statuses(&answer), ["400"], "{answer}");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

// attack: headers beyond 20 KiB, a target beyond 8 KiB, more than 100 header lines -> 431 or 414 and close; 16 KiB are served
#[tokio::test]
async fn heads_have_bounds_and_room() {
    let (gateway, _service, seen) = counting().await;
    let with = |headers: String| {
        format!("GET /api/orders/ HTTP/1.1^Host: a^Connection: close^{headers}^")
            .replace('^', "\r\n")
    };
    let one = |n: usize| with(format!("X: {}^", "y".repeat(n)));
    let many = |n: usize| with("X: y^".repeat(n));
    let target = |n: usize| {
        format!(
            "GET /api/orders/?{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "x".repeat(n)
        )
    };
    for (request, expected) in [
        (one(16 * 1024), "200"),
        (with(format!("X: {}^", "y".repeat(1024)).repeat(16)), "200"),
        (many(90), "200"),
        (target(7 * 1024), "200"),
        (one(32 * 1024), "431"),
        (one(1 << 20), "431"),
        (many(120), "431"),
        (target(9 * 1024), "414"),
        (target(1 << 20), "414"),
    ] {
        let answer = say(&gateway, request.as_bytes()).await;
        assert_eq!(statuses(&answer), [expected], "{}", request.len());
    }
    assert_eq!(seen.load(Ordering::SeqCst), 4);
}
