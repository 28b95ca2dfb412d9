//! The simulator: the resilience policies, unchanged, in virtual time.
//!
//! What takes hours on real servers takes seconds here, and happens again exactly: the code of the
//! crate [`resilience`] that runs in the services runs here too, on a paused clock, against
//! modelled networks, servers and clients ([`model`]). Each [`Scenario`] asks one question, answers
//! it with rows and a picture ([`Outcome`]), and names the source of the figures it should agree
//! with.
//!
//! **Use it** to choose between policies before a real run, for sizes no laptop can serve (a herd
//! of 100 000), and to check a formula. **It misleads** where the model leaves out what decides:
//! no CPU is shared here, no connection pool runs dry, and service times don't depend on load. What
//! matters is shown again by the scenarios on the real shop (`lab chaos`).
//!
//! ```
//! use chaos_sim::{Run, Scenario, scenarios::amplification};
//!
//! let params = amplification::Params {
//!     failure: vec![1.0],
//!     attempts: vec![4],
//!     layers: vec![3],
//!     calls: 100,
//! };
//! let outcome = Scenario::Amplification(params).run(&Run::new(42))?;
//! assert!(outcome.json().contains(r#""load": 64.0000"#), "three layers of 4 attempts are 64");
//! # Ok::<(), chaos_sim::SimError>(())
//! ```
//!
//! # The same seed, the same bytes
//!
//! A run depends on its seed and parameters only: each repetition is a world of its own with one
//! thread, one paused clock and its own streams of chance ([`kernel`]); worlds run on all cores,
//! and their results are put together in a fixed order.
#![warn(missing_docs)]

mod error;
pub mod kernel;
pub mod model;
pub mod report;
mod run;
pub mod scenarios;
pub mod stats;

pub use error::SimError;
pub use report::Outcome;
pub use run::Run;
pub use scenarios::{Entry, Scenario, catalogue};
