//! All SQL of this service, the same for SQLite and PostgreSQL.

use std::{collections::HashMap, fmt::Write as _};

use async_trait::async_trait;
use kit::{
    Cents,
    crypto::FieldCipher,
    db::{Db, Migration},
    lab::{Defects, Failpoints},
};
use sqlx::{Any, AssertSqlSafe, Transaction};

use super::{Change, Changed, Filter, OrderStore};
use crate::{
    domain::{Item, NewOrder, Order, Reservation},
    error::{OrderError, Result},
};

/// The tables' history.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "init",
        sql: include_str!("../../migrations/0001_init.sql"),
        only: None,
    },
    Migration {
        version: 2,
        name: "saga",
        sql: include_str!("../../migrations/0002_saga.sql"),
        only: None,
    },
];

/// What the blind index of owners is derived for.
const OWNER_LABEL: &str = "orders.user_id";
const CONTACT_LABEL: &str = "orders.contact";
const ORDER_COLUMNS: &str =
    "id, order_key, user_cipher, status, total_cents, created_ms, updated_ms";

/// Orders in a database.
#[derive(Clone)]
pub struct SqlStore {
    pub(super) db: Db,
    pub(super) cipher: FieldCipher,
    pub(super) points: Failpoints,
    pub(super) defects: Defects,
}

#[derive(sqlx::FromRow)]
pub(super) struct OrderRow {
    id: i64,
    pub(super) order_key: String,
    user_cipher: String,
    status: String,
    total_cents: i64,
    created_ms: i64,
    updated_ms: i64,
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    id: i64,
    order_id: i64,
    product_id: i64,
    product_name: String,
    quantity: i64,
    price_cents: i64,
}

impl SqlStore {
    /// Over a migrated database, with the keys of its encrypted fields.
    pub fn new(db: Db, cipher: FieldCipher) -> Self {
        Self {
            db,
            cipher,
            points: Failpoints::off(),
            defects: Defects::off(),
        }
    }

    /// The same, where the lab can get at it.
    #[must_use]
    pub fn in_lab(self, points: Failpoints, defects: Defects) -> Self {
        Self {
            points,
            defects,
            ..self
        }
    }

    /// Commits between two failpoints.
    pub(super) async fn commit(
        &self,
        tx: Transaction<'static, Any>,
        before: &'static str,
        after: &'static str,
    ) -> Result<()> {
        self.points.hit(before).await;
        tx.commit().await?;
        self.points.hit(after).await;
        Ok(())
    }

    pub(super) fn owner_index(&self, user_id: i64) -> String {
        self.cipher.blind_index(OWNER_LABEL, &user_id.to_string())
    }

    /// The owner, readable only with the key and only in that order's row.
    pub(super) fn seal_owner(&self, user_id: i64, order_key: &str) -> String {
        self.cipher
            .seal(user_id.to_string().as_bytes(), &bound_to(order_key))
    }

