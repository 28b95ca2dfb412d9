//! What every simulation stands on: scaled virtual time, one stream of chance for each part, and
//! independent cells on all cores.
//!
//! - [`scale`]: model time and the runtime's, and policies between them;
//! - [`clock`]: a world of its own for each repetition, with a paused clock;
//! - [`seed`]: where chance comes from;
//! - [`cells`]: many worlds at once, with results in a fixed order.

pub mod cells;
pub mod clock;
pub mod scale;
pub mod seed;

pub use clock::{Clock, world};
pub use seed::{Seed, SimRng};
