//! How long what the lab arms by hand stays armed unless it is renewed.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};
use tokio::time::Instant;

/// Whoever arms something must say so again within this time, or it lets go.
pub(super) const LONGEST: Duration = Duration::from_secs(15);

/// A time to hold on, 15 s at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease(Duration);

impl Default for Lease {
    fn default() -> Self {
        Self(LONGEST)
    }
}

impl Lease {
    /// When it is over.
    pub(super) fn until(self) -> Instant {
        Instant::now() + self.0
    }
}

impl<'de> Deserialize<'de> for Lease {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let asked: Duration = humantime_serde::deserialize(from)?;
        if asked.is_zero() || asked > LONGEST {
            return Err(D::Error::custom(
                "`lease` is longer than 0 s and at most 15 s; renew it to hold on",
            ));
        }
        Ok(Self(asked))
    }
}

/// Milliseconds that are left; 0 when it is over.
pub(super) fn left_ms(until: Instant) -> u64 {
    let left = until.saturating_duration_since(Instant::now());
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}
