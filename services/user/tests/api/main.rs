//! The whole service over HTTP and gRPC, started on free ports.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod accounts;
mod common;
mod guarded;
mod people;
mod refresh;
mod second_factor;
mod second_factor_attacks;
mod service;
mod tokens;
