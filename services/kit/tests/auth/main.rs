//! Tokens, keys and revocations as every service checks them: forged tokens, the feed of the user
//! service, and properties of the verifier.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod attacks;
mod common;
mod feed;
mod properties;
