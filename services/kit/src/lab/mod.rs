//! The control API of lab mode: policies, faults, reset, fixtures and events, on a port
//! and behind a token of its own. Outside lab mode nothing of it is started.

mod control;
pub mod events;
pub mod faults;
mod policies;

pub(crate) use control::{Control, Fixtures, Reset, router};
