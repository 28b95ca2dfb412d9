//! Checks: comparisons over what was measured.
//!
//! # Reference
//!
//! ```text
//! check   = side op side [ when ]
//!         | "approx" "(" side "," side "," "within" percent ")" [ when ]
//! op      = ">=" | "<=" | ">" | "<" | "==" | "!="
//! side    = term { "+" term }
//! term    = factor { ( "*" | "/" ) factor }
//! factor  = number | percent | duration | "reset" [ "(" arm ")" ] | metric | "(" side ")"
//!         | ( "max" | "min" ) "(" side { "," side } ")"
//! metric  = name [ "(" arm [ "," limit ] [ "," selector ] ")" ] [ "@" part ]
//! arm     = an arm's name | "*"                   every arm; all must hold
//! part    = "before" | "during" | "recovering" | "after" | "whole" | fault | window
//! when    = "before" fault | "during" fault | "during" window | "while" "recovering"
//!         | "after" "recovery" | "after" "fault" | "after" "clear"
//! fault   = "fault" | the name of a fault on the time line
//! window  = the name of a [[window]]
//! ```
//!
//! A metric without an arm means every arm. One with a part of the run of its own
//! (`p99(fast)@before`) is measured there, the others in the check's `when`, without one
//! over the whole repeat. `reset` is the breaker reset of the check's arm on the faulted
//! link (0 without a breaker). Durations are `50ms`, `2s`, `1m`; a share is `0.99` or
//! `99%`. `approx(a, b, within 5%)` holds only if the whole interval of a/b lies inside
//! 1 ± 5 %. `max(a, b)` is the greater of two sides; before an arm, `max(fast)`, it is the
//! longest latency.
//!
//! | metric | is | selector |
//! |---|---|---|
//! | `requests`, `failed`, `rejected`, `degraded`, `unsuccessful` | counts; unsuccessful = failed + rejected | requests or a link |
//! | `success_rate` | (ok + degraded) / requests | requests or a link |
//! | `share_under(arm, 50ms)` | share of requests answered within the limit, load to answer | requests or a link |
//! | `p50`, `p90`, `p99`, `p999` | latency, load to answer; they need 20, 100, 1 000, 10 000 requests | requests or a link |
//! | `max` | the longest latency | requests or a link |
//! | `goodput` | ok + degraded a second | requests or a link |
//! | `retry_after_share` | of unsuccessful requests, those told when to come back | requests |
//! | `calls`, `attempts`, `retries`, `hedges` | logical calls over a link, the attempts they made, those after the first, second copies among these | link |
//! | `amplification` | attempts / calls, refused calls included: what the link sees of what is wanted | link |
//! | `attempts_per_call` | attempts / calls that made at least one | link |
//! | `first_wait_mean`, `first_wait_max` | waits before second attempts | link |
//! | `second_wait_mean`, `second_wait_max` | waits before third attempts | link |
//! | `shed` | requests turned away at doors | door, else all |
//! | `wasted_work` | seconds of work for callers who had left | door or link, else all |
//! | `in_flight` | the most requests under way at the end of any 100 ms | – |
//! | `peak_requests` | the most requests sent in any 100 ms | – |
//! | `peak_attempts` | the most attempts begun in any 100 ms | link |
//! | `opens`, `transitions` | how often the breaker opened, and moved | link |
//! | `opened_after_failures` | failed attempts in a row at the first opening, counted from the attempt events | link |
//! | `opened_after_calls` | attempts from the fault's injection to the first opening | link |
//! | `opened_within` | from the injection to the first opening (`after fault`) | link |
//! | `closed_within` | from the clearing to the last closing (`after clear`) | link |
//! | `attempts_while_open` | attempts begun while it was open | link |
//! | `trials_at_once` | the most attempts begun in one half-open stretch | link |
//! | `recovery_s` | from the clearing to the first of three seconds at 99 % of `before`'s success | requests |
//! | `acted` | what the injectors counted | fault or condition, else all |
//! | `lost_orders`, `duplicate_orders`, `oversold` | facts, counted after the repeat | – |
//! | `violations` | how often a rule of the integrity checker was broken | `[load.history]` |
//!
//! Selectors of requests: an operation (`browse`, `order`, …), a stream's name, a priority
//! (`critical-plus`, …), or `refused`, the requests whose call on the faulted link was
//! refused at its first attempt. A link (`order-product`, `load` for the load's own policy,
//! `product.server` for a door) takes the calls over it instead of requests. Link metrics
//! without a link mean the faulted one.
//!
//! Counts compared with `==` or `!=`, outcome counts and facts are decided on
//! every repeat, and so are extremes (`max`, peaks, longest waits) unless arms are compared
//! over three repeats or more; all else by interval (see [`crate::stats`]). A breaker that
//! never opened opened after infinitely long, so `opened_within(x) <= 2s` fails; one that
//! stayed open never closed. Without data (no request in the phase, no fault
//! injected) a check is inconclusive.
//!
//! A check with `precondition = true` decides whether a trial counts: it is looked
//! at as soon as the trial is over, and one that doesn't meet it is void and run
//! again. It compares counts of one arm `before` the fault, and nothing else.

