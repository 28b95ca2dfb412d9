use async_trait::async_trait;
use kit::auth::{
    Roles,
    feed::{Cursor, EndedFamily, FEED_PAGE, NotBefore},
};
use sqlx::{Any, Row as _, Transaction, any::AnyRow};

use super::{Attempted, Bucket, Revocations, SecurityStore, sql::SqlStore};
use crate::{
    domain::slowdown::Record,
    error::{Error, Result},
};

type Tx = Transaction<'static, Any>;

#[async_trait]
impl SecurityStore for SqlStore {
    async fn revocations(&self, from: &Cursor) -> Result<Revocations> {
        let families = sqlx::query(
            "SELECT sid, revoked_ms FROM sessions
             WHERE revoked_ms >= $1 AND (revoked_ms > $1 OR sid > $2)
             ORDER BY revoked_ms, sid LIMIT $3",
        )
        .bind(from.family_ms)
        .bind(&from.sid)
        .bind(FEED_PAGE)
        .fetch_all(&self.db.read);
        let users = sqlx::query(
            "SELECT id, not_before_ms, others_before_ms, kept_sid FROM users
             WHERE ended_ms > 0 AND ended_ms >= $1 AND (ended_ms > $1 OR id > $2)
             ORDER BY ended_ms, id LIMIT $3",
        )
        .bind(from.user_ms)
        .bind(from.user_id)
        .bind(FEED_PAGE)
        .fetch_all(&self.db.read);
        let work = async { Ok::<_, sqlx::Error>((families.await?, users.await?)) };
        let (families, users) = self.db.timed("revocations", work).await?;
        Ok(Revocations {
            families: families.iter().map(family).collect::<Result<_, _>>()?,
            users: users.iter().map(not_before).collect::<Result<_, _>>()?,
        })
    }

