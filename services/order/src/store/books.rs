//! What the lab is told of sagas, orders and the outbox (docs/INTEGRITY_CHECKER.md), each answer
//! read in one transaction, and past [`kit::db::Db::timed`]: the lab's own look meets none of its
//! faults.

use async_trait::async_trait;
use serde::Serialize;
use sqlx::{Any, Row as _, Transaction};

use super::{SqlStore, sagas::ACTIVE};
use crate::error::Result;

type Tx = Transaction<'static, Any>;

/// A saga that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenSaga {
    /// Its order's key.
    pub order_key: String,
    /// How far it is.
    pub state: String,
    /// Since it began; since the order was called off, where it puts things back.
    pub age_ms: i64,
    /// How long it may take.
    pub ttl_ms: i64,
}

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenWork {
    /// Sagas that have not ended, the oldest first.
    pub sagas: Vec<OpenSaga>,
    /// Mails whose delivery was not noted yet.
    pub undelivered: i64,
}

/// An order that is shown, with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownOrder {
    /// Its number.
    pub order: i64,
    /// Its key.
    pub order_key: String,
}

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The event's id.
    pub event_id: String,
    /// The status that it tells of.
    pub status: String,
    /// The order's number, and whether it is shown; none when it is gone.
    pub order: Option<(i64, bool)>,
    /// Whether a delivery was noted.
    pub noted: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub struct Everything {
    /// What is under way.
    pub open: OpenWork,
    /// The outbox, in the order of writing.
    pub outbox: Vec<Written>,
    /// Orders that are shown to their owners.
    pub shown: Vec<ShownOrder>,
}

/// Tells what is stored.
#[async_trait]
pub trait BookStore: Send + Sync {
    /// What is under way.
    async fn open_work(&self, now_ms: i64) -> Result<OpenWork>;
    /// Everything.
    async fn everything(&self, now_ms: i64) -> Result<Everything>;
}

#[async_trait]
impl BookStore for SqlStore {
    async fn open_work(&self, now_ms: i64) -> Result<OpenWork> {
        let mut tx = self.db.snapshot().await?;
        let open = open(&mut tx, now_ms).await?;
        tx.rollback().await?;
        Ok(open)
    }

    async fn everything(&self, now_ms: i64) -> Result<Everything> {
        let mut tx = self.db.snapshot().await?;
        let everything = Everything {
            open: open(&mut tx, now_ms).await?,
            outbox: outbox(&mut tx).await?,
            shown: shown(&mut tx).await?,
        };
        tx.rollback().await?;
        Ok(everything)
    }
}

async fn open(tx: &mut Tx, now_ms: i64) -> Result<OpenWork> {
    // A cancelled order's row is last written when it is called off; its saga's when it is taken over.
    let sql = format!(
        "SELECT s.order_key, s.state, s.deadline_ms, CASE WHEN s.state = 'cancelling' \
         THEN COALESCE(o.updated_ms, s.created_ms) ELSE s.created_ms END AS begun_ms \
         FROM sagas s LEFT JOIN orders o ON o.order_key = s.order_key \
         WHERE s.state IN {ACTIVE} ORDER BY begun_ms, s.order_key"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_all(&mut **tx)
        .await?;
    let sagas = rows.iter().map(|row| {
        let (begun, deadline): (i64, i64) = (row.try_get("begun_ms")?, row.try_get("deadline_ms")?);
        Ok(OpenSaga {
            order_key: row.try_get("order_key")?,
            state: row.try_get("state")?,
            age_ms: now_ms.saturating_sub(begun).max(0),
            ttl_ms: deadline.saturating_sub(begun),
        })
    });
    let sagas = sagas.collect::<Result<_>>()?;
    let undelivered = "SELECT COUNT(*) FROM outbox WHERE delivered_ms IS NULL";
    let undelivered = sqlx::query_scalar(undelivered).fetch_one(&mut **tx).await?;
    Ok(OpenWork { sagas, undelivered })
}

async fn outbox(tx: &mut Tx) -> Result<Vec<Written>> {
    let rows = sqlx::query(
        "SELECT b.event_id, b.status, b.delivered_ms, o.id, o.reservation_state \
         FROM outbox b LEFT JOIN orders o ON o.order_key = b.order_key ORDER BY b.id",
    )
    .fetch_all(&mut **tx)
    .await?;
    let rows = rows.iter().map(|row| {
        let stock: Option<String> = row.try_get("reservation_state")?;
        let order: Option<i64> = row.try_get("id")?;
        Ok(Written {
            event_id: row.try_get("event_id")?,
            status: row.try_get("status")?,
            order: order.map(|id| (id, stock.as_deref() != Some("held"))),
            noted: row.try_get::<Option<i64>, _>("delivered_ms")?.is_some(),
        })
    });
    rows.collect()
}

async fn shown(tx: &mut Tx) -> Result<Vec<ShownOrder>> {
    let rows = sqlx::query(
        "SELECT id, order_key FROM orders WHERE reservation_state <> 'held' ORDER BY id",
    )
    .fetch_all(&mut **tx)
    .await?;
    let rows = rows.iter().map(|row| {
        Ok(ShownOrder {
            order: row.try_get("id")?,
            order_key: row.try_get("order_key")?,
        })
    });
    rows.collect()
}
