//! What callers say of themselves, for faults to choose by. Read in lab mode alone.

use ::http::{HeaderMap, HeaderName};

use crate::http::{ATTEMPT, CALLER, USER_ID};

/// gRPC's own count, of the attempts before this one (gRFC A6).
const PREVIOUS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

pub(super) fn caller(headers: &HeaderMap) -> Option<&str> {
    let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let caller = headers.get(CALLER)?.to_str().ok()?;
    let plain = !caller.is_empty() && caller.len() <= 32 && caller.bytes().all(label);
    plain.then_some(caller)
}

/// The first, when nobody says anything else.
pub(super) fn attempt(headers: &HeaderMap) -> u32 {
    let number = |name: HeaderName| headers.get(name)?.to_str().ok()?.parse::<u32>().ok();
    let counted = number(ATTEMPT);
    let counted = counted.or_else(|| number(PREVIOUS).map(|before| before.saturating_add(1)));
    counted.unwrap_or(1).max(1)
}

pub(super) fn user(headers: &HeaderMap) -> Option<i64> {
    headers.get(USER_ID)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn nonsense_is_nothing_said() {
        let told = of(&[(CALLER, "order"), (ATTEMPT, "2"), (USER_ID, "7")]);
        assert_eq!(
            (caller(&told), attempt(&told), user(&told)),
            (Some("order"), 2, Some(7))
        );
        assert_eq!(attempt(&of(&[(PREVIOUS, "2")])), 3);
        assert_eq!(attempt(&of(&[(PREVIOUS, "2"), (ATTEMPT, "5")])), 5);
        let nonsense = of(&[(CALLER, "a b"), (ATTEMPT, "0"), (USER_ID, "me")]);
        assert_eq!(
            (caller(&nonsense), attempt(&nonsense), user(&nonsense)),
            (None, 1, None)
        );
    }
}
