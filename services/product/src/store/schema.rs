use kit::db::{Backend, Db, Migration};

const MIGRATIONS: [Migration; 3] = [
    Migration {
        version: 1,
        name: "init",
        sql: include_str!("../../migrations/0001_init.sql"),
        only: None,
    },
    Migration {
        version: 2,
        name: "search_sqlite",
        sql: include_str!("../../migrations/0002_search_sqlite.sql"),
        only: Some(Backend::Sqlite),
    },
    Migration {
        version: 3,
        name: "expiry",
        sql: include_str!("../../migrations/0003_expiry.sql"),
        only: None,
    },
];

/// Brings the database up to date.
///
/// # Errors
/// When it can't be reached, or a migration fails.
pub async fn migrate(db: &Db) -> Result<(), kit::db::DbError> {
    db.migrate(&MIGRATIONS).await
}
