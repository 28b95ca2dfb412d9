//! The user and the product service over real gRPC, with faults on demand.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use proto::{
    payment::{
        AuthorizeRequest, PaymentRequest, PaymentResponse, PaymentState,
        payment_service_server::PaymentService,
    },
    product::{
        AvailabilityRequest, AvailabilityResponse, GetProductsRequest, GetProductsResponse,
        ProductInfo, ProductInfoRequest, ProductInfoResponse, ReservationRequest,
        ReservationResponse, ReservationState, ReserveStockRequest, ReserveStockResponse,
        StockLine, StockShortage, product_service_server::ProductService,
    },
    user::{UserInfo, ValidateUserRequest, ValidateUserResponse, user_service_server::UserService},
};
use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status, async_trait};

/// What becomes of one attempt.
#[derive(Clone)]
pub enum Fault {
    /// Refused before anything is done.
    Fail(Code),
    /// Done, but the answer is lost.
    LoseReply,
    /// Never answered, nothing done.
    Hang,
    /// Waits for a permit before it goes on.
    Gate(Arc<Semaphore>),
}

/// One attempt as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: &'static str,
    pub request_id: String,
    pub timeout: Option<String>,
    pub previous_attempts: Option<String>,
    pub caller: Option<String>,
    pub attempt: Option<String>,
    pub user: Option<String>,
}

/// What arrived, and the faults to come, by method.
#[derive(Default)]
pub struct Calls {
    seen: Mutex<Vec<Seen>>,
    faults: Mutex<HashMap<&'static str, VecDeque<Fault>>>,
}

impl Calls {
    /// The next attempts of a method meet these.
    pub fn plan(&self, method: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().entry(method).or_default().extend(faults);
    }

    /// No faults any more for a method.
    pub fn forget(&self, method: &'static str) {
        self.faults.lock().remove(method);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Attempts of a method.
    pub fn count(&self, method: &str) -> usize {
        self.seen
            .lock()
            .iter()
            .filter(|seen| seen.method == method)
            .count()
    }

    pub fn methods(&self) -> Vec<&'static str> {
        self.seen.lock().iter().map(|seen| seen.method).collect()
    }

    /// Notes an attempt and lets its fault act; true when the reply is to be lost.
    async fn arrive<T>(&self, method: &'static str, request: &Request<T>) -> Result<bool, Status> {
        let text = |name: &str| {
            request
                .metadata()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        if text("authorization").as_deref() != Some("Bearer test-secret") {
            return Err(Status::unauthenticated("wrong secret"));
        }
        self.seen.lock().push(Seen {
            method,
            request_id: text("x-request-id").unwrap_or_default(),
            timeout: text("grpc-timeout"),
            previous_attempts: text("grpc-previous-rpc-attempts"),
            caller: text("x-caller"),
            attempt: text("x-attempt"),
            user: text("x-user-id"),
        });
        let fault = self
            .faults
            .lock()
            .get_mut(method)
            .and_then(VecDeque::pop_front);
        match fault {
            None => Ok(false),
            Some(Fault::Fail(code)) => Err(Status::new(code, "a fault")),
            Some(Fault::LoseReply) => Ok(true),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Gate(gate)) => {
                gate.acquire().await.unwrap().forget();
                Ok(false)
            }
        }
    }
}

fn reply<T>(lost: bool, answer: T) -> Result<Response<T>, Status> {
    if lost {
        Err(Status::unavailable("the reply was lost"))
    } else {
        Ok(Response::new(answer))
    }
}

/// The user service: knows everybody but the banned, as `user{id - 3}`.
pub struct FakeUsers {
    pub calls: Calls,
    pub banned: Mutex<Vec<i32>>,
    pub prefix: Mutex<&'static str>,
}

impl FakeUsers {
    pub fn new() -> Arc<Self> {
        let (calls, banned) = (Calls::default(), Mutex::default());
        Arc::new(Self {
            calls,
            banned,
            prefix: Mutex::new("user"),
        })
    }
}

#[async_trait]
impl UserService for FakeUsers {
    async fn validate_user(
        &self,
        request: Request<ValidateUserRequest>,
    ) -> Result<Response<ValidateUserResponse>, Status> {
        let lost = self.calls.arrive("ValidateUser", &request).await?;
        let id = request.into_inner().user_id;
        let valid = !self.banned.lock().contains(&id);
        let username = format!("{}{}", self.prefix.lock(), id - 3);
        let email = format!("{username}@example.com");
        let info = UserInfo {
            id,
            username,
            email,
            is_active: true,
        };
        let answer = if valid {
            ValidateUserResponse {
                valid,
                user_info: Some(info),
                error_message: String::new(),
            }
        } else {
            let error_message = "The account is inactive.".to_owned();
            ValidateUserResponse {
                valid,
                user_info: None,
                error_message,
            }
        };
        reply(lost, answer)
    }
}

