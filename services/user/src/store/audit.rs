use async_trait::async_trait;
use sqlx::{Row as _, any::AnyRow};

use super::{AuditFilter, AuditStore, sql::SqlStore};
use crate::{audit::Event, error::Result};

/// Security events that are kept, at most.
const EVENTS: i64 = 100_000;

#[async_trait]
impl AuditStore for SqlStore {
    async fn add_events(&self, events: &[Event]) -> Result<()> {
        let work = async {
            let mut tx = self.db.begin().await?;
            for event in events {
                sqlx::query(
                    "INSERT INTO audit_events
                        (at_ms, event, user_id, actor_id, address, request_id, detail)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(event.at_ms)
                .bind(&event.event)
                .bind(event.user_id)
                .bind(event.actor_id)
                .bind(&event.address)
                .bind(&event.request_id)
                .bind(&event.detail)
                .execute(&mut *tx)
                .await?;
            }
            Ok(tx.commit().await?)
        };
        self.db.timed("add_events", work).await
    }

    async fn count_events(&self, filter: &AuditFilter) -> Result<i64> {
        let query = sqlx::query(
            "SELECT COUNT(*) FROM audit_events
             WHERE ($1 = 0 OR user_id = $1) AND ($2 = '' OR event = $2)",
        )
        .bind(filter.user_id)
        .bind(&filter.event);
        let row = self
            .db
            .timed("count_events", query.fetch_one(&self.db.read))
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn list_events(
        &self,
        filter: &AuditFilter,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Event)>> {
        let query = sqlx::query(
            "SELECT id, at_ms, event, user_id, actor_id, address, request_id, detail
             FROM audit_events
             WHERE ($1 = 0 OR user_id = $1) AND ($2 = '' OR event = $2)
             ORDER BY id DESC LIMIT $3 OFFSET $4",
        )
        .bind(filter.user_id)
        .bind(&filter.event)
        .bind(limit)
        .bind(offset);
        let rows = self
            .db
            .timed("list_events", query.fetch_all(&self.db.read))
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("id")?, event(row)?)))
            .collect()
    }

    async fn sweep_events(&self, before_ms: i64) -> Result<u64> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let old = sqlx::query("DELETE FROM audit_events WHERE at_ms < $1")
                .bind(before_ms)
                .execute(&mut *tx)
                .await?;
            let many = sqlx::query(
                "DELETE FROM audit_events WHERE id <= (SELECT MAX(id) FROM audit_events) - $1",
            )
            .bind(EVENTS)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(old.rows_affected() + many.rows_affected())
        };
        self.db.timed("sweep_events", work).await
    }
}

fn event(row: &AnyRow) -> Result<Event, sqlx::Error> {
    Ok(Event {
        at_ms: row.try_get("at_ms")?,
        event: row.try_get("event")?,
        user_id: row.try_get("user_id")?,
        actor_id: row.try_get("actor_id")?,
        address: row.try_get("address")?,
        request_id: row.try_get("request_id")?,
        detail: row.try_get("detail")?,
    })
}
