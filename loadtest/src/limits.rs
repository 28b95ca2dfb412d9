//! How many connections this process can hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for everything that is not a request: files, the control API, the runtime.
const SPARE: u64 = 256;

/// How many requests at once, of `wanted`, can each have a connection. Raises the soft limit on
/// open files as far as needed and allowed: running out of descriptors would look like a failure of
/// the target.
pub(crate) fn in_flight_bound(wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_add(SPARE);
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    let raised = needed.min(limit.maximum.unwrap_or(u64::MAX));
    let usable = if raised > soft {
        let wider = Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        };
        if setrlimit(Resource::Nofile, wider).is_ok() {
            raised
        } else {
            soft
        }
    } else {
        soft
    };
    let room = usable.saturating_sub(SPARE.min(usable / 2)).max(1);
    usize::try_from(room).unwrap_or(usize::MAX).min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_wanted_nor_than_the_system_allows() {
        assert_eq!(in_flight_bound(1), 1);
        let bound = in_flight_bound(10_000_000);
        let soft = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(bound >= 1 && bound as u64 <= soft);
        assert!(in_flight_bound(100) == 100 || soft < 356);
    }
}
