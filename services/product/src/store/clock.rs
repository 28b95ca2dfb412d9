//! The one clock that reservations run on: the database's, so that all replicas of this service
//! agree on what has expired.

use kit::db::Backend;

/// An expression for now, in milliseconds since the epoch.
pub(super) fn now_sql(backend: Backend) -> &'static str {
    match backend {
        // Fractions of a second, since SQLite 3.42; one moment for a whole statement.
        Backend::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        Backend::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    }
}
