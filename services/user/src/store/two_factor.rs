use async_trait::async_trait;
use sqlx::{Any, Row as _, Transaction, any::AnyRow};

use super::{
    Acceptance, Guess, Proof, TwoFactorStore, sessions,
    sql::{SqlStore, account, flag, select_account},
};
use crate::{
    domain::{
        Account,
        session::Grant,
        two_factor::{DEVICE_NAME, Device, GUESS_WINDOW_MS, GUESSES_A_DAY},
    },
    error::Result,
};

type Tx = Transaction<'static, Any>;

#[async_trait]
impl TwoFactorStore for SqlStore {
    async fn device(&self, user_id: i64) -> Result<Option<Device>> {
        let query = sqlx::query(
            "SELECT id AS device_id, name, secret, confirmed, last_step
             FROM totp_devices WHERE user_id = $1",
        )
        .bind(user_id);
        let row = self
            .db
            .timed("device", query.fetch_optional(&self.db.read))
            .await?;
        Ok(row.as_ref().map(device).transpose()?)
    }

    async fn add_device(
        &self,
        user_id: i64,
        sealed_secret: &str,
        token_hashes: &[String],
        now_ms: i64,
    ) -> Result<Option<i64>> {
        let work = async {
            let mut tx = self.db.begin().await?;
            sqlx::query("DELETE FROM totp_devices WHERE user_id = $1 AND confirmed = 0")
                .bind(user_id)
                .execute(&mut *tx)
                .await?;
            let row = sqlx::query(
                "INSERT INTO totp_devices (user_id, name, secret, created_ms)
                 VALUES ($1, $2, $3, $4) ON CONFLICT (user_id) DO NOTHING RETURNING id",
            )
            .bind(user_id)
            .bind(DEVICE_NAME)
            .bind(sealed_secret)
            .bind(now_ms)
            .fetch_optional(&mut *tx)
            .await?;
            let Some(row) = row else {
                return Ok(None);
            };
            replace_tokens(&mut tx, user_id, token_hashes).await?;
            tx.commit().await?;
            Ok(Some(row.try_get(0)?))
        };
        self.db.timed("add_device", work).await
    }

    async fn confirm_device(&self, user_id: i64, device_id: i64, step: i64) -> Result<bool> {
        let query = sqlx::query(
            "UPDATE totp_devices SET confirmed = 1, last_step = $3
             WHERE user_id = $1 AND id = $2 AND confirmed = 0",
        )
        .bind(user_id)
        .bind(device_id)
        .bind(step);
        let done = self
            .db
            .timed("confirm_device", query.execute(&self.db.write))
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn remove_device(&self, user_id: i64) -> Result<()> {
        let work = async {
            let mut tx = self.db.begin().await?;
            for statement in [
                "DELETE FROM totp_devices WHERE user_id = $1",
                "DELETE FROM backup_tokens WHERE user_id = $1",
                "DELETE FROM pending_logins WHERE user_id = $1",
            ] {
                sqlx::query(statement)
                    .bind(user_id)
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(tx.commit().await?)
        };
        self.db.timed("remove_device", work).await
    }

    async fn replace_backup_tokens(&self, user_id: i64, hashes: &[String]) -> Result<bool> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let on =
                sqlx::query("SELECT id FROM totp_devices WHERE user_id = $1 AND confirmed = 1")
                    .bind(user_id)
                    .fetch_optional(&mut *tx)
                    .await?;
            if on.is_none() {
                return Ok(false);
            }
            replace_tokens(&mut tx, user_id, hashes).await?;
            tx.commit().await?;
            Ok(true)
        };
        self.db.timed("replace_backup_tokens", work).await
    }

