//! What can be wrong with a history, one thing at a time.

/// A way to spoil a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corruption {
    /// An acknowledged order is gone.
    Lost,
    /// An order has other units at rest.
    Changed,
    /// An order was called off by nobody.
    CancelledUnasked,
    /// A second order for one key.
    Duplicate,
    /// A repeat gets another body.
    UnequalBody,
    /// A refused request left an order.
    RefusedOrder,
    /// An order that nobody asked for.
    Unasked,
    /// A product's row has a unit too many.
    Unbalanced,
    /// Units were sold below zero.
    BelowZero,
    /// A look in flight finds less committed than acknowledged.
    TooFew,
    /// A look in flight finds more committed than can be.
    TooMany,
    /// The ledger misses a unit.
    Ledger,
    /// A reservation's units came back twice.
    ReturnedTwice,
    /// A reservation was committed after it expired.
    Both,
    /// Units of an order that was called off stay sold.
    SoldToNobody,
    /// A reservation is held by no saga.
    Orphan,
    /// A saga never ended.
    Overdue,
    /// An event is missing.
    EventMissing,
    /// An event took effect twice.
    EffectTwice,
    /// An event tells of what never happened.
    EventWithoutTransition,
    /// A payment was taken twice.
    CapturedTwice,
    /// An owner doesn't find their order.
    NotRead,
    /// A list misses an order.
    NotListed,
    /// A status went back.
    Backwards,
    /// A step was skipped.
    Skipped,
    /// A price that never was.
    Price,
    /// A sum that doesn't add up.
    Sum,
}

impl Corruption {
    pub(crate) const ALL: [Self; 27] = [
        Self::Lost,
        Self::Changed,
        Self::CancelledUnasked,
        Self::Duplicate,
        Self::UnequalBody,
        Self::RefusedOrder,
        Self::Unasked,
        Self::Unbalanced,
        Self::BelowZero,
        Self::TooFew,
        Self::TooMany,
        Self::Ledger,
        Self::ReturnedTwice,
        Self::Both,
        Self::SoldToNobody,
        Self::Orphan,
        Self::Overdue,
        Self::EventMissing,
        Self::EffectTwice,
        Self::EventWithoutTransition,
        Self::CapturedTwice,
        Self::NotRead,
        Self::NotListed,
        Self::Backwards,
        Self::Skipped,
        Self::Price,
        Self::Sum,
    ];
}
