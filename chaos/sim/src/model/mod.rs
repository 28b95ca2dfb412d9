//! What the policies meet: networks, servers, arrivals and errors, in virtual time.

mod arrivals;
mod error;
mod guarded;
mod network;
mod server;
mod service;

pub use arrivals::Arrivals;
pub use error::ModelError;
pub use guarded::{Fit, Guarded};
pub use network::Network;
pub use server::{Server, ServerConfig, Tally};
pub use service::ServiceTime;
