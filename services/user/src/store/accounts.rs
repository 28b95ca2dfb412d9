use async_trait::async_trait;
use kit::db::is_unique_violation;
use sqlx::{Any, Row as _, Transaction, any::AnyRow};

use super::{
    AccountStore, Credentials,
    security::end_tokens,
    sql::{SqlStore, account, flag, select_account},
};
use crate::{
    domain::{
        Account, NewAccount,
        account::{search_text, unique_key},
        session::Ended,
    },
    error::{Error, Result, Unique},
};

type Tx = Transaction<'static, Any>;

#[async_trait]
impl AccountStore for SqlStore {
    async fn taken(&self, username_key: &str, email_key: &str) -> Result<(bool, bool)> {
        let query = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM users WHERE username_key = $1) AS names,
                    (SELECT COUNT(*) FROM users WHERE email_key = $2) AS emails",
        )
        .bind(username_key)
        .bind(email_key);
        let row = self
            .db
            .timed("taken", query.fetch_one(&self.db.read))
            .await?;
        Ok((flag(&row, "names")?, flag(&row, "emails")?))
    }

    async fn add_accounts(&self, new: &[NewAccount]) -> Result<Vec<i64>> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let mut ids = Vec::with_capacity(new.len());
            for one in new {
                ids.push(insert(&mut tx, one).await?);
            }
            tx.commit().await?;
            Ok(ids)
        };
        self.db.timed("add_accounts", work).await
    }

    async fn account(&self, id: i64) -> Result<Option<Account>> {
        let query = sqlx::query(select_account!(" FROM users u WHERE u.id = $1")).bind(id);
        let row = self
            .db
            .timed("account", query.fetch_optional(&self.db.read))
            .await?;
        Ok(row.as_ref().map(account).transpose()?)
    }

    async fn credentials(&self, username_key: &str) -> Result<Option<Credentials>> {
        let query = sqlx::query(select_account!(
            ", u.password_hash, COALESCE(d.confirmed, 0) AS second_factor
             FROM users u LEFT JOIN totp_devices d ON d.user_id = u.id
             WHERE u.username_key = $1"
        ))
        .bind(username_key);
        let row = self
            .db
            .timed("credentials", query.fetch_optional(&self.db.read))
            .await?;
        row.as_ref().map(credentials).transpose()
    }

    async fn credentials_of(&self, id: i64) -> Result<Option<Credentials>> {
        let query = sqlx::query(select_account!(
            ", u.password_hash, COALESCE(d.confirmed, 0) AS second_factor
             FROM users u LEFT JOIN totp_devices d ON d.user_id = u.id WHERE u.id = $1"
        ))
        .bind(id);
        let row = self
            .db
            .timed("credentials_of", query.fetch_optional(&self.db.read))
            .await?;
        row.as_ref().map(credentials).transpose()
    }

    async fn count_accounts(&self, search: &str) -> Result<i64> {
        let query = sqlx::query("SELECT COUNT(*) FROM users WHERE search_text LIKE $1 ESCAPE '!'")
            .bind(pattern(search));
        let row = self
            .db
            .timed("count_accounts", query.fetch_one(&self.db.read))
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn list_accounts(&self, search: &str, offset: i64, limit: i64) -> Result<Vec<Account>> {
        let query = sqlx::query(select_account!(
            " FROM users u WHERE u.search_text LIKE $1 ESCAPE '!'
             ORDER BY u.id LIMIT $2 OFFSET $3"
        ))
        .bind(pattern(search))
        .bind(limit)
        .bind(offset);
        let rows = self
            .db
            .timed("list_accounts", query.fetch_all(&self.db.read))
            .await?;
        Ok(rows.iter().map(account).collect::<Result<_, _>>()?)
    }

    async fn write_profile(&self, one: &Account) -> Result<()> {
        let query = sqlx::query(
            "UPDATE users SET email = $2, email_key = $3, first_name = $4, last_name = $5,
                search_text = $6 WHERE id = $1",
        )
        .bind(one.id)
        .bind(&one.email)
        .bind(unique_key(&one.email))
        .bind(&one.first_name)
        .bind(&one.last_name)
        .bind(search_text(
            &one.username,
            &one.email,
            &one.first_name,
            &one.last_name,
        ));
        let done = self
            .db
            .timed("write_profile", query.execute(&self.db.write))
            .await;
        let done = done.map_err(taken_or_database)?;
        if done.rows_affected() == 1 {
            Ok(())
        } else {
            Err(Error::NoAccount)
        }
    }

    async fn write_password(&self, id: i64, hash: &str, keep_sid: &str, now_ms: i64) -> Result<()> {
        let work = async {
            let mut tx = self.db.begin().await?;
            sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
                .bind(id)
                .bind(hash)
                .execute(&mut *tx)
                .await?;
            end_sessions(&mut tx, id, keep_sid, Ended::PasswordChanged, now_ms).await?;
            end_tokens(&mut tx, id, Some(keep_sid), now_ms).await?;
            tx.commit().await?;
            Ok(())
        };
        self.db.timed("write_password", work).await
    }

    async fn deactivate(&self, id: i64, now_ms: i64) -> Result<()> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let done = sqlx::query("UPDATE users SET is_active = 0 WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            if done.rows_affected() == 0 {
                return Err(Error::NoAccount);
            }
            end_sessions(&mut tx, id, "", Ended::Deactivated, now_ms).await?;
            end_tokens(&mut tx, id, None, now_ms).await?;
            tx.commit().await?;
            Ok(())
        };
        self.db.timed("deactivate", work).await
    }
}

