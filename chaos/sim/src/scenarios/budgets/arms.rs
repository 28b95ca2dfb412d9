//! The budgets that are compared. What isn't the experiment is equal in them: the attempts of a
//! call, and that they follow one another at once.

use std::time::Duration;

use resilience::backoff::Jitter;
use resilience::budget::BudgetConfig;
use resilience::retry::RetryConfig;
use resilience::{Policy, preset};

use crate::scenarios::amplification::{self, Expected};

/// The bucket's share of a token for a success; an extra attempt costs one.
const DEPOSIT: f64 = 0.1;

/// The most tokens. Enough that a bucket that is mostly empty is never full by chance.
const CAPACITY: f64 = 100.0;

/// Below this gain or loss of tokens a call, the bucket is at times empty and at times full.
const EDGE: f64 = 0.01;

/// A budget under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    Fixed,
    Bucket,
    GrpcA6,
    Aws,
    Finagle,
    Envoy,
}

/// All of them.
pub(super) const ALL: [Arm; 6] = [
    Arm::Fixed,
    Arm::Bucket,
    Arm::GrpcA6,
    Arm::Aws,
    Arm::Finagle,
    Arm::Envoy,
];

impl Arm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Bucket => "bucket",
            Self::GrpcA6 => "grpc-a6",
            Self::Aws => "aws",
            Self::Finagle => "finagle",
            Self::Envoy => "envoy",
        }
    }

    /// What it does, in a line.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Fixed => "no budget",
            Self::Bucket => "a token bucket: 0.1 for a success, 1 for a retry, no refund",
            Self::GrpcA6 => "throttling 10 / 0.1: a failure takes 1, none above half, no retries",
            Self::Aws => "a token bucket: 1 for a first success, 5 for a retry, with refund",
            Self::Finagle => "retries up to 20 % of the calls of 10 s, and 10 a second",
            Self::Envoy => "retries under way up to 20 % of the calls under way, at least 3",
        }
    }

    fn budget(self) -> Option<BudgetConfig> {
        match self {
            Self::Fixed => None,
            Self::Bucket => Some(BudgetConfig::Bucket {
                capacity: CAPACITY,
                retry_cost: 1.0,
                timeout_cost: 1.0,
                deposit: DEPOSIT,
                refund: false,
            }),
            Self::GrpcA6 => preset::grpc_a6().budget,
            Self::Aws => preset::aws().budget,
            Self::Finagle => preset::finagle().budget,
            Self::Envoy => preset::envoy().budget,
        }
    }

    /// The caller's policy, in model time.
    pub(super) fn policy(self, attempts: u32) -> Policy {
        Policy {
            deadline: None,
            retry: Some(RetryConfig {
                max_attempts: attempts,
                base: Duration::ZERO,
                multiplier: 1.0,
                cap: Duration::ZERO,
                jitter: Jitter::None,
                obey_pushback: true,
            }),
            budget: self.budget(),
            ..preset::none()
        }
    }

    /// Load and success of a call in the long run, for those with a closed form.
    pub(super) fn closed_form(self, failure: f64, attempts: u32) -> Option<Form> {
        match self {
            Self::Fixed => Some(unbounded(failure, attempts)),
            Self::Bucket => bucket(failure, attempts),
            Self::GrpcA6 | Self::Aws | Self::Finagle | Self::Envoy => None,
        }
    }
}

/// What theory says of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Form {
    /// The means.
    pub(super) mean: Expected,
    /// How far one call's load and success spread; those of n calls do by the root of n less.
    pub(super) spread: Expected,
}

/// Fixed retries: calls are independent of one another.
fn unbounded(failure: f64, attempts: u32) -> Form {
    let mean = amplification::closed_form(failure, attempts, 1);
    // A call makes more than k attempts with pᵏ.
    let squares: f64 = (0..attempts)
        .map(|k| f64::from(2 * k + 1) * failure.powi(k as i32))
        .sum();
    Form {
        mean,
        spread: Expected {
            load: (squares - mean.load * mean.load).max(0.0).sqrt(),
            success: (mean.success * (1.0 - mean.success)).sqrt(),
        },
    }
}

/// The bucket that only extra attempts take from.
///
/// While it earns more than fixed retries would spend, it is full, and nothing is refused. While it
/// earns less, every deposit is spent: `load - 1 = deposit · load · (1 - p)`, so load is
/// `1/(1 - deposit · (1 - p))`. Between the two, chance decides, and there is no such form.
///
/// When it is spent, a success more than expected buys `deposit` attempts more, and so on: the luck
/// of the attempts counts `load` times in the successes, and `deposit · load` times in the load.
fn bucket(failure: f64, attempts: u32) -> Option<Form> {
    let fixed = unbounded(failure, attempts);
    let loss = (fixed.mean.load - 1.0) - DEPOSIT * fixed.mean.success;
    if loss.abs() < EDGE {
        return None;
    }
    if loss < 0.0 {
        return Some(fixed);
    }
    let load = 1.0 / (1.0 - DEPOSIT * (1.0 - failure));
    let luck = (load * failure * (1.0 - failure)).sqrt();
    Some(Form {
        mean: Expected {
            load,
            success: load * (1.0 - failure),
        },
        spread: Expected {
            load: DEPOSIT * load * luck,
            success: load * luck,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of `resilience.md`, to the digits written there.
    #[test]
    fn the_closed_forms_are_the_specifications() {
        for (failure, bucket, fixed) in [
            (0.1, (1.099, 0.989), (1.111, 0.9999)),
            (0.5, (1.053, 0.526), (1.875, 0.938)),
            (1.0, (1.0, 0.0), (4.0, 0.0)),
        ] {
            for (arm, (load, success)) in [(Arm::Bucket, bucket), (Arm::Fixed, fixed)] {
                let form = arm.closed_form(failure, 4).unwrap().mean;
                assert!((form.load - load).abs() < 6e-4, "{arm:?}: {form:?}");
                assert!((form.success - success).abs() < 6e-4, "{arm:?}: {form:?}");
            }
        }
    }

    #[test]
    fn a_full_bucket_refuses_nothing_and_at_the_edge_chance_decides() {
        let [few, edge] = [0.05, 0.09].map(|failure| Arm::Bucket.closed_form(failure, 4));
        assert_eq!(few, Arm::Fixed.closed_form(0.05, 4));
        assert_eq!(edge, None);
    }

    #[test]
    fn the_arms_are_different_and_valid() {
        for arm in ALL {
            arm.policy(4).validate().unwrap();
            let same = |other: &&Arm| other.policy(4) == arm.policy(4);
            assert_eq!(ALL.iter().filter(same).count(), 1, "{arm:?}");
        }
    }
}
