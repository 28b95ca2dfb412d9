//! The chaos engine: runs a scenario against a target and lets a machine decide
//! from the measurements.
//!
//! A scenario ([`scenario`]) says which load and which faults come when, which
//! policies are compared (the arms), and what should hold ([`checks`]). The same
//! seeded load and time line is run once per arm and repeat ([`run()`]). What the
//! load, the parts' events and the time line tell goes through one [`reducer`] into
//! one run log ([`runlog`]); the result, with its statistics ([`stats`]) and its
//! verdict ([`verdict`]), is folded from that log alone ([`result`]).
//!
//! The engine reaches the system only over HTTP: its entry, the control API
//! ([`control`]) and the fault proxies' API ([`proxy`]), all named by a [`Target`].
#![warn(missing_docs)]

pub mod checks;
pub mod compare;
pub mod control;
pub mod decisions;
pub mod diagnostics;
mod error;
pub mod event;
pub mod facts;
pub mod figures;
pub mod junit;
pub mod latency;
pub mod measure;
mod progress;
pub mod proxy;
pub mod recompute;
pub mod reducer;
pub mod requests;
pub mod result;
mod run;
pub mod runlog;
pub mod scenario;
pub mod stats;
#[cfg(test)]
mod synthetic;
mod table;
pub mod target;
pub mod timeline;
pub mod usage;
pub mod verdict;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use error::EngineError;
pub use progress::{Progress, Silent, Stage, Update};
pub use result::{RunResult, VoidTrial};
pub use run::{Options, run};
pub use scenario::Scenario;
pub use target::Target;
pub use verdict::Verdict;
