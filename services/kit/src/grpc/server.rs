use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::http::{HeaderMap, HeaderName};
use resilience::{deadline::Deadline, server::ServerSlot};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{Instant, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    service::{Interceptor, Routes},
    transport::{
        Server,
        server::{Connected, TcpIncoming},
    },
};
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::door::DoorLayer;
use crate::{
    Ctx,
    http::{self, LONGEST_DEADLINE},
    lab::faults::{Faults, GrpcFaults},
    telemetry::{self, names},
    tls::Tls,
};

/// A connection lives so long (± 10 %, drawn once a process), so that callers meet new replicas.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// Calls that are under way then may go on for so long.
const AGE_GRACE: Duration = Duration::from_secs(60);
/// Calls at once on one connection.
const STREAMS: u32 = 200;
/// Bytes of a call's metadata.
const HEADER_LIST: u32 = 16 * 1024;
/// A TLS handshake that takes longer has failed.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes at once.
const HANDSHAKES: usize = 256;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lets only those in who know the shared secret.
#[derive(Clone)]
pub struct Guard(Arc<SecretString>);

/// An interceptor that compares `authorization: Bearer <SERVICE_SECRET>` in
/// constant time.
pub fn secret(secret: &SecretString) -> Guard {
    Guard(Arc::new(SecretString::from(format!(
        "Bearer {}",
        secret.expose_secret()
    ))))
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let shown = request
            .metadata()
            .get("authorization")
            .map(|value| value.as_bytes().to_vec())
            .unwrap_or_default();
        if bool::from(self.0.expose_secret().as_bytes().ct_eq(&shown)) {
            Ok(request)
        } else {
            Err(Status::unauthenticated(
                "the service secret is missing or wrong",
            ))
        }
    }
}

/// What travels with a gRPC request.
pub fn ctx<T>(request: &Request<T>) -> Ctx {
    request
        .extensions()
        .get::<Ctx>()
        .cloned()
        .unwrap_or_else(|| Ctx::internal("-"))
}

/// A gRPC server before it serves.
pub(crate) struct Serving {
    pub(crate) service: &'static str,
    pub(crate) routes: Routes,
    pub(crate) door: Option<ServerSlot>,
    pub(crate) faults: Option<Faults>,
    pub(crate) tls: Option<Arc<Tls>>,
}

impl Serving {
    /// Serves until `shutdown`, then drains.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        match self.tls.clone() {
            Some(tls) => {
                let incoming = secured(listener, tls, shutdown.clone());
                self.serve_on(incoming, shutdown).await
            }
            None => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                self.serve_on(incoming, shutdown).await
            }
        }
    }

    async fn serve_on<I, C>(self, incoming: I, shutdown: CancellationToken) -> io::Result<()>
    where
        I: Stream<Item = io::Result<C>>,
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let faults = self.faults;
        let mut server = builder()
            .layer(ContextLayer {
                service: self.service,
            })
            .layer(DoorLayer {
                door: self.door,
                faults: faults.clone(),
            });
        let shutdown = shutdown.cancelled_owned();
        let served = match faults {
            Some(faults) => {
                let router = server.layer(GrpcFaults(faults)).add_routes(self.routes);
                router
                    .serve_with_incoming_shutdown(incoming, shutdown)
                    .await
            }
            None => {
                let router = server.add_routes(self.routes);
                router
                    .serve_with_incoming_shutdown(incoming, shutdown)
                    .await
            }
        };
        served.map_err(io::Error::other)
    }
}

/// tonic bounds nothing by itself. Messages are bounded by the generated servers: 4 MiB in, and
/// none of them takes compressed ones, so that none can be a bomb.
fn builder() -> Server {
    // tonic has one age for all connections; replicas at least must not end theirs together.
    let jitter = rand::random_range(0.9..=1.1);
    Server::builder()
        .timeout(LONGEST_DEADLINE)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_connection_age(MAX_AGE.mul_f64(jitter))
        .max_connection_age_grace(AGE_GRACE)
        .max_concurrent_streams(STREAMS)
        .concurrency_limit_per_connection(STREAMS as usize)
        .http2_max_header_list_size(HEADER_LIST)
}

