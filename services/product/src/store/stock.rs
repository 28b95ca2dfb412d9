//! Stock, its ledger, and reservations.
//!
//! Whoever changes `products.available` books the same change in the ledger, in
//! the same transaction. Rows of several products are locked in the order of
//! their ids, so that no two transactions can wait for each other.

use std::collections::BTreeMap;

use kit::db::Backend;
use sqlx::{Acquire, Any, AssertSqlSafe, Row, Transaction};

use super::{Lab, StoreError, clock, ends::state};
use crate::domain::{Demand, Reserved, Shortage, State};

pub(super) type Tx = Transaction<'static, Any>;

/// Units a product was made with.
pub(super) const INITIAL: &str = "initial";
/// Units an admin, or the lab, added or took away.
pub(super) const RESTOCK: &str = "restock";
const RESERVE: &str = "reserve";

/// Books a change that belongs to no order; one of nothing leaves no trace.
pub(super) async fn book(
    tx: &mut Tx,
    id: i64,
    delta: i64,
    reason: &str,
    at: i64,
) -> Result<(), StoreError> {
    if delta != 0 {
        sqlx::query(
            "INSERT INTO stock_ledger (product_id, delta, reason, at_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(id)
        .bind(delta)
        .bind(reason.to_owned())
        .bind(at)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Sets the stock of a row that this transaction has locked and read.
pub(super) async fn restock(
    tx: &mut Tx,
    id: i64,
    old: i64,
    new: i64,
    at: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE products SET available = $2 WHERE id = $1")
        .bind(id)
        .bind(new)
        .execute(&mut **tx)
        .await?;
    book(tx, id, new - old, RESTOCK, at).await
}

pub(super) async fn reserve(
    mut tx: Tx,
    backend: Backend,
    demand: &Demand,
    at: i64,
    lab: &Lab,
) -> Result<Reserved, StoreError> {
    let key = &demand.order_key;
    if !make(&mut tx, backend, demand, at).await? {
        let first = first_answer(&mut tx, backend, demand).await?;
        tx.rollback().await?;
        return Ok(first);
    }
    insert_lines(&mut tx, demand).await?;
    // All or none: what was taken before a line that fails goes back with the
    // savepoint, while the refusal itself is kept.
    let mut taking = tx.begin().await?;
    let shortages = take(&mut taking, demand).await?;
    if shortages.is_empty() {
        taking.commit().await?;
        book_lines(&mut tx, key, RESERVE, at).await?;
    } else {
        taking.rollback().await?;
        record_refusal(&mut tx, key, &shortages).await?;
    }
    lab.points.hit("product.reserve.before_commit").await;
    tx.commit().await?;
    lab.points.hit("product.reserve.after_commit").await;
    Ok(if shortages.is_empty() {
        Reserved::Yes { first: true }
    } else {
        Reserved::Short(shortages)
    })
}

/// Makes the key's row, which is the lock: of many calls at once with one key, one makes it and
/// the others wait here for its answer. Its time runs on the database's clock.
async fn make(tx: &mut Tx, backend: Backend, demand: &Demand, at: i64) -> Result<bool, StoreError> {
    let now = clock::now_sql(backend);
    let made = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO reservations (order_key, state, created_ms, updated_ms, expires_ms) \
         VALUES ($1, $2, $3, $3, {now} + $4) ON CONFLICT (order_key) DO NOTHING"
    )))
    .bind(demand.order_key.clone())
    .bind(State::Held.name())
    .bind(at)
    .bind(demand.ttl_ms)
    .execute(&mut **tx)
    .await?;
    Ok(made.rows_affected() == 1)
}

