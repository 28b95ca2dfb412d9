//! When the parts of a trial were, on the clock.

use std::ops::Range;

use super::{Mark, Named, Trial};
use crate::checks::Window;

/// How long a trial and its recovery are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lengths {
    /// From second 0 to the end of the load, in seconds.
    pub duration_s: f64,
    /// How long `recovering` lasts at most.
    pub recovering_s: f64,
}

impl Trial {
    /// When the first fault began.
    #[must_use]
    pub fn injected_at(&self) -> Option<f64> {
        self.injected
            .iter()
            .map(|m| m.begin_s)
            .min_by(f64::total_cmp)
    }

    /// When the last fault was confirmed cleared.
    #[must_use]
    pub fn cleared_at(&self) -> Option<f64> {
        self.cleared.iter().map(|m| m.done_s).max_by(f64::total_cmp)
    }

    /// The named stretch of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Named> {
        self.windows.iter().find(|w| w.name == name)
    }

    /// The whole seconds of a named stretch: those whose middle lies in it.
    pub(crate) fn seconds_of(&self, window: &Window) -> Option<Range<i64>> {
        let Window::DuringFault(name) = window else {
            return None;
        };
        let named = self.named(name)?;
        let first = |s: f64| (s - 0.5).ceil() as i64;
        Some(first(named.from_s)..first(named.to_s))
    }

    /// When a window was: one stretch of seconds, or as many as its fault was injected.
    /// `None` if it didn't come.
    #[must_use]
    pub fn spans(&self, window: &Window, lengths: Lengths) -> Option<Vec<Range<f64>>> {
        let end = lengths.duration_s;
        let recovered = || Some((self.cleared_at()? + lengths.recovering_s).min(end));
        let one = match window {
            Window::Whole => 0.0..end,
            Window::Before => 0.0..self.injected_at().unwrap_or(end),
            Window::During => self.injected_at()?..self.cleared_at()?,
            Window::DuringFault(name) => match self.named(name) {
                Some(named) => named.from_s..named.to_s,
                None => return self.injections(name),
            },
            Window::Recovering => self.cleared_at()?..recovered()?,
            Window::After => recovered()?..end,
        };
        Some(vec![one])
    }

    fn injections(&self, fault: &str) -> Option<Vec<Range<f64>>> {
        let of = |marks: &[Mark]| -> Vec<Mark> {
            marks.iter().filter(|m| m.fault == fault).cloned().collect()
        };
        let cleared = of(&self.cleared);
        let on = of(&self.injected)
            .iter()
            .zip(&cleared)
            .map(|(begin, end)| begin.begin_s..end.done_s)
            .collect::<Vec<_>>();
        (!on.is_empty()).then_some(on)
    }

    /// How long a window is, in seconds.
    #[must_use]
    pub fn length(&self, window: &Window, lengths: Lengths) -> Option<f64> {
        let spans = self.spans(window, lengths)?;
        Some(spans.iter().map(|s| s.end - s.start).sum())
    }
}

/// Whether a moment lies in one of the spans.
pub(super) fn within(spans: &[Range<f64>], s: f64) -> bool {
    spans.iter().any(|span| span.contains(&s))
}
