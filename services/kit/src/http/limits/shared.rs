use std::fmt::Write as _;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use super::{Key, Subject};
use crate::db::Db;

/// Rows in one statement: within SQLite's bound on parameters.
const ROWS: usize = 200;
/// Windows that are kept: the present one, and the one that may still be written.
const KEPT: i64 = 2;

/// What a replica counted since it last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Of whom.
    pub key: Key,
    /// How many requests more.
    pub more: u32,
}

/// Why counts could not be shared.
#[derive(Debug, thiserror::Error)]
#[error("sharing rate limits: {0}")]
pub struct SharedError(pub String);

impl From<sqlx::Error> for SharedError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

/// Where the replicas of a service add up what they count.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Adds what was `told` in that window (its number since the epoch); the totals of all
    /// replicas, in the same order.
    ///
    /// # Errors
    /// When the store does not answer; nothing may be added then.
    async fn exchange(&self, window: u64, told: &[Counted]) -> Result<Vec<u32>, SharedError>;
}

/// In the database of the service: one upsert a second for all busy subjects, none while nobody
/// is busy.
pub struct DatabaseCounts(Db);

impl DatabaseCounts {
    /// In `db`; makes its table there.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn new(db: Db) -> Result<Self, SharedError> {
        let table = "CREATE TABLE IF NOT EXISTS rate_limits (window_number BIGINT NOT NULL, \
                     subject TEXT NOT NULL, used BIGINT NOT NULL, \
                     PRIMARY KEY (window_number, subject))";
        sqlx::query(table).execute(&db.write).await?;
        Ok(Self(db))
    }

    async fn add(&self, window: i64, told: &[Counted]) -> Result<Vec<u32>, SharedError> {
        let mut sql =
            String::from("INSERT INTO rate_limits (window_number, subject, used) VALUES ");
        for n in 0..told.len() {
            let comma = if n == 0 { "" } else { ", " };
            let first = 3 * n + 1;
            let _ = write!(sql, "{comma}(${first}, ${}, ${})", first + 1, first + 2);
        }
        sql.push_str(
            " ON CONFLICT (window_number, subject) DO UPDATE SET \
             used = rate_limits.used + excluded.used RETURNING subject, used",
        );
        // Safe: numbers of parameters are all that was filled in.
        let mut query = sqlx::query_as::<_, (String, i64)>(AssertSqlSafe(sql));
        for counted in told {
            query = query
                .bind(window)
                .bind(name(counted.key))
                .bind(i64::from(counted.more));
        }
        let rows = query.fetch_all(&self.0.write).await?;
        let rows: std::collections::HashMap<String, i64> = rows.into_iter().collect();
        let total = |counted: &Counted| rows.get(&name(counted.key)).copied().unwrap_or(0);
        let totals = told.iter().map(total);
        Ok(totals
            .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
            .collect())
    }
}

#[async_trait]
impl Shared for DatabaseCounts {
    async fn exchange(&self, window: u64, told: &[Counted]) -> Result<Vec<u32>, SharedError> {
        let window = i64::try_from(window).unwrap_or(i64::MAX);
        sqlx::query("DELETE FROM rate_limits WHERE window_number <= $1")
            .bind(window - KEPT)
            .execute(&self.0.write)
            .await?;
        let mut totals = Vec::with_capacity(told.len());
        for part in told.chunks(ROWS) {
            totals.extend(self.add(window, part).await?);
        }
        Ok(totals)
    }
}

fn name(Key { class, subject }: Key) -> String {
    match subject {
        Subject::Account(id) => format!("{}:#{id}", class.as_str()),
        Subject::Address(address) => format!("{}:{address}", class.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::limits::Class;

    #[tokio::test]
    async fn a_database_adds_up_and_forgets() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/l.db?mode=rwc", dir.path().display());
        let db = Db::open("test", &url).await.unwrap();
        let one = DatabaseCounts::new(db.clone()).await.unwrap();
        let two = DatabaseCounts::new(db.clone()).await.unwrap();
        let told = |id: i64, more| Counted {
            key: Key {
                class: Class::User,
                subject: Subject::Account(id),
            },
            more,
        };
        let many: Vec<Counted> = (0..450).map(|id| told(id, 3)).collect();
        assert_eq!(one.exchange(7, &many).await.unwrap(), vec![3; 450]);
        let totals = two
            .exchange(7, &[told(1, 4), told(1_000, 0)])
            .await
            .unwrap();
        assert_eq!(totals, [7, 0]);
        assert_eq!(two.exchange(9, &[told(1, 4)]).await.unwrap(), [4]);
        let left: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM rate_limits")
            .fetch_one(&db.write)
            .await
            .unwrap();
        assert_eq!(left.0, 1);
    }
}
