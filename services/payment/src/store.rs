//! What the service keeps, and all SQL.
//!
//! Every call is one transaction with a conditional update, so that a repeat, whenever it comes,
//! moves no money again.

mod books;

use async_trait::async_trait;
use kit::{
    db::{Db, Migration},
    lab::{Defects, Failpoints},
};
use sqlx::{Any, Row, Transaction};

pub use books::{Books, PaymentRow};

use crate::domain::{Payment, State};

/// The tables' history.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "init",
    sql: include_str!("../migrations/0001_init.sql"),
    only: None,
}];

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed, or could not be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A row holds what no code of ours writes.
    #[error("payment {order_key:?} is in the unknown state {state:?}")]
    UnknownState {
        /// The row's key.
        order_key: String,
        /// What it holds.
        state: String,
    },
}

/// Payments by order key. `at` is the moment of the call in epoch milliseconds.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Keeps a payment in `state` unless there is one of that key; the one there is.
    async fn authorize(
        &self,
        order_key: &str,
        wish: Payment,
        at: i64,
    ) -> Result<Payment, StoreError>;
    /// Takes what is authorised, once; where it stands then.
    async fn capture(&self, order_key: &str, at: i64) -> Result<Option<Payment>, StoreError>;
    /// Lets go, or gives back, once; where it stands then.
    async fn void(&self, order_key: &str, at: i64) -> Result<Payment, StoreError>;
    /// Where it stands.
    async fn find(&self, order_key: &str) -> Result<Option<Payment>, StoreError>;
    /// Every payment with what was taken and given back, at one moment.
    async fn books(&self) -> Result<Books, StoreError>;
}

/// The failpoints of this service.
pub const FAILPOINTS: &[&str] = &[
    "payment.authorize.before_commit",
    "payment.authorize.after_commit",
    "payment.authorize.before_reply",
    "payment.capture.before_commit",
    "payment.capture.after_commit",
    "payment.capture.before_reply",
    "payment.void.before_commit",
    "payment.void.after_commit",
    "payment.void.before_reply",
];

/// The seeded defects of this service: docs/INTEGRITY.md.
pub const DEFECTS: &[&str] = &["capture_twice"];

/// [`Store`] on SQL.
pub struct SqlStore {
    db: Db,
    points: Failpoints,
    defects: Defects,
}

type Tx = Transaction<'static, Any>;

impl SqlStore {
    /// Over a migrated database.
    pub fn new(db: Db, points: Failpoints, defects: Defects) -> Self {
        Self {
            db,
            points,
            defects,
        }
    }

    async fn commit(
        &self,
        tx: Tx,
        before: &'static str,
        after: &'static str,
    ) -> Result<(), StoreError> {
        self.points.hit(before).await;
        tx.commit().await?;
        self.points.hit(after).await;
        Ok(())
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn authorize(
        &self,
        order_key: &str,
        wish: Payment,
        at: i64,
    ) -> Result<Payment, StoreError> {
        let work = async {
            let mut tx = self.db.begin().await?;
            insert(&mut tx, order_key, wish, at).await?;
            let payment = find(&mut tx, order_key).await?;
            let (before, after) = (
                "payment.authorize.before_commit",
                "payment.authorize.after_commit",
            );
            self.commit(tx, before, after).await?;
            Ok(payment.ok_or(sqlx::Error::RowNotFound)?)
        };
        self.db.timed("authorize", work).await
    }

    async fn capture(&self, order_key: &str, at: i64) -> Result<Option<Payment>, StoreError> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let taken = go(&mut tx, order_key, State::Authorized, State::Captured, at).await?;
            // A seeded defect: what was captured is captured again.
            let again = !taken
                && self.defects.on("capture_twice")
                && go(&mut tx, order_key, State::Captured, State::Captured, at).await?;
            if taken || again {
                book(&mut tx, order_key, "capture", at).await?;
            }
            let payment = find(&mut tx, order_key).await?;
            let (before, after) = (
                "payment.capture.before_commit",
                "payment.capture.after_commit",
            );
            self.commit(tx, before, after).await?;
            Ok(payment)
        };
        self.db.timed("capture", work).await
    }

    async fn void(&self, order_key: &str, at: i64) -> Result<Payment, StoreError> {
        let work = async {
            let mut tx = self.db.begin().await?;
            if go(&mut tx, order_key, State::Captured, State::Refunded, at).await? {
                book(&mut tx, order_key, "refund", at).await?;
            } else if !go(&mut tx, order_key, State::Authorized, State::Voided, at).await? {
                let tombstone = Payment {
                    state: State::Voided,
                    amount_cents: 0,
                };
                insert(&mut tx, order_key, tombstone, at).await?;
            }
            let payment = find(&mut tx, order_key).await?;
            let (before, after) = ("payment.void.before_commit", "payment.void.after_commit");
            self.commit(tx, before, after).await?;
            Ok(payment.ok_or(sqlx::Error::RowNotFound)?)
        };
        self.db.timed("void", work).await
    }

    async fn find(&self, order_key: &str) -> Result<Option<Payment>, StoreError> {
        let work = async {
            let row = sqlx::query(FIND)
                .bind(order_key.to_owned())
                .fetch_optional(&self.db.read)
                .await?;
            read(order_key, row)
        };
        self.db.timed("find_payment", work).await
    }

    async fn books(&self) -> Result<Books, StoreError> {
        books::read(&self.db).await
    }
}

const FIND: &str = "SELECT state, amount_cents FROM payments WHERE order_key = $1";

async fn find(tx: &mut Tx, order_key: &str) -> Result<Option<Payment>, StoreError> {
    let row = sqlx::query(FIND)
        .bind(order_key.to_owned())
        .fetch_optional(&mut **tx)
        .await?;
    read(order_key, row)
}

fn read(order_key: &str, row: Option<sqlx::any::AnyRow>) -> Result<Option<Payment>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let name: String = row.try_get("state")?;
    let state = State::from_name(&name).ok_or_else(|| StoreError::UnknownState {
        order_key: order_key.to_owned(),
        state: name,
    })?;
    let amount_cents = row.try_get("amount_cents")?;
    Ok(Some(Payment {
        state,
        amount_cents,
    }))
}

async fn insert(tx: &mut Tx, order_key: &str, wish: Payment, at: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO payments (order_key, state, amount_cents, created_ms, updated_ms) \
         VALUES ($1, $2, $3, $4, $4) ON CONFLICT (order_key) DO NOTHING",
    )
    .bind(order_key.to_owned())
    .bind(wish.state.name())
    .bind(wish.amount_cents)
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One conditional step; whether this call made it.
async fn go(
    tx: &mut Tx,
    order_key: &str,
    from: State,
    to: State,
    at: i64,
) -> Result<bool, StoreError> {
    let gone = sqlx::query(
        "UPDATE payments SET state = $3, updated_ms = $4 WHERE order_key = $1 AND state = $2",
    )
    .bind(order_key.to_owned())
    .bind(from.name())
    .bind(to.name())
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(gone.rows_affected() == 1)
}

async fn book(tx: &mut Tx, order_key: &str, event: &str, at: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO payment_ledger (order_key, event, amount_cents, at_ms) \
         SELECT order_key, $2, amount_cents, $3 FROM payments WHERE order_key = $1",
    )
    .bind(order_key.to_owned())
    .bind(event.to_owned())
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
