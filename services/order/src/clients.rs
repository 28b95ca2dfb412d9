//! The services that an order needs, each behind its link's policy.

mod payment;

use async_trait::async_trait;
use kit::{Cents, Ctx, grpc::Link};
use proto::{
    product::{
        GetProductsRequest, ProductInfoResponse, ReservationRequest, ReservationState,
        ReserveStockRequest, StockLine, product_service_client::ProductServiceClient,
    },
    user::{ValidateUserRequest, user_service_client::UserServiceClient},
};
use resilience::CallError;
use tonic::Status;

pub use payment::{Authorized, PaymentClient};

use crate::{
    domain::{Line, Product, Shortage},
    error::{OrderError, Result},
    saga::Stock,
};

/// How we call ourselves in requests.
const CALLER: &str = "order-service";

/// The user service, over the link `order-user`.
#[derive(Clone)]
pub struct Users {
    link: Link,
}

impl Users {
    /// Over that link.
    pub fn new(link: Link) -> Self {
        Self { link }
    }

    /// Sees that the user exists and may act; answers who it is.
    ///
    /// # Errors
    /// [`OrderError::User`] when not; [`OrderError::Call`] when nobody knows.
    pub async fn validate(&self, ctx: &Ctx, user_id: i64) -> Result<Account> {
        let Ok(wire_id) = i32::try_from(user_id) else {
            return Err(refused(user_id, ""));
        };
        let request = ValidateUserRequest {
            user_id: wire_id,
            requesting_service: CALLER.to_owned(),
        };
        let answer = self
            .link
            .unary(
                ctx,
                "ValidateUser",
                true,
                request,
                |channel, request| async move {
                    UserServiceClient::new(channel).validate_user(request).await
                },
            )
            .await
            .map_err(|error| failed("user", error))?;
        if !answer.valid {
            return Err(refused(user_id, &answer.error_message));
        }
        let info = answer.user_info.unwrap_or_default();
        Ok(Account {
            name: info.username,
            email: info.email,
        })
    }
}

/// Who a user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// Where mails go; may be empty.
    pub email: String,
}

fn refused(user_id: i64, reason: &str) -> OrderError {
    let reason = if reason.is_empty() {
        "This account can't order."
    } else {
        reason
    };
    OrderError::User {
        user_id,
        reason: reason.to_owned(),
    }
}

fn failed(dependency: &'static str, error: CallError<Status>) -> OrderError {
    OrderError::Call { dependency, error }
}

fn nonsense(what: impl Into<String>) -> OrderError {
    OrderError::BadAnswer {
        dependency: "product",
        what: what.into(),
    }
}

/// The product service, over the link `order-product`.
#[derive(Clone)]
pub struct Products {
    link: Link,
}

/// What became of a wish to take stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// All lines are held under the order key.
    Held,
    /// None is: the catalogue lost these meanwhile.
    Unknown(Vec<i32>),
    /// None is: too few units.
    Short(Vec<Shortage>),
}

/// What became of a wish to make stock final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is.
    Yes,
    /// It can't be: the reservation expired, was released, or never was.
    Gone(String),
}

impl Products {
    /// Over that link.
    pub fn new(link: Link) -> Self {
        Self { link }
    }

    /// The products of these lines that exist, in one call.
    ///
    /// # Errors
    /// [`OrderError::Call`], or [`OrderError::BadAnswer`] when the answer does not
    /// fit the question.
    pub async fn get(&self, ctx: &Ctx, lines: &[Line]) -> Result<Vec<Product>> {
        let request = GetProductsRequest {
            product_ids: lines.iter().map(|line| line.product_id).collect(),
            requesting_service: CALLER.to_owned(),
        };
        let answer = self
            .link
            .unary(
                ctx,
                "GetProducts",
                true,
                request,
                |channel, request| async move {
                    ProductServiceClient::new(channel)
                        .get_products(request)
                        .await
                },
            )
            .await
            .map_err(|error| failed("product", error))?;
        if answer.products.len() != lines.len() {
            return Err(nonsense(format!(
                "{} products for {} ids",
                answer.products.len(),
                lines.len()
            )));
        }
        let known = lines
            .iter()
            .zip(answer.products)
            .filter(|(_, product)| product.exists);
        known
            .map(|(line, product)| product_of(*line, product))
            .collect()
    }
}

