//! gRPC between the services: the server side with the shared secret, context and
//! metrics, and the client side with a policy in its slot.

mod client;
mod door;
mod server;

pub use client::{Link, LinkError};
pub(crate) use server::Serving;
pub use server::{Guard, ctx, secret};
