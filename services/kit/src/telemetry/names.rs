//! The names of our metrics, in one place, with what they mean.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// HTTP requests served.
pub const HTTP_DURATION: &str = "http_server_request_duration_seconds";
/// gRPC calls served.
pub const RPC_SERVER_DURATION: &str = "rpc_server_duration_seconds";
/// gRPC attempts made.
pub const RPC_CLIENT_DURATION: &str = "rpc_client_duration_seconds";
/// Database operations.
pub const DB_DURATION: &str = "db_client_operation_duration_seconds";
/// Cache look-ups.
pub const CACHE_DURATION: &str = "cache_operation_duration_seconds";
/// Answers out of the cache.
pub const CACHE_HITS: &str = "cache_hits_total";
/// Look-ups that had to ask the source.
pub const CACHE_MISSES: &str = "cache_misses_total";

/// Requests that an injected fault acted on.
pub const FAULT_ACTED: &str = "lab_fault_acted_total";
/// Work for callers who had gone; also counted at a server's door, by `resilience`, which describes
/// it. A gauge that only rises: the facade's counters are whole numbers.
pub const WASTED_WORK: &str = "resilience_wasted_work_seconds_total";

/// Requests that were refused by a rate limit.
pub const RATE_LIMITED: &str = "rate_limited_total";

/// Tells the recorder what each is.
pub(super) fn describe() {
    describe_histogram!(
        HTTP_DURATION,
        Unit::Seconds,
        "Time to answer an HTTP request."
    );
    describe_histogram!(
        RPC_SERVER_DURATION,
        Unit::Seconds,
        "Time to answer a gRPC call."
    );
    describe_histogram!(
        RPC_CLIENT_DURATION,
        Unit::Seconds,
        "Time of one attempt of a gRPC call."
    );
    describe_histogram!(
        DB_DURATION,
        Unit::Seconds,
        "Time of one database operation."
    );
    describe_histogram!(CACHE_DURATION, Unit::Seconds, "Time of one cache look-up.");
    describe_counter!(CACHE_HITS, Unit::Count, "Answers out of the cache.");
    describe_counter!(
        CACHE_MISSES,
        Unit::Count,
        "Look-ups that had to ask the source."
    );
    describe_counter!(
        FAULT_ACTED,
        Unit::Count,
        "Requests that an injected fault acted on."
    );
    describe_counter!(
        RATE_LIMITED,
        Unit::Count,
        "Requests that were refused by a rate limit."
    );
    describe_counter!(
        "shop_orders_total",
        Unit::Count,
        "Orders, by what became of them."
    );
    describe_counter!("shop_logins_total", Unit::Count, "Log-ins, by outcome.");
    describe_gauge!(
        "shop_stock_units",
        Unit::Count,
        "Units that can be sold now."
    );
    describe_gauge!(
        "shop_sagas_open",
        Unit::Count,
        "Orders whose stock or payment is not settled yet, by state."
    );
    describe_gauge!(
        "shop_stock_mismatch_units",
        Unit::Count,
        "Units by which rows of stock differ from what their ledger adds up to."
    );
}
