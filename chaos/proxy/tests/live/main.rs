//! A server inside the test, real connections through it, and its API.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod extensions;
mod support;
mod toxics;
