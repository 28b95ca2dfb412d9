//! An order from the request's side, and the quote before it: validation across the services, and
//! the step from which on the work is a saga's ([`crate::saga`]).
//!
//! An order costs a constant number of calls, whatever its length: ValidateUser, GetProducts,
//! ReserveStock, Authorize, CommitReservation, Capture (without a payment service the two less).
//! From ReserveStock on the work belongs to the service and no longer to the request: a client
//! that goes away can't leave stock taken for an order that nobody makes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kit::{Ctx, lab::faults};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    clients::{Products, Users},
    domain::{self, Basket, Line, Order, Product, Status},
    error::{OrderError, Result},
    saga::{Begun, Claim, Draft, Hold, Journal, Saga},
    store::{Change, Changed, Guarded, OrderStore as _},
};

/// How long a cancelled order's stock is this process's to put back.
const CANCEL_LEASE: Duration = Duration::from_secs(6);

/// Places orders, and calls them off.
#[derive(Clone)]
pub struct Checkout {
    store: Guarded,
    journal: Arc<dyn Journal>,
    users: Users,
    products: Products,
    saga: Saga,
    /// Orders past the point of no return; waited for at shutdown.
    tasks: TaskTracker,
    /// For a seeded defect: what every product cost when it was first seen.
    first_seen: Arc<Mutex<HashMap<i32, kit::Cents>>>,
}

/// One line of a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// What the line would be in an order.
    pub item: domain::Item,
    /// Whether that many can be sold now.
    pub available: bool,
}

/// What lines would cost now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The merged lines.
    pub lines: Vec<Quoted>,
    /// Their sum.
    pub total: kit::Cents,
}

impl Checkout {
    /// Over a store, its journal, and the services that an order needs.
    pub fn new(
        store: Guarded,
        journal: Arc<dyn Journal>,
        users: Users,
        products: Products,
        saga: Saga,
    ) -> Self {
        Self {
            store,
            journal,
            users,
            products,
            saga,
            tasks: TaskTracker::new(),
            first_seen: Arc::default(),
        }
    }

    /// Waits until every order past the point of no return has come to its end.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What these lines would cost, and whether they could be had.
    ///
    /// # Errors
    /// [`OrderError::UnknownProducts`], [`OrderError::Lines`], [`OrderError::Call`].
    pub async fn quote(&self, ctx: &Ctx, lines: &[Line]) -> Result<Quote> {
        let lines = domain::merge(lines)?;
        let catalogue = self.products.get(ctx, &lines).await?;
        let basket = Basket::price(&lines, &catalogue)?;
        let short = domain::shortages(&lines, &catalogue);
        let available = |item: &domain::Item| {
            !short
                .iter()
                .any(|shortage| i64::from(shortage.product_id) == item.product_id)
        };
        let total = basket.total;
        let lines = basket.items.into_iter().map(|item| Quoted {
            available: available(&item),
            item,
        });
        Ok(Quote {
            lines: lines.collect(),
            total,
        })
    }

    /// Places an order, which then exists even if the caller is gone; answers its JSON. A repeat
    /// of a key gets the first answer.
    ///
    /// # Errors
    /// [`OrderError::KeyReused`] and [`OrderError::KeyInFlight`] for a key; each that becomes a
    /// 4xx leaves nothing behind; after any other the order may come about all the same, unless
    /// it is undone.
    pub async fn place(
        &self,
        ctx: &Ctx,
        user_id: i64,
        lines: &[Line],
        claim: Option<Claim>,
    ) -> Result<String> {
        if let Some(answer) = self.known(ctx, user_id, claim.as_ref()).await? {
            return Ok(answer);
        }
        let draft = match self.check(ctx, user_id, lines, claim).await {
            Ok(draft) => draft,
            Err(error) => return Err(counted(error)),
        };
        let (reply, answer) = oneshot::channel();
        let (saga, ctx) = (self.saga.clone(), ctx.clone());
        let work = async move { saga.make(&ctx, draft, reply).await };
        self.tasks.spawn(faults::carry(work).in_current_span());
        match answer.await.map_err(|_| OrderError::TaskLost)? {
            Ok(answer) => {
                count("created");
                Ok(answer)
            }
            Err(error) => Err(counted(error)),
        }
    }

