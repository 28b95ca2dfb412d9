//! The gRPC face. Unknown ids are OK with the flag false; only what no caller
//! should send is INVALID_ARGUMENT.

use std::{collections::BTreeSet, sync::Arc};

use kit::{lab::Failpoints, time::now_ms};
use proto::product::{
    AvailabilityRequest, AvailabilityResponse, GetProductsRequest, GetProductsResponse,
    ProductInfo, ProductInfoRequest, ProductInfoResponse, ReservationRequest, ReservationResponse,
    ReservationState, ReserveStockRequest, ReserveStockResponse, StockShortage,
    product_service_server::ProductService,
};
use tonic::{Request, Response, Status};

use crate::{
    Shared,
    domain::{self, Demand, DemandError, MAX_IDS, Product, Reserved, Shortage, State},
    store::{Released, StoreError},
};

/// Its full name, for health and reflection.
pub const NAME: &str = "product.ProductService";

/// The service over what the process shares.
pub struct Grpc {
    shared: Arc<Shared>,
    points: Failpoints,
}

impl Grpc {
    /// A new one.
    pub fn new(shared: Arc<Shared>, points: Failpoints) -> Self {
        Self { shared, points }
    }

    fn stock_changed(&self, released: &Released) {
        let returned = released.returned.iter();
        returned.for_each(|id| self.shared.catalogue.stock_changed(*id));
    }
}

#[tonic::async_trait]
impl ProductService for Grpc {
    async fn get_product_info(
        &self,
        request: Request<ProductInfoRequest>,
    ) -> Result<Response<ProductInfoResponse>, Status> {
        let id = request.get_ref().product_id;
        let product = self.shared.store.find(id.into()).await?;
        Ok(Response::new(info(id, product)))
    }

    async fn check_availability(
        &self,
        request: Request<AvailabilityRequest>,
    ) -> Result<Response<AvailabilityResponse>, Status> {
        let AvailabilityRequest {
            product_id,
            quantity,
            ..
        } = *request.get_ref();
        if quantity < 1 {
            return Err(Status::invalid_argument(format!(
                "quantity must be at least 1, not {quantity}"
            )));
        }
        let product = self.shared.store.find(product_id.into()).await?;
        let Some(product) = product else {
            let error_message = unknown(product_id);
            return Ok(Response::new(AvailabilityResponse {
                error_message,
                ..Default::default()
            }));
        };
        let available = product.available >= i64::from(quantity);
        let error_message = if available {
            String::new()
        } else {
            format!("only {} units are left", product.available)
        };
        Ok(Response::new(AvailabilityResponse {
            available,
            available_quantity: wire_units(product.available),
            error_message,
        }))
    }

    async fn get_products(
        &self,
        request: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        let asked = request.into_inner().product_ids;
        if asked.len() > MAX_IDS {
            return Err(Status::invalid_argument(format!(
                "{} ids are too many: {MAX_IDS} at most",
                asked.len()
            )));
        }
        let unique: BTreeSet<i64> = asked.iter().copied().map(i64::from).collect();
        let ids: Vec<i64> = unique.into_iter().collect();
        let found = self.shared.store.find_many(&ids).await?;
        let products = asked
            .into_iter()
            .map(|id| info(id, found.get(&id.into()).cloned()))
            .collect();
        Ok(Response::new(GetProductsResponse { products }))
    }

    async fn reserve_stock(
        &self,
        request: Request<ReserveStockRequest>,
    ) -> Result<Response<ReserveStockResponse>, Status> {
        let request = request.into_inner();
        let lines: Vec<_> = request
            .lines
            .iter()
            .map(|l| (l.product_id.into(), l.quantity.into()))
            .collect();
        let demand = Demand::new(request.order_key, &lines)?.with_ttl(request.ttl_ms)?;
        let reserved = self.shared.store.reserve(&demand, now_ms()).await?;
        if reserved == (Reserved::Yes { first: true }) {
            demand
                .lines
                .keys()
                .for_each(|id| self.shared.catalogue.stock_changed(*id));
        }
        self.points.hit("product.reserve.before_reply").await;
        reserve_answer(reserved).map(Response::new)
    }

    async fn commit_reservation(
        &self,
        request: Request<ReservationRequest>,
    ) -> Result<Response<ReservationResponse>, Status> {
        let key = domain::order_key(request.into_inner().order_key)?;
        let state = self.shared.store.commit(&key, now_ms()).await?;
        self.points.hit("product.commit.before_reply").await;
        Ok(Response::new(commit_answer(state)))
    }

