//! The control API of lab mode: policies, faults, failpoints, seeded defects, reset, fixtures, books
//! and events, on a port and behind a token of its own. Outside lab mode nothing of it is started.

mod armed;
mod books;
mod control;
mod defects;
pub mod events;
pub mod failpoints;
pub mod faults;
mod lease;
mod policies;

pub use defects::Defects;
pub use failpoints::Failpoints;

pub(crate) use books::Books;
pub(crate) use control::{Control, Fixtures, Reset, router};
