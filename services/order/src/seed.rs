//! Sample data: 30 orders of user0…user9 over all statuses, the same on every
//! machine, named and priced by the catalogue, with their stock booked like any
//! other order's, so that stock and orders add up from the first minute.
//!
//! The accounts and products are made by their services at their own first
//! start, so this waits for them; patiently, and outside of the links' policies,
//! whose breakers and figures it must not touch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use kit::Ctx;
use resilience::deadline::Deadline;

use crate::{
    clients::{Account, Committed, Products, Reserved, Users},
    domain::{Basket, Line, NewOrder, Reservation, Status},
    error::{OrderError, Result},
    saga::Stock as _,
    store::OrderStore,
};

/// How many sample orders there are.
pub const ORDERS: usize = 30;
/// The account id of user0: `admin` and `staff` were made before.
const FIRST_USER: i64 = 3;
const USERS: usize = 10;
/// Products 1 to 18 are in stock; the two after them are the catalogue's samples
/// of what is not.
const PRODUCTS: usize = 18;
/// 2026-01-05 09:00 UTC: the first order; each further one is 25 h later.
const FIRST_MS: i64 = 1_767_603_600_000;
const APART_MS: i64 = 25 * 3_600_000;
/// One call.
const CALL: Duration = Duration::from_secs(5);
/// Between tries, and how many.
const WAIT: Duration = Duration::from_millis(500);
const TRIES: u32 = 600;

/// Makes the sample orders.
pub struct Sampler {
    store: Arc<dyn OrderStore>,
    users: Users,
    products: Products,
}

/// How far the sample data have come, for the health page.
#[derive(Clone)]
pub struct Seeding {
    state: Arc<AtomicU8>,
}

const NOT_WANTED: u8 = 0;
const UNDER_WAY: u8 = 1;
const MADE: u8 = 2;
const FAILED: u8 = 3;

impl Seeding {
    /// Nothing made yet.
    pub fn new(wanted: bool) -> Self {
        Self {
            state: Arc::new(AtomicU8::new(if wanted { UNDER_WAY } else { NOT_WANTED })),
        }
    }

    /// Whether there is to be sample data.
    pub fn wanted(&self) -> bool {
        self.state.load(Ordering::Relaxed) != NOT_WANTED
    }

    /// All there, or what is missing.
    ///
    /// # Errors
    /// A text for the health page.
    pub fn state(&self) -> std::result::Result<(), String> {
        match self.state.load(Ordering::Relaxed) {
            UNDER_WAY => Err("the sample orders wait for the other services".to_owned()),
            FAILED => Err("the sample orders could not be made: see the log".to_owned()),
            _ => Ok(()),
        }
    }

    /// Makes them, and keeps note of it.
    pub async fn run(&self, sampler: &Sampler) {
        let state = match sampler.run().await {
            Ok(()) => MADE,
            Err(error) => {
                tracing::error!(%error, "the sample orders could not be made");
                FAILED
            }
        };
        self.state.store(state, Ordering::Relaxed);
    }
}

/// One sample order, before it has names and prices.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    order_key: String,
    user: usize,
    status: Status,
    lines: Vec<Line>,
    created_ms: i64,
}

/// The samples, oldest first.
fn samples() -> impl Iterator<Item = Sample> {
    (0..ORDERS).map(|n| Sample {
        order_key: format!("sample-order-{:02}", n + 1),
        user: n % USERS,
        // Every user has three orders, in three different statuses.
        status: Status::ALL[n % Status::ALL.len()],
        lines: (0..=n % 3).map(|line| sample_line(n, line)).collect(),
        created_ms: FIRST_MS + i64::try_from(n).unwrap_or(0) * APART_MS,
    })
}

fn sample_line(order: usize, line: usize) -> Line {
    let product = (order + line * 13) % PRODUCTS + 1;
    let quantity = (order / 2 + line) % 2 + 1;
    Line {
        product_id: i32::try_from(product).unwrap_or(1),
        quantity: i32::try_from(quantity).unwrap_or(1),
    }
}

impl Sampler {
    /// Over links of its own.
    pub fn new(store: Arc<dyn OrderStore>, users: Users, products: Products) -> Self {
        Self {
            store,
            users,
            products,
        }
    }

    /// Makes what is missing, waiting until the other services answer.
    ///
    /// # Errors
    /// The last try's, after five minutes or so; and at once what waiting does not
    /// mend, such as accounts that are not the samples.
    pub async fn run(&self) -> Result<()> {
        let mut tries = 1;
        loop {
            match self.make_missing().await {
                Err(error) if tries < TRIES && is_passing(&error) => {
                    tracing::debug!(%error, tries, "no sample orders yet");
                    tries += 1;
                    tokio::time::sleep(WAIT).await;
                }
                done => return done,
            }
        }
    }