mod estimate;
mod eval;
mod lexer;
mod measured;
mod metric;
mod outcome;
mod parser;
pub(crate) mod precondition;
#[cfg(test)]
mod tests;
mod units;
pub(crate) mod untold;

pub use eval::evaluate;
pub(crate) use metric::percentile_needs;
pub use metric::{Metric, Scope, Unit};
pub use outcome::{ArmTrials, CheckResult, Measurements};
pub use parser::{Problem, parse};

use loadtest::Op;

/// Words that can't name a fault, a condition or a window.
pub const RESERVED: [&str; 13] = [
    "fault",
    "recovery",
    "clear",
    "recovering",
    "before",
    "during",
    "while",
    "after",
    "whole",
    "reset",
    "within",
    "refused",
    "approx",
];

/// One check of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name in the results.
    pub id: String,
    /// The statement as it was written.
    pub that: String,
    /// Why it should hold.
    pub because: String,
    /// The statement, parsed.
    pub predicate: Predicate,
    /// Whether it decides which trials count: one that doesn't meet it is void.
    pub precondition: bool,
    /// What must hold instead in a `--quick` run, which has less to go by.
    pub quick: Option<(String, Predicate)>,
}

impl Check {
    /// What must hold in a run of that length.
    #[must_use]
    pub fn under(&self, quick: bool) -> Self {
        let mut check = self.clone();
        if let (true, Some((that, predicate))) = (quick, check.quick.take()) {
            check.that = that;
            check.predicate = predicate;
        }
        check
    }
}

/// The names that a check may use.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The arms.
    pub arms: Vec<String>,
    /// The faults, each with its link (or part).
    pub faults: Vec<(String, String)>,
    /// The conditions, each with its link.
    pub conditions: Vec<(String, String)>,
    /// The stretches of time that have a name.
    pub windows: Vec<String>,
    /// The streams of the load that have a name.
    pub streams: Vec<String>,
}

impl Names {
    /// Faults and conditions.
    fn broken(&self) -> impl Iterator<Item = &(String, String)> {
        self.faults.iter().chain(&self.conditions)
    }

    /// The one link that faults break; that conditions break, if no fault breaks one.
    fn broken_link(&self) -> Option<&str> {
        let one = |of: &'_ [(String, String)]| -> Option<usize> {
            let mut found: Option<usize> = None;
            for (i, (_, link)) in of.iter().enumerate() {
                let is_link = link.contains('-') && !link.ends_with("-service");
                match found {
                    None if is_link => found = Some(i),
                    Some(first) if is_link && of[first].1 != *link => return None,
                    _ => {}
                }
            }
            found
        };
        let of = if self.faults.is_empty() {
            &self.conditions
        } else {
            &self.faults
        };
        one(of).map(|i| of[i].1.as_str())
    }
}

/// A parsed check.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// What is claimed.
    pub claim: Claim,
    /// Over which part of the repeat.
    pub window: Window,
}

