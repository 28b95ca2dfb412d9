//! Bugs to switch on, each of a kind that others fell into.

use crate::check::Rule;

/// A seeded defect of the model shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Defect {
    /// A failed order's units are not given back.
    LostCompensation,
    /// Giving back again what was given back returns the units again.
    DoubleRelease,
    /// The idempotency key is stored after the order, not with it.
    KeyAfterEffect,
    /// An event is appended after the transaction of its transition.
    OutboxAfterCommit,
    /// A commit looks at the expiry first and writes later, whatever happened in between.
    ExpiryRace,
    /// A repeated capture takes the money again.
    CaptureTwice,
    /// A reservation that expired can still be committed.
    CommitAfterExpiry,
    /// Reads come from a copy that lags behind.
    StaleRead,
    /// A status may jump over steps.
    EdgeSkipped,
    /// An order is acknowledged before it is stored.
    LostAcknowledged,
    /// A known key is overlooked now and then.
    DuplicateOrder,
    /// An order refused for want of one product keeps the units of the others.
    RefusedKeepsUnits,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::LostCompensation,
        Self::DoubleRelease,
        Self::KeyAfterEffect,
        Self::OutboxAfterCommit,
        Self::ExpiryRace,
        Self::CaptureTwice,
        Self::CommitAfterExpiry,
        Self::StaleRead,
        Self::EdgeSkipped,
        Self::LostAcknowledged,
        Self::DuplicateOrder,
        Self::RefusedKeepsUnits,
    ];

    /// Its name, as the command line would have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LostCompensation => "lost_compensation",
            Self::DoubleRelease => "double_release",
            Self::KeyAfterEffect => "key_after_effect",
            Self::OutboxAfterCommit => "outbox_after_commit",
            Self::ExpiryRace => "expiry_race",
            Self::CaptureTwice => "capture_twice",
            Self::CommitAfterExpiry => "commit_after_expiry",
            Self::StaleRead => "stale_read",
            Self::EdgeSkipped => "edge_skipped",
            Self::LostAcknowledged => "lost_acknowledged",
            Self::DuplicateOrder => "duplicate_order",
            Self::RefusedKeepsUnits => "refused_keeps_units",
        }
    }

    /// The rules that it breaks, of which a run must find at least one.
    #[must_use]
    pub fn breaks(self) -> &'static [Rule] {
        match self {
            Self::LostCompensation => &[Rule::LiveOrdersAreCommitted, Rule::SagasEnd],
            Self::DoubleRelease => &[Rule::ReservationsEndOnce],
            Self::KeyAfterEffect | Self::DuplicateOrder => &[Rule::OneOrderPerKey],
            Self::OutboxAfterCommit | Self::CaptureTwice => &[Rule::EffectsOnce],
            Self::ExpiryRace | Self::CommitAfterExpiry => &[Rule::CommitOrExpiry],
            Self::StaleRead | Self::EdgeSkipped => &[Rule::OwnWritesAreRead],
            Self::LostAcknowledged => &[Rule::AcknowledgedOrdersExist],
            Self::RefusedKeepsUnits => &[Rule::SagasEnd, Rule::RefusedLeavesNothing],
        }
    }
}
