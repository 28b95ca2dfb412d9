//! How a service ends: `DRAIN_NOTICE_MS`.

use std::time::Duration;

use super::Env;

/// Unless said otherwise, in milliseconds: callers of ours ask four times a second whether a replica
/// takes work. With the 8 s that requests under way get then it stays below the 10 s after which
/// containers are killed.
const USUAL_MS: u64 = 1_500;
/// The longest, in milliseconds.
const LONGEST_MS: u64 = 60_000;

/// How long a service that was told to end still takes work.
pub(super) fn read_notice(env: &mut Env) -> Duration {
    // In the lab most services have no other replica, and nobody likes to wait.
    let usual = if env.lab_mode() { 0 } else { USUAL_MS };
    let ms = env.parse_or("DRAIN_NOTICE_MS", usual);
    if ms > LONGEST_MS {
        env.problem(format!(
            "DRAIN_NOTICE_MS={ms} is too long: at most {LONGEST_MS}"
        ));
    }
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lab_gives_no_notice() {
        let read = |pairs| read_notice(&mut Env::from_pairs(pairs));
        assert_eq!(read(&[]), Duration::from_millis(USUAL_MS));
        assert_eq!(read(&[("LAB_MODE", "1")]), Duration::ZERO);
        assert_eq!(
            read(&[("LAB_MODE", "1"), ("DRAIN_NOTICE_MS", "700")]),
            Duration::from_millis(700)
        );
    }

    #[test]
    fn a_notice_that_nobody_would_wait_for_is_a_problem() {
        let mut env = Env::from_pairs(&[("DRAIN_NOTICE_MS", "60001")]);
        read_notice(&mut env);
        let error = env.finish().unwrap_err().to_string();
        assert!(error.contains("DRAIN_NOTICE_MS"), "{error}");
    }
}
