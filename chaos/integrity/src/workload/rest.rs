//! The end of a run: waiting until nothing is under way, then reading everything.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Config;
use crate::shop::{Reply, Shop, ShopError};
use crate::snapshot::{Orders, Payments, Snapshot, Stock};
use crate::types::{Order, UserId};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long a read may take: the whole stock of a long run is large.
const READ: Duration = Duration::from_secs(30);
/// How often a read is tried.
const TRIES: u32 = 5;

/// What was found, and what could not be read.
pub(super) struct Found {
    pub(super) snapshot: Snapshot,
    pub(super) missing: Vec<String>,
}

/// Waits for rest, as long as the run allows, and reads everything.
pub(super) async fn find(shop: &dyn Shop, config: &Config) -> Found {
    tokio::time::sleep(config.settle).await;
    let until = Instant::now() + config.rest;
    let mut found = Found {
        snapshot: Snapshot::default(),
        missing: Vec::new(),
    };
    // The stock as soon as no saga is open: what is held then is in nobody's charge, even if its
    // time will be over soon.
    let stock = stock_at_rest(shop, until).await;
    found.snapshot.stock = found.noted(stock);
    let delivered = delivered(shop, until).await;
    found.snapshot.shop = found.noted(delivered);
    let payments = patiently(|| shop.payments()).await;
    found.snapshot.payments = found.noted::<Option<Payments>>(payments).flatten();
    for user in &config.customers {
        let orders = orders_of(shop, *user).await;
        let orders = found.noted(orders).unwrap_or_default();
        found.snapshot.orders.extend(orders);
    }
    found
}

impl Found {
    fn noted<T>(&mut self, read: Result<T, ShopError>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(error) => {
                self.missing.push(error.to_string());
                None
            }
        }
    }
}

async fn stock_at_rest(shop: &dyn Shop, until: Instant) -> Result<Stock, ShopError> {
    loop {
        let before = patiently(|| shop.open()).await?;
        let stock = patiently(|| shop.stock(true)).await?;
        let after = patiently(|| shop.open()).await?;
        let rest = before.sagas.is_empty() && after.sagas.is_empty();
        if rest || Instant::now() >= until {
            return Ok(stock);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn delivered(shop: &dyn Shop, until: Instant) -> Result<Orders, ShopError> {
    while patiently(|| shop.open()).await?.undelivered > 0 && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    patiently(|| shop.orders()).await
}

async fn orders_of(shop: &dyn Shop, user: UserId) -> Result<Vec<Order>, ShopError> {
    let mut found = Vec::new();
    for number in 1.. {
        let page = patiently(|| async move {
            match shop.list(user, number).await {
                Reply::Done(page) if !page.stale => Ok(page),
                Reply::Done(_) => Err(unread(user, "the answer is stale".to_owned())),
                Reply::Refused { status, error } => Err(unread(user, format!("{status} {error}"))),
                Reply::Unknown(why) => Err(unread(user, why)),
            }
        });
        let page = page.await?;
        found.extend(page.orders);
        if page.last {
            break;
        }
    }
    Ok(found)
}

fn unread(user: UserId, why: String) -> ShopError {
    ShopError {
        what: "reading a customer's orders",
        why: format!("user {user}: {why}"),
    }
}

fn late() -> ShopError {
    ShopError {
        what: "reading at rest",
        why: format!("no answer within {READ:?}"),
    }
}

async fn patiently<T, F>(mut read: impl FnMut() -> F) -> Result<T, ShopError>
where
    F: Future<Output = Result<T, ShopError>>,
{
    let mut tried = 1;
    loop {
        match timeout(READ, read()).await.unwrap_or_else(|_| Err(late())) {
            Err(_) if tried < TRIES => {
                tokio::time::sleep(LOOK * tried).await;
                tried += 1;
            }
            answer => return answer,
        }
    }
}
