//! How a reservation ends. It leaves held by one conditional update, so by one way alone, and its
//! units return in the same transaction: at most once.

use kit::db::{Backend, Db};
use sqlx::{AssertSqlSafe, Row};

use super::{
    Lab, Released, StoreError, clock,
    stock::{Tx, book_lines},
};
use crate::domain::State;

const RELEASE: &str = "release";
const EXPIRE: &str = "expire";
const RETURN: &str = "return";

/// Makes a held reservation final. Whether its time is over is decided by the database's clock in
/// the update itself; one that comes too late expires here and now, so that no later call, on a
/// clock that was set back, can decide otherwise.
pub(super) async fn commit(
    mut tx: Tx,
    backend: Backend,
    key: &str,
    at: i64,
    lab: &Lab,
) -> Result<Option<State>, StoreError> {
    if lab.defects.on("commit_after_expiry") && revive(&mut tx, key).await? {
        tx.commit().await?;
        return Ok(Some(State::Committed));
    }
    let now = clock::now_sql(backend);
    let due = format!("AND (expires_ms IS NULL OR expires_ms > {now})");
    let state = if leave_held(&mut tx, key, State::Committed, at, &due).await? {
        Some(State::Committed)
    } else {
        expire_one(&mut tx, backend, key, at).await?;
        state(&mut tx, backend, key).await?
    };
    lab.points.hit("product.commit.before_commit").await;
    tx.commit().await?;
    lab.points.hit("product.commit.after_commit").await;
    Ok(state)
}

pub(super) async fn release(
    mut tx: Tx,
    backend: Backend,
    key: &str,
    at: i64,
    lab: &Lab,
) -> Result<Released, StoreError> {
    let released = if leave_held(&mut tx, key, State::Released, at, "").await? {
        let returned = give_back(&mut tx, key).await?;
        book_lines(&mut tx, key, RELEASE, at).await?;
        Released {
            state: State::Released,
            returned,
        }
    } else {
        let state = bury(&mut tx, backend, key, at).await?;
        // A seeded defect: the units of one that was released come back again.
        let again = state == State::Released && lab.defects.on("double_release");
        let returned = if again {
            give_back(&mut tx, key).await?
        } else {
            Vec::new()
        };
        Released { state, returned }
    };
    lab.points.hit("product.release.before_commit").await;
    tx.commit().await?;
    lab.points.hit("product.release.after_commit").await;
    Ok(released)
}

/// Remembers the release of a key that nobody has reserved under; where the key stands then.
async fn bury(tx: &mut Tx, backend: Backend, key: &str, at: i64) -> Result<State, StoreError> {
    let buried = sqlx::query(
        "INSERT INTO reservations (order_key, state, created_ms, updated_ms) VALUES ($1, $2, $3, $3) \
         ON CONFLICT (order_key) DO NOTHING",
    )
    .bind(key.to_owned())
    .bind(State::Released.name())
    .bind(at)
    .execute(&mut **tx)
    .await?;
    if buried.rows_affected() == 1 {
        return Ok(State::Released);
    }
    let state = state(tx, backend, key).await?;
    Ok(state.ok_or(sqlx::Error::RowNotFound)?)
}

/// Takes back what was sold; one that is still held is released.
pub(super) async fn give_up(
    mut tx: Tx,
    backend: Backend,
    key: &str,
    at: i64,
    lab: &Lab,
) -> Result<Released, StoreError> {
    let back = sqlx::query(
        "UPDATE reservations SET returned_ms = $2, updated_ms = $2 \
         WHERE order_key = $1 AND state = 'committed' AND returned_ms IS NULL",
    )
    .bind(key.to_owned())
    .bind(at)
    .execute(&mut *tx)
    .await?;
    if back.rows_affected() == 0 {
        let known = state(&mut tx, backend, key).await?;
        return match known {
            Some(state @ (State::Returned | State::Refused)) => Ok(Released {
                state,
                returned: Vec::new(),
            }),
            _ => release(tx, backend, key, at, lab).await,
        };
    }
    let returned = give_back(&mut tx, key).await?;
    book_lines(&mut tx, key, RETURN, at).await?;
    lab.points.hit("product.return.before_commit").await;
    tx.commit().await?;
    lab.points.hit("product.return.after_commit").await;
    Ok(Released {
        state: State::Returned,
        returned,
    })
}

/// Keys whose time is over, the longest due first.
pub(super) async fn due(db: &Db, limit: i64) -> Result<Vec<String>, StoreError> {
    let now = clock::now_sql(db.backend);
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT order_key FROM reservations WHERE state = 'held' AND expires_ms IS NOT NULL \
         AND expires_ms <= {now} ORDER BY expires_ms LIMIT $1"
    )))
    .bind(limit)
    .fetch_all(&db.read)
    .await?;
    rows.iter()
        .map(|row| Ok(row.try_get("order_key")?))
        .collect()
}

