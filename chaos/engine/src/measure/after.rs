//! Breakers and recovery: what followed the fault.

use super::{Move, Tally, Trial};
use crate::checks::{Metric, Selector, Window};
use crate::runlog::BreakerState;

/// A breaker's life in one trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
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

    /// A figure of a breaker; infinite for what never happened.
    #[must_use]
    pub fn breaker_figure(&self, metric: Metric, link: &str) -> Option<f64> {
        let never = f64::INFINITY;
        let moves = || self.moves.iter().filter(|m| m.link == link && m.t_s >= 0.0);
        let opening = |from: f64| moves().find(|m| m.to == BreakerState::Open && m.t_s >= from);
        Some(match metric {
            Metric::Opens => moves().filter(|m| m.to == BreakerState::Open).count() as f64,
            Metric::OpenedAfterFailures => opening(0.0).map_or(never, |m| m.failed_in_a_row as f64),
            Metric::OpenedWithin => {
                let from = self.injected_at()?;
                opening(from).map_or(never, |m| m.t_s - from)
            }
            Metric::ClosedWithin => {
                let (last, cleared) = (moves().next_back(), self.cleared_at()?);
                match last {
                    Some(m) if m.to == BreakerState::Closed => (m.t_s - cleared).max(0.0),
                    _ => never,
                }
            }
            _ => return None,
        })
    }

    /// From the clearing to the first of three seconds in a row at 99 % of the
    /// success before; infinite if there are none.
    #[must_use]
    pub fn recovery_s(&self) -> Option<f64> {
        let cleared = self.cleared_at()?;
        let before = self.tally(&Window::Before, &Selector::All).success_rate()?;
        let by_second = self.tallies(&Window::Whole, &Selector::All);
        let good = |s: i64| {
            let rate = by_second.get(&s).and_then(Tally::success_rate);
            rate.is_some_and(|r| r >= 0.99 * before)
        };
        let last = *by_second.keys().last()?;
        let first = (cleared.floor() as i64..=last - 2).find(|s| (*s..*s + 3).all(good));
        Some(first.map_or(f64::INFINITY, |s| (s as f64 - cleared).max(0.0)))
    }
}
