//! Payments: types and rules, no I/O.

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The amount is set aside.
    Authorized,
    /// It was not to be had.
    Declined,
    /// It was taken.
    Captured,
    /// It was let go before it was taken, or before it was even asked for.
    Voided,
    /// It was taken, and given back.
    Refunded,
}

impl State {
    const ALL: [Self; 5] = [
        Self::Authorized,
        Self::Declined,
        Self::Captured,
        Self::Voided,
        Self::Refunded,
    ];

    /// The word in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Declined => "declined",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Refunded => "refunded",
        }
    }

    /// The state of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A payment as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Where it stands.
    pub state: State,
    /// How much it is about.
    pub amount_cents: i64,
}