    async fn release_reservation(
        &self,
        request: Request<ReservationRequest>,
    ) -> Result<Response<ReservationResponse>, Status> {
        let key = domain::order_key(request.into_inner().order_key)?;
        let released = self.shared.store.release(&key, now_ms()).await?;
        self.stock_changed(&released);
        self.points.hit("product.release.before_reply").await;
        Ok(Response::new(release_answer(released.state)))
    }

    async fn return_reservation(
        &self,
        request: Request<ReservationRequest>,
    ) -> Result<Response<ReservationResponse>, Status> {
        let key = domain::order_key(request.into_inner().order_key)?;
        let returned = self.shared.store.give_up(&key, now_ms()).await?;
        self.stock_changed(&returned);
        self.points.hit("product.return.before_reply").await;
        Ok(Response::new(release_answer(returned.state)))
    }
}

fn info(id: i32, product: Option<Product>) -> ProductInfoResponse {
    let Some(product) = product else {
        return ProductInfoResponse {
            exists: false,
            product_info: None,
            error_message: unknown(id),
        };
    };
    let product_info = ProductInfo {
        id,
        name: product.name,
        description: product.description,
        price: product.price.to_string(),
        inventory_count: wire_units(product.available),
        is_available: product.available > 0,
    };
    ProductInfoResponse {
        exists: true,
        product_info: Some(product_info),
        error_message: String::new(),
    }
}

fn reserve_answer(reserved: Reserved) -> Result<ReserveStockResponse, Status> {
    let refused = |shortages, error_message| ReserveStockResponse {
        reserved: false,
        shortages,
        error_message,
    };
    Ok(match reserved {
        Reserved::Yes { .. } => ReserveStockResponse {
            reserved: true,
            shortages: Vec::new(),
            error_message: String::new(),
        },
        Reserved::Short(shortages) => refused(
            shortages.into_iter().map(wire_shortage).collect(),
            "too little stock".to_owned(),
        ),
        Reserved::Over(state) => refused(
            Vec::new(),
            format!("the reservation of this order key is {}", state.name()),
        ),
        Reserved::OtherLines => {
            return Err(Status::failed_precondition(
                "this order key has reserved other lines",
            ));
        }
    })
}

/// A refused reservation never was one: a commit finds none.
fn commit_answer(state: Option<State>) -> ReservationResponse {
    let (state, error_message) = match state {
        Some(State::Held) => (
            ReservationState::Held,
            "the reservation is held still: ask again",
        ),
        Some(State::Committed) => (ReservationState::Committed, ""),
        Some(State::Returned) => (
            ReservationState::Returned,
            "the reservation was committed, and its units came back",
        ),
        Some(State::Released) => (ReservationState::Released, "the reservation was released"),
        Some(State::Expired) => (ReservationState::Expired, "the reservation expired"),
        Some(State::Refused) | None => (
            ReservationState::Unknown,
            "there is no reservation of this order key",
        ),
    };
    ReservationResponse {
        state: state.into(),
        error_message: error_message.to_owned(),
    }
}

/// After a release nothing is held, whatever there was; but what is sold stays
/// sold, and the answer says so.
fn release_answer(state: State) -> ReservationResponse {
    let (state, error_message) = match state {
        State::Released | State::Refused | State::Held => (ReservationState::Released, ""),
        State::Returned => (ReservationState::Returned, ""),
        State::Expired => (ReservationState::Expired, ""),
        State::Committed => (
            ReservationState::Committed,
            "the reservation is committed: its units are sold",
        ),
    };
    ReservationResponse {
        state: state.into(),
        error_message: error_message.to_owned(),
    }
}

fn wire_shortage(shortage: Shortage) -> StockShortage {
    StockShortage {
        product_id: i32::try_from(shortage.product_id).unwrap_or(0),
        exists: shortage.exists,
        available_quantity: wire_units(shortage.available),
    }
}

/// Units as int32. A restock on top of returns can exceed it; "very many" is told
/// as the most that can be asked for.
fn wire_units(units: i64) -> i32 {
    i32::try_from(units).unwrap_or(i32::MAX)
}

fn unknown(id: i32) -> String {
    format!("product {id} does not exist")
}

impl From<DemandError> for Status {
    fn from(error: DemandError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

/// What a caller may try again is UNAVAILABLE. What went wrong goes to the log
/// alone.
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
