//! What the lab is told of stock and reservations (docs/INTEGRITY_CHECKER.md), each answer read in
//! one transaction. Rows are told as they are stored, since whether they agree is the question.

use std::collections::HashMap;

use kit::db::Db;
use serde::Serialize;
use sqlx::{Any, Row as _, Transaction, any::AnyRow};

use super::StoreError;

/// Stock, and reservations where they were asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Books {
    /// Every product, deleted ones too.
    pub stock: Vec<StockRow>,
    /// Every reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Vec<ReservationRow>>,
}

/// A product's units, from three sources: its row, its reservations, its ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StockRow {
    /// Its id.
    pub product: i64,
    /// Ledger: units that it was made with.
    pub initial: i64,
    /// Ledger: units added by hand, less those taken away.
    pub restocked: i64,
    /// Row: units that can be sold.
    pub available: i64,
    /// Reservations: units held.
    pub reserved: i64,
    /// Reservations: units sold and not returned.
    pub committed: i64,
    /// Ledger: everything.
    pub ledger_sum: i64,
}

/// A reservation as it is stored, and what the ledger has under its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReservationRow {
    /// Its key.
    pub order_key: String,
    /// Its state; `returned` is one that was sold and came back.
    pub state: String,
    /// What it is for; none for a release that came before its reserve.
    pub lines: Vec<LineRow>,
    /// Ledger: units taken.
    pub taken: i64,
    /// Ledger: units that came back, in whatever way.
    pub returned: i64,
    /// Ledger: those of them that came back at the expiry.
    pub expired: i64,
}

/// Units of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineRow {
    /// The product's id.
    pub product: i64,
    /// Units.
    pub quantity: i64,
}

/// Past [`Db::timed`]: the lab's own look meets none of its faults, and its time is no request's.
pub(super) async fn read(db: &Db, reservations: bool) -> Result<Books, StoreError> {
    let mut tx = db.snapshot().await?;
    let books = Books {
        stock: stock(&mut tx).await?,
        reservations: if reservations {
            Some(all_reservations(&mut tx).await?)
        } else {
            None
        },
    };
    tx.rollback().await?;
    Ok(books)
}

async fn stock(tx: &mut Transaction<'static, Any>) -> Result<Vec<StockRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.id, p.available, COALESCE(l.initial, 0) AS initial, \
         COALESCE(l.restocked, 0) AS restocked, COALESCE(l.everything, 0) AS ledger_sum, \
         COALESCE(r.reserved, 0) AS reserved, COALESCE(r.committed, 0) AS committed \
         FROM products p LEFT JOIN (SELECT product_id, \
           CAST(SUM(CASE WHEN reason = 'initial' THEN delta ELSE 0 END) AS BIGINT) AS initial, \
           CAST(SUM(CASE WHEN reason = 'restock' THEN delta ELSE 0 END) AS BIGINT) AS restocked, \
           CAST(SUM(delta) AS BIGINT) AS everything FROM stock_ledger GROUP BY product_id) l \
         ON l.product_id = p.id LEFT JOIN (SELECT n.product_id, \
           CAST(SUM(CASE WHEN v.state = 'held' THEN n.quantity ELSE 0 END) AS BIGINT) AS reserved, \
           CAST(SUM(CASE WHEN v.state = 'committed' THEN n.quantity ELSE 0 END) AS BIGINT) AS committed \
           FROM reservations v JOIN reservation_lines n ON n.order_key = v.order_key \
           WHERE v.state = 'held' OR (v.state = 'committed' AND v.returned_ms IS NULL) \
           GROUP BY n.product_id) r ON r.product_id = p.id ORDER BY p.id",
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(stock_row).collect()
}

fn stock_row(row: &AnyRow) -> Result<StockRow, StoreError> {
    Ok(StockRow {
        product: row.try_get("id")?,
        initial: row.try_get("initial")?,
        restocked: row.try_get("restocked")?,
        available: row.try_get("available")?,
        reserved: row.try_get("reserved")?,
        committed: row.try_get("committed")?,
        ledger_sum: row.try_get("ledger_sum")?,
    })
}

async fn all_reservations(
    tx: &mut Transaction<'static, Any>,
) -> Result<Vec<ReservationRow>, StoreError> {
    let mut lines = all_lines(tx).await?;
    let rows = sqlx::query(
        "SELECT v.order_key, CASE WHEN v.state = 'committed' AND v.returned_ms IS NOT NULL \
         THEN 'returned' ELSE v.state END AS state, COALESCE(l.taken, 0) AS taken, \
         COALESCE(l.back, 0) AS back, COALESCE(l.expired, 0) AS expired \
         FROM reservations v LEFT JOIN (SELECT order_key, \
           CAST(-SUM(CASE WHEN reason = 'reserve' THEN delta ELSE 0 END) AS BIGINT) AS taken, \
           CAST(SUM(CASE WHEN reason IN ('release', 'expire', 'return') THEN delta ELSE 0 END) \
             AS BIGINT) AS back, \
           CAST(SUM(CASE WHEN reason = 'expire' THEN delta ELSE 0 END) AS BIGINT) AS expired \
           FROM stock_ledger WHERE order_key IS NOT NULL GROUP BY order_key) l \
         ON l.order_key = v.order_key ORDER BY v.order_key",
    )
    .fetch_all(&mut **tx)
    .await?;
    let rows = rows.iter().map(|row| {
        let order_key: String = row.try_get("order_key")?;
        Ok(ReservationRow {
            state: row.try_get("state")?,
            lines: lines.remove(&order_key).unwrap_or_default(),
            taken: row.try_get("taken")?,
            returned: row.try_get("back")?,
            expired: row.try_get("expired")?,
            order_key,
        })
    });
    rows.collect()
}

async fn all_lines(
    tx: &mut Transaction<'static, Any>,
) -> Result<HashMap<String, Vec<LineRow>>, StoreError> {
    let rows = sqlx::query(
        "SELECT order_key, product_id, quantity FROM reservation_lines \
         ORDER BY order_key, product_id",
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut lines: HashMap<String, Vec<LineRow>> = HashMap::new();
    for row in rows {
        let line = LineRow {
            product: row.try_get("product_id")?,
            quantity: row.try_get("quantity")?,
        };
        lines
            .entry(row.try_get("order_key")?)
            .or_default()
            .push(line);
    }
    Ok(lines)
}
