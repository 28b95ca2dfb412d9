//! An L4 fault proxy: clients connect to it in place of a server, and it adds
//! latency, swallows data, resets connections or plays dead, as it is told over
//! Toxiproxy's HTTP API (version 2.12).
//!
//! How it hangs together, from the outside in:
//!
//! - `api` decodes requests and renders answers; `registry` holds the proxies.
//! - `proxy` owns a listener and its connections; *down* is its `stop`.
//! - `connection` runs two `pipe`s, one a direction, and decides how they end
//!   together. A pipe does the I/O and gives what it read to its `chain`.
//! - `chain` is a plain value: the stages of the toxics that act on this
//!   connection. `toxics` has one file a type; adding one touches nothing else.
//! - `extensions` is what Toxiproxy lacks, under `/faultline/`: what each toxic
//!   `acted` on, `events`, a `lease` on all faults, the seed.
//!
//! Where Toxiproxy itself is wrong (its seed does nothing, toxicity is drawn
//! again whenever toxics change, half-closed connections are cut off), this
//! does the right thing; `chaos/conformance` lists the differences.

mod acted;
mod address;
mod api;
#[cfg(test)]
mod api_fuzz;
mod chain;
mod connection;
mod decode;
mod draw;
mod error;
mod events;
mod extensions;
mod lease;
mod metrics;
mod options;
mod pipe;
mod proxy;
mod registry;
mod server;
mod toxics;

pub use api::API_VERSION;
pub use error::{Error, Result};
pub use options::Options;
pub use server::Server;
