use std::{error::Error as _, future::Future, io, sync::Arc, time::Duration};

use ::http::{HeaderValue, Uri};
use hyper_util::rt::TokioIo;
use resilience::{Attempt, Call, CallError, Classify as _, FailureKind, Slot};
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::client::TlsStream;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

use crate::{
    Ctx,
    http::{ATTEMPT, CALLER, USER_ID},
    replicas::{self, Picked, Readiness, Replicas},
    telemetry::{self, names},
    tls::Tls,
};

/// A connection attempt that takes longer has failed.
const CONNECT: Duration = Duration::from_secs(1);

/// One link to another service: a channel to each of its replicas, and the slot its policy sits in.
#[derive(Clone)]
pub struct Link {
    channels: Replicas<Channel>,
    slot: Slot,
    secret: MetadataValue<Ascii>,
    service: &'static str,
    rpc_service: &'static str,
}

/// Why a link can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address.
    #[error(
        "{0:?} is no address of a gRPC server: http://host:port, of several with commas between"
    )]
    Address(String),
    /// TLS without certificates.
    #[error("{0:?} wants TLS: set GRPC_TLS_CERT, GRPC_TLS_KEY and GRPC_TLS_CA")]
    Tls(String),
    /// The secret.
    #[error("SERVICE_SECRET has characters that no header can carry")]
    Secret,
}

impl Link {
    /// A link to `urls` (one address, or those of all replicas with commas between) for `service`,
    /// over mutual TLS where there is some; connects when it is first used.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn new(
        urls: &str,
        tls: Option<&Arc<Tls>>,
        slot: Slot,
        secret: &SecretString,
        service: &'static str,
        rpc_service: &'static str,
    ) -> Result<Self, LinkError> {
        let channels = channels(urls, tls)?;
        let secret = format!("Bearer {}", secret.expose_secret())
            .parse()
            .map_err(|_| LinkError::Secret)?;
        Ok(Self {
            channels,
            slot,
            secret,
            service,
            rpc_service,
        })
    }

    /// Its slot.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The channel to each replica, for calls that no policy should see (health).
    pub fn channels(&self) -> Vec<Channel> {
        self.channels.targets().cloned().collect()
    }

    /// Asks each of several replicas, four times a second and past the policy, whether it takes
    /// work, until it is dropped.
    pub async fn follow(&self) {
        self.channels
            .follow(|channel| takes_work(channel.clone()))
            .await;
    }

    /// One logical call under the slot's policy. `idempotent` says whether a
    /// repeat does no harm; `call` makes one attempt with the request it is given.
    ///
    /// # Errors
    /// [`CallError`]: what the last attempt said, or why none was made.
    pub async fn unary<M, R, F, Fut>(
        &self,
        ctx: &Ctx,
        method: &'static str,
        idempotent: bool,
        message: M,
        call: F,
    ) -> Result<R, CallError<Status>>
    where
        M: Clone,
        F: Fn(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let what = Call {
            method,
            request_id: &ctx.request_id,
            idempotent,
            deadline: ctx.deadline,
        };
        let mut tried = None;
        self.slot
            .call(what, |attempt| {
                let picked = self.channels.pick(tried.take());
                tried = Some(picked.index());
                if let Some(replica) = picked.number() {
                    self.slot.routed(&what, attempt.number, replica);
                }
                let request = self.request(ctx, attempt, message.clone());
                let answer = call(picked.target().clone(), request);
                self.timed(method, picked, answer)
            })
            .await
    }

    fn request<M>(&self, ctx: &Ctx, attempt: Attempt, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(left) = attempt.deadline.remaining() {
            request.set_timeout(left);
        }
        let mut headers = ::http::HeaderMap::new();
        telemetry::inject(&mut headers);
        headers.insert(CALLER, HeaderValue::from_static(self.service));
        headers.insert(ATTEMPT, attempt.number.into());
        if let Some(user) = ctx.user {
            headers.insert(USER_ID, user.into());
        }
        let mut metadata = MetadataMap::from_headers(headers);
        metadata.insert("authorization", self.secret.clone());
        if let Ok(id) = ctx.request_id.parse() {
            metadata.insert("x-request-id", id);
        }
        metadata.insert(
            "x-request-priority",
            MetadataValue::from_static(ctx.priority.as_str()),
        );
        if attempt.number > 1 {
            metadata.insert(
                "grpc-previous-rpc-attempts",
                MetadataValue::from(attempt.number - 1),
            );
        }
        let timeout = request.metadata().get("grpc-timeout").cloned();
        if let Some(timeout) = timeout {
            metadata.insert("grpc-timeout", timeout);
        }
        *request.metadata_mut() = metadata;
        request
    }

    async fn timed<R>(
        &self,
        method: &'static str,
        picked: Picked<Channel>,
        answer: impl Future<Output = Result<Response<R>, Status>>,
    ) -> Result<R, Status> {
        let begun = Instant::now();
        let answer = answer.await;
        if answer.as_ref().is_err_and(broke) {
            picked.failed();
        }
        let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
        metrics::histogram!(
            names::RPC_CLIENT_DURATION,
            "service" => self.service,
            "rpc_service" => self.rpc_service,
            "rpc_method" => method,
            "rpc_grpc_status_code" => (code as i32).to_string()
        )
        .record(begun.elapsed().as_secs_f64());
        answer.map(Response::into_inner)
    }
}

fn channels(urls: &str, tls: Option<&Arc<Tls>>) -> Result<Replicas<Channel>, LinkError> {
    let channels = replicas::addresses(urls).into_iter();
    let channels: Vec<Channel> = channels
        .map(|url| channel(url, tls.cloned()))
        .collect::<Result<_, _>>()?;
    Replicas::new(channels).ok_or_else(|| LinkError::Address(urls.to_owned()))
}

fn channel(url: String, tls: Option<Arc<Tls>>) -> Result<Channel, LinkError> {
    // tonic refuses https:// without its own TLS; ours is below it, and reads certificates again.
    let plain = url.replacen("https://", "http://", 1);
    if plain != url && tls.is_none() {
        return Err(LinkError::Tls(url));
    }
    let endpoint = Endpoint::from_shared(plain).map_err(|_| LinkError::Address(url))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5));
    Ok(match tls {
        None => endpoint.connect_lazy(),
        Some(tls) => endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
            let tls = Arc::clone(&tls);
            async move { secured(&uri, &tls).await.map(TokioIo::new) }
        })),
    })
}

/// A connection on which both sides have shown who they are.
async fn secured(uri: &Uri, tls: &Tls) -> io::Result<TlsStream<TcpStream>> {
    let host = uri.host().unwrap_or_default();
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
    let name = name.map_err(io::Error::other)?;
    let connector = tls.connector();
    let connector = connector.ok_or_else(|| io::Error::other("there is no CA to check with"))?;
    connector.connect(name, stream).await
}

/// What the replica's health service says (gRFC A17 has callers ask it).
async fn takes_work(channel: Channel) -> Readiness {
    let whole = HealthCheckRequest::default();
    match HealthClient::new(channel).check(whole).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Readiness::Ready,
        Ok(_) => Readiness::Unready,
        Err(status) if broke(&status) => Readiness::Unready,
        Err(_) => Readiness::Unknown,
    }
}

/// Whether the connection failed, as opposed to a server that answered: only that has a cause.
fn broke(status: &Status) -> bool {
    let of_the_wire = matches!(
        status.failure(),
        FailureKind::NotProcessed | FailureKind::Unavailable
    );
    of_the_wire && status.source().is_some()
}
