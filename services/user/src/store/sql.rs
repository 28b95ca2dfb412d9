//! The store on SQL, and how rows become values.

use kit::{
    auth::Roles,
    db::{Backend, Db, Migration},
};
use sqlx::{Row as _, any::AnyRow};

use crate::domain::Account;

/// The schema, in order.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "init",
        sql: include_str!("../../migrations/0001_init.sql"),
        only: None::<Backend>,
    },
    Migration {
        version: 2,
        name: "identity",
        sql: include_str!("../../migrations/0002_identity.sql"),
        only: None,
    },
];

/// Accounts, sessions and second factors in the service's own database.
#[derive(Clone, Debug)]
pub struct SqlStore {
    pub(super) db: Db,
}

impl SqlStore {
    /// Over an open database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// As [`Db::migrate`].
    pub async fn migrate(&self) -> Result<(), kit::db::DbError> {
        self.db.migrate(MIGRATIONS).await
    }
}

/// A SELECT whose first columns are an account's, for [`account`]; `users` must
/// be called `u`.
macro_rules! select_account {
    ($($rest:literal),+) => {
        concat!(
            "SELECT u.id, u.username, u.email, u.first_name, u.last_name, u.is_active, ",
            "u.is_staff, u.is_admin, u.joined_ms", $($rest),+
        )
    };
}
pub(super) use select_account;

/// The account in a row of `select_account!`.
pub(super) fn account(row: &AnyRow) -> Result<Account, sqlx::Error> {
    let admin = flag(row, "is_admin")?;
    Ok(Account {
        id: row.try_get("id")?,
        username: row.try_get("username")?,
        email: row.try_get("email")?,
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
        is_active: flag(row, "is_active")?,
        roles: Roles {
            staff: admin || flag(row, "is_staff")?,
            admin,
        },
        joined_ms: row.try_get("joined_ms")?,
    })
}

/// A truth value, stored as 0 or 1.
pub(super) fn flag(row: &AnyRow, column: &str) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}
