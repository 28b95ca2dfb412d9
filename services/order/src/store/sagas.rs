//! Sagas and idempotency keys: each step one transaction, with a condition that names the state it
//! leaves and the holder's fence.

use async_trait::async_trait;
use kit::Ctx;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use super::{OrderStore as _, SqlStore, life::mail};
use crate::{
    domain::NewOrder,
    error::{OrderError, Result},
    saga::{Begin, Begun, Claim, Hold, Journal, Lease, Render, SagaState},
};

type Tx = Transaction<'static, Any>;

pub(super) const ACTIVE: &str = "('open', 'placed', 'committed', 'undoing', 'cancelling')";

/// What a sealed answer is bound to.
pub(super) fn answer_bound_to(order_key: &str) -> String {
    format!("idempotency_keys.answer:{order_key}")
}

impl SqlStore {
    fn key_index(&self, claim: &Claim) -> String {
        self.cipher.blind_index("idempotency_keys.key", &claim.key)
    }

    fn fingerprint(&self, claim: &Claim) -> String {
        self.cipher
            .blind_index("idempotency_keys.body", &claim.body)
    }

    /// What the row of a key says. An answer counts from the moment its order is shown.
    async fn key_known<'e>(
        &self,
        reader: impl sqlx::Executor<'e, Database = Any>,
        user_id: i64,
        claim: &Claim,
    ) -> Result<Option<Begun>> {
        let row = sqlx::query(
            "SELECT k.fingerprint, k.answer_cipher, k.order_key, COALESCE(s.state, 'done') AS state \
             FROM idempotency_keys k LEFT JOIN sagas s ON s.order_key = k.order_key \
             WHERE k.owner_index = $1 AND k.key_index = $2",
        )
        .bind(self.owner_index(user_id))
        .bind(self.key_index(claim))
        .fetch_optional(reader)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.try_get::<String, _>("fingerprint")? != self.fingerprint(claim) {
            return Ok(Some(Begun::OtherBody));
        }
        let state: String = row.try_get("state")?;
        let sealed: Option<String> = row.try_get("answer_cipher")?;
        let (Some(sealed), false) = (sealed, state == "placed") else {
            return Ok(Some(Begun::InFlight));
        };
        let key: String = row.try_get("order_key")?;
        self.open_answer(&key, &sealed)
            .map(Begun::Answered)
            .map(Some)
    }

    fn open_answer(&self, order_key: &str, sealed: &str) -> Result<String> {
        let plain = self.cipher.open(sealed, &answer_bound_to(order_key));
        let plain = plain.map_err(|error| OrderError::Field {
            order_key: order_key.to_owned(),
            error,
        })?;
        Ok(String::from_utf8_lossy(&plain).into_owned())
    }

    fn seal_answer(&self, order_key: &str, answer: &str) -> String {
        self.cipher
            .seal(answer.as_bytes(), &answer_bound_to(order_key))
    }

    async fn open_saga(&self, begin: &Begin) -> Result<Begun> {
        let mut tx = self.db.begin().await?;
        if let Some(claim) = &begin.claim
            && !self.claim_key(&mut tx, begin, claim).await?
        {
            let known = self.key_known(&mut *tx, begin.user_id, claim).await?;
            return Ok(known.unwrap_or(Begun::InFlight));
        }
        sqlx::query(
            "INSERT INTO sagas (order_key, state, owner, fence, lease_until_ms, deadline_ms, \
             next_ms, attempts, created_ms, updated_ms) \
             VALUES ($1, 'open', $2, 1, $3, $4, $5, 0, $5, $5)",
        )
        .bind(begin.order_key.clone())
        .bind(begin.lease.owner.clone())
        .bind(begin.lease.until_ms)
        .bind(begin.deadline_ms)
        .bind(begin.now_ms)
        .execute(&mut *tx)
        .await?;
        self.commit(tx, "order.begin.before_commit", "order.begin.after_commit")
            .await?;
        Ok(Begun::Yes(Hold {
            order_key: begin.order_key.clone(),
            fence: 1,
            state: SagaState::Open,
            attempts: 0,
        }))
    }

    /// Whether the key is this saga's. A finished key's row is never touched.
    async fn claim_key(&self, tx: &mut Tx, begin: &Begin, claim: &Claim) -> Result<bool> {
        let claimed = sqlx::query(
            "INSERT INTO idempotency_keys (owner_index, key_index, fingerprint, order_key, \
             created_ms) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (owner_index, key_index) DO NOTHING",
        )
        .bind(self.owner_index(begin.user_id))
        .bind(self.key_index(claim))
        .bind(self.fingerprint(claim))
        .bind(begin.order_key.clone())
        .bind(begin.now_ms)
        .execute(&mut **tx)
        .await?;
        Ok(claimed.rows_affected() == 1)
    }

    async fn store_order(
        &self,
        hold: &Hold,
        order: &NewOrder,
        claim: Option<&Claim>,
        render: Render,
    ) -> Result<Option<String>> {
        let mut tx = self.db.begin().await?;
        if !step(&mut tx, hold, SagaState::Placed, order.created_ms).await? {
            return Ok(None);
        }
        let stored = self.insert_order(&mut tx, order).await?;
        let answer = render(&stored);
        if claim.is_some() && !self.answer_key(&mut tx, &order.order_key, &answer).await? {
            return Ok(None);
        }
        let late_mail = self.defects.on("outbox_after_commit");
        if !late_mail {
            mail(&mut tx, &order.order_key, order.status, order.created_ms).await?;
        }
        self.commit(tx, "order.place.before_commit", "order.place.after_commit")
            .await?;
        if late_mail {
            self.mail_later(&order.order_key, order.status, order.created_ms)
                .await?;
        }
        Ok(Some(answer))
    }

    /// Gives a claimed key its answer, once.
    async fn answer_key(&self, tx: &mut Tx, order_key: &str, answer: &str) -> Result<bool> {
        let kept = sqlx::query(
            "UPDATE idempotency_keys SET answer_cipher = $2 \
             WHERE order_key = $1 AND answer_cipher IS NULL",
        )
        .bind(order_key.to_owned())
        .bind(self.seal_answer(order_key, answer))
        .execute(&mut **tx)
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    async fn advance_saga(&self, hold: &Hold, to: SagaState, now_ms: i64) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if !step(&mut tx, hold, to, now_ms).await? {
            return Ok(false);
        }
        match (hold.state, to) {
            (SagaState::Open, SagaState::Undoing | SagaState::Undone) => {
                free_key(&mut tx, &hold.order_key).await?;
            }
            (SagaState::Placed, SagaState::Undoing) => withdraw(&mut tx, &hold.order_key).await?,
            (SagaState::Placed, _) => show(&mut tx, &hold.order_key).await?,
            _ => {}
        }
        self.commit(
            tx,
            "order.advance.before_commit",
            "order.advance.after_commit",
        )
        .await?;
        Ok(true)
    }

    async fn take_over_due(&self, lease: &Lease, now_ms: i64, limit: i64) -> Result<Vec<Hold>> {
        let due = format!(
            "state IN {ACTIVE} AND next_ms <= $1 \
             AND (lease_until_ms <= $1 OR (state = 'open' AND deadline_ms <= $1))"
        );
        // A look costs no write.
        let sql = format!("SELECT order_key FROM sagas WHERE {due} LIMIT 1");
        let look = sqlx::query(AssertSqlSafe(sql)).bind(now_ms);
        if look.fetch_optional(&self.db.read).await?.is_none() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "UPDATE sagas SET owner = $2, fence = fence + 1, lease_until_ms = $3, \
             attempts = attempts + 1, updated_ms = $1 WHERE order_key IN (SELECT order_key FROM \
             sagas WHERE {due} ORDER BY next_ms LIMIT $4) AND {due} \
             RETURNING order_key, fence, state, attempts"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(now_ms)
            .bind(lease.owner.clone())
            .bind(lease.until_ms)
            .bind(limit)
            .fetch_all(&self.db.write)
            .await?;
        rows.iter().map(hold_of).collect()
    }
}

