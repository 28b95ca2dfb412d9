//! When a second copy is sent. What isn't the experiment is equal: one attempt, no time limits.

use std::time::Duration;

use resilience::budget::BudgetConfig;
use resilience::hedge::HedgeConfig;
use resilience::{Policy, preset};

/// A policy under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    None,
    Percentile,
    Fixed,
}

/// All of them.
pub(super) const ALL: [Arm; 3] = [Arm::None, Arm::Percentile, Arm::Fixed];

/// The share of calls that may be hedged: twice what the 95th percentile asks for.
const RATIO: f64 = 0.1;

impl Arm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Percentile => "hedge-p95",
            Self::Fixed => "hedge-30ms",
        }
    }

    /// What it does, in a line.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::None => "no hedge",
            Self::Percentile => "a second copy after the live 95th percentile",
            Self::Fixed => "a second copy after 30 ms, which is somebody's knowledge",
        }
    }

    /// The caller's policy, in model time.
    pub(super) fn policy(self) -> Policy {
        let hedge = match self {
            Self::None => None,
            Self::Percentile => Some(HedgeConfig::Percentile {
                percentile: 0.95,
                min_samples: 100,
                floor: Duration::from_millis(1),
            }),
            Self::Fixed => Some(HedgeConfig::Fixed {
                delay: Duration::from_millis(30),
            }),
        };
        let budget = hedge.map(|_| BudgetConfig::Ratio {
            ratio: RATIO,
            ttl: Duration::from_secs(10),
            min_per_second: 0.0,
        });
        Policy {
            deadline: None,
            hedge,
            budget,
            ..preset::none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_are_valid() {
        for arm in ALL {
            arm.policy().validate().unwrap();
        }
    }
}
