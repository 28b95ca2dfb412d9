//! The policies, from outside.
//!
//! One binary, because each one optimises and links all that it tests anew.
//! What is told process-wide (metrics, spans) has binaries of its own.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod breaker_model;
mod breaker_support;
mod breaker_threads;
mod call_path;
mod cancellation;
mod examples;
mod grpc_wire;
mod hedging;
mod jitter;
mod layers;
mod policies_page;
#[path = "../server_kit/mod.rs"]
mod server_kit;
mod server_model;
mod server_overload;
mod server_promises;
mod server_slot;
#[path = "../support/mod.rs"]
mod support;
mod swap;
mod tower_layers;
