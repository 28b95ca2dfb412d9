//! What the feed of revocations says; see [`kit::auth::feed`].

use kit::auth::feed::{Cursor, FEED_LIFE_MS, FEED_PAGE, FeedPage};

use crate::{core::Core, error::Result};

/// What ended within this time is told again each time, in milliseconds: a transaction may be
/// seen later than its time says, and replicas' clocks differ.
const TOLD_AGAIN_MS: i64 = 30_000;

impl Core {
    /// The page after a point.
    pub async fn revocations(&self, from: Cursor) -> Result<FeedPage> {
        let now_ms = self.clock.now_ms();
        let from = not_before(from, now_ms - FEED_LIFE_MS);
        let found = self.store.revocations(&from).await?;
        let full = |length: usize| i64::try_from(length).unwrap_or(0) >= FEED_PAGE;
        let more = full(found.families.len()) || full(found.users.len());
        let next = match more {
            false => Cursor {
                family_ms: now_ms - TOLD_AGAIN_MS,
                user_ms: now_ms - TOLD_AGAIN_MS,
                ..Cursor::default()
            },
            true => after(&found, from),
        };
        let keys = self.keys.published(now_ms);
        Ok(FeedPage {
            now_ms,
            keys: keys.iter().map(|key| key.kid().to_owned()).collect(),
            families: found.families,
            users: found.users,
            next,
            more,
        })
    }
}

/// Older entries are of no use to anybody.
fn not_before(from: Cursor, oldest_ms: i64) -> Cursor {
    let Cursor {
        family_ms,
        sid,
        user_ms,
        user_id,
    } = from;
    Cursor {
        sid: if family_ms < oldest_ms {
            String::new()
        } else {
            sid
        },
        user_id: if user_ms < oldest_ms { 0 } else { user_id },
        family_ms: family_ms.max(oldest_ms),
        user_ms: user_ms.max(oldest_ms),
    }
}

/// Up to the last entries of a page.
fn after(found: &crate::store::Revocations, from: Cursor) -> Cursor {
    let mut next = from;
    if let Some(family) = found.families.last() {
        next.family_ms = family.at_ms;
        next.sid.clone_from(&family.sid);
    }
    if let Some(user) = found.users.last() {
        next.user_ms = user.all_ms.max(user.others_ms);
        next.user_id = user.user_id;
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Revocations;
    use kit::auth::feed::{EndedFamily, NotBefore};

    #[test]
    fn a_reader_goes_on_after_the_last_entry_of_each_kind() {
        let from = Cursor {
            family_ms: 5,
            sid: "a".into(),
            user_ms: 6,
            user_id: 7,
        };
        assert_eq!(after(&Revocations::default(), from.clone()), from);
        let found = Revocations {
            families: vec![EndedFamily {
                sid: "b".into(),
                at_ms: 8,
            }],
            users: vec![NotBefore {
                user_id: 9,
                all_ms: 3,
                others_ms: 10,
                kept_sid: String::new(),
            }],
        };
        let next = after(&found, from);
        assert_eq!((next.family_ms, next.sid.as_str()), (8, "b"));
        assert_eq!((next.user_ms, next.user_id), (10, 9));
    }

    #[test]
    fn nobody_reads_further_back_than_an_entry_is_of_use() {
        let old = Cursor {
            family_ms: 1,
            sid: "x".into(),
            user_ms: 100,
            user_id: 3,
        };
        let from = not_before(old, 50);
        assert_eq!((from.family_ms, from.sid.as_str()), (50, ""));
        assert_eq!((from.user_ms, from.user_id), (100, 3));
    }
}
