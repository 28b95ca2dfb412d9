//! Whole runs of the engine, against a shop and fault proxies of this process or real servers.
//!
//! One binary, because each one optimises and links all that it tests anew.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod fake;
mod faults;
mod precondition;
mod real;
mod run;
mod targets;
