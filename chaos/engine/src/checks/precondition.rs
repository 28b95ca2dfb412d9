//! Preconditions: checks that decide whether a trial counts at all.
//!
//! A trial in which something was wrong before the fault came tells nothing of the
//! policies: it measured the lab, the disk or the machine. With
//! `precondition = true` a check makes such a trial void, so that it is run again
//! with the same seed instead of failing a policy that had no part in it.
//!
//! Leaving out trials by what they came to bends every figure that is left
//! (selection on the outcome), so what may decide it is narrow: counts of requests
//! or calls, from before the fault, of the trial's own arm, compared exactly.
//! [`admissible`] refuses everything else when the file is read. And it is never
//! silent: each void trial is listed, and the check says how many it made void.

use std::ops::Range;

use super::eval::Bound;
use super::lexer::{Token, tokens};
use super::outcome::{ArmTrials, CheckResult, Measurements};
use super::parser::{Problem, measured_in};
use super::{
    ArmRef, Check, Claim, Comparison, Expr, Measured, Metric, Names, Predicate, Scope, Selector,
    Unit, Window,
};
use crate::measure::Trial;

/// A precondition that a trial does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The check.
    pub(crate) id: String,
    /// What was found and what was expected: `unsuccessful 1, expected 0`.
    pub(crate) why: String,
}

/// Whether a check can be a precondition: one that is decided on a single trial,
/// from what happened before any fault.
///
/// # Errors
/// What stands against it, with its place in `text`.
pub(crate) fn admissible(text: &str, check: &Predicate, names: &Names) -> Result<(), Problem> {
    if let Claim::Approx { .. } = check.claim {
        let message = "a precondition is decided exactly, on one trial: compare counts, with ==, <= or another comparison";
        return Err(Problem::new(place(text, &["approx"]), message));
    }
    let measured = measured_in(&check.claim);
    for metric in measured.iter().map(|m| m.metric) {
        if let Some(why) = not_for_one_trial(metric) {
            let message = format!("`{metric}` {why}");
            return Err(Problem::new(place(text, &[metric.name()]), message));
        }
    }
    if measured.windows(2).any(|pair| pair[0].arm != pair[1].arm) {
        let message = "a precondition is about one trial, and a trial has one arm: name the same arm, or `*`, throughout";
        return Err(Problem::new(0..text.len(), message));
    }
    for m in measured {
        in_time(text, m.window.as_ref().unwrap_or(&check.window), names)?;
    }
    Ok(())
}

fn not_for_one_trial(metric: Metric) -> Option<&'static str> {
    let of_the_trial = matches!(
        metric.scope(),
        Scope::Breaker | Scope::Repeat | Scope::Traffic | Scope::LinkTraffic
    );
    if of_the_trial {
        return Some(
            "is what a trial comes to, so it can't decide whether the trial counts; a precondition is about requests or calls before the fault",
        );
    }
    (metric.unit() != Unit::Count).then_some(
        "is no count: a precondition is decided exactly, on one trial; count instead, such as unsuccessful(*) == 0",
    )
}

/// Only what comes before the fault says nothing about the policies under it.
fn in_time(text: &str, window: &Window, names: &Names) -> Result<(), Problem> {
    if *window == Window::Before {
        return Ok(());
    }
    let message = if names.faults.is_empty() {
        "a precondition is about what comes before the fault, and the scenario has no fault"
    } else {
        "a precondition is about what comes before the fault: end it with `before fault`. What comes later is what the arms are compared by"
    };
    let span = match window {
        Window::Whole => 0..text.len(),
        _ => place(text, &["during", "while", "after"]).start..text.len(),
    };
    Err(Problem::new(span, message))
}

/// Where the last of these words stands in a check; all of the check if none does.
fn place(text: &str, words: &[&str]) -> Range<usize> {
    let found = tokens(text).ok().and_then(|tokens| {
        let wanted = |token: &Token| matches!(token, Token::Name(n) if words.contains(&n.as_str()));
        let (_, span) = tokens.into_iter().rfind(|(token, _)| wanted(token))?;
        Some(span)
    });
    found.unwrap_or(0..text.len())
}

