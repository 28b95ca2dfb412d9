//! One source of SQL for SQLite and PostgreSQL: `$1` placeholders, columns of
//! BIGINT, TEXT, BLOB and DOUBLE PRECISION, times as integers, through sqlx's
//! `Any` driver.
//!
//! SQLite gets one writer and several readers, WAL, and `BEGIN IMMEDIATE`: a
//! deferred transaction that upgrades fails at once, past any busy time-out.
//! `synchronous = FULL`, since an acknowledgement must outlive a power cut.

use std::{future::Future, time::Duration};

use sqlx::{
    Any, AnyPool, AssertSqlSafe, Executor as _, Row as _, SqlSafeStr as _, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::{MigrationType, Migrator},
};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::lab::faults::ClientFaults;

/// Readers of a SQLite file.
const SQLITE_READERS: u32 = 4;
/// How long a caller waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Below this, SQLite's WAL-reset bug can lose a commit.
const SQLITE_FLOOR: (u32, u32, u32) = (3, 51, 3);

const SQLITE_WRITER: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; PRAGMA temp_store = MEMORY;";
const SQLITE_READER: &str = "PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; \
     PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;";

/// Which database stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// Why the database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The address is for no database of ours.
    #[error("DATABASE_URL={0:?} can't be used: it starts with sqlite:// or postgres://")]
    Address(String),
    /// Too old to be trusted with data.
    #[error("SQLite {0} is too old: 3.51.3 or newer is needed (a WAL-reset bug can lose commits)")]
    TooOld(String),
    /// The database said no.
    #[error("database: {0}")]
    Sqlx(#[from] sqlx::Error),
    /// A migration failed.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// One step of the schema, written once for both databases: `{{ID}}` is an
/// automatic integer primary key, `{{BLOB}}` a column of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place in the order.
    pub version: i64,
    /// A word for what it does.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
    /// Set when it is for one database alone.
    pub only: Option<Backend>,
}

/// Connections to a service's own database.
#[derive(Clone, Debug)]
pub struct Db {
    /// For statements that change nothing.
    pub read: AnyPool,
    /// For statements that change something; a single connection on SQLite.
    pub write: AnyPool,
    /// Which database it is.
    pub backend: Backend,
    service: &'static str,
    /// What may go wrong on the way there, in lab mode.
    faults: Option<ClientFaults>,
}

impl Db {
    /// Opens (and, for a SQLite file, makes) the database.
    ///
    /// # Errors
    /// [`DbError`] when it can't be reached or is too old.
    pub async fn open(service: &'static str, url: &str) -> Result<Self, DbError> {
        sqlx::any::install_default_drivers();
        let backend = backend_of(url)?;
        let options: AnyConnectOptions = url.parse()?;
        let options = sqlx::ConnectOptions::log_slow_statements(
            options,
            log::LevelFilter::Warn,
            Duration::from_millis(200),
        );
        let db = match backend {
            Backend::Sqlite => {
                let write = pool(1, Some(SQLITE_WRITER))
                    .connect_with(options.clone())
                    .await?;
                check_sqlite(&write).await?;
                let read = pool(SQLITE_READERS, Some(SQLITE_READER))
                    .connect_with(options)
                    .await?;
                Self {
                    read,
                    write,
                    backend,
                    service,
                    faults: None,
                }
            }
            Backend::Postgres => {
                let pool = pool(16, None).connect_with(options).await?;
                Self {
                    read: pool.clone(),
                    write: pool,
                    backend,
                    service,
                    faults: None,
                }
            }
        };
        Ok(db)
    }

    /// The same, with faults on the way there: on what goes through [`Db::timed`] and on pings.
    pub(crate) fn with_faults(self, faults: ClientFaults) -> Self {
        Self {
            faults: Some(faults),
            ..self
        }
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// [`DbError`] when a step fails or was changed after it was applied.
    pub async fn migrate(&self, steps: &[Migration]) -> Result<(), DbError> {
        let steps = steps
            .iter()
            .filter(|step| step.only.is_none_or(|only| only == self.backend));
        let migrations = steps.map(|step| self.migration(step)).collect();
        let mut migrator = Migrator::with_migrations(migrations);
        migrator.set_locking(self.backend == Backend::Postgres);
        Ok(migrator.run(&self.write).await?)
    }

    fn migration(&self, step: &Migration) -> sqlx::migrate::Migration {
        let (id, blob) = match self.backend {
            Backend::Sqlite => ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB"),
            Backend::Postgres => (
                "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
                "BYTEA",
            ),
        };
        let sql = step.sql.replace("{{ID}}", id).replace("{{BLOB}}", blob);
        sqlx::migrate::Migration::new(
            step.version,
            step.name.into(),
            MigrationType::Simple,
            // Safe: the text is compiled in; only our own two marks are filled.
            AssertSqlSafe(sql).into_sql_str(),
            false,
        )
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// As sqlx: no connection in time, or the database said no.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self.backend {
            Backend::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await,
            Backend::Postgres => self.write.begin().await,
        }
    }

