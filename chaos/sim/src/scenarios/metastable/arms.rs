//! The policies that are compared. What isn't the experiment is equal in them: the time-out of an
//! attempt (250 ms) and the deadline of a call (1 s).

use resilience::{Policy, preset};

/// A policy under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    Naive,
    FullJitter,
    Breaker,
}

/// All of them.
pub(super) const ALL: [Arm; 3] = [Arm::Naive, Arm::FullJitter, Arm::Breaker];

impl Arm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::FullJitter => "full-jitter",
            Self::Breaker => "breaker",
        }
    }

    /// What it does, in a line.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Naive => "3 attempts, at once one after the other",
            Self::FullJitter => "3 attempts, full jitter from 50 ms",
            Self::Breaker => "the same, and a breaker: 5 failures in a row, 5 s",
        }
    }

    /// The caller's policy, in model time.
    pub(super) fn policy(self) -> Policy {
        match self {
            Self::Naive => preset::naive(),
            Self::FullJitter => Policy {
                breaker: None,
                ..preset::fast()
            },
            Self::Breaker => preset::fast(),
        }
    }
}
