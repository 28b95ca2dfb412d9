//! HTTP/1.1 as a browser's connection pool speaks it, over plain TCP (`TCP_NODELAY`, keep-alive).

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Why there is no (whole) answer. The texts are stable: records carry them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection came about: no byte of the request has left.
    #[error("connect: {0}")]
    Connect(String),
    /// The connection broke after the request, or some of it, may have been sent.
    #[error("connection: {0}")]
    Broken(String),
    /// No whole answer within the bound.
    #[error("timeout")]
    Timeout,
    /// The answer's body is longer than what is read.
    #[error("too_large: body over {0} bytes")]
    TooLarge(usize),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, read to the end.
    pub body: Bytes,
}

/// A request that came to no whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The status, if at least the head of the answer arrived.
    pub status: Option<StatusCode>,
    /// What happened.
    pub error: TransportError,
}

/// The client. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    inner: Client<HttpConnector, Full<Bytes>>,
}

impl HttpClient {
    /// A client that keeps idle connections for a minute. A request whose kept connection turns out
    /// to have been closed before any of it was written goes out on another; nothing else is ever
    /// sent twice.
    #[must_use]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let inner = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .retry_canceled_requests(true)
            .build(connector);
        Self { inner }
    }

    /// Sends `request` and reads the answer, both within `bound`, the body up to `max_body` bytes.
    ///
    /// # Errors
    /// [`Interrupted`]. When the bound passes the connection is closed, so that the server can see
    /// that nobody waits any more.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        bound: Duration,
        max_body: usize,
    ) -> Result<Answer, Interrupted> {
        let mut status = None;
        let whole = async {
            let response = self.inner.request(request).await.map_err(|error| {
                let text = innermost(&error);
                if error.is_connect() {
                    TransportError::Connect(text)
                } else {
                    TransportError::Broken(text)
                }
            })?;
            status = Some(response.status());
            read(response, max_body).await
        };
        match tokio::time::timeout(bound, whole).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Interrupted { status, error }),
            Err(_) => Err(Interrupted {
                status,
                error: TransportError::Timeout,
            }),
        }
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

async fn read<B>(response: Response<B>, max_body: usize) -> Result<Answer, TransportError>
where
    B: BodyExt<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (head, body) = response.into_parts();
    let body = Limited::new(body, max_body)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                TransportError::TooLarge(max_body)
            } else {
                TransportError::Broken(innermost(error.as_ref()))
            }
        })?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

/// The text of the first cause, which is the one that says something ("Connection refused").
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
