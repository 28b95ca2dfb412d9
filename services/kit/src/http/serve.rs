//! The HTTP server: hyper-util, since `axum::serve` knows no header time-out and
//! drains without a limit.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt as _};

use super::{
    body::Timely,
    wire::{Bounds, Sieve, Times, Verdict},
};
use crate::{
    lab::faults::{LoseReply, ReplyLost},
    tls::Tls,
};

/// How a server treats its connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A request's headers must be there within this time from their first byte; of a new
    /// connection, from its begin.
    pub header_timeout: Duration,
    /// A request's body must be there within this time.
    pub body_timeout: Duration,
    /// A connection without a request ends after this time. Longer than callers keep theirs, or
    /// they would use one in the moment in which it is closed.
    pub idle: Duration,
    /// An answer of which nothing is taken for so long is given up.
    pub write_timeout: Duration,
    /// After a shutdown began, requests under way get this long.
    pub drain: Duration,
    /// Connections at once; more wait in the system's queue.
    pub connections: usize,
    /// How large a request's head may be; beyond it 414 or 431.
    pub head: Bounds,
}

impl Default for Limits {
    /// Of a service: its heads may be larger than the gateway's, which adds to them.
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(8),
            body_timeout: Duration::from_secs(8),
            idle: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(8),
            connections: 20_000,
            head: Bounds {
                line: 8 * 1024,
                headers: 24 * 1024,
                lines: 120,
            },
        }
    }
}

/// HTTP/2: streams at once on one connection.
const STREAMS: u32 = 200;
/// HTTP/2: bytes of a request's header list, as RFC 9113, section 6.5.2, counts them.
const HEADER_LIST: u32 = 32 * 1024;
/// HTTP/2: after so many requests that their sender took back, if they are most of all, the
/// connection is ended: "rapid reset", CVE-2023-44487.
const TAKEN_BACK: u32 = 100;
/// A TLS handshake that takes longer has failed.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A connection that is ended for misuse gets this long to end well.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Marks requests that came over TLS.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// Serves until `shutdown`, then lets what is under way end.
pub async fn serve<S>(listener: TcpListener, app: S, limits: Limits, shutdown: CancellationToken)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    serve_with(listener, app, limits, None, shutdown).await;
}

/// [`serve`], over TLS where there is some.
pub async fn serve_with<S>(
    listener: TcpListener,
    app: S,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    shutdown: CancellationToken,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let tasks = TaskTracker::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection {
                    app: app.clone(),
                    peer,
                    limits,
                    shutdown: shutdown.clone(),
                };
                let tls = tls.clone();
                tasks.spawn(async move {
                    connection.open(stream, tls).await;
                    drop(place);
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    tasks.close();
    if timeout(limits.drain, tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "connections were still busy when the drain ended"
        );
    }
}

/// Out of descriptors: accepting again at once would spin.
async fn pause_after(error: &io::Error) {
    let of_the_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !of_the_peer {
        tracing::error!(%error, "accepting a connection failed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An error from the service makes hyper close the connection (HTTP/2: reset the stream) without a
/// byte of an answer.
fn lose(answer: Result<Response, Infallible>) -> Result<Response, ReplyLost> {
    match answer {
        Ok(answer) if answer.extensions().get::<LoseReply>().is_some() => Err(ReplyLost),
        Ok(answer) => Ok(answer),
    }
}

struct Connection<S> {
    app: S,
    peer: SocketAddr,
    limits: Limits,
    shutdown: CancellationToken,
}

impl<S> Connection<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    async fn open(self, stream: TcpStream, tls: Option<Arc<Tls>>) {
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return self.run(stream, false).await;
        };
        let peer = self.peer;
        match timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.run(stream, true).await,
            Ok(Err(error)) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn run<T>(self, stream: T, over_tls: bool)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            app,
            peer,
            limits,
            shutdown,
        } = self;
        let times = Times {
            head: limits.header_timeout,
            write: limits.write_timeout,
        };
        let stream = Sieve::new(stream, limits.head, times);
        let arrivals = Arrivals {
            peer,
            over_tls,
            verdict: stream.verdict(),
            body_timeout: limits.body_timeout,
            misused: Arc::default(),
            counts: Arc::default(),
        };
        let misused = Arc::clone(&arrivals.misused);
        let service = service_fn(move |request| {
            let (request, under_way) = arrivals.arrived(request);
            let app = app.clone();
            async move {
                let answer = app.oneshot(request).await;
                under_way.answered();
                lose(answer)
            }
        });
        let builder = builder(limits);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = misused.notified() => {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(LAST_WORDS, connection).await;
                tracing::debug!(%peer, "a connection was ended for misuse");
                return;
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection ended early");
        }
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_headers(limits.head.lines + 8)
        // The sieve keeps the time of heads: to hyper this is the time between two requests.
        .header_read_timeout(limits.idle);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_header_list_size(HEADER_LIST)
        .max_concurrent_streams(STREAMS);
    builder
}

/// What every request of a connection gets on its way in.
struct Arrivals {
    peer: SocketAddr,
    over_tls: bool,
    verdict: Verdict,
    body_timeout: Duration,
    misused: Arc<Notify>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    arrived: AtomicU32,
    taken_back: AtomicU32,
}

impl Arrivals {
    fn arrived(&self, request: ::http::Request<Incoming>) -> (Request, UnderWay) {
        let timely = |body| Timely::new(body, self.body_timeout, Arc::clone(&self.misused));
        let mut request = request.map(|body| axum::body::Body::new(timely(body)));
        let refused = self.verdict.of(request.uri().path());
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(self.peer));
        if self.over_tls {
            extensions.insert(OverTls);
        }
        if let Some(refusal) = refused {
            extensions.insert(refusal);
        }
        self.counts.arrived.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay {
            counts: Arc::clone(&self.counts),
            misused: Arc::clone(&self.misused),
            is_answered: false,
        };
        (request, under_way)
    }
}

/// A request without an answer yet. Dropped so, its sender took it back.
struct UnderWay {
    counts: Arc<Counts>,
    misused: Arc<Notify>,
    is_answered: bool,
}

impl UnderWay {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let taken_back = self.counts.taken_back.fetch_add(1, Ordering::Relaxed) + 1;
        let arrived = self.counts.arrived.load(Ordering::Relaxed);
        if taken_back > TAKEN_BACK && taken_back > arrived / 2 {
            self.misused.notify_one();
        }
    }
}