/// Connections whose TLS handshake went well. Handshakes run beside each other: one that is slow
/// keeps nobody out.
fn secured(
    listener: TcpListener,
    tls: Arc<Tls>,
    shutdown: CancellationToken,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let (done, secured) = mpsc::channel(64);
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    tokio::spawn(shutdown.run_until_cancelled_owned(async move {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((stream, peer)) = listener.accept().await else {
                // Out of descriptors: at once it would be so again.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let (acceptor, done) = (tls.acceptor(), done.clone());
            tokio::spawn(async move {
                let _place = place;
                match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => drop(done.send(Ok(stream)).await),
                    Ok(Err(error)) => tracing::debug!(%error, %peer, "a caller was refused"),
                    Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                }
            });
        }
    }));
    ReceiverStream::new(secured)
}

/// Request id, deadline, trace and metrics for every gRPC call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContextLayer {
    pub(crate) service: &'static str,
}

impl<S> Layer<S> for ContextLayer {
    type Service = WithContext<S>;

    fn layer(&self, inner: S) -> WithContext<S> {
        WithContext {
            inner,
            service: self.service,
        }
    }
}

/// A service behind [`ContextLayer`].
#[derive(Clone, Debug)]
pub(crate) struct WithContext<S> {
    inner: S,
    service: &'static str,
}

impl<S, B, C> Service<::http::Request<B>> for WithContext<S>
where
    S: Service<::http::Request<B>, Response = ::http::Response<C>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ::http::Request<B>) -> Self::Future {
        let ctx = context(request.headers());
        let (rpc_service, rpc_method) = names_of(request.uri().path());
        let span = span(&rpc_service, &rpc_method, &ctx, request.headers());
        request.extensions_mut().insert(ctx);
        let service = self.service;
        let answer = self.inner.call(request).instrument(span);
        Box::pin(async move {
            let begun = Instant::now();
            let answer = answer.await;
            let code = answer
                .as_ref()
                .map_or_else(|_| "2".to_owned(), |response| status(response.headers()));
            // An unimplemented method's name is the caller's invention: no label.
            let rpc_method = if code == "12" {
                "unknown".to_owned()
            } else {
                rpc_method
            };
            let rpc_service = if code == "12" {
                "unknown".to_owned()
            } else {
                rpc_service
            };
            metrics::histogram!(
                names::RPC_SERVER_DURATION,
                "service" => service, "rpc_service" => rpc_service,
                "rpc_method" => rpc_method, "rpc_grpc_status_code" => code
            )
            .record(begun.elapsed().as_secs_f64());
            answer
        })
    }
}

/// Handlers' errors come as headers without a body; success says so in trailers.
fn status(headers: &HeaderMap) -> String {
    headers
        .get("grpc-status")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("0")
        .to_owned()
}

fn names_of(path: &str) -> (String, String) {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let mut next = || parts.next().unwrap_or("unknown").to_owned();
    (next(), next())
}

fn context(headers: &HeaderMap) -> Ctx {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = text(&GRPC_TIMEOUT)
        .and_then(Deadline::from_grpc_timeout)
        .unwrap_or(Deadline::NONE);
    let mut ctx = Ctx::internal(text(&REQUEST_ID).unwrap_or("-"));
    ctx.priority = http::priority(headers);
    ctx.deadline = match asked.remaining() {
        Some(left) => Deadline::after(left.min(LONGEST_DEADLINE)),
        None => Deadline::NONE,
    };
    ctx
}

fn span(rpc_service: &str, rpc_method: &str, ctx: &Ctx, headers: &HeaderMap) -> tracing::Span {
    if rpc_service.starts_with("grpc.health") {
        return tracing::Span::none();
    }
    let span = tracing::info_span!(
        "rpc",
        otel.name = format!("{rpc_service}/{rpc_method}"),
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = rpc_service,
        rpc.method = rpc_method,
        lab.fault = tracing::field::Empty,
        request_id = &*ctx.request_id,
    );
    telemetry::adopt(&span, headers);
    span
}
