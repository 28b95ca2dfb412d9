//! How an order comes about, and the quote before it: validation across the
//! services, stock, the row, and what is undone when a step fails.
//!
//! An order costs four calls whatever its length: ValidateUser, GetProducts,
//! ReserveStock, CommitReservation. From ReserveStock on the work belongs to the
//! service and no longer to the request: a client that goes away can't leave
//! stock taken for an order that nobody makes.

use std::time::Duration;

use kit::{Ctx, lab::faults};
use resilience::deadline::Deadline;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    clients::{Products, Reserved, Users},
    domain::{self, Basket, Line, NewOrder, Order, Product, Reservation, Status},
    error::{OrderError, Result},
    store::{Guarded, OrderStore as _},
};

/// How long the undoing of a failed order may take; the request's own deadline
/// may have passed by then.
const UNDO_WITHIN: Duration = Duration::from_secs(10);

/// Places orders.
#[derive(Clone)]
pub struct Checkout {
    store: Guarded,
    users: Users,
    products: Products,
    /// Orders past the point of no return; waited for at shutdown.
    tasks: TaskTracker,
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

/// Lines that passed every check, with the prices of that moment.
struct Draft {
    order_key: String,
    user_id: i64,
    lines: Vec<Line>,
    basket: Basket,
}

impl Checkout {
    /// Over a store and the two services that an order needs.
    pub fn new(store: Guarded, users: Users, products: Products) -> Self {
        Self {
            store,
            users,
            products,
            tasks: TaskTracker::new(),
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

    /// Places an order, which then exists even if the caller is gone.
    ///
    /// # Errors
    /// Each [`OrderError`] leaves nothing behind: no order, and no stock taken (when
    /// the product service can't be reached to put it back, until the reservation
    /// expires).
    pub async fn place(&self, ctx: &Ctx, user_id: i64, lines: &[Line]) -> Result<Order> {
        let draft = match self.check(ctx, user_id, lines).await {
            Ok(draft) => draft,
            Err(error) => return Err(counted(error)),
        };
        let (reply, answer) = oneshot::channel();
        let (this, ctx) = (self.clone(), ctx.clone());
        let work = async move { this.finish(&ctx, draft, reply).await };
        self.tasks.spawn(faults::carry(work).in_current_span());
        answer.await.map_err(|_| OrderError::TaskLost)?
    }

    /// All that can be refused before anything is taken.
    async fn check(&self, ctx: &Ctx, user_id: i64, lines: &[Line]) -> Result<Draft> {
        let lines = domain::merge(lines)?;
        self.users.validate(ctx, user_id).await?;
        let catalogue: Vec<Product> = self.products.get(ctx, &lines).await?;
        let basket = Basket::price(&lines, &catalogue)?;
        let short = domain::shortages(&lines, &catalogue);
        if !short.is_empty() {
            return Err(OrderError::Shortage(short));
        }
        Ok(Draft {
            order_key: Uuid::new_v4().to_string(),
            user_id,
            lines,
            basket,
        })
    }

    /// From taking the stock to the end; answers as soon as the outcome is known
    /// and tidies up after that.
    async fn finish(&self, ctx: &Ctx, draft: Draft, reply: oneshot::Sender<Result<Order>>) {
        let order_key = draft.order_key.clone();
        match self.take(ctx, draft).await {
            Ok(order) => {
                count("created");
                let committed = self.commit(ctx, &order_key).await;
                // Nobody listens when the client has gone; the order stands.
                let _ = reply.send(Ok(order));
                if committed {
                    self.note_committed(ctx, &order_key).await;
                }
            }
            Err((error, undo)) => {
                let _ = reply.send(Err(counted(error)));
                if undo {
                    self.undo(ctx, &order_key).await;
                }
            }
        }
    }

    /// Takes the stock and stores the order. An error says whether stock may have
    /// been taken that must go back.
    async fn take(&self, ctx: &Ctx, draft: Draft) -> Result<Order, (OrderError, bool)> {
        let Draft {
            order_key,
            user_id,
            lines,
            basket,
        } = draft;
        match self.products.reserve(ctx, &order_key, &lines).await {
            Ok(Reserved::Held) => {}
            Ok(Reserved::Unknown(ids)) => return Err((OrderError::UnknownProducts(ids), false)),
            Ok(Reserved::Short(short)) => return Err((OrderError::Shortage(short), false)),
            Err(error) => {
                let undo = error.may_have_happened();
                return Err((error, undo));
            }
        }
        // The caller has given up: an order now would be one it doesn't know of.
        if ctx.deadline.expired() {
            return Err((OrderError::DeadlinePassed, true));
        }
        let order = NewOrder {
            order_key,
            user_id,
            status: Status::Pending,
            reservation: Reservation::Held,
            basket,
            created_ms: kit::time::now_ms(),
        };
        match self.store.of(ctx).insert(&order).await {
            Ok(order) => Ok(order),
            Err(error) if !error.may_have_happened() => Err((error, true)),
            Err(error) => self.look_again(ctx, &order.order_key, error).await,
        }
    }

    /// A failed insert may have been stored all the same (the connection broke
    /// after the commit): the stock goes back only when it surely was not.
    async fn look_again(
        &self,
        ctx: &Ctx,
        key: &str,
        error: OrderError,
    ) -> Result<Order, (OrderError, bool)> {
        match self.store.of(&afterwards(ctx)).find_by_key(key).await {
            Ok(Some(order)) => Ok(order),
            // One that a time-out cut short may be stored after we have looked.
            Ok(None) => {
                let surely_not = !error.was_cut_short();
                Err((error, surely_not))
            }
            Err(_) => Err((error, false)),
        }
    }

    /// Makes the stock of a stored order final. When that fails the order stands
    /// and its stock stays held.
    async fn commit(&self, ctx: &Ctx, order_key: &str) -> bool {
        match self.products.commit(ctx, order_key).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(order_key, %error, "an order's stock stays held");
                false
            }
        }
    }

    async fn note_committed(&self, ctx: &Ctx, order_key: &str) {
        if let Err(error) = self.store.of(ctx).mark_committed(order_key).await {
            tracing::warn!(order_key, %error, "an order's stock is final, but not noted so");
        }
    }

    async fn undo(&self, ctx: &Ctx, order_key: &str) {
        if let Err(error) = self.products.release(&afterwards(ctx), order_key).await {
            tracing::warn!(order_key, %error, "stock could not be put back");
        }
    }
}

/// For what is done about a failed order, whether or not anybody waits for it still.
fn afterwards(ctx: &Ctx) -> Ctx {
    Ctx {
        deadline: Deadline::after(UNDO_WITHIN),
        ..ctx.clone()
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
