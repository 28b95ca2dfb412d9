//! The gateway, whole, on ports of its own.
//!
//! One binary, because each one optimises and links all that it tests anew.
//! `attacks_slow` measures times: nothing runs beside it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod attacks;
mod attacks_production;
mod attacks_raw;
mod attacks_tls;
mod callers;
#[path = "../common/mod.rs"]
mod common;
mod gateway;