    /// What the key was answered before anybody else is asked.
    async fn known(
        &self,
        ctx: &Ctx,
        user_id: i64,
        claim: Option<&Claim>,
    ) -> Result<Option<String>> {
        let Some(claim) = claim else { return Ok(None) };
        match self.journal.look(ctx, user_id, claim).await? {
            None | Some(Begun::Yes(_)) => Ok(None),
            Some(Begun::Answered(answer)) => Ok(Some(answer)),
            Some(Begun::InFlight) => Err(counted(OrderError::KeyInFlight)),
            Some(Begun::OtherBody) => Err(counted(OrderError::KeyReused)),
        }
    }

    /// All that can be refused before anything is taken.
    async fn check(
        &self,
        ctx: &Ctx,
        user_id: i64,
        lines: &[Line],
        claim: Option<Claim>,
    ) -> Result<Draft> {
        let lines = domain::merge(lines)?;
        let account = self.users.validate(ctx, user_id).await?;
        let catalogue = self.priced(self.products.get(ctx, &lines).await?);
        let basket = Basket::price(&lines, &catalogue)?;
        let short = domain::shortages(&lines, &catalogue);
        if !short.is_empty() {
            return Err(OrderError::Shortage(short));
        }
        Ok(Draft {
            order_key: Uuid::new_v4().to_string(),
            user_id,
            contact: Some(account.email).filter(|email| !email.is_empty()),
            lines,
            basket,
            claim,
        })
    }

    /// The catalogue as it is; with the seeded defect, at the prices first seen.
    fn priced(&self, mut catalogue: Vec<Product>) -> Vec<Product> {
        let defects = &self.saga.settings().defects;
        if defects.on("stale_price") {
            let mut seen = self.first_seen.lock();
            for product in &mut catalogue {
                product.price = *seen.entry(product.id).or_insert(product.price);
            }
        }
        catalogue
    }

    /// Takes an order a step further, as the staff.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], [`OrderError::NotAllowed`], or the database.
    pub async fn change(&self, ctx: &Ctx, order_id: i64, to: Status) -> Result<Order> {
        self.step(ctx, order_id, to, None).await
    }

    /// Calls an order off, as its owner; its stock and payment go back soon after.
    ///
    /// # Errors
    /// As [`Checkout::change`]; another's order is [`OrderError::NotFound`].
    pub async fn cancel(&self, ctx: &Ctx, order_id: i64, owner: i64) -> Result<Order> {
        self.step(ctx, order_id, Status::Cancelled, Some(owner))
            .await
    }

    async fn step(
        &self,
        ctx: &Ctx,
        order_id: i64,
        to: Status,
        owner: Option<i64>,
    ) -> Result<Order> {
        let settings = self.saga.settings();
        let now_ms = settings.clock.now_ms();
        let ttl_ms = i64::try_from(settings.ttl.as_millis()).unwrap_or(i64::MAX);
        let change = Change {
            order_id,
            to,
            owner,
            now_ms,
            deadline_ms: now_ms.saturating_add(ttl_ms),
            lease: self.saga.lease(CANCEL_LEASE),
        };
        match self.store.of(ctx).change_status(&change).await? {
            Changed::Yes(order, hold) => {
                if let Some(hold) = hold {
                    self.give_back(ctx, hold);
                }
                settings.points.hit("order.status.before_reply").await;
                Ok(order)
            }
            Changed::NoOrder => Err(OrderError::NotFound),
            Changed::NotAllowed(from) => Err(OrderError::NotAllowed { from, to }),
        }
    }

    fn give_back(&self, ctx: &Ctx, hold: Hold) {
        let (saga, ctx) = (self.saga.clone(), ctx.clone());
        let work = async move { saga.put_back(&ctx, hold).await };
        self.tasks.spawn(faults::carry(work).in_current_span());
    }
}

/// Counts an order that came to nothing.
pub fn counted(error: OrderError) -> OrderError {
    count(error.outcome());
    error
}

fn count(outcome: &'static str) {
    metrics::counter!("shop_orders_total", "status" => outcome).increment(1);
}