/// What a check claims.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// `left op right`.
    Compare {
        /// Left side.
        left: Expr,
        /// The comparison.
        op: Comparison,
        /// Right side.
        right: Expr,
    },
    /// `approx(left, right, within …)`.
    Approx {
        /// The quantity.
        left: Expr,
        /// What it should be.
        right: Expr,
        /// The margin, as a share of `right`.
        within: f64,
    },
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `<`
    Below,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    /// Whether `left op right` holds.
    #[must_use]
    pub fn holds(self, left: f64, right: f64) -> bool {
        // The last digits of a product are noise.
        let both = left.is_finite() && right.is_finite();
        let near = both && (left - right).abs() <= 1e-9 * left.abs().max(right.abs());
        let same = left == right || near;
        match self {
            Self::AtLeast => same || left > right,
            Self::AtMost => same || left < right,
            Self::Above => !same && left > right,
            Self::Below => !same && left < right,
            Self::Equal => same,
            Self::NotEqual => !same,
        }
    }

    /// As it is written.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::Below => "<",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }
}

/// A side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A number; durations are in seconds.
    Number(f64),
    /// The breaker reset of an arm, in seconds.
    Reset(ArmRef),
    /// Something measured.
    Measured(Measured),
    /// Two sides joined.
    Both(Operation, Box<Self>, Box<Self>),
}

/// How two sides are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `a + b`
    Add,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// `max(a, b)`
    Max,
    /// `min(a, b)`
    Min,
}

impl Operation {
    /// The two, joined.
    #[must_use]
    pub fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => a.max(b),
            Self::Min => a.min(b),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn words(self, a: &str, b: &str) -> String {
        match self {
            Self::Add => format!("{a} + {b}"),
            Self::Mul => format!("{a} * {b}"),
            Self::Div => format!("{a} / {b}"),
            Self::Max => format!("max({a}, {b})"),
            Self::Min => format!("min({a}, {b})"),
        }
    }
}

impl Expr {
    /// Everything measured in it.
    pub fn measured(&self) -> Vec<&Measured> {
        match self {
            Self::Number(_) | Self::Reset(_) => Vec::new(),
            Self::Measured(m) => vec![m],
            Self::Both(_, a, b) => {
                let mut all = a.measured();
                all.extend(b.measured());
                all
            }
        }
    }
}

/// Which arm a metric is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArmRef {
    /// Every arm, each on its own.
    Each,
    /// This one.
    Named(String),
}

/// One use of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The metric.
    pub metric: Metric,
    /// The arm.
    pub arm: ArmRef,
    /// What it is taken of.
    pub selector: Selector,
    /// The limit of `share_under`, in seconds.
    pub limit: Option<f64>,
    /// Its own part of the run; `None` for the check's.
    pub window: Option<Window>,
}

/// What a metric is taken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Every request.
    All,
    /// Requests of one operation.
    Op(Op),
    /// Requests whose call was refused at its first attempt.
    Refused,
    /// Requests of one stream.
    Stream(String),
    /// Requests of one priority.
    Priority(String),
    /// The calls over a link, or what happened at a door.
    Link(String),
    /// The same of every link and door.
    AnyLink,
    /// One fault or condition.
    Fault(String),
}

impl Selector {
    /// What it takes, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::All => "requests".to_owned(),
            Self::Op(op) => format!("{op} requests"),
            Self::Refused => "requests refused at their first attempt".to_owned(),
            Self::Stream(name) => format!("requests of the stream {name}"),
            Self::Priority(name) => format!("{name} requests"),
            Self::Link(link) => format!("calls over {link}"),
            Self::AnyLink => "calls".to_owned(),
            Self::Fault(name) => name.clone(),
        }
    }
}

/// Which part of a repeat a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// All of it, from second 0.
    Whole,
    /// Before any fault.
    Before,
    /// While any fault was on.
    During,
    /// While this fault was on, or in the stretch of time of this name.
    DuringFault(String),
    /// From the clearing to reset + 2 s.
    Recovering,
    /// Later than that.
    After,
}

impl Window {
    /// As it is said in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Whole => "over the whole repeat".to_owned(),
            Self::Before => "before the fault".to_owned(),
            Self::During => "during the fault".to_owned(),
            Self::DuringFault(name) => format!("during {name}"),
            Self::Recovering => "while recovering".to_owned(),
            Self::After => "after recovery".to_owned(),
        }
    }
}
