//! What every service of the shop needs, and no more: configuration, telemetry,
//! the HTTP and gRPC servers with the contract's common rules, authentication,
//! database, cache, health, and the lab's control API.
//!
//! A service is one [`cli::Service`]: it reads its configuration from an
//! [`Env`], assembles a [`Server`] and returns a [`Running`]. Nothing here is
//! global but the telemetry recorder, so a whole service starts inside a test on
//! port 0.

#![warn(missing_docs)]

pub mod auth;
pub mod cache;
pub mod cli;
pub mod config;
pub mod crypto;
mod ctx;
pub mod db;
pub mod docs;
pub mod error;
pub mod form;
pub mod grpc;
pub mod health;
pub mod http;
pub mod json;
pub mod lab;
mod money;
pub mod page;
pub mod replicas;
mod server;
mod slots;
pub mod telemetry;
pub mod time;
pub mod tls;

pub use config::{Common, Env, LabConfig};
pub use ctx::Ctx;
pub use error::{ApiError, ApiResult};
pub use money::{Cents, MoneyError};
pub use server::{Running, Server, ServerError};
pub use slots::{Place, Slots};
