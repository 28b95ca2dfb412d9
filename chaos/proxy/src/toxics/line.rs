//! A line that carries one thing at a time, for the stages that pace.

use std::time::Duration;

use tokio::time::Instant;

/// Lateness up to this is made up for: timers tick in milliseconds, and without
/// it a rate would fall short of what was asked for. Beyond it the time is gone,
/// so that a receiver that paused doesn't get it all in one burst.
pub(super) const CATCH_UP: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(super) struct Line {
    free_at: Option<Instant>,
}

impl Line {
    /// When something that arrived at that instant may begin.
    pub(super) fn start(&self, arrived: Instant) -> Instant {
        self.free_at.map_or(arrived, |free| free.max(arrived))
    }

    /// Taken until that instant by something that was due at `due`; what it is
    /// late by `now`, beyond [`CATCH_UP`], puts everything after it off.
    pub(super) fn busy(&mut self, until: Instant, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due);
        self.free_at = Some(until + late.saturating_sub(CATCH_UP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_little_lateness_is_made_up_for_and_much_is_not() {
        let start = Instant::now();
        let mut line = Line::default();
        assert_eq!(line.start(start), start);
        line.busy(start + 20 * MS, start, start + 4 * MS);
        assert_eq!(line.start(start), start + 20 * MS);
        assert_eq!(line.start(start + 50 * MS), start + 50 * MS);
        line.busy(start + 20 * MS, start, start + 500 * MS);
        assert_eq!(line.start(start), start + 510 * MS);
    }
}