async fn insert_lines(tx: &mut Tx, demand: &Demand) -> Result<(), StoreError> {
    for (&product_id, &quantity) in &demand.lines {
        sqlx::query(
            "INSERT INTO reservation_lines (order_key, product_id, quantity) VALUES ($1, $2, $3)",
        )
        .bind(demand.order_key.clone())
        .bind(product_id)
        .bind(quantity)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// One conditional update a line: it takes the units or it changes nothing, so
/// stock can't go below zero whatever runs beside it.
async fn take(tx: &mut Transaction<'_, Any>, demand: &Demand) -> Result<Vec<Shortage>, StoreError> {
    let mut shortages = Vec::new();
    for (&product_id, &quantity) in &demand.lines {
        let taken = sqlx::query(
            "UPDATE products SET available = available - $2 WHERE id = $1 AND available >= $2 AND deleted = 0",
        )
        .bind(product_id)
        .bind(quantity)
        .execute(&mut **tx)
        .await?;
        if taken.rows_affected() == 0 {
            shortages.push(shortage(tx, product_id).await?);
        }
    }
    Ok(shortages)
}

async fn shortage(tx: &mut Transaction<'_, Any>, product_id: i64) -> Result<Shortage, StoreError> {
    let row = sqlx::query("SELECT available FROM products WHERE id = $1 AND deleted = 0")
        .bind(product_id)
        .fetch_optional(&mut **tx)
        .await?;
    let available = row.map(|row| row.try_get("available")).transpose()?;
    Ok(Shortage {
        product_id,
        exists: available.is_some(),
        available: available.unwrap_or(0),
    })
}

pub(super) async fn book_lines(
    tx: &mut Tx,
    key: &str,
    reason: &str,
    at: i64,
) -> Result<(), StoreError> {
    let sign: i64 = if reason == RESERVE { -1 } else { 1 };
    sqlx::query(
        "INSERT INTO stock_ledger (product_id, delta, reason, order_key, at_ms) \
         SELECT product_id, quantity * $2, $3, order_key, $4 FROM reservation_lines WHERE order_key = $1",
    )
    .bind(key.to_owned())
    .bind(sign)
    .bind(reason.to_owned())
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn record_refusal(tx: &mut Tx, key: &str, shortages: &[Shortage]) -> Result<(), StoreError> {
    sqlx::query("UPDATE reservations SET state = $2 WHERE order_key = $1")
        .bind(key.to_owned())
        .bind(State::Refused.name())
        .execute(&mut **tx)
        .await?;
    for shortage in shortages {
        sqlx::query(
            "UPDATE reservation_lines SET short_exists = $3, short_available = $4 \
             WHERE order_key = $1 AND product_id = $2",
        )
        .bind(key.to_owned())
        .bind(shortage.product_id)
        .bind(i64::from(shortage.exists))
        .bind(shortage.available)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// What the key's first call was told.
async fn first_answer(
    tx: &mut Tx,
    backend: Backend,
    demand: &Demand,
) -> Result<Reserved, StoreError> {
    let key = &demand.order_key;
    let state = state(tx, backend, key)
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    let rows = sqlx::query(
        "SELECT product_id, quantity, short_exists, short_available FROM reservation_lines \
         WHERE order_key = $1 ORDER BY product_id",
    )
    .bind(key.clone())
    .fetch_all(&mut **tx)
    .await?;
    let mut lines = BTreeMap::new();
    let mut shortages = Vec::new();
    for row in rows {
        let product_id = row.try_get("product_id")?;
        lines.insert(product_id, row.try_get::<i64, _>("quantity")?);
        if let Some(exists) = row.try_get::<Option<i64>, _>("short_exists")? {
            let available = row.try_get("short_available")?;
            shortages.push(Shortage {
                product_id,
                exists: exists == 1,
                available,
            });
        }
    }
    // The tombstone of a release has no lines to compare.
    if lines != demand.lines && !lines.is_empty() {
        return Ok(Reserved::OtherLines);
    }
    Ok(match state {
        State::Held | State::Committed => Reserved::Yes { first: false },
        State::Refused => Reserved::Short(shortages),
        State::Released | State::Expired | State::Returned => Reserved::Over(state),
    })
}
