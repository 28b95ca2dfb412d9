//! Encrypting anew with the first key what was encrypted with another, while the service runs.
//!
//! Batch by batch, each value replaced only if it is still the one that was read: a request that
//! writes meanwhile is never overwritten, and what it writes has the first key already.

use sqlx::{AssertSqlSafe, Row as _};

use super::{
    SqlStore,
    sagas::answer_bound_to,
    sql::{bound_to, contact_bound_to},
};
use crate::error::{OrderError, Result};

/// An encrypted column, and what its values are bound to.
struct Field {
    table: &'static str,
    column: &'static str,
    bound_to: fn(&str) -> String,
}

const FIELDS: [Field; 3] = [
    Field {
        table: "orders",
        column: "user_cipher",
        bound_to,
    },
    Field {
        table: "orders",
        column: "contact_cipher",
        bound_to: contact_bound_to,
    },
    Field {
        table: "idempotency_keys",
        column: "answer_cipher",
        bound_to: answer_bound_to,
    },
];

/// Rows in one transaction: requests wait no longer than for these.
const BATCH: i64 = 200;

impl SqlStore {
    /// Encrypts anew what is due; how many values that were.
    ///
    /// # Errors
    /// A value that no configured key opens, or the database; what was done stays done, and
    /// another run goes on from there.
    pub async fn rotate(&self) -> Result<u64> {
        let mut count = 0;
        for field in &FIELDS {
            let mut after = String::new();
            while let Some(last) = self.rotate_batch(field, &after, &mut count).await? {
                after = last;
            }
        }
        Ok(count)
    }

    /// The next batch in the order of keys; the last key in it, none when there was none.
    async fn rotate_batch(
        &self,
        field: &Field,
        after: &str,
        count: &mut u64,
    ) -> Result<Option<String>> {
        let Field { table, column, .. } = field;
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT order_key, {column} FROM {table} WHERE order_key > $1 \
             AND {column} IS NOT NULL AND {column} NOT LIKE $2 ORDER BY order_key LIMIT $3"
        )))
        .bind(after.to_owned())
        .bind(format!("{}%", self.cipher.current_prefix()))
        .bind(BATCH)
        .fetch_all(&self.db.read)
        .await?;
        let mut tx = self.db.begin().await?;
        let mut last = None;
        for row in rows {
            let (key, old): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let new = self.cipher.reseal(&old, &(field.bound_to)(&key));
            let new = new.map_err(|error| OrderError::Field {
                order_key: key.clone(),
                error,
            })?;
            let replaced = sqlx::query(AssertSqlSafe(format!(
                "UPDATE {table} SET {column} = $3 WHERE order_key = $1 AND {column} = $2"
            )))
            .bind(key.clone())
            .bind(old)
            .bind(new)
            .execute(&mut *tx)
            .await?;
            *count += replaced.rows_affected();
            last = Some(key);
        }
        tx.commit().await?;
        Ok(last)
    }
}