    async fn write_roles(&self, id: i64, roles: Roles, now_ms: i64) -> Result<()> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let done = sqlx::query("UPDATE users SET is_staff = $2, is_admin = $3 WHERE id = $1")
                .bind(id)
                .bind(i64::from(roles.staff || roles.admin))
                .bind(i64::from(roles.admin))
                .execute(&mut *tx)
                .await?;
            if done.rows_affected() == 0 {
                return Err(Error::NoAccount);
            }
            end_tokens(&mut tx, id, None, now_ms).await?;
            tx.commit().await?;
            Ok(())
        };
        self.db.timed("write_roles", work).await
    }

    async fn count_attempt(&self, buckets: &[Bucket], now_ms: i64) -> Result<Attempted> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let mut counted = Vec::with_capacity(buckets.len());
            let mut wait_until = None;
            for bucket in buckets {
                match bucket
                    .rule
                    .count(record(&mut tx, &bucket.key).await?, now_ms)
                {
                    Ok(record) => counted.push(record),
                    Err(until_ms) => wait_until = wait_until.max(Some(until_ms)),
                }
            }
            if let Some(until_ms) = wait_until {
                return Ok(Attempted::Wait { until_ms });
            }
            let waits = counted.iter().any(|record| record.until_ms > now_ms);
            for (bucket, record) in buckets.iter().zip(counted) {
                write_record(&mut tx, &bucket.key, record).await?;
            }
            tx.commit().await?;
            Ok(Attempted::Counted { waits })
        };
        self.db.timed("count_attempt", work).await
    }

    async fn forgive_attempt(&self, buckets: &[Bucket]) -> Result<()> {
        let work = async {
            let mut tx = self.db.begin().await?;
            for bucket in buckets {
                let record = match bucket.cleared {
                    true => Record::default(),
                    false => bucket.rule.forgive(record(&mut tx, &bucket.key).await?),
                };
                if record.failures == 0 {
                    sqlx::query("DELETE FROM attempts WHERE bucket = $1")
                        .bind(&bucket.key)
                        .execute(&mut *tx)
                        .await?;
                } else {
                    write_record(&mut tx, &bucket.key, record).await?;
                }
            }
            Ok(tx.commit().await?)
        };
        self.db.timed("forgive_attempt", work).await
    }

    async fn sealed_secrets(&self, after: i64, limit: i64) -> Result<Vec<(i64, i64, String)>> {
        let query = sqlx::query(
            "SELECT id, user_id, secret FROM totp_devices WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit);
        let rows = self
            .db
            .timed("sealed_secrets", query.fetch_all(&self.db.read))
            .await?;
        let secret = |row: &AnyRow| {
            Ok((
                row.try_get("id")?,
                row.try_get("user_id")?,
                row.try_get("secret")?,
            ))
        };
        rows.iter().map(secret).collect()
    }

    async fn replace_secret(&self, device_id: i64, old: &str, new: &str) -> Result<bool> {
        let query =
            sqlx::query("UPDATE totp_devices SET secret = $3 WHERE id = $1 AND secret = $2")
                .bind(device_id)
                .bind(old)
                .bind(new);
        let done = self
            .db
            .timed("replace_secret", query.execute(&self.db.write))
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn family(row: &AnyRow) -> Result<EndedFamily, sqlx::Error> {
    Ok(EndedFamily {
        sid: row.try_get("sid")?,
        at_ms: row.try_get("revoked_ms")?,
    })
}

fn not_before(row: &AnyRow) -> Result<NotBefore, sqlx::Error> {
    Ok(NotBefore {
        user_id: row.try_get("id")?,
        all_ms: row.try_get("not_before_ms")?,
        others_ms: row.try_get("others_before_ms")?,
        kept_sid: row.try_get("kept_sid")?,
    })
}

/// Ends an account's access tokens: all, or all but those of one family. The time is one that no
/// token of the account was issued at yet, whatever the clock of the replica that issued it; and
/// none is issued before it from now on ([`super::sessions::open`]).
pub(super) async fn end_tokens(
    tx: &mut Tx,
    id: i64,
    kept_sid: Option<&str>,
    now_ms: i64,
) -> Result<()> {
    let row = sqlx::query(
        "SELECT u.ended_ms, COALESCE(MAX(t.issued_ms), 0) AS issued_ms
         FROM users u
         LEFT JOIN sessions s ON s.user_id = u.id
         LEFT JOIN refresh_tokens t ON t.sid = s.sid
         WHERE u.id = $1 GROUP BY u.ended_ms",
    )
    .bind(id)
    .fetch_one(&mut **tx)
    .await?;
    let (ended_ms, issued_ms): (i64, i64) = (row.try_get("ended_ms")?, row.try_get("issued_ms")?);
    let at_ms = now_ms.max(issued_ms + 1).max(ended_ms);
    let statement = match kept_sid {
        None => "UPDATE users SET not_before_ms = $2, ended_ms = $2 WHERE id = $1",
        Some(_) => {
            "UPDATE users SET others_before_ms = $2, kept_sid = $3, ended_ms = $2 WHERE id = $1"
        }
    };
    let mut query = sqlx::query(statement).bind(id).bind(at_ms);
    if let Some(sid) = kept_sid {
        query = query.bind(sid.to_owned());
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Reads a record and keeps it from others until the transaction ends: parallel attempts count one
/// after the other on PostgreSQL too. One that is not written later goes with the transaction.
async fn record(tx: &mut Tx, bucket: &str) -> Result<Record> {
    let row = sqlx::query(
        "INSERT INTO attempts (bucket, failures, last_ms, until_ms) VALUES ($1, 0, 0, 0)
         ON CONFLICT (bucket) DO UPDATE SET failures = attempts.failures
         RETURNING failures, last_ms, until_ms",
    )
    .bind(bucket)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Record {
        failures: row.try_get("failures")?,
        last_ms: row.try_get("last_ms")?,
        until_ms: row.try_get("until_ms")?,
    })
}

async fn write_record(tx: &mut Tx, bucket: &str, record: Record) -> Result<()> {
    sqlx::query(
        "INSERT INTO attempts (bucket, failures, last_ms, until_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (bucket) DO UPDATE SET failures = $2, last_ms = $3, until_ms = $4",
    )
    .bind(bucket)
    .bind(record.failures)
    .bind(record.last_ms)
    .bind(record.until_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
