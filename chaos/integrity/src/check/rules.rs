//! The rules in words, and what breaking one looks like.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::{OrderId, ProductId, UserId};

/// An invariant of reliability.md; its number is the one there. 12 (encryption) can't be seen from
/// a history and is tested elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// 1.
    AcknowledgedOrdersExist,
    /// 2.
    OneOrderPerKey,
    /// 3.
    RefusedLeavesNothing,
    /// 4.
    UnitsAddUp,
    /// 5.
    LiveOrdersAreCommitted,
    /// 6.
    ReservationsEndOnce,
    /// 7.
    CommitOrExpiry,
    /// 8.
    SagasEnd,
    /// 9.
    EffectsOnce,
    /// 10.
    OwnWritesAreRead,
    /// 11.
    PricesWereValid,
    /// 13.
    SuccessComesBack,
}

impl Rule {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::AcknowledgedOrdersExist,
        Self::OneOrderPerKey,
        Self::RefusedLeavesNothing,
        Self::UnitsAddUp,
        Self::LiveOrdersAreCommitted,
        Self::ReservationsEndOnce,
        Self::CommitOrExpiry,
        Self::SagasEnd,
        Self::EffectsOnce,
        Self::OwnWritesAreRead,
        Self::PricesWereValid,
        Self::SuccessComesBack,
    ];

    /// Its number in reliability.md.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::AcknowledgedOrdersExist => 1,
            Self::OneOrderPerKey => 2,
            Self::RefusedLeavesNothing => 3,
            Self::UnitsAddUp => 4,
            Self::LiveOrdersAreCommitted => 5,
            Self::ReservationsEndOnce => 6,
            Self::CommitOrExpiry => 7,
            Self::SagasEnd => 8,
            Self::EffectsOnce => 9,
            Self::OwnWritesAreRead => 10,
            Self::PricesWereValid => 11,
            Self::SuccessComesBack => 13,
        }
    }

    /// What it promises.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::AcknowledgedOrdersExist => "an acknowledged order exists, unchanged",
            Self::OneOrderPerKey => "at most one order per user and key; repeats get equal bodies",
            Self::RefusedLeavesNothing => "a 4xx leaves nothing behind",
            Self::UnitsAddUp => {
                "available + reserved + committed = initial + restocked; available is never below 0"
            }
            Self::LiveOrdersAreCommitted => {
                "at rest live orders = committed; in flight \
                 acknowledged ≤ committed ≤ acknowledged + indeterminate"
            }
            Self::ReservationsEndOnce => {
                "a reservation ends once, its units return at most once, the ledger replays to the row"
            }
            Self::CommitOrExpiry => "a reservation is committed or it expires, never both",
            Self::SagasEnd => "every saga ends within its time to live + 5 s and leaves no orphan",
            Self::EffectsOnce => "an event if and only if its transition; its effect once",
            Self::OwnWritesAreRead => {
                "own writes are read back; status moves only along allowed edges"
            }
            Self::PricesWereValid => "a price was valid at some moment between call and answer",
            Self::SuccessComesBack => {
                "within the policy's reset + 5 s of healing success is at least 99.9 %"
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.number(), self.words())
    }
}

/// What a violation is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A user's idempotency key.
    Key {
        /// Whose.
        user: UserId,
        /// Which.
        key: String,
    },
    /// An order.
    Order(OrderId),
    /// A product.
    Product(ProductId),
    /// A saga, reservation or payment, by its order key.
    OrderKey(String),
    /// The run as a whole.
    Run,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { user, key } => write!(f, "user {user}, key {key}"),
            Self::Order(order) => write!(f, "order {order}"),
            Self::Product(product) => write!(f, "product {product}"),
            Self::OrderKey(key) => write!(f, "order key {key}"),
            Self::Run => write!(f, "the run"),
        }
    }
}

/// A rule that was broken, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// In which way: `lost`, `duplicate`, …
    pub code: &'static str,
    /// About what.
    pub subject: Subject,
    /// By how many units or cents, where there is such a number.
    pub amount: i64,
    /// For people.
    pub what: String,
    /// Operations that show it.
    pub ops: Vec<u64>,
    /// Operations that speak for the shop and may not be left out of the story: without them it
    /// would be another one.
    pub context: Vec<u64>,
}

impl Violation {
    pub(super) fn new(rule: Rule, code: &'static str, subject: Subject, what: String) -> Self {
        Self {
            rule,
            code,
            subject,
            amount: 0,
            what,
            ops: Vec::new(),
            context: Vec::new(),
        }
    }

    pub(super) fn by(mut self, amount: i64) -> Self {
        self.amount = amount;
        self
    }

    pub(super) fn shown_by(mut self, ops: impl IntoIterator<Item = u64>) -> Self {
        self.ops.extend(ops);
        self
    }

    pub(super) fn given(mut self, context: impl IntoIterator<Item = u64>) -> Self {
        self.context.extend(context);
        self
    }

    /// Whether another history breaks the rule in the same way.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.rule == other.rule
            && self.code == other.code
            && self.subject == other.subject
            && self.amount.signum() == other.amount.signum()
    }
}

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It held.
    Held,
    /// It was broken.
    Broken(Vec<Violation>),
    /// The history can't tell, for this reason.
    Not(&'static str),
}

impl Judged {
    pub(super) fn of(violations: Vec<Violation>) -> Self {
        if violations.is_empty() {
            Self::Held
        } else {
            Self::Broken(violations)
        }
    }

    /// The violations.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        match self {
            Self::Broken(violations) => violations,
            Self::Held | Self::Not(_) => &[],
        }
    }
}
