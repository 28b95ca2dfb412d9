//! What a saga is made of.

use std::{fmt, str::FromStr};

/// How far the making, or the cancelling, of an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SagaState {
    /// Stock and payment may be held, no order is stored.
    Open,
    /// The order is stored; its stock is being made final.
    Placed,
    /// Its stock is final and it is shown; its payment is being captured.
    Committed,
    /// There is no order; stock and payment go back.
    Undoing,
    /// The order was cancelled; stock and payment go back.
    Cancelling,
    /// Made.
    Done,
    /// Undone.
    Undone,
    /// Cancelled, and everything is back.
    Cancelled,
}

impl SagaState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Placed,
        Self::Committed,
        Self::Undoing,
        Self::Cancelling,
        Self::Done,
        Self::Undone,
        Self::Cancelled,
    ];

    /// The word in the database and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Placed => "placed",
            Self::Committed => "committed",
            Self::Undoing => "undoing",
            Self::Cancelling => "cancelling",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing is left to be done.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Undone | Self::Cancelled)
    }
}

impl fmt::Display for SagaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SagaState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("saga state {text:?}"))
    }
}

/// A client's wish that this request be done once.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The `Idempotency-Key` header.
    pub key: String,
    /// What the body asks for, in one form.
    pub body: String,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is the client's secret.
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

/// Who works on a saga, and until when nobody else does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The process.
    pub owner: String,
    /// In ms since the epoch.
    pub until_ms: i64,
}

/// A saga to be opened.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Names the order, its reservation and its payment.
    pub order_key: String,
    /// Whose it is.
    pub user_id: i64,
    /// The client's key, if it gave one.
    pub claim: Option<Claim>,
    /// Who begins it.
    pub lease: Lease,
    /// When what is still open is undone.
    pub deadline_ms: i64,
    /// Now.
    pub now_ms: i64,
}

/// What became of a begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The saga is open, and ours.
    Yes(Hold),
    /// The key was used before: the first answer.
    Answered(String),
    /// The key's first request is under way.
    InFlight,
    /// The key was used for another body.
    OtherBody,
}

/// A saga in somebody's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which one.
    pub order_key: String,
    /// The number of its holder: an update with an older one changes nothing.
    pub fence: i64,
    /// Where it stands, as far as the holder knows.
    pub state: SagaState,
    /// How often it was taken over.
    pub attempts: i64,
}