/// A product of the fake catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stocked {
    pub price: String,
    pub units: i32,
}

/// The product service: 60 products, each with 100 units, product n at n.50.
pub struct FakeProducts {
    pub calls: Calls,
    pub stock: Mutex<BTreeMap<i32, Stocked>>,
    pub reservations: Mutex<BTreeMap<String, (ReservationState, Vec<StockLine>)>>,
    /// What changes between GetProducts and ReserveStock: `None` deletes a product,
    /// a number is what is left of it.
    pub meanwhile: Mutex<Option<(i32, Option<i32>)>>,
}

impl FakeProducts {
    pub fn new() -> Arc<Self> {
        let stocked = |id: i32| {
            (
                id,
                Stocked {
                    price: format!("{id}.50"),
                    units: 100,
                },
            )
        };
        Arc::new(Self {
            calls: Calls::default(),
            stock: Mutex::new((1..=60).map(stocked).collect()),
            reservations: Mutex::default(),
            meanwhile: Mutex::default(),
        })
    }

    pub fn units(&self, id: i32) -> i32 {
        self.stock.lock()[&id].units
    }

    pub fn states(&self) -> Vec<ReservationState> {
        self.reservations
            .lock()
            .values()
            .map(|(state, _)| *state)
            .collect()
    }

    fn info(&self, id: i32) -> ProductInfoResponse {
        let stock = self.stock.lock();
        let Some(product) = stock.get(&id) else {
            let error_message = format!("no product {id}");
            return ProductInfoResponse {
                exists: false,
                product_info: None,
                error_message,
            };
        };
        let product_info = Some(ProductInfo {
            id,
            name: format!("Thing {id}"),
            description: String::new(),
            price: product.price.clone(),
            inventory_count: product.units,
            is_available: product.units > 0,
        });
        ProductInfoResponse {
            exists: true,
            product_info,
            error_message: String::new(),
        }
    }

    fn take(&self, key: String, lines: Vec<StockLine>) -> Vec<StockShortage> {
        let mut reservations = self.reservations.lock();
        if reservations.contains_key(&key) {
            return Vec::new();
        }
        let mut stock = self.stock.lock();
        match self.meanwhile.lock().take() {
            Some((id, None)) => drop(stock.remove(&id)),
            Some((id, Some(left))) => stock.get_mut(&id).unwrap().units = left,
            None => {}
        }
        let left = |id: i32| stock.get(&id).map(|product| product.units);
        let shortages: Vec<StockShortage> = lines
            .iter()
            .filter(|line| left(line.product_id).is_none_or(|units| units < line.quantity))
            .map(|line| StockShortage {
                product_id: line.product_id,
                exists: left(line.product_id).is_some(),
                available_quantity: left(line.product_id).unwrap_or(0),
            })
            .collect();
        if shortages.is_empty() {
            for line in &lines {
                stock.get_mut(&line.product_id).unwrap().units -= line.quantity;
            }
            reservations.insert(key, (ReservationState::Held, lines));
        }
        shortages
    }

    /// Puts the units of a committed reservation back, once.
    fn give_up(&self, key: &str) -> ReservationState {
        let mut reservations = self.reservations.lock();
        let Some((state, lines)) = reservations.get_mut(key) else {
            return ReservationState::Unknown;
        };
        if matches!(*state, ReservationState::Held | ReservationState::Committed) {
            *state = ReservationState::Returned;
            let mut stock = self.stock.lock();
            for line in lines {
                stock.get_mut(&line.product_id).unwrap().units += line.quantity;
            }
        }
        *state
    }

    /// Takes a held reservation to another state; answers where it stands.
    fn end(&self, key: &str, to: ReservationState) -> ReservationState {
        let mut reservations = self.reservations.lock();
        let Some((state, lines)) = reservations.get_mut(key) else {
            return ReservationState::Unknown;
        };
        if *state == ReservationState::Held {
            *state = to;
            if to == ReservationState::Released {
                let mut stock = self.stock.lock();
                for line in lines {
                    stock.get_mut(&line.product_id).unwrap().units += line.quantity;
                }
            }
        }
        *state
    }
}

fn ended(state: ReservationState) -> ReservationResponse {
    ReservationResponse {
        state: state.into(),
        error_message: String::new(),
    }
}

#[async_trait]
impl ProductService for FakeProducts {
    async fn get_product_info(
        &self,
        request: Request<ProductInfoRequest>,
    ) -> Result<Response<ProductInfoResponse>, Status> {
        let lost = self.calls.arrive("GetProductInfo", &request).await?;
        reply(lost, self.info(request.into_inner().product_id))
    }

    async fn check_availability(
        &self,
        request: Request<AvailabilityRequest>,
    ) -> Result<Response<AvailabilityResponse>, Status> {
        self.calls.arrive("CheckAvailability", &request).await?;
        Err(Status::unimplemented("an order has no use for it"))
    }

