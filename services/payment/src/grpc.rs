//! The gRPC face. An unknown key is an OK answer with the state unknown.

use std::sync::Arc;

use kit::{lab::Failpoints, time::now_ms};
use proto::payment::{
    AuthorizeRequest, PaymentRequest, PaymentResponse, PaymentState,
    payment_service_server::PaymentService,
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{Payment, State},
    store::{Store, StoreError},
};

/// Its full name, for health and reflection.
pub const NAME: &str = "payment.PaymentService";
/// The longest order key, in bytes.
const MAX_ORDER_KEY: usize = 64;

/// The service over what the process shares.
pub struct Grpc {
    store: Arc<dyn Store>,
    points: Failpoints,
    limit_cents: Option<i64>,
}

impl Grpc {
    /// A new one, which declines amounts above a limit.
    pub fn new(store: Arc<dyn Store>, points: Failpoints, limit_cents: Option<i64>) -> Self {
        Self {
            store,
            points,
            limit_cents,
        }
    }

    fn verdict(&self, amount_cents: i64) -> State {
        match self.limit_cents {
            Some(limit) if amount_cents > limit => State::Declined,
            _ => State::Authorized,
        }
    }
}

#[tonic::async_trait]
impl PaymentService for Grpc {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<PaymentResponse>, Status> {
        let AuthorizeRequest {
            order_key,
            amount_cents,
            ..
        } = request.into_inner();
        let order_key = key(order_key)?;
        if amount_cents < 0 {
            return Err(Status::invalid_argument("amount_cents must be 0 or more"));
        }
        let wish = Payment {
            state: self.verdict(amount_cents),
            amount_cents,
        };
        let payment = self.store.authorize(&order_key, wish, now_ms()).await?;
        self.points.hit("payment.authorize.before_reply").await;
        // The tombstone of a void knows no amount.
        if payment.state != State::Voided && payment.amount_cents != amount_cents {
            return Err(Status::failed_precondition(
                "this order key has a payment of another amount",
            ));
        }
        Ok(answer(Some(payment)))
    }

    async fn capture(
        &self,
        request: Request<PaymentRequest>,
    ) -> Result<Response<PaymentResponse>, Status> {
        let order_key = key(request.into_inner().order_key)?;
        let payment = self.store.capture(&order_key, now_ms()).await?;
        self.points.hit("payment.capture.before_reply").await;
        Ok(answer(payment))
    }

    async fn void(
        &self,
        request: Request<PaymentRequest>,
    ) -> Result<Response<PaymentResponse>, Status> {
        let order_key = key(request.into_inner().order_key)?;
        let payment = self.store.void(&order_key, now_ms()).await?;
        self.points.hit("payment.void.before_reply").await;
        Ok(answer(Some(payment)))
    }

    async fn get_status(
        &self,
        request: Request<PaymentRequest>,
    ) -> Result<Response<PaymentResponse>, Status> {
        let order_key = key(request.into_inner().order_key)?;
        Ok(answer(self.store.find(&order_key).await?))
    }
}

fn key(text: String) -> Result<String, Status> {
    if (1..=MAX_ORDER_KEY).contains(&text.len()) && !text.contains('\0') {
        Ok(text)
    } else {
        Err(Status::invalid_argument(
            "order_key must have 1 to 64 characters",
        ))
    }
}

fn answer(payment: Option<Payment>) -> Response<PaymentResponse> {
    let (state, message) = match payment.map(|payment| payment.state) {
        None => (PaymentState::Unknown, "there is no payment of this key"),
        Some(State::Authorized) => (PaymentState::Authorized, ""),
        Some(State::Declined) => (PaymentState::Declined, "the amount is above the limit"),
        Some(State::Captured) => (PaymentState::Captured, ""),
        Some(State::Voided) => (PaymentState::Voided, ""),
        Some(State::Refunded) => (PaymentState::Refunded, ""),
    };
    Response::new(PaymentResponse {
        state: state.into(),
        amount_cents: payment.map_or(0, |payment| payment.amount_cents),
        error_message: message.to_owned(),
    })
}

/// What a caller may try again is UNAVAILABLE. What went wrong goes to the log alone.
impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut};
        match &error {
            StoreError::Database(PoolTimedOut | PoolClosed | Io(_)) => {
                tracing::warn!(%error, "request refused");
                Self::unavailable("the database can't be reached")
            }
            _ => {
                tracing::error!(%error, "request failed");
                Self::internal("something went wrong on our side")
            }
        }
    }
}
