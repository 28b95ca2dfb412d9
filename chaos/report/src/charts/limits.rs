//! The limits that checks set, where a picture shows what they limit.

use chaos_engine::checks::{ArmRef, CheckResult, Claim, Expr, Measured, Metric, Window};
use chaos_engine::{RunResult, Scenario};

use super::plot::Limit;
use crate::data::{Band, Data};
use crate::words;

#[derive(Clone, Copy, PartialEq)]
enum Picture {
    Latency,
    Goodput,
}

/// Every limit with its picture and its arm.
pub(super) struct Limits(Vec<(Picture, ArmRef, Limit)>);

impl Limits {
    pub(super) fn of(result: &RunResult, scenario: &Scenario, data: &Data) -> Self {
        let bands: Vec<&Band> = data.arms.iter().flat_map(|arm| &arm.bands).collect();
        let limit = |(check, decided): (&chaos_engine::checks::Check, &CheckResult)| {
            let check = check.under(result.quick);
            let Claim::Compare { left, op, .. } = &check.predicate.claim else {
                return None;
            };
            let Expr::Measured(m) = left else {
                return None;
            };
            let (picture, value) = drawn(m, decided)?;
            let (from, to) = stretch(&check.predicate.window, &bands, data.time.to);
            let (name, sign) = (m.metric.name(), op.sign());
            let words = match picture {
                Picture::Goodput => format!("{name} {sign} {}/s", words::count(value)),
                Picture::Latency if m.metric == Metric::ShareUnder => {
                    format!("{}within {}", share(decided), words::seconds(value))
                }
                Picture::Latency => format!("{name} {sign} {}", words::seconds(value)),
            };
            let check = check.id.clone();
            Some((
                picture,
                m.arm.clone(),
                Limit {
                    value,
                    from,
                    to,
                    words,
                    check,
                },
            ))
        };
        Self(
            scenario
                .checks
                .iter()
                .zip(&result.checks)
                .filter_map(limit)
                .collect(),
        )
    }

    fn in_picture(&self, picture: Picture, arm: &str) -> Vec<Limit> {
        let applies = |of: &ArmRef| match of {
            ArmRef::Named(name) => name == arm,
            ArmRef::Each => true,
        };
        let here = self
            .0
            .iter()
            .filter(|(p, of, _)| *p == picture && applies(of));
        here.map(|(.., limit)| limit.clone()).collect()
    }

    pub(super) fn latency(&self, arm: &str) -> Vec<Limit> {
        self.in_picture(Picture::Latency, arm)
    }

    /// The longest latency that any check allows: the pictures reach up to it.
    pub(super) fn longest(&self) -> f64 {
        let all = self.0.iter().filter(|(p, ..)| *p == Picture::Latency);
        all.map(|(.., limit)| limit.value).fold(0.0, f64::max)
    }

    pub(super) fn goodput(&self, arm: &str) -> Vec<Limit> {
        self.in_picture(Picture::Goodput, arm)
    }
}

/// Which picture shows this metric, and where the limit lies in it.
fn drawn(m: &Measured, decided: &CheckResult) -> Option<(Picture, f64)> {
    match m.metric {
        Metric::P50 | Metric::P90 | Metric::P99 | Metric::P999 => {
            Some((Picture::Latency, decided.bound?))
        }
        Metric::ShareUnder => Some((Picture::Latency, m.limit?)),
        Metric::Goodput => Some((Picture::Goodput, decided.bound?)),
        _ => None,
    }
}

fn share(decided: &CheckResult) -> String {
    decided.bound.map_or_else(String::new, |b| {
        format!("{} % ", crate::scale::short(b * 100.0, 2))
    })
}

/// From when to when a check looks.
fn stretch(window: &Window, bands: &[&Band], end: f64) -> (f64, f64) {
    let named = |b: &&&Band| match window {
        Window::DuringFault(name) => b.fault == *name,
        _ => true,
    };
    let on: Vec<&&Band> = bands.iter().filter(named).collect();
    let begin = on
        .iter()
        .map(|b| b.from)
        .min_by(f64::total_cmp)
        .unwrap_or(0.0);
    let over = on
        .iter()
        .map(|b| b.to)
        .max_by(f64::total_cmp)
        .unwrap_or(0.0);
    match window {
        Window::Before if !on.is_empty() => (0.0, begin),
        Window::During | Window::DuringFault(_) if !on.is_empty() => (begin, over),
        Window::Recovering | Window::After => (over, end),
        _ => (0.0, end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_reaches_as_far_as_its_check_looks() {
        let band = |fault: &str, from, to| Band {
            fault: fault.to_owned(),
            link: String::new(),
            from,
            to,
        };
        let (a, b) = (band("a", 5.0, 8.0), band("b", 10.0, 12.0));
        let bands = [&a, &b];
        let at = |window| stretch(&window, &bands, 30.0);
        assert_eq!(at(Window::Whole), (0.0, 30.0));
        assert_eq!(at(Window::Before), (0.0, 5.0));
        assert_eq!(at(Window::During), (5.0, 12.0));
        assert_eq!(at(Window::DuringFault("b".to_owned())), (10.0, 12.0));
        assert_eq!(at(Window::After), (12.0, 30.0));
        assert_eq!(stretch(&Window::During, &[], 30.0), (0.0, 30.0));
    }
}
