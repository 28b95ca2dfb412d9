//! The outbox's rows. A delivery is noted by the holder that made it, and by nobody who has lost
//! the row since: the fence says who.

use async_trait::async_trait;
use kit::Cents;
use sqlx::Row as _;

use super::{Event, OutboxStore, SqlStore, sql::contact_bound_to};
use crate::error::{OrderError, Result};

/// Due: not delivered, nobody's, and its order is shown.
const DUE: &str = "delivered_ms IS NULL AND next_ms <= $1 AND lease_until_ms <= $1 \
     AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.order_key = outbox.order_key \
                     AND o.reservation_state = 'held')";

impl SqlStore {
    async fn due(&self, now_ms: i64) -> Result<bool> {
        let sql = format!("SELECT id FROM outbox WHERE {DUE} LIMIT 1");
        let found = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(now_ms)
            .fetch_optional(&self.db.read)
            .await?;
        Ok(found.is_some())
    }

    async fn take_mails(&self, now_ms: i64, lease_ms: i64, limit: i64) -> Result<Vec<(i64, i64)>> {
        let sql = format!(
            "UPDATE outbox SET fence = fence + 1, attempts = attempts + 1, lease_until_ms = $2 \
             WHERE id IN (SELECT id FROM outbox WHERE {DUE} ORDER BY next_ms, id LIMIT $3) \
             AND delivered_ms IS NULL AND lease_until_ms <= $1 RETURNING id, fence"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(now_ms)
            .bind(now_ms.saturating_add(lease_ms))
            .bind(limit)
            .fetch_all(&self.db.write)
            .await?;
        let taken = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        taken.collect()
    }

    async fn mail_of(&self, id: i64, fence: i64) -> Result<Option<Event>> {
        let row = sqlx::query(
            "SELECT b.event_id, b.attempts, b.status, b.created_ms, o.order_key, o.id, \
             o.total_cents, o.contact_cipher FROM outbox b JOIN orders o \
             ON o.order_key = b.order_key WHERE b.id = $1",
        )
        .bind(id)
        .fetch_optional(&self.db.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let key: String = row.try_get("order_key")?;
        let order_id = row.try_get("id")?;
        let status: String = row.try_get("status")?;
        let sealed: Option<String> = row.try_get("contact_cipher")?;
        Ok(Some(Event {
            id,
            event_id: row.try_get("event_id")?,
            fence,
            attempts: row.try_get("attempts")?,
            order_id,
            status: status.parse().map_err(|_| OrderError::Stored {
                order_id,
                what: format!("a mail about status {status:?}"),
            })?,
            total: Cents(row.try_get("total_cents")?),
            contact: sealed
                .map(|sealed| self.contact(&key, &sealed))
                .transpose()?,
            at_ms: row.try_get("created_ms")?,
        }))
    }

    fn contact(&self, key: &str, sealed: &str) -> Result<String> {
        let plain = self.cipher.open(sealed, &contact_bound_to(key));
        let plain = plain.map_err(|error| OrderError::Field {
            order_key: key.to_owned(),
            error,
        })?;
        Ok(String::from_utf8_lossy(&plain).into_owned())
    }
}

#[async_trait]
impl OutboxStore for SqlStore {
    async fn claim(&self, now_ms: i64, lease_ms: i64, limit: i64) -> Result<Vec<Event>> {
        let work = async {
            // A look costs no write.
            if !self.due(now_ms).await? {
                return Ok(Vec::new());
            }
            let mut events = Vec::new();
            for (id, fence) in self.take_mails(now_ms, lease_ms, limit).await? {
                match self.mail_of(id, fence).await {
                    Ok(event) => events.extend(event),
                    // It waits for its lease's end, and must not hold up the others.
                    Err(error @ (OrderError::Field { .. } | OrderError::Stored { .. })) => {
                        tracing::error!(mail = id, %error, "a mail can't be read");
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(events)
        };
        self.db.timed("claim_mails", work).await
    }

    async fn delivered(&self, event: &Event, now_ms: i64) -> Result<bool> {
        let query = sqlx::query(
            "UPDATE outbox SET delivered_ms = $3 \
             WHERE id = $1 AND fence = $2 AND delivered_ms IS NULL",
        )
        .bind(event.id)
        .bind(event.fence)
        .bind(now_ms);
        let noted = query.execute(&self.db.write);
        let noted = self.db.timed("mail_delivered", noted).await?;
        Ok(noted.rows_affected() == 1)
    }

    async fn postpone(&self, event: &Event, next_ms: i64) -> Result<()> {
        let query = sqlx::query(
            "UPDATE outbox SET lease_until_ms = 0, next_ms = $3 \
             WHERE id = $1 AND fence = $2 AND delivered_ms IS NULL",
        )
        .bind(event.id)
        .bind(event.fence)
        .bind(next_ms);
        let noted = query.execute(&self.db.write);
        self.db.timed("mail_postponed", noted).await?;
        Ok(())
    }
}