    async fn backup_tokens_left(&self, user_id: i64) -> Result<i64> {
        let query = sqlx::query(
            "SELECT COUNT(*) FROM backup_tokens WHERE user_id = $1 AND used_ms IS NULL",
        )
        .bind(user_id);
        let row = self
            .db
            .timed("backup_tokens_left", query.fetch_one(&self.db.read))
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn pending(&self, id_hash: &str, now_ms: i64) -> Result<Option<(Account, Device)>> {
        let query = sqlx::query(select_account!(
            ", d.id AS device_id, d.name, d.secret, d.confirmed, d.last_step
             FROM pending_logins p
             JOIN users u ON u.id = p.user_id AND u.is_active = 1
             JOIN totp_devices d ON d.user_id = u.id AND d.confirmed = 1
             WHERE p.id_hash = $1 AND p.expires_ms > $2"
        ))
        .bind(id_hash)
        .bind(now_ms);
        let row = self
            .db
            .timed("pending", query.fetch_optional(&self.db.read))
            .await?;
        let both = |row: &AnyRow| Ok((account(row)?, device(row)?));
        row.as_ref().map(both).transpose()
    }

    async fn count_guess(&self, user_id: i64, now_ms: i64) -> Result<Guess> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let guess = count_guess(&mut tx, user_id, now_ms).await?;
            tx.commit().await?;
            Ok(guess)
        };
        self.db.timed("count_guess", work).await
    }

    async fn accept(&self, acceptance: Acceptance<'_>, now_ms: i64) -> Result<Option<Grant>> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let accepted = accept(&mut tx, &acceptance, now_ms).await?;
            if accepted.is_some() {
                tx.commit().await?;
            }
            Ok(accepted)
        };
        self.db.timed("accept_second_factor", work).await
    }
}

fn device(row: &AnyRow) -> Result<Device, sqlx::Error> {
    Ok(Device {
        id: row.try_get("device_id")?,
        name: row.try_get("name")?,
        sealed_secret: row.try_get("secret")?,
        confirmed: flag(row, "confirmed")?,
        last_step: row.try_get("last_step")?,
    })
}

/// Voids the tokens there are, used ones too, and puts others in their place.
async fn replace_tokens(tx: &mut Tx, user_id: i64, hashes: &[String]) -> Result<()> {
    sqlx::query("DELETE FROM backup_tokens WHERE user_id = $1")
        .bind(user_id)
        .execute(&mut **tx)
        .await?;
    for hash in hashes {
        sqlx::query("INSERT INTO backup_tokens (user_id, token_hash) VALUES ($1, $2)")
            .bind(user_id)
            .bind(hash)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// A sliding log, since a counter that starts afresh each day would allow twice
/// the limit around its end.
async fn count_guess(tx: &mut Tx, user_id: i64, now_ms: i64) -> Result<Guess> {
    // Locks the account on PostgreSQL; SQLite has one writer anyway.
    sqlx::query("UPDATE users SET is_active = is_active WHERE id = $1")
        .bind(user_id)
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM code_guesses WHERE user_id = $1 AND at_ms <= $2")
        .bind(user_id)
        .bind(now_ms - GUESS_WINDOW_MS)
        .execute(&mut **tx)
        .await?;
    let counted = sqlx::query(
        "INSERT INTO code_guesses (user_id, at_ms)
         SELECT $1, $2 WHERE (SELECT COUNT(*) FROM code_guesses WHERE user_id = $1) < $3
         RETURNING id",
    )
    .bind(user_id)
    .bind(now_ms)
    .bind(GUESSES_A_DAY)
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(row) = counted {
        return Ok(Guess::Counted(row.try_get(0)?));
    }
    let row = sqlx::query("SELECT MIN(at_ms) FROM code_guesses WHERE user_id = $1")
        .bind(user_id)
        .fetch_one(&mut **tx)
        .await?;
    let oldest: Option<i64> = row.try_get(0)?;
    Ok(Guess::Refused {
        until_ms: oldest.unwrap_or(now_ms) + GUESS_WINDOW_MS,
    })
}

async fn accept(tx: &mut Tx, acceptance: &Acceptance<'_>, now_ms: i64) -> Result<Option<Grant>> {
    let user_id = acceptance.grant.user_id;
    let proof = match &acceptance.proof {
        Proof::Step(step) => sqlx::query(
            "UPDATE totp_devices SET last_step = $2
             WHERE user_id = $1 AND confirmed = 1 AND last_step < $2",
        )
        .bind(user_id)
        .bind(*step),
        Proof::Backup(hash) => sqlx::query(
            "UPDATE backup_tokens SET used_ms = $3
             WHERE user_id = $1 AND token_hash = $2 AND used_ms IS NULL",
        )
        .bind(user_id)
        .bind(hash)
        .bind(now_ms),
    };
    if proof.execute(&mut **tx).await?.rows_affected() == 0 {
        return Ok(None);
    }
    let pending = sqlx::query("DELETE FROM pending_logins WHERE id_hash = $1 AND user_id = $2")
        .bind(acceptance.pending_hash)
        .bind(user_id)
        .execute(&mut **tx)
        .await?;
    if pending.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query("DELETE FROM code_guesses WHERE id = $1")
        .bind(acceptance.guess)
        .execute(&mut **tx)
        .await?;
    sessions::open(tx, acceptance.grant, None).await
}