fn hold_of(row: &sqlx::any::AnyRow) -> Result<Hold> {
    let state: String = row.try_get("state")?;
    Ok(Hold {
        order_key: row.try_get("order_key")?,
        fence: row.try_get("fence")?,
        state: state_of(&state)?,
        attempts: row.try_get("attempts")?,
    })
}

fn state_of(text: &str) -> Result<SagaState> {
    text.parse()
        .map_err(|what| OrderError::Stored { order_id: 0, what })
}

/// The one way from state to state; whether this call went it.
async fn step(tx: &mut Tx, hold: &Hold, to: SagaState, now_ms: i64) -> Result<bool> {
    let stepped = sqlx::query(
        "UPDATE sagas SET state = $4, updated_ms = $5 \
         WHERE order_key = $1 AND fence = $2 AND state = $3",
    )
    .bind(hold.order_key.clone())
    .bind(hold.fence)
    .bind(hold.state.as_str())
    .bind(to.as_str())
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(stepped.rows_affected() == 1)
}

async fn free_key(tx: &mut Tx, order_key: &str) -> Result<()> {
    sqlx::query("DELETE FROM idempotency_keys WHERE order_key = $1")
        .bind(order_key.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// An order that nobody has seen goes as if it had never been.
async fn withdraw(tx: &mut Tx, order_key: &str) -> Result<()> {
    free_key(tx, order_key).await?;
    for sql in [
        "DELETE FROM outbox WHERE order_key = $1",
        "DELETE FROM order_items WHERE order_id IN (SELECT id FROM orders WHERE order_key = $1)",
        "DELETE FROM orders WHERE order_key = $1 AND reservation_state = 'held'",
    ] {
        sqlx::query(sql)
            .bind(order_key.to_owned())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn show(tx: &mut Tx, order_key: &str) -> Result<()> {
    sqlx::query(
        "UPDATE orders SET reservation_state = 'committed' \
         WHERE order_key = $1 AND reservation_state = 'held'",
    )
    .bind(order_key.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[async_trait]
impl Journal for SqlStore {
    async fn look(&self, _: &Ctx, user_id: i64, claim: &Claim) -> Result<Option<Begun>> {
        let known = self.key_known(&self.db.read, user_id, claim);
        self.db.timed("look_up_key", known).await
    }

    async fn begin(&self, _: &Ctx, begin: &Begin) -> Result<Begun> {
        self.db.timed("begin_saga", self.open_saga(begin)).await
    }

    async fn place(
        &self,
        _: &Ctx,
        hold: &mut Hold,
        order: &NewOrder,
        claim: Option<&Claim>,
        render: Render,
    ) -> Result<Option<String>> {
        let work = self.store_order(hold, order, claim, render);
        let answer = self.db.timed("insert_order", work).await?;
        if answer.is_some() {
            hold.state = SagaState::Placed;
        }
        Ok(answer)
    }

    async fn remember_late(
        &self,
        _: &Ctx,
        hold: &Hold,
        user_id: i64,
        claim: &Claim,
        answer: &str,
    ) -> Result<()> {
        let begin = Begin {
            order_key: hold.order_key.clone(),
            user_id,
            claim: Some(claim.clone()),
            lease: Lease {
                owner: String::new(),
                until_ms: 0,
            },
            deadline_ms: 0,
            now_ms: kit::time::now_ms(),
        };
        let mut tx = self.db.begin().await?;
        if self.claim_key(&mut tx, &begin, claim).await? {
            self.answer_key(&mut tx, &hold.order_key, answer).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn advance(&self, _: &Ctx, hold: &mut Hold, to: SagaState, now_ms: i64) -> Result<bool> {
        let work = self.advance_saga(hold, to, now_ms);
        let ours = self.db.timed("advance_saga", work).await?;
        if ours {
            hold.state = to;
        }
        Ok(ours)
    }

    async fn state(&self, _: &Ctx, order_key: &str) -> Result<Option<SagaState>> {
        // On the writer's connection: what is being committed there is waited for.
        let query = sqlx::query_scalar("SELECT state FROM sagas WHERE order_key = $1")
            .bind(order_key.to_owned());
        let found: Option<String> = self
            .db
            .timed("find_saga", query.fetch_optional(&self.db.write))
            .await?;
        found.as_deref().map(state_of).transpose()
    }

    async fn answer(&self, _: &Ctx, order_key: &str, render: Render) -> Result<Option<String>> {
        Ok(self.find_by_key(order_key).await?.as_ref().map(render))
    }

    async fn take_over(&self, lease: &Lease, now_ms: i64, limit: i64) -> Result<Vec<Hold>> {
        let work = self.take_over_due(lease, now_ms, limit);
        self.db.timed("take_over_sagas", work).await
    }

    async fn defer(&self, hold: &Hold, next_ms: i64) -> Result<()> {
        let query = sqlx::query(
            "UPDATE sagas SET lease_until_ms = 0, next_ms = $3 WHERE order_key = $1 AND fence = $2",
        )
        .bind(hold.order_key.clone())
        .bind(hold.fence)
        .bind(next_ms);
        let work = query.execute(&self.db.write);
        self.db.timed("defer_saga", work).await?;
        Ok(())
    }

    async fn open(&self) -> Result<Vec<(SagaState, i64)>> {
        let sql =
            format!("SELECT state, COUNT(*) FROM sagas WHERE state IN {ACTIVE} GROUP BY state");
        let query = sqlx::query_as(AssertSqlSafe(sql));
        let work = query.fetch_all(&self.db.read);
        let rows: Vec<(String, i64)> = self.db.timed("count_sagas", work).await?;
        let rows = rows.iter().map(|(state, n)| Ok((state_of(state)?, *n)));
        rows.collect()
    }

    async fn forget(&self, sagas_before: i64, keys_before: i64, limit: i64) -> Result<u64> {
        let work = async {
            let mut rows = 0;
            for (sql, before) in [
                (
                    "DELETE FROM sagas WHERE order_key IN (SELECT order_key FROM sagas WHERE \
                     state IN ('done', 'undone', 'cancelled') AND updated_ms < $1 LIMIT $2)",
                    sagas_before,
                ),
                (
                    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE \
                     delivered_ms < $1 LIMIT $2)",
                    sagas_before,
                ),
                // A key without an answer is in flight: its saga frees it.
                (
                    "DELETE FROM idempotency_keys WHERE answer_cipher IS NOT NULL AND order_key IN \
                     (SELECT order_key FROM idempotency_keys WHERE created_ms < $1 \
                      AND answer_cipher IS NOT NULL LIMIT $2)",
                    keys_before,
                ),
            ] {
                let query = sqlx::query(sql).bind(before).bind(limit);
                rows += query.execute(&self.db.write).await?.rows_affected();
            }
            Ok(rows)
        };
        self.db.timed("forget", work).await
    }
}
