//! Steps of an order's life: the row, its mail and, for a cancelled one, the saga that puts its
//! stock back, in one transaction.

use sqlx::{Any, Transaction};

use super::{Change, Changed, SqlStore, sql::OrderRow};
use crate::{
    domain::{Order, Status},
    error::{OrderError, Result},
    saga::{Hold, SagaState},
};

type Tx = Transaction<'static, Any>;

impl SqlStore {
    pub(super) async fn change(&self, change: &Change) -> Result<Changed> {
        let mut tx = self.db.begin().await?;
        let row: Option<OrderRow> = sqlx::query_as(
            "SELECT id, order_key, user_cipher, status, total_cents, created_ms, updated_ms \
             FROM orders WHERE id = $1 AND reservation_state <> 'held'",
        )
        .bind(change.order_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(order) = self.bare(row)? else {
            return Ok(Changed::NoOrder);
        };
        if change.owner.is_some_and(|owner| owner != order.user_id) {
            return Ok(Changed::NoOrder);
        }
        let allowed = order.status.may_become(change.to);
        // A seeded defect: any step will do.
        if !allowed && !self.defects.on("status_edge_skipped") {
            return Ok(Changed::NotAllowed(order.status));
        }
        if !step(&mut tx, &order, change).await? {
            return Ok(Changed::NotAllowed(order.status));
        }
        let late_mail = self.defects.on("outbox_after_commit");
        if !late_mail {
            mail(&mut tx, &order.order_key, change.to, change.now_ms).await?;
        }
        let hold = match change.to {
            Status::Cancelled => Some(cancel(&mut tx, &order, change).await?),
            _ => None,
        };
        self.commit(
            tx,
            "order.status.before_commit",
            "order.status.after_commit",
        )
        .await?;
        if late_mail {
            self.mail_later(&order.order_key, change.to, change.now_ms)
                .await?;
        }
        let changed = self.reread(change.order_id).await?;
        Ok(Changed::Yes(changed, hold))
    }

    /// A seeded defect: the mail is written when the transition stands already.
    pub(super) async fn mail_later(&self, key: &str, status: Status, now_ms: i64) -> Result<()> {
        let mut tx = self.db.begin().await?;
        mail(&mut tx, key, status, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// With its lines.
    async fn reread(&self, id: i64) -> Result<Order> {
        use super::OrderStore as _;
        self.find(id).await?.ok_or(OrderError::NotFound)
    }
}

/// Whether this call took the step.
async fn step(tx: &mut Tx, order: &Order, change: &Change) -> Result<bool> {
    let stock = match change.to {
        Status::Cancelled => "'none'",
        _ => "reservation_state",
    };
    let stepped = sqlx::query(sqlx::AssertSqlSafe(format!(
        "UPDATE orders SET status = $3, updated_ms = $4, reservation_state = {stock} \
         WHERE id = $1 AND status = $2"
    )))
    .bind(order.id)
    .bind(order.status.as_str())
    .bind(change.to.as_str())
    .bind(change.now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(stepped.rows_affected() == 1)
}

/// Writes the mail that tells of a transition.
pub(super) async fn mail(tx: &mut Tx, key: &str, status: Status, now_ms: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO outbox (event_id, order_key, status, fence, lease_until_ms, next_ms, \
         attempts, created_ms) VALUES ($1, $2, $3, 0, 0, $4, 0, $4)",
    )
    // An order is in each status once, so this names the transition.
    .bind(format!("{key}.{}", status.as_str()))
    .bind(key.to_owned())
    .bind(status.as_str())
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Opens (again) the order's saga, to put back what belongs to it.
async fn cancel(tx: &mut Tx, order: &Order, change: &Change) -> Result<Hold> {
    let fence: Option<i64> = sqlx::query_scalar(
        "INSERT INTO sagas (order_key, state, owner, fence, lease_until_ms, deadline_ms, next_ms, \
         attempts, created_ms, updated_ms) VALUES ($1, 'cancelling', $2, 1, $3, $4, $5, 0, $5, $5) \
         ON CONFLICT (order_key) DO UPDATE SET state = 'cancelling', owner = $2, \
         fence = sagas.fence + 1, lease_until_ms = $3, deadline_ms = $4, next_ms = $5, \
         attempts = 0, updated_ms = $5 WHERE sagas.state IN ('committed', 'done') RETURNING fence",
    )
    .bind(order.order_key.clone())
    .bind(change.lease.owner.clone())
    .bind(change.lease.until_ms)
    .bind(change.deadline_ms)
    .bind(change.now_ms)
    .fetch_optional(&mut **tx)
    .await?;
    let fence = fence.ok_or_else(|| OrderError::Stored {
        order_id: order.id,
        what: "it is shown, and its saga is not over".to_owned(),
    })?;
    Ok(Hold {
        order_key: order.order_key.clone(),
        fence,
        state: SagaState::Cancelling,
        attempts: 0,
    })
}