/// The preconditions among `checks` that a trial does not meet. Those that name
/// another arm don't concern it; one without data (no request before the fault) is
/// not met, since nothing shows that it is.
pub(crate) fn broken(checks: &[Check], trial: &Trial) -> Vec<Broken> {
    let of = |check: &Check| {
        let why = why_broken(&check.predicate, trial)?;
        let id = check.id.clone();
        Some(Broken { id, why })
    };
    checks
        .iter()
        .filter(|c| c.precondition)
        .filter_map(of)
        .collect()
}

fn why_broken(check: &Predicate, trial: &Trial) -> Option<String> {
    let arm = trial.start.arm.as_str();
    let concerns = |m: &&Measured| m.arm == ArmRef::Each || m.arm == ArmRef::Named(arm.to_owned());
    if !measured_in(&check.claim).iter().all(concerns) {
        return None;
    }
    // Counts of a phase need neither its length nor the arm's reset.
    let data = Measurements {
        arms: vec![ArmTrials {
            name: arm,
            reset_s: 0.0,
            trials: vec![trial],
        }],
        duration_s: 0.0,
        seed: 0,
    };
    let bound = Bound::new(check, &data, Some(arm));
    let pair = match bound.pairs(1) {
        Ok(pairs) => pairs.first().copied()?,
        Err(why) => return Some(why),
    };
    if bound.holds(pair) {
        return None;
    }
    let (left, right) = bound.sides();
    let (found, wanted) = (bound.show(pair.0), bound.show(pair.1));
    let mut why = format!("{} {found}, expected {}{wanted}", words(left), sign(check));
    if !right.measured().is_empty() {
        why.push_str(&format!(" ({})", words(right)));
    }
    Some(why)
}

fn sign(check: &Predicate) -> &'static str {
    match &check.claim {
        Claim::Approx { .. } => "about ",
        Claim::Compare { op, .. } => match op {
            Comparison::Equal => "",
            Comparison::NotEqual => "anything but ",
            Comparison::AtMost => "at most ",
            Comparison::AtLeast => "at least ",
            Comparison::Above => "more than ",
            Comparison::Below => "less than ",
        },
    }
}

/// A side for people: `failed of order + rejected of order`.
fn words(side: &Expr) -> String {
    match side {
        Expr::Number(n) => n.to_string(),
        Expr::Reset(_) => "reset".to_owned(),
        Expr::Measured(m) => match &m.selector {
            Selector::All | Selector::AnyLink => m.metric.to_string(),
            Selector::Op(op) => format!("{} of {op}", m.metric),
            Selector::Refused => format!("{} of those refused", m.metric),
            Selector::Stream(name) | Selector::Priority(name) | Selector::Fault(name) => {
                format!("{} of {name}", m.metric)
            }
            Selector::Link(link) => format!("{} over {link}", m.metric),
        },
        Expr::Both(how, a, b) => how.words(&words(a), &words(b)),
    }
}

