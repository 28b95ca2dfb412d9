//! Faults, request by request: the layer that fails, delays, overloads and forgets on purpose.
//!
//! A fault acts on one link: on requests that reach this service (`order-product` at the product
//! service), or on its own way to its cache and database (`product-cache`, `product-database`).
//! What becomes of a request is a pure function of the fault's seed and of request id, link, method
//! and attempt (`draw`); only queues and `first N of all` know what happened before.
//!
//! None of it exists outside of lab mode; in lab mode, while no fault is held, it costs a request
//! one atomic load. A fault holds a lease that its owner renews: when the owner dies, it goes.

mod action;
mod client;
mod control;
mod dist;
mod draw;
mod fields;
mod grpc;
mod headers;
mod plan;
mod queue;
mod registry;
mod rest;
mod seen;
mod serve;
mod spec;
mod status;
mod stay;

pub(crate) use client::{ClientFaults, FaultyCache};
pub(crate) use control::router;
pub(crate) use grpc::GrpcFaults;
pub(crate) use registry::Faults;
pub(crate) use rest::{LoseReply, ReplyLost, RestFaults};
pub use seen::{attempt, carry};
pub(crate) use stay::{Held, Stay};
