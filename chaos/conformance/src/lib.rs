//! What the conformance tests share: the two servers, upstreams to put behind
//! them, and a raw client for their API.
//!
//! Each test takes a [`Server`] and is run once for ours and once for the real
//! one, see [`for_both!`].

mod api;
mod payload;
mod server;
mod upstream;

pub use api::{Answer, Api};
pub use payload::payload;
pub use server::{Running, Server, left_out, on_path};
pub use upstream::{Upstream, connect};

use std::time::Duration;

/// Longer than anything here takes; whoever waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Makes each `fn(&Running)` a test against ours and one against the real one.
#[macro_export]
macro_rules! for_both {
    ($($test:ident),+ $(,)?) => {
        mod ours {
            $(#[test] fn $test() { $crate::Server::Ours.check(stringify!($test), super::$test); })+
        }
        mod real {
            $(#[test] fn $test() { $crate::Server::Real.check(stringify!($test), super::$test); })+
        }
    };
}
