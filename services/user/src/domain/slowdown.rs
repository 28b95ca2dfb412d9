//! Failed log-ins slow down, and nobody can lock somebody else out.
//!
//! Failures are counted on the account, on the client's address, and on the device. After a few
//! free ones each failure doubles the wait until the next try. A device on which the account's
//! owner has logged in before carries a signed cookie: it is counted on the device alone, so that
//! what strangers do to the account, or from the same address, does not hold the owner up.
//!
//! Source: OWASP, "Slow Down Online Guessing Attacks with Device Cookies"; ASVS 6.3.1.

/// How failures of one kind of place slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Failures that cost nothing.
    pub free: i64,
    /// The longest wait, in milliseconds; the first is a second.
    pub longest_ms: i64,
}

/// For an account, a device, or a session that is asked for its password once more: at most about
/// thirty guesses an hour.
pub const ACCOUNT: Rule = Rule {
    free: 10,
    longest_ms: 5 * 60 * 1000,
};
/// For an address (a /64 of IPv6), behind which a whole office may sit.
pub const ADDRESS: Rule = Rule {
    free: 50,
    longest_ms: 60 * 1000,
};
/// So long after the last failure all are forgotten, in milliseconds.
pub const FORGOTTEN_MS: i64 = 15 * 60 * 1000;
/// The first wait, in milliseconds.
const FIRST_MS: i64 = 1000;

/// Failures counted at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// How many.
    pub failures: i64,
    /// When the last one was, UTC epoch milliseconds.
    pub last_ms: i64,
    /// Until when nothing is looked at, UTC epoch milliseconds.
    pub until_ms: i64,
}

impl Rule {
    /// Counts an attempt as failed *before* it is checked, so that none is checked uncounted
    /// however many come at once.
    ///
    /// # Errors
    /// Until when it must wait, UTC epoch milliseconds; it is not counted then.
    pub fn count(self, record: Record, now_ms: i64) -> Result<Record, i64> {
        let stale = record.last_ms + FORGOTTEN_MS <= now_ms;
        let record = if stale { Record::default() } else { record };
        if now_ms < record.until_ms {
            return Err(record.until_ms);
        }
        Ok(self.with(record.failures + 1, now_ms))
    }

    /// Takes one attempt back, which did not fail.
    pub fn forgive(self, record: Record) -> Record {
        self.with((record.failures - 1).max(0), record.last_ms)
    }

    fn with(self, failures: i64, last_ms: i64) -> Record {
        Record {
            failures,
            last_ms,
            until_ms: last_ms + self.wait_ms(failures),
        }
    }

    fn wait_ms(self, failures: i64) -> i64 {
        let beyond = failures - self.free;
        if beyond < 0 {
            return 0;
        }
        let doublings = u32::try_from(beyond).unwrap_or(u32::MAX).min(40);
        (FIRST_MS << doublings).min(self.longest_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_free_then_each_failure_doubles_the_wait() {
        let mut record = Record::default();
        for n in 1..ACCOUNT.free {
            record = ACCOUNT.count(record, 1_000_000 + n).unwrap();
        }
        let mut now_ms = 1_000_100;
        for wait_ms in [1_000, 2_000, 4_000, 8_000] {
            record = ACCOUNT.count(record, now_ms).unwrap();
            assert_eq!(record.until_ms, now_ms + wait_ms);
            assert_eq!(
                ACCOUNT.count(record, now_ms + wait_ms - 1),
                Err(record.until_ms)
            );
            now_ms += wait_ms;
        }
        for _ in 0..100 {
            record = ACCOUNT.count(record, record.until_ms.max(now_ms)).unwrap();
        }
        assert_eq!(record.until_ms - record.last_ms, ACCOUNT.longest_ms);
    }

    #[test]
    fn a_quiet_quarter_of_an_hour_forgets_everything() {
        let record = Record {
            failures: 500,
            last_ms: 0,
            until_ms: ACCOUNT.longest_ms,
        };
        assert!(ACCOUNT.count(record, ACCOUNT.longest_ms - 1).is_err());
        assert_eq!(ACCOUNT.count(record, FORGOTTEN_MS).unwrap().failures, 1);
        const { assert!(FORGOTTEN_MS > ACCOUNT.longest_ms && FORGOTTEN_MS > ADDRESS.longest_ms) };
    }

    #[test]
    fn a_success_takes_back_its_own_count_and_no_more() {
        let record = Record {
            failures: 60,
            last_ms: 5_000,
            until_ms: 65_000,
        };
        let forgiven = ADDRESS.forgive(record);
        assert_eq!(forgiven.failures, 59);
        assert!(forgiven.until_ms > 5_000, "the others still count");
        assert_eq!(ADDRESS.forgive(Record::default()).failures, 0);
    }

    /// What somebody who guesses all day long gets against one account.
    #[test]
    fn an_hour_has_few_guesses() {
        let (mut record, mut guesses) = (Record::default(), 0);
        for now_ms in (0..3_600_000).step_by(100) {
            if let Ok(next) = ACCOUNT.count(record, now_ms) {
                record = next;
                guesses += 1;
            }
        }
        assert!((20..=35).contains(&guesses), "{guesses}");
    }
}
