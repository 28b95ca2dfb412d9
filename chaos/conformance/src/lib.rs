//! What the conformance tests share: the two servers, upstreams to put behind
//! them, and a raw client for their API.
//!
//! A behaviour is a [`Case`], looked at once on ours and once on the real one; the
//! tests and the table in docs/CONFORMANCE.md come from the same look. See
//! [`cases!`].

mod api;
mod case;
mod payload;
mod server;
mod upstream;

pub use api::{Answer, Api};
pub use case::{Case, Outcome, assert_holds};
pub use payload::payload;
pub use server::{Running, Server, left_out, on_path};
pub use upstream::{Upstream, connect};

use std::time::Duration;

/// Longer than anything here takes; whoever waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(15);
