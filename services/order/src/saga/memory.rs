//! The saga's collaborators in memory, by the same rules as the real ones, for virtual time: tests
//! and simulations run the very code of [`super::Saga`] over them, seed by seed.
//!
//! They keep what a disk keeps: a process that dies is a [`super::Saga`] that is dropped, and its
//! successor goes on over the same journal.

mod journal;
mod payments;
mod stock;

use tokio::time::Instant;

pub use journal::{MemoryJournal, StoredOrder};
pub use payments::MemoryPayments;
pub use stock::{HeldState, MemoryStock};

use super::Clock;

/// Virtual time, in ms since the epoch: tokio's clock, which a paused test moves.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Instant,
}

impl TokioClock {
    /// What the clock says when it is made.
    pub const START_MS: i64 = 1_767_603_600_000;

    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now_ms(&self) -> i64 {
        Self::START_MS + super::settings::millis(self.start.elapsed())
    }
}
