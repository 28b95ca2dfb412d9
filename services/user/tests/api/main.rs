//! The whole service over HTTP and gRPC, started on free ports.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod accounts;
mod audit;
mod common;
mod fields;
mod guarded;
mod people;
mod refresh;
mod second_factor;
mod service;
mod tokens;