    /// Begins a transaction that sees one moment and changes nothing.
    ///
    /// # Errors
    /// As sqlx: no connection in time, or the database said no.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self.backend {
            // A reader of a WAL keeps what its first statement saw.
            Backend::Sqlite => self.read.begin().await,
            Backend::Postgres => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
                self.read.begin_with(begin).await
            }
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// As sqlx.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        self.pass("ping").await?;
        self.read
            .acquire()
            .await?
            .execute("SELECT 1")
            .await
            .map(drop)
    }

    /// Runs an operation under its span, and counts how long it took.
    ///
    /// # Errors
    /// As `work`.
    pub async fn timed<T, E: From<sqlx::Error>>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let system = match self.backend {
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgresql",
        };
        let span = tracing::info_span!(
            "db",
            otel.name = operation,
            otel.kind = "client",
            db.system.name = system,
            db.operation.name = operation,
            lab.fault = tracing::field::Empty
        );
        let work = async {
            self.pass(operation).await?;
            work.await
        };
        let result = work.instrument(span).await;
        metrics::histogram!(
            crate::telemetry::names::DB_DURATION, "service" => self.service, "operation" => operation
        )
        .record(begun.elapsed().as_secs_f64());
        result
    }

    async fn pass(&self, operation: &str) -> Result<(), sqlx::Error> {
        match &self.faults {
            Some(faults) => Ok(faults.pass(operation).await?),
            None => Ok(()),
        }
    }

    /// Closes all connections, after what runs on them.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Whether a statement failed because a value must be unique.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

fn backend_of(url: &str) -> Result<Backend, DbError> {
    match url.split(':').next() {
        Some("sqlite") => Ok(Backend::Sqlite),
        Some("postgres" | "postgresql") => Ok(Backend::Postgres),
        _ => Err(DbError::Address(url.to_owned())),
    }
}

fn pool(connections: u32, setup: Option<&'static str>) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if let Some(setup) = setup {
                    connection.execute(setup).await?;
                }
                Ok(())
            })
        })
}

async fn check_sqlite(pool: &AnyPool) -> Result<(), DbError> {
    let version: String = sqlx::query("SELECT sqlite_version()")
        .fetch_one(pool)
        .await?
        .get(0);
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    if (next(), next(), next()) < SQLITE_FLOOR {
        Err(DbError::TooOld(version))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open() -> (tempfile::TempDir, Db) {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("t.db").display());
        (dir, Db::open("test", &url).await.unwrap())
    }

    const STEPS: [Migration; 1] = [Migration {
        version: 1,
        name: "init",
        sql: "CREATE TABLE t (id {{ID}}, body {{BLOB}}, n BIGINT NOT NULL UNIQUE)",
        only: None,
    }];

    #[tokio::test]
    async fn migrations_run_once_and_a_transaction_writes() {
        let (_dir, db) = open().await;
        db.migrate(&STEPS).await.unwrap();
        db.migrate(&STEPS).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let row = sqlx::query("INSERT INTO t (body, n) VALUES ($1, $2) RETURNING id")
            .bind(vec![1_u8, 2])
            .bind(7_i64)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>(0), 1);
        tx.commit().await.unwrap();
        let n: i64 = sqlx::query("SELECT n FROM t")
            .fetch_one(&db.read)
            .await
            .unwrap()
            .get(0);
        assert_eq!(n, 7);
        let again = sqlx::query("INSERT INTO t (n) VALUES (7)")
            .execute(&db.write)
            .await
            .unwrap_err();
        assert!(is_unique_violation(&again));
    }

    #[tokio::test]
    async fn a_snapshot_sees_one_moment() {
        let (_dir, db) = open().await;
        db.migrate(&STEPS).await.unwrap();
        let count = "SELECT COUNT(*) FROM t";
        let mut tx = db.snapshot().await.unwrap();
        let before: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await.unwrap();
        let insert = sqlx::query("INSERT INTO t (n) VALUES (1)");
        insert.execute(&db.write).await.unwrap();
        let still: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await.unwrap();
        let after: i64 = sqlx::query_scalar(count)
            .fetch_one(&db.write)
            .await
            .unwrap();
        assert_eq!((before, still, after), (0, 0, 1));
    }

    #[tokio::test]
    async fn readers_can_not_write_and_the_file_is_durable() {
        let (_dir, db) = open().await;
        db.migrate(&STEPS).await.unwrap();
        assert!(
            sqlx::query("INSERT INTO t (n) VALUES (1)")
                .execute(&db.read)
                .await
                .is_err()
        );
        let mode: String = sqlx::query("PRAGMA journal_mode")
            .fetch_one(&db.write)
            .await
            .unwrap()
            .get(0);
        assert_eq!(mode, "wal");
        let sync: i64 = sqlx::query("PRAGMA synchronous")
            .fetch_one(&db.write)
            .await
            .unwrap()
            .get(0);
        assert_eq!(sync, 2, "FULL");
    }

    #[tokio::test]
    async fn an_address_of_another_database_is_named() {
        let error = Db::open("test", "mysql://x").await.unwrap_err();
        assert!(error.to_string().contains("sqlite:// or postgres://"));
    }
}