    /// A repeat makes nothing twice: each order has a key of its own, which both
    /// services know.
    async fn make_missing(&self) -> Result<()> {
        let held = self.store.unfinished(i64::MAX).await?;
        let mut made = 0;
        for sample in samples() {
            if self.store.find_by_key(&sample.order_key).await?.is_none() {
                self.make(&sample).await?;
                made += 1;
            } else if held.contains(&sample.order_key) {
                self.commit(&sample.order_key).await?;
            }
        }
        if made > 0 {
            tracing::info!(orders = made, "sample orders made");
        }
        Ok(())
    }

    async fn make(&self, sample: &Sample) -> Result<()> {
        let (user_id, account) = self.user(sample.user).await?;
        let catalogue = self.products.get(&ctx(), &sample.lines).await?;
        let basket = Basket::price(&sample.lines, &catalogue)?;
        let cancelled = sample.status == Status::Cancelled;
        if !cancelled {
            self.reserve(sample).await?;
        }
        let order = NewOrder {
            order_key: sample.order_key.clone(),
            user_id,
            contact: Some(account.email).filter(|email| !email.is_empty()),
            status: sample.status,
            reservation: if cancelled {
                Reservation::None
            } else {
                Reservation::Held
            },
            basket,
            created_ms: sample.created_ms,
        };
        self.store.insert(&order).await?;
        if cancelled {
            Ok(())
        } else {
            self.commit(&sample.order_key).await
        }
    }

    /// The account, if it is the sample that its number says.
    async fn user(&self, number: usize) -> Result<(i64, Account)> {
        let user_id = FIRST_USER + i64::try_from(number).unwrap_or(0);
        let account = self.users.validate(&ctx(), user_id).await?;
        if account.name == format!("user{number}") {
            return Ok((user_id, account));
        }
        let what = format!(
            "account {user_id} is {:?}, not the sample user{number}",
            account.name
        );
        Err(OrderError::BadAnswer {
            dependency: "user",
            what,
        })
    }

    async fn reserve(&self, sample: &Sample) -> Result<()> {
        match self
            .products
            .reserve(&ctx(), &sample.order_key, &sample.lines, 0)
            .await?
        {
            Reserved::Held => Ok(()),
            Reserved::Unknown(ids) => Err(OrderError::UnknownProducts(ids)),
            Reserved::Short(shortages) => Err(OrderError::Shortage(shortages)),
        }
    }

    async fn commit(&self, order_key: &str) -> Result<()> {
        if let Committed::Gone(what) = self.products.commit(&ctx(), order_key).await? {
            return Err(OrderError::BadAnswer {
                dependency: "product",
                what,
            });
        }
        self.store.mark_committed(order_key).await
    }
}

fn ctx() -> Ctx {
    Ctx {
        deadline: Deadline::after(CALL),
        ..Ctx::internal("sample-data")
    }
}

/// What the other services' start can mend: they are not up, or up and not
/// seeded yet.
fn is_passing(error: &OrderError) -> bool {
    matches!(
        error,
        OrderError::Call { .. } | OrderError::User { .. } | OrderError::UnknownProducts(_)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn thirty_orders_cover_all_users_and_statuses() {
        let all: Vec<Sample> = samples().collect();
        assert_eq!(all.len(), ORDERS);
        for user in 0..USERS {
            let own: Vec<_> = all.iter().filter(|sample| sample.user == user).collect();
            assert_eq!(own.len(), 3);
            let statuses: HashSet<_> = own.iter().map(|sample| sample.status).collect();
            assert_eq!(statuses.len(), 3, "user{user}");
        }
        for status in Status::ALL {
            assert_eq!(
                all.iter().filter(|sample| sample.status == status).count(),
                5,
                "{status:?}"
            );
        }
        assert!(all.is_sorted_by(|a, b| a.created_ms < b.created_ms && a.order_key < b.order_key));
    }

    #[test]
    fn lines_name_each_product_once_and_ask_for_few_units() {
        let mut units = vec![0; PRODUCTS + 1];
        for sample in samples() {
            let ids: HashSet<_> = sample.lines.iter().map(|line| line.product_id).collect();
            assert_eq!(ids.len(), sample.lines.len(), "{}", sample.order_key);
            for line in &sample.lines {
                units[usize::try_from(line.product_id).unwrap()] += line.quantity;
            }
        }
        assert!(units.iter().all(|&n| n <= 6), "{units:?}");
    }
}
