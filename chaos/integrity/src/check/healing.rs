//! Rule 13, and whether a run was busy enough to prove anything.

use serde::{Deserialize, Serialize};

use super::{Checked, Rule, Subject, Violation, sagas::Healed};
use crate::history::{Call, History, Op, Outcome};
use crate::workload::Limits;

/// Fewer operations than this can't tell 99.9 % from less.
const ENOUGH: usize = 1_000;

/// 13: within the policy's reset + 5 s of healing success is at least 99.9 %, over all operations
/// of customers from then to the next fault.
pub(super) fn success_comes_back(history: &History, limits: &Limits) -> Checked {
    let wait = (limits.reset + limits.heal_slack).as_nanos() as u64;
    let healed = Healed::of(history).calm(history.began, history.stopped);
    // Before the first fault there is nothing to come back from.
    let after = healed.iter().filter(|(from, _)| *from > history.began);
    let windows: Vec<(u64, u64)> = after
        .map(|(from, until)| (from + wait, *until))
        .filter(|(from, until)| from < until)
        .collect();
    let mut judged = 0_usize;
    let mut failed = Vec::new();
    for op in &history.ops {
        let at = windows.partition_point(|(from, _)| *from <= op.invoked);
        let inside = at
            .checked_sub(1)
            .is_some_and(|at| op.invoked < windows[at].1);
        if !inside || op.call == Call::Audit {
            continue;
        }
        judged += 1;
        if !succeeded(op) {
            failed.push(op.id);
        }
    }
    if judged < ENOUGH {
        return Err("fewer than 1 000 operations after healing, reset and 5 s");
    }
    let share = 1.0 - failed.len() as f64 / judged as f64;
    if share >= limits.healed_success {
        return Ok(Vec::new());
    }
    let what = format!(
        "{} of {judged} operations did not succeed after healing",
        failed.len()
    );
    let amount = failed.len() as i64;
    let violation = Violation::new(Rule::SuccessComesBack, "not_healed", Subject::Run, what);
    Ok(vec![
        violation.by(amount).shown_by(failed.into_iter().take(20)),
    ])
}

/// Done, or refused for a reason: what can't be had is no failure of the shop.
fn succeeded(op: &Op) -> bool {
    match &op.outcome {
        Outcome::Ok(_) => true,
        Outcome::Fail { status, .. } => (400..500).contains(status) && *status != 429,
        Outcome::Info { .. } => false,
    }
}

/// How busy a run was while no fault was on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steady {
    /// Acknowledged operations while no fault was on.
    pub acknowledged: u64,
    /// Seconds without any fault, until the customers stopped.
    pub seconds: f64,
}

impl Steady {
    /// Acknowledged operations a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 {
            self.acknowledged as f64 / self.seconds
        } else {
            0.0
        }
    }
}

/// How busy a run was while no fault was on.
#[must_use]
pub fn steady(history: &History) -> Steady {
    let calm = Healed::of(history).calm(history.began, history.stopped);
    let total: u64 = calm.iter().map(|(from, until)| until - from).sum();
    let acknowledged = history.ops.iter().filter(|op| {
        let at = calm.partition_point(|(from, _)| *from <= op.ended);
        op.is_ok() && at.checked_sub(1).is_some_and(|at| op.ended <= calm[at].1)
    });
    Steady {
        acknowledged: acknowledged.count() as u64,
        seconds: total as f64 / 1e9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Answer, Fault};

    const SECOND: u64 = 1_000_000_000;

    /// A read every millisecond for a minute, a fault from 10 s to 20 s; those that `wrong` names
    /// by their second fail.
    fn history(wrong: impl Fn(u64) -> bool) -> History {
        let ops = (0..60_000_u64).map(|n| {
            let invoked = n * SECOND / 1_000;
            let outcome = match wrong(invoked / SECOND) {
                true => Outcome::Info {
                    why: "timeout".to_owned(),
                },
                false => Outcome::Ok(Answer::Done),
            };
            Op {
                id: n,
                call: Call::List { user: 1 },
                invoked,
                ended: invoked + 1,
                outcome,
            }
        });
        History {
            ops: ops.collect(),
            stopped: 60 * SECOND,
            faults: vec![Fault {
                name: "f".to_owned(),
                what: String::new(),
                on: 10 * SECOND,
                off: 20 * SECOND,
            }],
            ..History::default()
        }
    }

    fn limits() -> Limits {
        Limits {
            reset: std::time::Duration::from_secs(10),
            ..Limits::default()
        }
    }

    #[test]
    fn failures_count_from_reset_and_five_seconds_after_healing_on() {
        let during = history(|second| (10..35).contains(&second));
        assert_eq!(success_comes_back(&during, &limits()), Ok(Vec::new()));
        let after = history(|second| (10..36).contains(&second));
        let broken = success_comes_back(&after, &limits()).unwrap();
        assert_eq!((broken.len(), broken[0].amount), (1, 1_000));
    }

    #[test]
    fn without_enough_operations_it_is_not_judged() {
        let mut short = history(|_| true);
        short.stopped = 35 * SECOND + SECOND / 2;
        assert!(success_comes_back(&short, &limits()).is_err());
        // A run without faults has nothing to come back from.
        short.faults.clear();
        assert!(success_comes_back(&short, &limits()).is_err());
    }

    #[test]
    fn the_rate_counts_calm_seconds_alone() {
        let steady = steady(&history(|second| second >= 50));
        assert!((steady.seconds - 50.0).abs() < 1e-6, "{steady:?}");
        assert!((steady.rate() - 800.0).abs() < 1.0, "{steady:?}");
    }
}
