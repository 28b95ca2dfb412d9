//! What the lab is told of payments (docs/INTEGRITY_CHECKER.md), in one statement.

use kit::db::Db;
use serde::Serialize;
use sqlx::Row as _;

use super::StoreError;

/// Everything that was ever asked of the service.
#[derive(Clone, Debug, Serialize)]
pub struct Books {
    /// Each payment.
    pub payments: Vec<PaymentRow>,
}

/// A payment, and what the ledger has under its key; all in cents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentRow {
    /// Its key.
    pub order_key: String,
    /// What was to be set aside.
    pub amount: i64,
    /// Taken, all captures together.
    pub captured: i64,
    /// Given back.
    pub refunded: i64,
}

/// Past [`Db::timed`]: the lab's own look meets none of its faults.
pub(super) async fn read(db: &Db) -> Result<Books, StoreError> {
    let rows = sqlx::query(
        "SELECT p.order_key, p.amount_cents, \
         CAST(COALESCE(SUM(CASE WHEN l.event = 'capture' THEN l.amount_cents END), 0) AS BIGINT) \
           AS captured, \
         CAST(COALESCE(SUM(CASE WHEN l.event = 'refund' THEN l.amount_cents END), 0) AS BIGINT) \
           AS refunded \
         FROM payments p LEFT JOIN payment_ledger l ON l.order_key = p.order_key \
         GROUP BY p.order_key, p.amount_cents ORDER BY p.order_key",
    )
    .fetch_all(&db.read)
    .await?;
    let payments = rows.iter().map(|row| {
        Ok(PaymentRow {
            order_key: row.try_get("order_key")?,
            amount: row.try_get("amount_cents")?,
            captured: row.try_get("captured")?,
            refunded: row.try_get("refunded")?,
        })
    });
    Ok(Books {
        payments: payments.collect::<Result<_, StoreError>>()?,
    })
}
