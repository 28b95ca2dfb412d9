//! When the phases of a trial were, and to which one a life belongs.

use std::ops::Range;

use super::told::Told;
use crate::runlog::Phase;

impl Told {
    /// When the first fault began.
    fn begin_us(&self) -> Option<i64> {
        self.injected.iter().map(|m| m.begun_us).min()
    }

    /// When the last fault was cleared, once all were.
    fn over_us(&self) -> Option<i64> {
        let all = self.cleared.len() >= self.injected.len();
        let ends = self.cleared.iter().map(|m| m.done_us);
        ends.max().filter(|_| all)
    }

    /// When the last fault was cleared, in seconds.
    pub(super) fn cleared_s(&self) -> Option<f64> {
        self.cleared
            .iter()
            .map(|m| seconds(m.done_us))
            .reduce(f64::max)
    }

    /// The phase of a life.
    pub(super) fn phase(&self, (from, to): (i64, i64)) -> Phase {
        let (begin, over) = (self.begin_us(), self.over_us());
        match (begin, over) {
            _ if from < 0 => Phase::WarmUp,
            (None, _) => Phase::Before,
            (Some(begin), _) if to < begin => Phase::Before,
            (_, None) => Phase::During,
            (_, Some(over)) if from <= over => Phase::During,
            (_, Some(over)) if from < over + self.recovering_us => Phase::Recovering,
            _ => Phase::After,
        }
    }

    /// The seconds of a phase, of the whole trial without one; `None` if it didn't come.
    pub(super) fn span(&self, phase: Option<Phase>) -> Option<Range<f64>> {
        let end = seconds(self.duration_us);
        let begin = self.begin_us().map(seconds);
        let recovered = || Some((self.cleared_s()? + seconds(self.recovering_us)).min(end));
        Some(match phase {
            None | Some(Phase::WarmUp) => 0.0..end,
            Some(Phase::Before) => 0.0..begin.unwrap_or(end),
            Some(Phase::During) => begin?..self.cleared_s()?,
            Some(Phase::Recovering) => self.cleared_s()?..recovered()?,
            Some(Phase::After) => recovered()?..end,
        })
    }
}

pub(super) fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}
