//! Rate limits: how many requests an account, or an address, may send in a minute.
//!
//! Counted in the process that answers, by a sliding window (the previous minute's count fades as
//! the present one goes on). Replicas that share a database tell each other what busy clients sent,
//! once a second and off the requests' way ([`Shared`]): a request costs no look-up anywhere, and
//! together they may let through a second's worth more than one of them would.

mod counts;
mod layer;
mod shared;

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

pub use counts::Limiter;
pub use shared::{Counted, DatabaseCounts, Shared, SharedError};

pub(crate) use layer::{Gate, account, anybody};

use crate::Env;

/// The window of all limits.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Who is limited how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Without a token, by address.
    Anonymous,
    /// By account.
    User,
    /// By account.
    Staff,
    /// Whatever tries a password or a code: by address, strictest.
    Login,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Anonymous, Self::User, Self::Staff, Self::Login];

    /// As it stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User => "user",
            Self::Staff => "staff",
            Self::Login => "login",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Anonymous => "RATE_LIMIT_ANONYMOUS",
            Self::User => "RATE_LIMIT_USER",
            Self::Staff => "RATE_LIMIT_STAFF",
            Self::Login => "RATE_LIMIT_LOGIN",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Anonymous => 0,
            Self::User => 1,
            Self::Staff => 2,
            Self::Login => 3,
        }
    }
}

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// An account.
    Account(i64),
    /// An address; of IPv6, the network that one customer has (RFC 6177).
    Address(IpAddr),
}

impl Subject {
    /// Of an address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
            v4 => v4,
        })
    }
}

/// One count: who, as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// As what.
    pub class: Class,
    /// Who.
    pub subject: Subject,
}

/// Requests in a [`WINDOW`], by class; none, no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas([Option<NonZeroU32>; 4]);

impl Quotas {
    /// No limit for anybody: for tests of something else.
    pub const UNLIMITED: Self = Self([None; 4]);

    /// Of a service.
    pub const SERVICE: Self = Self::per_minute([2_400, 3_600, 7_200, 100]);

    /// Of the gateway, which knows addresses alone: a coarse bound before any work is done.
    pub const GATEWAY: Self = Self::per_minute([12_000, 0, 0, 0]);

    /// For anonymous, user, staff and login; 0 is no limit.
    pub const fn per_minute(of: [u32; 4]) -> Self {
        Self([
            NonZeroU32::new(of[0]),
            NonZeroU32::new(of[1]),
            NonZeroU32::new(of[2]),
            NonZeroU32::new(of[3]),
        ])
    }

    /// Of one class.
    pub fn of(self, class: Class) -> Option<u32> {
        self.0[class.place()].map(NonZeroU32::get)
    }

    /// Reads `RATE_LIMIT_…`: requests a minute, 0 for no limit.
    pub fn read(env: &mut Env, defaults: Self) -> Self {
        let mut read = |class: Class| {
            let default = defaults.of(class).unwrap_or(0);
            env.parse_or(class.variable(), default)
        };
        Self::per_minute(Class::ALL.map(&mut read))
    }
}

/// What became of a request that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Whether it may go on.
    pub allowed: bool,
    /// Requests in a window.
    pub limit: u32,
    /// How many are left now.
    pub remaining: u32,
    /// Until the present window ends.
    pub reset: Duration,
    /// When the next request has a place, for one that has none.
    pub retry_after: Duration,
}
