//! The verdict of a run, from its trials, faults and checks.

use serde::{Deserialize, Serialize};

use crate::measure::Trial;
use crate::runlog::Seen;
use crate::scenario::Action;
use crate::stats::binomial_limit;

/// What became of a check or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything held.
    Pass,
    /// Something did not hold.
    Fail,
    /// It can't be said.
    Inconclusive,
}

impl Verdict {
    /// The exit status of `lab`: 0, 1, 2.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 2,
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }

    /// The order in which one of several speaks for all: fail first, pass last.
    pub(crate) const fn badness(self) -> u8 {
        match self {
            Self::Fail => 0,
            Self::Inconclusive => 1,
            Self::Pass => 2,
        }
    }
}

/// The verdict of a run. In this order: what could not be measured (void trials,
/// an early end) or a fault that did not act makes it inconclusive, whatever else
/// was seen; then any failed check makes it fail; then any inconclusive check
/// makes it inconclusive; else it passes.
#[must_use]
pub fn decide(void: &[String], not_acted: &[String], checks: &[Verdict]) -> Verdict {
    if !void.is_empty() || !not_acted.is_empty() {
        return Verdict::Inconclusive;
    }
    let worst = checks.iter().min_by_key(|v| v.badness());
    worst.copied().unwrap_or(Verdict::Pass)
}

/// Whether the attempts prove that a fault acted. Some attempts are slow or fail
/// without a fault, so what chance explains (97.5 % of windows) proves nothing.
/// A link that is down fails attempts; it can't merely slow them.
#[must_use]
pub fn proves(seen: &Seen, action: &Action) -> bool {
    let before = seen.attempts_before.max(1) as f64;
    let failing = seen.failed_before as f64 / before;
    let failed = seen.failed > 0
        && (seen.failed_before == 0 || seen.failed >= binomial_limit(seen.attempts, failing));
    // The percentile before is itself uncertain, so twice its share is allowed.
    let slow = seen.slow >= binomial_limit(seen.attempts, 0.02);
    match action {
        Action::Down => failed,
        _ => failed || slow,
    }
}

/// Whether anything proves that a fault acted in a trial: its injector's own count, if
/// somebody counts; where nobody does, or the count may miss something (a proxy can't count
/// the connections it refused), the attempts on its link.
#[must_use]
pub fn acted(trial: &Trial, fault: &str, action: &Action) -> bool {
    let counted = trial.acted(Some(fault));
    let exact = trial.acted.get(fault).is_some_and(|a| a.exact)
        || (counted.is_some() && !trial.acted.contains_key(fault));
    let seen = || trial.seen.get(fault).is_some_and(|s| proves(s, action));
    counted.is_some_and(|n| n > 0) || (!exact && seen())
}

/// What is in force throughout has no time before it to be compared with, so that only its
/// injector's count proves that it acted.
#[must_use]
pub fn condition_acted(trial: &Trial, name: &str) -> bool {
    trial.acted(Some(name)).is_some_and(|n| n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Fail, Inconclusive, Pass};

    #[test]
    fn the_order_of_the_verdict() {
        let why = vec!["x".to_owned()];
        let none: Vec<String> = Vec::new();
        // void, not acted, checks, verdict
        type Row<'a> = (&'a [String], &'a [String], &'a [Verdict], Verdict);
        let table: [Row<'_>; 9] = [
            (&none, &none, &[], Pass),
            (&none, &none, &[Pass, Pass], Pass),
            (&none, &none, &[Pass, Inconclusive], Inconclusive),
            (&none, &none, &[Inconclusive, Fail, Pass], Fail),
            (&none, &none, &[Fail], Fail),
            (&none, &why, &[Pass], Inconclusive),
            (&none, &why, &[Fail], Inconclusive),
            (&why, &none, &[Fail], Inconclusive),
            (&why, &why, &[Pass], Inconclusive),
        ];
        for (void, not_acted, checks, want) in table {
            assert_eq!(
                decide(void, not_acted, checks),
                want,
                "{void:?} {not_acted:?} {checks:?}"
            );
        }
    }

    #[test]
    fn chance_proves_nothing() {
        let down = Action::Down;
        let toxic = Action::Toxic(crate::scenario::Toxic {
            kind: "latency".into(),
            stream: "downstream".into(),
            toxicity: 1.0,
            attributes: Default::default(),
        });
        let seen = |failed, slow, failed_before| Seen {
            attempts: 200,
            failed,
            slow,
            attempts_before: 200,
            failed_before,
        };
        assert!(!proves(&seen(0, 0, 0), &down));
        assert!(proves(&seen(5, 0, 0), &down));
        assert!(!proves(&seen(0, 200, 0), &down), "slow is not down");
        assert!(!proves(&seen(0, 3, 0), &toxic), "1 % is slow by definition");
        assert!(proves(&seen(0, 50, 0), &toxic));
        assert!(!proves(&seen(21, 0, 20), &down), "as many failed before");
        assert!(proves(&seen(60, 0, 20), &down));
        assert!(!proves(&Seen::default(), &toxic));
    }

    #[test]
    fn exit_codes() {
        assert_eq!(
            [Pass, Fail, Inconclusive].map(Verdict::exit_code),
            [0, 1, 2]
        );
    }
}