/// Ends a reservation whose time is over; the products whose units came back.
pub(super) async fn expire(
    mut tx: Tx,
    backend: Backend,
    key: &str,
    at: i64,
    lab: &Lab,
) -> Result<Vec<i64>, StoreError> {
    let returned = expire_one(&mut tx, backend, key, at).await?;
    lab.points.hit("product.sweep.before_commit").await;
    tx.commit().await?;
    lab.points.hit("product.sweep.after_commit").await;
    Ok(returned)
}

async fn expire_one(
    tx: &mut Tx,
    backend: Backend,
    key: &str,
    at: i64,
) -> Result<Vec<i64>, StoreError> {
    let now = clock::now_sql(backend);
    let over = format!("AND expires_ms <= {now}");
    if !leave_held(tx, key, State::Expired, at, &over).await? {
        return Ok(Vec::new());
    }
    let returned = give_back(tx, key).await?;
    book_lines(tx, key, EXPIRE, at).await?;
    Ok(returned)
}

/// The one way out of held; whether this call went it.
async fn leave_held(
    tx: &mut Tx,
    key: &str,
    to: State,
    at: i64,
    and: &str,
) -> Result<bool, StoreError> {
    let left = sqlx::query(AssertSqlSafe(format!(
        "UPDATE reservations SET state = $2, updated_ms = $3 \
         WHERE order_key = $1 AND state = 'held' {and}"
    )))
    .bind(key.to_owned())
    .bind(to.name())
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(left.rows_affected() == 1)
}

/// A seeded defect: one whose units went back at its expiry is sold all the same.
async fn revive(tx: &mut Tx, key: &str) -> Result<bool, StoreError> {
    let revived = sqlx::query(
        "UPDATE reservations SET state = 'committed' WHERE order_key = $1 AND state = 'expired'",
    )
    .bind(key.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(revived.rows_affected() == 1)
}

/// A seeded defect: looks first, by this process's clock, and writes later, whatever has become of
/// the row in between.
pub(super) async fn commit_unguarded(db: &Db, key: &str, at: i64) -> Result<bool, StoreError> {
    let seen = sqlx::query(
        "SELECT 1 FROM reservations WHERE order_key = $1 AND state = 'held' \
         AND (expires_ms IS NULL OR expires_ms > $2)",
    )
    .bind(key.to_owned())
    .bind(at)
    .fetch_optional(&db.read)
    .await?;
    if seen.is_none() {
        return Ok(false);
    }
    // As long as a busy process may take from the one to the other.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    sqlx::query(
        "UPDATE reservations SET state = 'committed', updated_ms = $2 WHERE order_key = $1",
    )
    .bind(key.to_owned())
    .bind(at)
    .execute(&db.write)
    .await?;
    Ok(true)
}

/// Units go back to deleted products too: the ledger speaks of them still.
async fn give_back(tx: &mut Tx, key: &str) -> Result<Vec<i64>, StoreError> {
    let rows = sqlx::query(
        "SELECT product_id, quantity FROM reservation_lines WHERE order_key = $1 ORDER BY product_id",
    )
    .bind(key.to_owned())
    .fetch_all(&mut **tx)
    .await?;
    let mut returned = Vec::with_capacity(rows.len());
    for row in rows {
        let product_id: i64 = row.try_get("product_id")?;
        sqlx::query("UPDATE products SET available = available + $2 WHERE id = $1")
            .bind(product_id)
            .bind(row.try_get::<i64, _>("quantity")?)
            .execute(&mut **tx)
            .await?;
        returned.push(product_id);
    }
    Ok(returned)
}

/// Where a reservation stands by now: one whose time is over is expired even before the sweep
/// comes by.
pub(super) async fn state(
    tx: &mut Tx,
    backend: Backend,
    key: &str,
) -> Result<Option<State>, StoreError> {
    let now = clock::now_sql(backend);
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT CASE WHEN state = 'held' AND expires_ms <= {now} THEN 'expired' \
         WHEN returned_ms IS NOT NULL THEN 'returned' ELSE state END AS state \
         FROM reservations WHERE order_key = $1"
    )))
    .bind(key.to_owned())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let name: String = row.try_get("state")?;
    match State::from_name(&name) {
        Some(state) => Ok(Some(state)),
        None => Err(StoreError::UnknownState {
            order_key: key.to_owned(),
            state: name,
        }),
    }
}