    pub(super) fn open_owner(&self, row: &OrderRow) -> Result<i64> {
        let plain = self
            .cipher
            .open(&row.user_cipher, &bound_to(&row.order_key))
            .map_err(|error| OrderError::Field {
                order_key: row.order_key.clone(),
                error,
            })?;
        let text = String::from_utf8(plain).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| OrderError::Stored {
                order_id: row.id,
                what: "its owner is no number".to_owned(),
            })
    }

    fn order(&self, row: &OrderRow, items: Vec<Item>) -> Result<Order> {
        let status = row.status.parse().map_err(|_| OrderError::Stored {
            order_id: row.id,
            what: format!("status {:?}", row.status),
        })?;
        Ok(Order {
            id: row.id,
            order_key: row.order_key.clone(),
            user_id: self.open_owner(row)?,
            status,
            total: Cents(row.total_cents),
            items,
            created_ms: row.created_ms,
            updated_ms: row.updated_ms,
        })
    }

    /// Stores an order and its lines in a transaction.
    pub(super) async fn insert_order(
        &self,
        tx: &mut Transaction<'static, Any>,
        order: &NewOrder,
    ) -> Result<Order> {
        let key = &order.order_key;
        let contact = order.contact.as_ref();
        let contact = contact.map(|to| self.cipher.seal(to.as_bytes(), &contact_bound_to(key)));
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO orders (order_key, user_cipher, owner_index, status, reservation_state, \
             total_cents, created_ms, updated_ms, contact_cipher) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8) RETURNING id",
        )
        .bind(key)
        .bind(self.seal_owner(order.user_id, key))
        .bind(self.owner_index(order.user_id))
        .bind(order.status.as_str())
        .bind(order.reservation.as_str())
        .bind(order.basket.total.0)
        .bind(order.created_ms)
        .bind(contact)
        .fetch_one(&mut **tx)
        .await?;
        let items = insert_items(tx, id, &order.basket.items).await?;
        Ok(Order {
            id,
            order_key: key.clone(),
            user_id: order.user_id,
            status: order.status,
            total: order.basket.total,
            items,
            created_ms: order.created_ms,
            updated_ms: order.created_ms,
        })
    }

    /// An order without its lines.
    pub(super) fn bare(&self, row: Option<OrderRow>) -> Result<Option<Order>> {
        row.map(|row| self.order(&row, Vec::new())).transpose()
    }

    /// Adds lines and owners to rows, with one statement for all lines.
    async fn complete(&self, rows: Vec<OrderRow>) -> Result<Vec<Order>> {
        let mut items = self.items(&rows).await?;
        rows.iter()
            .map(|row| self.order(row, items.remove(&row.id).unwrap_or_default()))
            .collect()
    }

    async fn items(&self, rows: &[OrderRow]) -> Result<HashMap<i64, Vec<Item>>> {
        let mut by_order: HashMap<i64, Vec<Item>> = HashMap::new();
        if rows.is_empty() {
            return Ok(by_order);
        }
        let sql = items_sql(rows.len());
        let query = rows.iter().fold(
            sqlx::query_as::<Any, ItemRow>(AssertSqlSafe(sql)),
            |query, row| query.bind(row.id),
        );
        for row in query.fetch_all(&self.db.read).await? {
            by_order.entry(row.order_id).or_default().push(Item {
                id: row.id,
                product_id: row.product_id,
                product_name: row.product_name,
                quantity: row.quantity,
                price: Cents(row.price_cents),
            });
        }
        Ok(by_order)
    }

    pub(super) async fn one(&self, row: Option<OrderRow>) -> Result<Option<Order>> {
        let Some(row) = row else { return Ok(None) };
        Ok(self.complete(vec![row]).await?.pop())
    }
}

/// What a sealed owner is bound to: its column and its row.
pub(super) fn bound_to(order_key: &str) -> String {
    format!("{OWNER_LABEL}:{order_key}")
}

pub(super) fn contact_bound_to(order_key: &str) -> String {
    format!("{CONTACT_LABEL}:{order_key}")
}

fn items_sql(orders: usize) -> String {
    let mut sql = String::from(
        "SELECT id, order_id, product_id, product_name, quantity, price_cents \
         FROM order_items WHERE order_id IN (",
    );
    for n in 1..=orders {
        let comma = if n == 1 { "" } else { ", " };
        let _ = write!(sql, "{comma}${n}");
    }
    sql.push_str(") ORDER BY order_id, id");
    sql
}

/// All lines in one statement; they come back with their ids.
async fn insert_items(
    tx: &mut Transaction<'static, Any>,
    order_id: i64,
    items: &[Item],
) -> Result<Vec<Item>> {
    let mut query = sqlx::query_scalar(AssertSqlSafe(insert_items_sql(items.len())));
    for item in items {
        query = query
            .bind(order_id)
            .bind(item.product_id)
            .bind(&item.product_name)
            .bind(item.quantity)
            .bind(item.price.0);
    }
    let mut ids: Vec<i64> = query.fetch_all(&mut **tx).await?;
    // Neither database promises an order for RETURNING; ids rise with the lines.
    ids.sort_unstable();
    Ok(items
        .iter()
        .zip(ids)
        .map(|(item, id)| Item { id, ..item.clone() })
        .collect())
}

fn insert_items_sql(lines: usize) -> String {
    let mut sql = String::from(
        "INSERT INTO order_items (order_id, product_id, product_name, quantity, price_cents) VALUES ",
    );
    for line in 0..lines {
        let comma = if line == 0 { "" } else { ", " };
        let n = line * 5 + 1;
        let _ = write!(
            sql,
            "{comma}(${n}, ${}, ${}, ${}, ${})",
            n + 1,
            n + 2,
            n + 3,
            n + 4
        );
    }
    sql.push_str(" RETURNING id");
    sql
}

