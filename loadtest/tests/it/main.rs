//! The load generator, from outside.
//!
//! One binary, because each one optimises and links all that it tests anew.
//! `pacing` measures times: nothing runs beside it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod closed_loop;
#[path = "../common/mod.rs"]
mod common;
mod open_loop;
mod renewal;
mod session;
mod slot;
mod wire;
