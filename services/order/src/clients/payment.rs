//! The payment service, over the link `order-payment`.

use async_trait::async_trait;
use kit::{Ctx, grpc::Link};
use proto::payment::{
    AuthorizeRequest, PaymentRequest, PaymentResponse, PaymentState,
    payment_service_client::PaymentServiceClient,
};
use tonic::{Request, Response, Status, transport::Channel};

use super::{CALLER, failed};
use crate::{
    error::{OrderError, Result},
    saga::Payments,
};

/// The payment service.
#[derive(Clone)]
pub struct PaymentClient {
    link: Link,
}

/// What became of a wish to set an amount aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorized {
    /// It is, or was already taken.
    Yes,
    /// It is not to be had.
    Declined,
}

impl PaymentClient {
    /// Over that link.
    pub fn new(link: Link) -> Self {
        Self { link }
    }

    async fn by_key<F, Fut>(
        &self,
        ctx: &Ctx,
        method: &'static str,
        order_key: &str,
        call: F,
    ) -> Result<PaymentResponse>
    where
        F: Fn(Channel, Request<PaymentRequest>) -> Fut,
        Fut: Future<Output = Result<Response<PaymentResponse>, Status>>,
    {
        let request = PaymentRequest {
            order_key: order_key.to_owned(),
            requesting_service: CALLER.to_owned(),
        };
        let answer = self.link.unary(ctx, method, true, request, call).await;
        answer.map_err(|error| failed("payment", error))
    }
}

fn nonsense(method: &str, state: PaymentState) -> OrderError {
    OrderError::BadAnswer {
        dependency: "payment",
        what: format!("{method} left the payment {state:?}"),
    }
}

#[async_trait]
impl Payments for PaymentClient {
    async fn authorize(&self, ctx: &Ctx, order_key: &str, cents: i64) -> Result<Authorized> {
        let request = AuthorizeRequest {
            order_key: order_key.to_owned(),
            amount_cents: cents,
            requesting_service: CALLER.to_owned(),
        };
        let answer = self.link.unary(
            ctx,
            "Authorize",
            true,
            request,
            |channel, request| async move {
                PaymentServiceClient::new(channel).authorize(request).await
            },
        );
        let answer = answer.await.map_err(|error| failed("payment", error))?;
        match answer.state() {
            PaymentState::Authorized | PaymentState::Captured => Ok(Authorized::Yes),
            PaymentState::Declined => Ok(Authorized::Declined),
            other => Err(nonsense("Authorize", other)),
        }
    }

    async fn capture(&self, ctx: &Ctx, order_key: &str) -> Result<bool> {
        let answer = self.by_key(ctx, "Capture", order_key, |channel, request| async move {
            PaymentServiceClient::new(channel).capture(request).await
        });
        Ok(answer.await?.state() == PaymentState::Captured)
    }

    async fn void(&self, ctx: &Ctx, order_key: &str) -> Result<()> {
        let answer = self.by_key(ctx, "Void", order_key, |channel, request| async move {
            PaymentServiceClient::new(channel).void(request).await
        });
        match answer.await?.state() {
            PaymentState::Voided | PaymentState::Refunded | PaymentState::Declined => Ok(()),
            other => Err(nonsense("Void", other)),
        }
    }

    async fn is_captured(&self, ctx: &Ctx, order_key: &str) -> Result<bool> {
        let answer = self.by_key(ctx, "GetStatus", order_key, |channel, request| async move {
            PaymentServiceClient::new(channel).get_status(request).await
        });
        Ok(answer.await?.state() == PaymentState::Captured)
    }
}
