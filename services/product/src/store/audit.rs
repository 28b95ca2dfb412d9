//! Whether rows and ledger agree.

use std::collections::BTreeMap;

use kit::db::Db;
use sqlx::Row;

use super::StoreError;

/// What the ledger added up to when it was last read. It is append-only, so only what is new is
/// read again.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    last_id: i64,
    sums: BTreeMap<i64, i64>,
}

impl Audit {
    /// Units by which the rows of products differ from their ledgers, in one snapshot.
    pub(super) async fn mismatch(&mut self, db: &Db) -> Result<i64, StoreError> {
        let mut tx = db.snapshot().await?;
        let news = sqlx::query(
            "SELECT product_id, SUM(delta) AS delta, MAX(id) AS last_id FROM stock_ledger \
             WHERE id > $1 GROUP BY product_id",
        )
        .bind(self.last_id)
        .fetch_all(&mut *tx)
        .await?;
        let rows = sqlx::query("SELECT id, available FROM products")
            .fetch_all(&mut *tx)
            .await?;
        tx.rollback().await?;
        for row in news {
            *self.sums.entry(row.try_get("product_id")?).or_default() +=
                row.try_get::<i64, _>("delta")?;
            self.last_id = self.last_id.max(row.try_get("last_id")?);
        }
        let mut mismatch = 0;
        for row in rows {
            let id: i64 = row.try_get("id")?;
            let available: i64 = row.try_get("available")?;
            mismatch += (available - self.sums.get(&id).copied().unwrap_or(0)).abs();
        }
        Ok(mismatch)
    }
}
