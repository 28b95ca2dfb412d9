use std::collections::HashMap;

use parking_lot::RwLock;

use super::{
    Claims,
    feed::{EndedFamily, FEED_LIFE_MS, FeedPage, NotBefore},
};

/// Most families, and most accounts, that are remembered. A log-out needs a log-in, and those are
/// limited by hashing: this is more than can be made while an entry is of use.
const MOST: usize = 100_000;

/// What has ended before its time, as far as this process knows.
#[derive(Debug)]
pub(super) struct Revoked {
    known: RwLock<Known>,
    most: usize,
}

#[derive(Debug, Default)]
struct Known {
    families: HashMap<String, i64>,
    users: HashMap<i64, NotBefore>,
    /// Tokens issued before are refused whoever has them: it stands for entries that had no room.
    /// Their owners get other tokens by a refresh, which asks the user service itself.
    floor_ms: i64,
}

impl Default for Revoked {
    fn default() -> Self {
        Self::with_room_for(MOST)
    }
}

impl Revoked {
    fn with_room_for(most: usize) -> Self {
        Self {
            known: RwLock::default(),
            most,
        }
    }

    /// Whether a token has ended before its time.
    pub(super) fn contains(&self, claims: &Claims) -> bool {
        let known = self.known.read();
        claims.iat_ms < known.floor_ms
            || known.families.contains_key(&claims.sid)
            || known
                .users
                .get(&claims.user_id)
                .is_some_and(|user| user.ends(claims))
    }

    /// Takes in a page, and forgets what is of no use any more.
    pub(super) fn merge(&self, page: FeedPage) {
        let mut known = self.known.write();
        for EndedFamily { sid, at_ms } in page.families {
            known.families.insert(sid, at_ms);
        }
        for user in page.users {
            known.users.insert(user.user_id, user);
        }
        let oldest = page.now_ms.saturating_sub(FEED_LIFE_MS);
        known.families.retain(|_, at_ms| *at_ms >= oldest);
        known.users.retain(|_, user| user.last_ms() >= oldest);
        known.make_room(self.most);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let known = self.known.read();
        known.families.len() + known.users.len()
    }
}

impl Known {
    /// Gives up the oldest tenth of a kind that has grown too large.
    fn make_room(&mut self, most: usize) {
        if self.families.len() > most {
            let times = self.families.values().copied();
            let floor = floor_that_frees(times, self.families.len() - most + most / 10);
            self.families.retain(|_, at_ms| *at_ms >= floor);
            self.floor_ms = self.floor_ms.max(floor);
        }
        if self.users.len() > most {
            let times = self.users.values().map(NotBefore::last_ms);
            let floor = floor_that_frees(times, self.users.len() - most + most / 10);
            self.users.retain(|_, user| user.last_ms() >= floor);
            self.floor_ms = self.floor_ms.max(floor);
        }
    }
}

/// A time that at least `count` of these come before.
fn floor_that_frees(times: impl Iterator<Item = i64>, count: usize) -> i64 {
    let mut times: Vec<i64> = times.collect();
    times.sort_unstable();
    times
        .get(count.saturating_sub(1))
        .or(times.last())
        .map_or(0, |ms| ms + 1)
}

impl NotBefore {
    fn last_ms(&self) -> i64 {
        self.all_ms.max(self.others_ms)
    }

    fn ends(&self, claims: &Claims) -> bool {
        let kept = !self.kept_sid.is_empty() && claims.sid == self.kept_sid;
        claims.iat_ms < self.all_ms || (claims.iat_ms < self.others_ms && !kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AUDIENCE, ISSUER, TokenType};

    fn token(user_id: i64, sid: &str, issued_ms: i64) -> Claims {
        Claims {
            token_type: TokenType::Access,
            exp: issued_ms / 1000 + 900,
            iat: issued_ms / 1000,
            iat_ms: issued_ms,
            jti: "j".into(),
            user_id,
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user_id.to_string(),
            roles: Vec::new(),
            sid: sid.into(),
        }
    }

    fn page(now_ms: i64, families: &[(&str, i64)], users: &[NotBefore]) -> FeedPage {
        let family = |(sid, at_ms): &(&str, i64)| EndedFamily {
            sid: (*sid).into(),
            at_ms: *at_ms,
        };
        FeedPage {
            now_ms,
            families: families.iter().map(family).collect(),
            users: users.to_vec(),
            ..FeedPage::default()
        }
    }

    #[test]
    fn a_family_ends_alone() {
        let revoked = Revoked::default();
        revoked.merge(page(100, &[("a", 50)], &[]));
        assert!(revoked.contains(&token(1, "a", 40)));
        assert!(!revoked.contains(&token(1, "b", 40)));
    }

    #[test]
    fn another_role_ends_all_older_tokens_and_another_password_spares_one_family() {
        let revoked = Revoked::default();
        let role = NotBefore {
            user_id: 1,
            all_ms: 50,
            ..NotBefore::default()
        };
        let password = NotBefore {
            user_id: 2,
            others_ms: 50,
            kept_sid: "mine".into(),
            ..NotBefore::default()
        };
        revoked.merge(page(100, &[], &[role, password]));
        assert!(revoked.contains(&token(1, "mine", 49)));
        assert!(!revoked.contains(&token(1, "mine", 50)));
        assert!(revoked.contains(&token(2, "other", 49)));
        assert!(!revoked.contains(&token(2, "other", 50)));
        assert!(!revoked.contains(&token(2, "mine", 1)));
        assert!(!revoked.contains(&token(3, "mine", 1)));
        // Without a family to spare an empty `sid` is not spared either.
        let all = NotBefore {
            user_id: 4,
            others_ms: 50,
            ..NotBefore::default()
        };
        revoked.merge(page(100, &[], &[all]));
        assert!(revoked.contains(&token(4, "", 49)));
    }

    #[test]
    fn what_no_token_can_need_any_more_is_forgotten() {
        let revoked = Revoked::default();
        let user = NotBefore {
            user_id: 1,
            all_ms: 50,
            ..NotBefore::default()
        };
        revoked.merge(page(100, &[("a", 50)], &[user]));
        revoked.merge(page(50 + FEED_LIFE_MS, &[], &[]));
        assert_eq!(revoked.len(), 2);
        revoked.merge(page(51 + FEED_LIFE_MS, &[], &[]));
        assert_eq!(revoked.len(), 0);
    }

    #[test]
    fn without_room_more_is_refused_and_never_less() {
        let revoked = Revoked::with_room_for(10);
        let ended: Vec<(String, i64)> = (1..=25).map(|n| (format!("s{n}"), n)).collect();
        for (sid, at_ms) in &ended {
            revoked.merge(page(100, &[(sid, *at_ms)], &[]));
            assert!(revoked.len() <= 10);
        }
        for (sid, at_ms) in &ended {
            // A family's tokens were issued before it ended.
            assert!(revoked.contains(&token(1, sid, *at_ms)), "{sid}");
        }
        assert!(!revoked.contains(&token(1, "living", 25)));
        let users = (1..=25).map(|n| NotBefore {
            user_id: n,
            all_ms: 100 + n,
            ..NotBefore::default()
        });
        revoked.merge(page(200, &[], &users.collect::<Vec<_>>()));
        assert!(revoked.len() <= 20);
        for n in 1..=25 {
            assert!(revoked.contains(&token(n, "x", 99 + n)), "{n}");
        }
    }
}
