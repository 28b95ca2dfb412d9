use std::{future::Future, time::Duration};

use resilience::{Attempt, Call, CallError, Slot};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::{
    Ctx,
    telemetry::{self, names},
};

/// A connection attempt that takes longer has failed.
const CONNECT: Duration = Duration::from_secs(1);

/// One link to another service: a channel, and the slot its policy sits in.
#[derive(Clone)]
pub struct Link {
    channel: Channel,
    slot: Slot,
    secret: MetadataValue<Ascii>,
    service: &'static str,
    rpc_service: &'static str,
}

/// Why a link can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address.
    #[error("{0:?} is no address of a gRPC server: http://host:port")]
    Address(String),
    /// The secret.
    #[error("SERVICE_SECRET has characters that no header can carry")]
    Secret,
}

impl Link {
    /// A link to `url` for `service`; connects when it is first used.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn new(
        url: &str,
        slot: Slot,
        secret: &SecretString,
        service: &'static str,
        rpc_service: &'static str,
    ) -> Result<Self, LinkError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| LinkError::Address(url.to_owned()))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5));
        let secret = format!("Bearer {}", secret.expose_secret())
            .parse()
            .map_err(|_| LinkError::Secret)?;
        Ok(Self {
            channel: endpoint.connect_lazy(),
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

    /// Its channel, for calls that no policy should see (health).
    pub fn channel(&self) -> Channel {
        self.channel.clone()
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
        self.slot
            .call(what, |attempt| {
                let request = self.request(ctx, attempt, message.clone());
                let answer = call(self.channel.clone(), request);
                self.timed(method, answer)
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
        answer: impl Future<Output = Result<Response<R>, Status>>,
    ) -> Result<R, Status> {
        let begun = Instant::now();
        let answer = answer.await;
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
