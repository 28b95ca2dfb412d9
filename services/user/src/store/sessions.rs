use async_trait::async_trait;
use kit::auth::Roles;
use sqlx::{Any, Row as _, Transaction, any::AnyRow};

use super::{
    ActorRow, Credentials, Rotation, SessionStore,
    sql::{SqlStore, account, flag, select_account},
};
use crate::{
    domain::{
        session::{Ended, Grant, PairIds, Presented, Verdict},
        slowdown::FORGOTTEN_MS,
    },
    error::Result,
};

type Tx = Transaction<'static, Any>;

#[async_trait]
impl SessionStore for SqlStore {
    async fn open_sessions(
        &self,
        grants: &[Grant],
        password_hash: Option<&str>,
    ) -> Result<Vec<Grant>> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let mut opened = Vec::with_capacity(grants.len());
            for grant in grants {
                opened.extend(open(&mut tx, grant, password_hash).await?);
            }
            tx.commit().await?;
            Ok(opened)
        };
        self.db.timed("open_sessions", work).await
    }

    async fn rotate(&self, jti: &str, ids: PairIds, now_ms: i64) -> Result<Rotation> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let mut rotation = rotate_once(&mut tx, jti, &ids, now_ms).await?;
            if rotation.is_none() {
                // Another transaction spent it between our look and our update
                // (PostgreSQL only): look again, it is spent now.
                rotation = rotate_once(&mut tx, jti, &ids, now_ms).await?;
            }
            tx.commit().await?;
            Ok(rotation.unwrap_or(Rotation::Refused))
        };
        self.db.timed("rotate", work).await
    }

    async fn end_session(&self, sid: &str, why: Ended, now_ms: i64) -> Result<bool> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let ended = end(&mut tx, sid, why, now_ms).await?;
            tx.commit().await?;
            Ok(ended)
        };
        self.db.timed("end_session", work).await
    }

    async fn actor(&self, user_id: i64, sid: &str) -> Result<Option<ActorRow>> {
        let query = sqlx::query(select_account!(
            ", CASE WHEN s.revoked_ms IS NULL THEN 0 ELSE 1 END AS ended
             FROM users u LEFT JOIN sessions s ON s.user_id = u.id AND s.sid = $2
             WHERE u.id = $1"
        ))
        .bind(user_id)
        .bind(sid);
        let row = self
            .db
            .timed("actor", query.fetch_optional(&self.db.read))
            .await?;
        let actor = |row: &AnyRow| -> Result<ActorRow> {
            Ok(ActorRow {
                account: account(row)?,
                session_ended: flag(row, "ended")?,
            })
        };
        row.as_ref().map(actor).transpose()
    }

    async fn add_pending(
        &self,
        id_hash: &str,
        proof: &Credentials,
        expires_ms: i64,
    ) -> Result<bool> {
        let query = sqlx::query(
            "INSERT INTO pending_logins (id_hash, user_id, expires_ms)
             SELECT $1, id, $4 FROM users WHERE id = $2 AND password_hash = $3 AND is_active = 1",
        )
        .bind(id_hash)
        .bind(proof.account.id)
        .bind(&proof.password_hash)
        .bind(expires_ms);
        let done = self
            .db
            .timed("add_pending", query.execute(&self.db.write))
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn sweep(&self, now_ms: i64) -> Result<u64> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let mut removed = 0;
            for statement in [
                "DELETE FROM pending_logins WHERE expires_ms <= $1",
                "DELETE FROM refresh_tokens WHERE expires_ms <= $1",
                "DELETE FROM sessions WHERE expires_ms <= $1",
            ] {
                let done = sqlx::query(statement)
                    .bind(now_ms)
                    .execute(&mut *tx)
                    .await?;
                removed += done.rows_affected();
            }
            removed += sqlx::query("DELETE FROM attempts WHERE last_ms <= $1")
                .bind(now_ms - FORGOTTEN_MS)
                .execute(&mut *tx)
                .await?
                .rows_affected();
            tx.commit().await?;
            Ok(removed)
        };
        self.db.timed("sweep", work).await
    }
}

/// Starts one family with its first pair, if the account may have it; gives back
/// the pair as it was issued.
pub(super) async fn open(
    tx: &mut Tx,
    grant: &Grant,
    password_hash: Option<&str>,
) -> Result<Option<Grant>> {
    let row = sqlx::query(
        "INSERT INTO sessions (sid, user_id, created_ms, expires_ms)
         SELECT $1, id, CASE WHEN ended_ms > $3 THEN ended_ms ELSE $3 END,
            CASE WHEN ended_ms > $3 THEN ended_ms ELSE $3 END + $4
         FROM users WHERE id = $2 AND is_active = 1 AND ($5 = '' OR password_hash = $5)
         RETURNING created_ms",
    )
    .bind(&grant.sid)
    .bind(grant.user_id)
    .bind(grant.issued_ms)
    .bind(grant.expires_ms() - grant.issued_ms)
    .bind(password_hash.unwrap_or(""))
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let grant = Grant {
        issued_ms: row.try_get("created_ms")?,
        ..grant.clone()
    };
    insert_pair(tx, &grant).await?;
    Ok(Some(grant))
}

