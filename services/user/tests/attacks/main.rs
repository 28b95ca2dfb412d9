//! Attacks on accounts, tokens and second factors, against the whole service on free ports. The line
//! above each test says which attack it is and what answer it gets.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "../api/common.rs"]
mod common;
#[path = "../api/guarded.rs"]
mod guarded;

mod codes;
mod guessing;
mod lab;
mod logs;
mod production;
mod revoked;
mod rotation;
mod samples;
mod sessions;
mod tokens;