#[async_trait]
impl Stock for Products {
    async fn reserve(
        &self,
        ctx: &Ctx,
        order_key: &str,
        lines: &[Line],
        ttl_ms: i64,
    ) -> Result<Reserved> {
        let line = |l: &Line| StockLine {
            product_id: l.product_id,
            quantity: l.quantity,
        };
        let request = ReserveStockRequest {
            order_key: order_key.to_owned(),
            lines: lines.iter().map(line).collect(),
            requesting_service: CALLER.to_owned(),
            ttl_ms,
        };
        let answer = self
            .link
            .unary(
                ctx,
                "ReserveStock",
                true,
                request,
                |channel, request| async move {
                    ProductServiceClient::new(channel)
                        .reserve_stock(request)
                        .await
                },
            )
            .await
            .map_err(|error| failed("product", error))?;
        if answer.reserved {
            return Ok(Reserved::Held);
        }
        let (there, gone): (Vec<_>, Vec<_>) = answer.shortages.into_iter().partition(|s| s.exists);
        if !gone.is_empty() {
            return Ok(Reserved::Unknown(
                gone.iter().map(|s| s.product_id).collect(),
            ));
        }
        if there.is_empty() {
            return Err(nonsense(format!(
                "not reserved, without a reason: {}",
                answer.error_message
            )));
        }
        let short = |s: &proto::product::StockShortage| Shortage {
            product_id: s.product_id,
            left: s.available_quantity,
        };
        Ok(Reserved::Short(there.iter().map(short).collect()))
    }

    async fn commit(&self, ctx: &Ctx, order_key: &str) -> Result<Committed> {
        let answer = self
            .link
            .unary(
                ctx,
                "CommitReservation",
                true,
                by_key(order_key),
                |channel, request| async move {
                    ProductServiceClient::new(channel)
                        .commit_reservation(request)
                        .await
                },
            )
            .await
            .map_err(|error| failed("product", error))?;
        match answer.state() {
            ReservationState::Committed => Ok(Committed::Yes),
            ReservationState::Held => Err(nonsense("a commit that left the stock held")),
            other => Ok(Committed::Gone(format!("the reservation is {other:?}"))),
        }
    }

    async fn release(&self, ctx: &Ctx, order_key: &str) -> Result<()> {
        let answer = self
            .link
            .unary(
                ctx,
                "ReleaseReservation",
                true,
                by_key(order_key),
                |channel, request| async move {
                    ProductServiceClient::new(channel)
                        .release_reservation(request)
                        .await
                },
            )
            .await
            .map_err(|error| failed("product", error))?;
        match answer.state() {
            ReservationState::Released | ReservationState::Expired | ReservationState::Unknown => {
                Ok(())
            }
            other => Err(nonsense(format!(
                "release of {order_key} left it {other:?}"
            ))),
        }
    }

    async fn give_back(&self, ctx: &Ctx, order_key: &str) -> Result<()> {
        let answer = self
            .link
            .unary(
                ctx,
                "ReturnReservation",
                true,
                by_key(order_key),
                |channel, request| async move {
                    ProductServiceClient::new(channel)
                        .return_reservation(request)
                        .await
                },
            )
            .await
            .map_err(|error| failed("product", error))?;
        match answer.state() {
            ReservationState::Held | ReservationState::Committed => Err(nonsense(format!(
                "the return of {order_key} left it {:?}",
                answer.state()
            ))),
            _ => Ok(()),
        }
    }
}

fn by_key(order_key: &str) -> ReservationRequest {
    ReservationRequest {
        order_key: order_key.to_owned(),
        requesting_service: CALLER.to_owned(),
    }
}

fn product_of(line: Line, answer: ProductInfoResponse) -> Result<Product> {
    let info = answer
        .product_info
        .ok_or_else(|| nonsense("a product without its data"))?;
    if info.id != line.product_id {
        return Err(nonsense(format!(
            "product {} for id {}",
            info.id, line.product_id
        )));
    }
    let price: Cents = info
        .price
        .parse()
        .map_err(|_| nonsense(format!("price {:?}", info.price)))?;
    if price < Cents(0) {
        return Err(nonsense(format!("price {price}")));
    }
    Ok(Product {
        id: info.id,
        name: info.name,
        price,
        stock: info.inventory_count,
    })
}