async fn insert_pair(tx: &mut Tx, grant: &Grant) -> Result<()> {
    sqlx::query(
        "INSERT INTO refresh_tokens (jti, sid, access_jti, roles, issued_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&grant.refresh_jti)
    .bind(&grant.sid)
    .bind(&grant.access_jti)
    .bind(grant.roles.names().join(" "))
    .bind(grant.issued_ms)
    .bind(grant.expires_ms())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn end(tx: &mut Tx, sid: &str, why: Ended, now_ms: i64) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE sessions SET revoked_ms = $2, revoked_why = $3
         WHERE sid = $1 AND revoked_ms IS NULL",
    )
    .bind(sid)
    .bind(now_ms)
    .bind(why.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// One look at a presented token and what follows; `None` when somebody else
/// spent it in between.
async fn rotate_once(
    tx: &mut Tx,
    jti: &str,
    ids: &PairIds,
    now_ms: i64,
) -> Result<Option<Rotation>> {
    let row = sqlx::query(select_account!(
        ", u.ended_ms, t.sid, t.spent_ms, t.expires_ms, t.successor,
           CASE WHEN s.revoked_ms IS NULL THEN 0 ELSE 1 END AS ended,
           CASE WHEN n.spent_ms IS NULL THEN 0 ELSE 1 END AS successor_spent
         FROM refresh_tokens t
         JOIN sessions s ON s.sid = t.sid
         JOIN users u ON u.id = s.user_id
         LEFT JOIN refresh_tokens n ON n.jti = t.successor
         WHERE t.jti = $1"
    ))
    .bind(jti)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else {
        return Ok(Some(Rotation::Refused));
    };
    let owner = account(&row)?;
    let sid: String = row.try_get("sid")?;
    let presented = Presented {
        spent_ms: row.try_get("spent_ms")?,
        successor_spent: flag(&row, "successor_spent")?,
        expires_ms: row.try_get("expires_ms")?,
        ended: flag(&row, "ended")?,
        active: owner.is_active,
    };
    Ok(match presented.verdict(now_ms) {
        Verdict::Rotate => {
            // Not before the time at which the account's older tokens ended.
            let issued_ms = now_ms.max(row.try_get("ended_ms")?);
            let next = Grant::new(owner.id, sid, owner.roles, ids.clone(), issued_ms);
            spend(tx, jti, &next).await?.then_some(Rotation::Pair(next))
        }
        Verdict::Repeat => {
            let successor: Option<String> = row.try_get("successor")?;
            Some(issued(tx, owner.id, &successor.unwrap_or_default()).await?)
        }
        Verdict::EndFamily => {
            end(tx, &sid, Ended::Reused, now_ms).await?;
            Some(Rotation::FamilyEnded)
        }
        Verdict::Refuse => Some(Rotation::Refused),
        Verdict::Inactive => Some(Rotation::Inactive),
    })
}

/// Spends a token in favour of its successor; false when it was spent already.
async fn spend(tx: &mut Tx, jti: &str, next: &Grant) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE refresh_tokens SET spent_ms = $2, successor = $3
         WHERE jti = $1 AND spent_ms IS NULL",
    )
    .bind(jti)
    .bind(next.issued_ms)
    .bind(&next.refresh_jti)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    insert_pair(tx, next).await?;
    sqlx::query("UPDATE sessions SET expires_ms = $2 WHERE sid = $1")
        .bind(&next.sid)
        .bind(next.expires_ms())
        .execute(&mut **tx)
        .await?;
    Ok(true)
}

/// A pair that was issued before.
async fn issued(tx: &mut Tx, user_id: i64, jti: &str) -> Result<Rotation> {
    let row =
        sqlx::query("SELECT sid, access_jti, roles, issued_ms FROM refresh_tokens WHERE jti = $1")
            .bind(jti)
            .fetch_optional(&mut **tx)
            .await?;
    let Some(row) = row else {
        return Ok(Rotation::Refused);
    };
    let roles: String = row.try_get("roles")?;
    let names: Vec<String> = roles.split_whitespace().map(str::to_owned).collect();
    let ids = PairIds {
        refresh_jti: jti.to_owned(),
        access_jti: row.try_get("access_jti")?,
    };
    let sid = row.try_get("sid")?;
    let issued_ms = row.try_get("issued_ms")?;
    Ok(Rotation::Pair(Grant::new(
        user_id,
        sid,
        Roles::of(&names),
        ids,
        issued_ms,
    )))
}
