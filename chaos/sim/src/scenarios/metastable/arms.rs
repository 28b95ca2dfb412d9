//! The policies that are compared. What isn't the experiment is equal in them: the time-out of an
//! attempt (250 ms) and the deadline of a call (1 s).

use resilience::{Policy, ServerPolicy, preset, server};

use super::world::Callers;
use super::{SERVICE, SETTLE, WORKERS};
use crate::model::Fit;

/// A policy under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    Naive,
    FullJitter,
    GrpcA6,
    Breaker,
    Shed,
}

/// All of them.
pub(super) const ALL: [Arm; 5] = [
    Arm::Naive,
    Arm::FullJitter,
    Arm::GrpcA6,
    Arm::Breaker,
    Arm::Shed,
];

impl Arm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::FullJitter => "full-jitter",
            Self::GrpcA6 => "grpc-a6",
            Self::Breaker => "breaker",
            Self::Shed => "shed",
        }
    }

    /// What it does, in a line.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Naive => "3 attempts, at once one after the other",
            Self::FullJitter => "3 attempts, full jitter from 50 ms",
            Self::GrpcA6 => "4 attempts, 100 ms doubled, and none while 10 tokens are half spent",
            Self::Breaker => "as full-jitter, and a breaker: 5 failures in a row, 5 s",
            Self::Shed => "callers as in naive, and a server that refuses what it can't do in time",
        }
    }

    /// Its policies on both sides.
    pub(super) fn callers(self) -> Callers {
        let policy = self.policy();
        let fit = Fit {
            workers: WORKERS,
            service: SERVICE,
            timeout: policy.attempt_timeout.unwrap_or(SETTLE),
        };
        Callers {
            policy,
            door: self.door(fit),
        }
    }

    /// The caller's policy, in model time.
    fn policy(self) -> Policy {
        let naive = preset::naive();
        match self {
            Self::Naive | Self::Shed => naive,
            Self::FullJitter => Policy {
                breaker: None,
                ..preset::fast()
            },
            Self::GrpcA6 => Policy {
                deadline: naive.deadline,
                attempt_timeout: naive.attempt_timeout,
                ..preset::grpc_a6()
            },
            Self::Breaker => preset::fast(),
        }
    }

    /// The server's policy, in model time: everybody is let in, but in the arm that sheds. There
    /// the preset is fitted to the server, with its workers as the limit.
    fn door(self, server: Fit) -> ServerPolicy {
        match self {
            Self::Shed => server.preset(server::preset::shed()),
            Self::Naive | Self::FullJitter | Self::GrpcA6 | Self::Breaker => {
                server::preset::unlimited()
            }
        }
    }
}