fn credentials(row: &AnyRow) -> Result<Credentials> {
    Ok(Credentials {
        account: account(row)?,
        password_hash: row.try_get("password_hash")?,
        second_factor: flag(row, "second_factor")?,
    })
}

async fn insert(tx: &mut Tx, new: &NewAccount) -> Result<i64> {
    let row = sqlx::query(
        "INSERT INTO users (username, username_key, email, email_key, first_name, last_name,
            search_text, password_hash, is_active, is_staff, is_admin, joined_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11) RETURNING id",
    )
    .bind(&new.username)
    .bind(unique_key(&new.username))
    .bind(&new.email)
    .bind(unique_key(&new.email))
    .bind(&new.first_name)
    .bind(&new.last_name)
    .bind(search_text(
        &new.username,
        &new.email,
        &new.first_name,
        &new.last_name,
    ))
    .bind(&new.password_hash)
    .bind(i64::from(new.roles.staff || new.roles.admin))
    .bind(i64::from(new.roles.admin))
    .bind(new.joined_ms)
    .fetch_one(&mut **tx)
    .await
    .map_err(taken_or_database)?;
    Ok(row.try_get(0)?)
}

/// Ends all of an account's sessions but one, and its half-done logins.
async fn end_sessions(tx: &mut Tx, id: i64, keep_sid: &str, why: Ended, now_ms: i64) -> Result<()> {
    sqlx::query(
        "UPDATE sessions SET revoked_ms = $3, revoked_why = $4
         WHERE user_id = $1 AND sid <> $2 AND revoked_ms IS NULL",
    )
    .bind(id)
    .bind(keep_sid)
    .bind(now_ms)
    .bind(why.as_str())
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM pending_logins WHERE user_id = $1")
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Both databases name the column, or the constraint made of its name, in the
/// message of a unique violation.
fn taken_or_database(error: sqlx::Error) -> Error {
    if is_unique_violation(&error) {
        let text = error.to_string();
        if text.contains("username_key") {
            return Error::Taken(Unique::Username);
        }
        if text.contains("email_key") {
            return Error::Taken(Unique::Email);
        }
    }
    Error::Database(error)
}

/// A LIKE pattern for "contains", its wildcards escaped with `!`.
fn pattern(search: &str) -> String {
    let mut pattern = String::from("%");
    for c in search.to_lowercase().chars().filter(|c| *c != '\0') {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_plain_text() {
        assert_eq!(pattern(""), "%%");
        assert_eq!(pattern("A_b%!\0"), "%a!_b!%!!%");
    }
}
