//! The order service, whole, on ports of its own.
//!
//! One binary, because each one optimises and links all that it tests anew.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod attacks_production;
mod books;
mod callers;
mod common;
mod create;
mod defects;
mod faults;
mod fences;
mod history;
mod idempotency;
mod interrupted;
mod kills;
mod life;
mod mail;
mod outages;
mod payment;
mod policies;
mod rotate;
mod samples;
