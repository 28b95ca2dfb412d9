//! The product service, whole, on ports of its own.
//!
//! One binary, because each one optimises and links all that it tests anew.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod admin;
mod attacks_production;
mod books;
mod catalogue;
mod common;
mod door;
mod expiry;
mod faults;
mod kills;
mod lab;
mod ledger;
mod stock;