    async fn get_products(
        &self,
        request: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        let lost = self.calls.arrive("GetProducts", &request).await?;
        let ids = request.into_inner().product_ids;
        let products = ids.into_iter().map(|id| self.info(id)).collect();
        reply(lost, GetProductsResponse { products })
    }

    async fn reserve_stock(
        &self,
        request: Request<ReserveStockRequest>,
    ) -> Result<Response<ReserveStockResponse>, Status> {
        let lost = self.calls.arrive("ReserveStock", &request).await?;
        let ReserveStockRequest {
            order_key, lines, ..
        } = request.into_inner();
        let shortages = self.take(order_key, lines);
        let error_message = String::new();
        reply(
            lost,
            ReserveStockResponse {
                reserved: shortages.is_empty(),
                shortages,
                error_message,
            },
        )
    }

    async fn commit_reservation(
        &self,
        request: Request<ReservationRequest>,
    ) -> Result<Response<ReservationResponse>, Status> {
        let lost = self.calls.arrive("CommitReservation", &request).await?;
        let state = self.end(&request.into_inner().order_key, ReservationState::Committed);
        reply(lost, ended(state))
    }

    async fn release_reservation(
        &self,
        request: Request<ReservationRequest>,
    ) -> Result<Response<ReservationResponse>, Status> {
        let lost = self.calls.arrive("ReleaseReservation", &request).await?;
        let state = self.end(&request.into_inner().order_key, ReservationState::Released);
        reply(lost, ended(state))
    }

    async fn return_reservation(
        &self,
        request: Request<ReservationRequest>,
    ) -> Result<Response<ReservationResponse>, Status> {
        let lost = self.calls.arrive("ReturnReservation", &request).await?;
        let state = self.give_up(&request.into_inner().order_key);
        reply(lost, ended(state))
    }
}

/// The payment service: authorises everything but what is above the limit.
#[derive(Default)]
pub struct FakePayments {
    pub calls: Calls,
    pub limit: Mutex<Option<i64>>,
    /// State, amount, and cents that were paid, by order key.
    pub payments: Mutex<BTreeMap<String, (PaymentState, i64, i64)>>,
}

impl FakePayments {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn states(&self) -> Vec<PaymentState> {
        let payments = self.payments.lock();
        payments.values().map(|(state, ..)| *state).collect()
    }

    /// What all orders together have paid, in cents.
    pub fn paid(&self) -> i64 {
        self.payments.lock().values().map(|(.., paid)| paid).sum()
    }

    fn answer(&self, key: &str) -> PaymentResponse {
        let payments = self.payments.lock();
        let (state, amount_cents, _) = payments.get(key).copied().unwrap_or_default();
        PaymentResponse {
            state: state.into(),
            amount_cents,
            error_message: String::new(),
        }
    }
}

#[async_trait]
impl PaymentService for FakePayments {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<PaymentResponse>, Status> {
        let lost = self.calls.arrive("Authorize", &request).await?;
        let request = request.into_inner();
        let declined = self.limit.lock().is_some_and(|l| request.amount_cents > l);
        let state = match declined {
            true => PaymentState::Declined,
            false => PaymentState::Authorized,
        };
        let key = request.order_key;
        let fresh = (state, request.amount_cents, 0);
        self.payments.lock().entry(key.clone()).or_insert(fresh);
        reply(lost, self.answer(&key))
    }

    async fn capture(
        &self,
        request: Request<PaymentRequest>,
    ) -> Result<Response<PaymentResponse>, Status> {
        let lost = self.calls.arrive("Capture", &request).await?;
        let key = request.into_inner().order_key;
        if let Some(one) = self.payments.lock().get_mut(&key)
            && one.0 == PaymentState::Authorized
        {
            *one = (PaymentState::Captured, one.1, one.1);
        }
        reply(lost, self.answer(&key))
    }

    async fn void(
        &self,
        request: Request<PaymentRequest>,
    ) -> Result<Response<PaymentResponse>, Status> {
        let lost = self.calls.arrive("Void", &request).await?;
        let key = request.into_inner().order_key;
        {
            let mut payments = self.payments.lock();
            let one = payments.entry(key.clone()).or_default();
            *one = match one.0 {
                PaymentState::Captured => (PaymentState::Refunded, one.1, 0),
                PaymentState::Unknown | PaymentState::Authorized => {
                    (PaymentState::Voided, one.1, 0)
                }
                _ => *one,
            };
        }
        reply(lost, self.answer(&key))
    }

    async fn get_status(
        &self,
        request: Request<PaymentRequest>,
    ) -> Result<Response<PaymentResponse>, Status> {
        let lost = self.calls.arrive("GetStatus", &request).await?;
        reply(lost, self.answer(&request.into_inner().order_key))
    }
}