/// The condition of a filter, whose values have the numbers from `first` on. An order whose stock is
/// not final yet is shown to nobody.
fn condition(filter: Filter, first: usize) -> String {
    let second = first + 1;
    let shown = " WHERE reservation_state <> 'held'";
    match (filter.owner, filter.status) {
        (None, None) => shown.to_owned(),
        (Some(_), None) => format!("{shown} AND owner_index = ${first}"),
        (None, Some(_)) => format!("{shown} AND status = ${first}"),
        (Some(_), Some(_)) => {
            format!("{shown} AND owner_index = ${first} AND status = ${second}")
        }
    }
}

fn list_sql(filter: Filter) -> String {
    let condition = condition(filter, 3);
    format!("SELECT {ORDER_COLUMNS} FROM orders{condition} ORDER BY id DESC LIMIT $1 OFFSET $2")
}

fn count_sql(filter: Filter) -> String {
    format!("SELECT COUNT(*) FROM orders{}", condition(filter, 1))
}

#[async_trait]
impl OrderStore for SqlStore {
    async fn insert(&self, order: &NewOrder) -> Result<Order> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let stored = self.insert_order(&mut tx, order).await?;
            tx.commit().await?;
            Ok(stored)
        };
        self.db.timed("insert_order", work).await
    }

    async fn mark_committed(&self, order_key: &str) -> Result<()> {
        let query = sqlx::query(
            "UPDATE orders SET reservation_state = $1 \
             WHERE order_key = $2 AND reservation_state = $3",
        )
        .bind(Reservation::Committed.as_str())
        .bind(order_key)
        .bind(Reservation::Held.as_str());
        self.db
            .timed("mark_committed", query.execute(&self.db.write))
            .await?;
        Ok(())
    }

    async fn unfinished(&self, limit: i64) -> Result<Vec<String>> {
        let query = sqlx::query_scalar(
            "SELECT order_key FROM orders WHERE reservation_state = 'held' ORDER BY id LIMIT $1",
        )
        .bind(limit);
        Ok(self
            .db
            .timed("unfinished_orders", query.fetch_all(&self.db.read))
            .await?)
    }

    async fn find(&self, id: i64) -> Result<Option<Order>> {
        let sql = format!(
            "SELECT {ORDER_COLUMNS} FROM orders WHERE id = $1 AND reservation_state <> 'held'"
        );
        let query = sqlx::query_as(AssertSqlSafe(sql)).bind(id);
        let found = async { self.one(query.fetch_optional(&self.db.read).await?).await };
        self.db.timed("find_order", found).await
    }

    async fn find_by_key(&self, order_key: &str) -> Result<Option<Order>> {
        let sql = format!("SELECT {ORDER_COLUMNS} FROM orders WHERE order_key = $1");
        let query = sqlx::query_as(AssertSqlSafe(sql)).bind(order_key);
        let found = async { self.one(query.fetch_optional(&self.db.read).await?).await };
        self.db.timed("find_order_by_key", found).await
    }

    async fn count(&self, filter: Filter) -> Result<i64> {
        let mut query = sqlx::query_scalar(AssertSqlSafe(count_sql(filter)));
        if let Some(owner) = filter.owner {
            query = query.bind(self.owner_index(owner));
        }
        if let Some(status) = filter.status {
            query = query.bind(status.as_str());
        }
        Ok(self
            .db
            .timed("count_orders", query.fetch_one(&self.db.read))
            .await?)
    }

    async fn list(&self, filter: Filter, offset: i64, limit: i64) -> Result<Vec<Order>> {
        let mut query = sqlx::query_as(AssertSqlSafe(list_sql(filter)))
            .bind(limit)
            .bind(offset);
        if let Some(owner) = filter.owner {
            query = query.bind(self.owner_index(owner));
        }
        if let Some(status) = filter.status {
            query = query.bind(status.as_str());
        }
        let page = async { self.complete(query.fetch_all(&self.db.read).await?).await };
        self.db.timed("list_orders", page).await
    }

    async fn change_status(&self, change: &Change) -> Result<Changed> {
        let changing = self.change(change);
        self.db.timed("change_status", changing).await
    }
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;