/// Adds to a precondition's evidence that it made so many trials void, of which so
/// many were run again.
pub(crate) fn tell(check: &mut CheckResult, void: usize, again: usize) {
    let some = |n: usize| match n {
        1 => "1 trial was".to_owned(),
        n => format!("{n} trials were"),
    };
    let words = match (void, again) {
        (0, _) => return,
        (1, 1) => "1 trial was void because of it and was run again".to_owned(),
        (v, a) if v == a => format!("{} void because of it and were run again", some(v)),
        (v, a) => format!("{} void because of it, {a} of them run again", some(v)),
    };
    check.evidence.push_str("; ");
    check.evidence.push_str(&words);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runlog::{Cell, Entry, Frame, Outcomes, Phase, TrialStart};

    /// A trial of `fast` with so many ok and failed orders before the fault, and as
    /// many failed ones during it.
    fn trial(ok: u64, failed: u64) -> Trial {
        let cell = |phase, ok, failed| Cell {
            phase,
            faults: Vec::new(),
            op: loadtest::Op::Order,
            refused: false,
            stream: String::new(),
            priority: None,
            retry_after: 0,
            outcomes: Outcomes {
                ok,
                failed,
                ..Outcomes::default()
            },
            hdr: String::new(),
        };
        let start = TrialStart {
            trial: 0,
            arm: "fast".to_owned(),
            repeat: 2,
            go: 1,
            seed: 1,
            reset_us: 0,
            policies: Default::default(),
        };
        let frame = Frame {
            trial: 0,
            second: 3,
            cells: vec![
                cell(Phase::WarmUp, 0, 9),
                cell(Phase::Before, ok, failed),
                cell(Phase::During, 0, 9),
            ],
            links: Vec::new(),
            breakers: Default::default(),
            flow: Default::default(),
            begun: Default::default(),
            acted: Default::default(),
        };
        Trial::from_entries(&[Entry::Trial(start), Entry::Frame(frame)]).unwrap()
    }

    fn why(that: &str, trial: &Trial) -> Option<String> {
        let names = Names {
            arms: ["naive", "fast"].map(str::to_owned).to_vec(),
            faults: vec![("outage".to_owned(), "order-product".to_owned())],
            ..Names::default()
        };
        let that = format!("{that} before outage");
        let predicate = super::super::parse(&that, &names).unwrap();
        admissible(&that, &predicate, &names).unwrap();
        let check = Check {
            id: "p".to_owned(),
            that,
            because: String::new(),
            predicate,
            precondition: true,
            quick: None,
        };
        let plain = Check {
            precondition: false,
            ..check.clone()
        };
        assert!(broken(&[plain], trial).is_empty());
        broken(&[check], trial).into_iter().next().map(|b| b.why)
    }

    #[test]
    fn only_what_comes_before_the_fault_is_looked_at() {
        let clean = trial(40, 0);
        for that in [
            "unsuccessful(*) == 0",
            "failed(fast) <= 0",
            "requests(*, order) >= 40",
            "requests(*) == failed(*) + 40",
            "requests(*) != 39",
        ] {
            assert_eq!(why(that, &clean), None, "{that}");
        }
    }

    #[test]
    fn what_is_not_met_is_told_with_what_was_expected() {
        let stumbled = trial(39, 1);
        for (that, want) in [
            ("unsuccessful(*) == 0", "unsuccessful 1, expected 0"),
            ("failed(fast) < 1", "failed 1, expected less than 1"),
            (
                "failed(*, order) <= 0",
                "failed of order 1, expected at most 0",
            ),
            ("requests(*) >= 41", "requests 40, expected at least 41"),
            ("requests(*) > 40", "requests 40, expected more than 40"),
            ("failed(*) != 1", "failed 1, expected anything but 1"),
            (
                "2 * failed(*) + rejected(*) == failed(*)",
                "2 * failed + rejected 2, expected 1 (failed)",
            ),
        ] {
            assert_eq!(why(that, &stumbled).as_deref(), Some(want), "{that}");
        }
    }

    #[test]
    fn another_arms_precondition_does_not_concern_a_trial() {
        assert_eq!(why("unsuccessful(naive) == 0", &trial(0, 9)), None);
    }

    #[test]
    fn without_data_nothing_is_shown() {
        let want = "no requests before the fault in repeat 2 of fast";
        assert_eq!(
            why("unsuccessful(*) == 0", &trial(0, 0)).as_deref(),
            Some(want)
        );
        let calls = why("attempts(*) == calls(*)", &trial(9, 0)).unwrap();
        assert_eq!(
            calls,
            "no calls over order-product before the fault in repeat 2 of fast"
        );
    }
}
