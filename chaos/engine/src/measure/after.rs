//! Breakers and recovery: what followed the fault.

use std::ops::Range;

use super::spans::within;
use super::{Lengths, Move, Tally, Trial};
use crate::checks::{Metric, Selector, Window};
use crate::runlog::BreakerState;

/// A breaker's life in one trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BreakerLife {
    /// When it first opened.
    pub opened_at_s: Option<f64>,
    /// When it last closed.
    pub closed_at_s: Option<f64>,
    /// How often it opened.
    pub opens: u64,
    /// How long it was open, half-open not counted.
    pub open_s: f64,
}

impl Trial {
    /// The life of a link's breaker; `None` if it never moved.
    #[must_use]
    pub fn breaker(&self, link: &str) -> Option<BreakerLife> {
        let moves: Vec<&Move> = self
            .moves
            .iter()
            .filter(|m| m.link == link && m.t_s >= 0.0)
            .collect();
        let first = |to| moves.iter().find(|m| m.to == to).map(|m| m.t_s);
        if moves.is_empty() {
            return None;
        }
        let mut life = BreakerLife {
            opened_at_s: first(BreakerState::Open),
            ..Default::default()
        };
        let closed = moves.iter().rev().find(|m| m.to == BreakerState::Closed);
        life.closed_at_s = closed.map(|m| m.t_s);
        for (i, m) in moves
            .iter()
            .enumerate()
            .filter(|(_, m)| m.to == BreakerState::Open)
        {
            life.opens += 1;
            let until = moves.get(i + 1).map_or(self.last_second(), |next| next.t_s);
            life.open_s += (until - m.t_s).max(0.0);
        }
        Some(life)
    }

    fn last_second(&self) -> f64 {
        self.cells.iter().map(|(s, _)| *s + 1).max().unwrap_or(0) as f64
    }

    /// The links whose breakers moved.
    #[must_use]
    pub fn breaker_links(&self) -> Vec<String> {
        let mut names: Vec<String> = self.moves.iter().map(|m| m.link.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// A figure of a breaker in a window; infinite for what never happened.
    #[must_use]
    pub fn breaker_figure(
        &self,
        metric: Metric,
        link: &str,
        window: &Window,
        lengths: Lengths,
    ) -> Option<f64> {
        // The whole repeat goes on until the last event, a little after the load.
        let spans = match window {
            Window::Whole => vec![0.0..f64::INFINITY],
            _ => self.spans(window, lengths)?,
        };
        let never = f64::INFINITY;
        let moves = || self.moves_in(link, &spans);
        let opening = |from: f64| moves().find(|m| m.to == BreakerState::Open && m.t_s >= from);
        Some(match metric {
            Metric::Opens => moves().filter(|m| m.to == BreakerState::Open).count() as f64,
            Metric::Transitions => moves().count() as f64,
            Metric::OpenedAfterFailures => opening(0.0).map_or(never, |m| m.failed_in_a_row as f64),
            Metric::OpenedAfterCalls => {
                let (fault, from) = self.first_fault(window)?;
                let since = |m: &Move| m.attempts_since.get(&fault).copied();
                opening(from).map_or(never, |m| since(m).unwrap_or(0) as f64)
            }
            Metric::OpenedWithin => {
                let (_, from) = self.first_fault(window)?;
                opening(from).map_or(never, |m| m.t_s - from)
            }
            Metric::ClosedWithin => {
                let (last, cleared) = (moves().next_back(), self.cleared_at()?);
                match last {
                    Some(m) if m.to == BreakerState::Closed => (m.t_s - cleared).max(0.0),
                    _ => never,
                }
            }
            Metric::AttemptsWhileOpen => {
                self.through(link, BreakerState::Open, &spans).sum::<u64>() as f64
            }
            Metric::TrialsAtOnce => {
                let most = self.through(link, BreakerState::HalfOpen, &spans).max();
                most.unwrap_or(0) as f64
            }
            _ => return None,
        })
    }

    fn moves_in<'a>(
        &'a self,
        link: &'a str,
        spans: &'a [Range<f64>],
    ) -> impl DoubleEndedIterator<Item = &'a Move> {
        let of = move |m: &&Move| m.link == link && within(spans, m.t_s);
        self.moves.iter().filter(of)
    }

    /// How many attempts went through in each stretch of that state.
    fn through(
        &self,
        link: &str,
        state: BreakerState,
        spans: &[Range<f64>],
    ) -> impl Iterator<Item = u64> {
        self.stretches
            .iter()
            .filter(move |s| s.link == link && s.state == state && within(spans, s.t_s))
            .map(|s| s.attempts)
    }

    /// The fault that a window is about, else the first of all, and when it began.
    fn first_fault(&self, window: &Window) -> Option<(String, f64)> {
        let about = |fault: &str| match window {
            Window::DuringFault(name) => fault == name,
            _ => true,
        };
        let begun = self.injected.iter().filter(|m| about(&m.fault));
        let first = begun.min_by(|a, b| a.begin_s.total_cmp(&b.begin_s))?;
        Some((first.fault.clone(), first.begin_s))
    }

    /// From the clearing to the first of three seconds in a row at 99 % of the
    /// success before, of what is selected; infinite if there are none.
    #[must_use]
    pub fn recovery_s(&self, selector: &Selector) -> Option<f64> {
        let cleared = self.cleared_at()?;
        let before = self.tally(&Window::Before, selector).success_rate()?;
        let by_second = self.tallies(&Window::Whole, selector);
        let good = |s: i64| {
            let rate = by_second.get(&s).and_then(Tally::success_rate);
            rate.is_some_and(|r| r >= 0.99 * before)
        };
        let last = *by_second.keys().last()?;
        let first = (cleared.floor() as i64..=last - 2).find(|s| (*s..*s + 3).all(good));
        Some(first.map_or(f64::INFINITY, |s| (s as f64 - cleared).max(0.0)))
    }

    /// On how much a fault or condition acted, as its injectors counted it; of all of
    /// them without a name. `None` where nobody counts.
    #[must_use]
    pub fn acted(&self, fault: Option<&str>) -> Option<u64> {
        let Some(fault) = fault else {
            let names = self.acted.keys().chain(self.hits.keys());
            let mut names: Vec<&String> = names.collect();
            names.sort();
            names.dedup();
            let counts = names.into_iter().filter_map(|f| self.acted(Some(f)));
            return counts.reduce(|a, b| a + b);
        };
        let hits = || {
            self.hits
                .get(fault)
                .map(|by_second| by_second.values().sum())
        };
        self.acted.get(fault).map(|a| a.acted).or_else(hits)
    }
}
