//! What tonic really returns when the wire breaks, so that the classification rests on its true
//! source chains. Real sockets on loopback, hence the real clock; nothing waits for time.
#![cfg(feature = "grpc")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::net::SocketAddr;

use resilience::{Classify as _, FailureKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

async fn check(to: SocketAddr) -> Status {
    let channel = Endpoint::from_shared(format!("http://{to}"))
        .unwrap()
        .connect_lazy();
    let request = HealthCheckRequest {
        service: String::new(),
    };
    HealthClient::new(channel)
        .check(request)
        .await
        .expect_err("the server never answers")
}

fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, 0]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Speaks just enough HTTP/2 to see a request's HEADERS; returns the stream's id.
async fn until_headers(socket: &mut TcpStream) -> u32 {
    let mut preface = [0; 24];
    socket.read_exact(&mut preface).await.unwrap();
    socket.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        }
    }
}

/// A server that reads one request and then does `what` with it.
async fn server<F>(what: impl FnOnce(TcpStream, u32) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let stream = until_headers(&mut socket).await;
        what(socket, stream).await;
    });
    address
}

/// Reads on until the client hangs up, so that closing makes no reset of its own.
async fn drain(mut socket: TcpStream) {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_refused_connection_was_not_processed() {
    // Bound and dropped: nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let status = check(closed).await;
    assert_eq!(status.failure(), FailureKind::NotProcessed, "{status:?}");
    assert_eq!(resilience::Classify::code(&status), "UNAVAILABLE");
}

#[tokio::test]
async fn a_refused_stream_was_not_processed() {
    let address = server(|mut socket, stream| async move {
        let refused = u32::from(h2::Reason::REFUSED_STREAM).to_be_bytes();
        socket
            .write_all(&frame(RST_STREAM, stream, &refused))
            .await
            .unwrap();
        drain(socket).await;
    })
    .await;
    let status = check(address).await;
    assert_eq!(status.failure(), FailureKind::NotProcessed, "{status:?}");
}

#[tokio::test]
async fn a_stream_beyond_the_goaway_was_not_processed() {
    for reason in [h2::Reason::NO_ERROR, h2::Reason::ENHANCE_YOUR_CALM] {
        let address = server(move |mut socket, _| async move {
            // Last stream 0: not one was looked at.
            let mut payload = 0u32.to_be_bytes().to_vec();
            payload.extend(u32::from(reason).to_be_bytes());
            socket.write_all(&frame(GOAWAY, 0, &payload)).await.unwrap();
            drain(socket).await;
        })
        .await;
        let status = check(address).await;
        assert_eq!(
            status.failure(),
            FailureKind::NotProcessed,
            "{reason:?}: {status:?}"
        );
    }
}

#[tokio::test]
async fn a_goaway_that_includes_the_stream_promises_nothing() {
    let address = server(|mut socket, stream| async move {
        let mut payload = stream.to_be_bytes().to_vec();
        payload.extend(u32::from(h2::Reason::NO_ERROR).to_be_bytes());
        socket.write_all(&frame(GOAWAY, 0, &payload)).await.unwrap();
    })
    .await;
    let status = check(address).await;
    assert_eq!(status.failure(), FailureKind::Unavailable, "{status:?}");
}

#[tokio::test]
async fn a_connection_that_closes_or_resets_in_between_is_unavailable() {
    let closes = server(|socket, _| async move { drop(socket) }).await;
    let resets = server(|socket, _| async move {
        socket.set_zero_linger().unwrap();
        drop(socket);
    })
    .await;
    for address in [closes, resets] {
        let status = check(address).await;
        assert_eq!(status.failure(), FailureKind::Unavailable, "{status:?}");
        assert_eq!(resilience::Classify::code(&status), "UNAVAILABLE");
    }
}

#[tokio::test]
async fn a_stream_the_server_gave_up_keeps_its_meaning() {
    for (reason, kind) in [
        (h2::Reason::INTERNAL_ERROR, FailureKind::Internal),
        (h2::Reason::CANCEL, FailureKind::Unavailable),
    ] {
        let address = server(move |mut socket, stream| async move {
            let code = u32::from(reason).to_be_bytes();
            socket
                .write_all(&frame(RST_STREAM, stream, &code))
                .await
                .unwrap();
            drain(socket).await;
        })
        .await;
        let status = check(address).await;
        assert_eq!(status.failure(), kind, "{reason:?}: {status:?}");
    }
}
