//! The payment service, whole, on ports of its own.
//!
//! One binary, because each one optimises and links all that it tests anew.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod attacks_production;
mod kills;
mod payments;
