//! Are the shop's promises about orders and stock kept, whatever dies in between?
//!
//! A seeded workload ([`workload`]) places orders under idempotency keys, repeats them, calls them
//! off and reads them back, while faults come and go; everything is written down before it is sent
//! ([`history`]). At rest the checker ([`check`]) judges the history by the invariants of
//! reliability.md, and a broken rule is told as the shortest story ([`story`]).
//!
//! **Use it** against the real shop through [`http::HttpShop`], or in virtual time against
//! [`model`], a small correct shop with bugs to switch on, which shows that the checker finds
//! them. **It misleads** where the workload never goes: a rule that nobody put to the test holds.
//! So a quiet run is inconclusive, and a rule that the services give no data for is "not judged".
//!
//! docs/INTEGRITY_CHECKER.md documents the log's format and what the services must tell.
#![warn(missing_docs)]

mod chance;
pub mod check;
pub mod history;
pub mod http;
pub mod model;
mod report;
pub mod shop;
pub mod snapshot;
pub mod story;
pub mod types;
pub mod workload;

use futures_util::Stream;

pub use history::{FaultNote, FaultPhase};
pub use report::{Counts, Damage, Report, Row, Verdict};
pub use shop::Shop;
pub use workload::{Config, Limits, Mix, Workload};

/// Runs the workload on a shop until `stop` is ready, waits for rest, and judges what happened.
///
/// `faults` tells of every fault as it comes, goes or strikes; whoever injects them lets go of them
/// by the time `stop` is ready. Nothing is cancelled half-way: the future ends when all operations
/// have ended, at most `config.timeout + config.settle + config.rest` and some reads after `stop`.
pub async fn run(
    config: Config,
    shop: &dyn Shop,
    faults: impl Stream<Item = FaultNote>,
    stop: impl Future<Output = ()>,
) -> Report {
    let limits = config.limits;
    let ran = workload::drive(config, shop, faults, stop).await;
    Report::of(ran.records, &limits, ran.trouble)
}
