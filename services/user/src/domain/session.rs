//! Token families: what a login starts, a refresh continues and a log-out ends.

use kit::auth::{ACCESS_LIFE_S, AUDIENCE, Claims, ISSUER, Roles, TokenType};

/// How long a refresh token is good for, in seconds.
pub const REFRESH_LIFE_S: i64 = 24 * 60 * 60;
/// Within this time a spent refresh token gets its successor again, in
/// milliseconds: two tabs that refresh at once are no theft.
pub const GRACE_MS: i64 = 10_000;

/// One issued pair of tokens. It says all that the tokens say, and RS256
/// (RSASSA-PKCS1-v1_5) is deterministic, so the very same tokens can be made
/// from it again and none needs to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose tokens they are.
    pub user_id: i64,
    /// The family: one login.
    pub sid: String,
    /// Id of the refresh token.
    pub refresh_jti: String,
    /// Id of the access token.
    pub access_jti: String,
    /// What the account might do at the time.
    pub roles: Roles,
    /// UTC epoch milliseconds.
    pub issued_ms: i64,
}

/// The random ids of a pair to come: 128 bits each, hexadecimal.
#[derive(Clone, Debug)]
pub struct PairIds {
    /// Id of the refresh token.
    pub refresh_jti: String,
    /// Id of the access token.
    pub access_jti: String,
}

impl Grant {
    /// The pair with these ids.
    pub fn new(user_id: i64, sid: String, roles: Roles, ids: PairIds, issued_ms: i64) -> Self {
        let PairIds {
            refresh_jti,
            access_jti,
        } = ids;
        Self {
            user_id,
            sid,
            refresh_jti,
            access_jti,
            roles,
            issued_ms,
        }
    }

    /// When the refresh token ends, UTC epoch milliseconds.
    pub fn expires_ms(&self) -> i64 {
        self.issued_ms + REFRESH_LIFE_S * 1000
    }

    /// What one of the two tokens says.
    pub fn claims(&self, token_type: TokenType) -> Claims {
        let (life_s, jti) = match token_type {
            TokenType::Access => (ACCESS_LIFE_S, &self.access_jti),
            TokenType::Refresh => (REFRESH_LIFE_S, &self.refresh_jti),
        };
        let iat = self.issued_ms.div_euclid(1000);
        Claims {
            token_type,
            exp: iat + life_s,
            iat,
            iat_ms: self.issued_ms,
            jti: jti.clone(),
            user_id: self.user_id,
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: self.user_id.to_string(),
            roles: self.roles.names(),
            sid: self.sid.clone(),
        }
    }
}

/// Why a family ended; kept for whoever reads the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The owner logged out.
    LoggedOut,
    /// A spent refresh token came back after the grace.
    Reused,
    /// The password was changed from another session.
    PasswordChanged,
    /// The account was deactivated.
    Deactivated,
}

impl Ended {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged_out",
            Self::Reused => "reused",
            Self::PasswordChanged => "password_changed",
            Self::Deactivated => "deactivated",
        }
    }
}

/// A stored refresh token at the moment it is presented.
#[derive(Clone, Debug)]
pub struct Presented {
    /// When it was spent.
    pub spent_ms: Option<i64>,
    /// Whether its successor has itself been spent.
    pub successor_spent: bool,
    /// When it ends.
    pub expires_ms: i64,
    /// Whether its family has ended.
    pub ended: bool,
    /// Whether its account is active.
    pub active: bool,
}

/// What becomes of a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is spent now and gets a successor.
    Rotate,
    /// It gets the successor it already has.
    Repeat,
    /// It was stolen, or its owner's was: the whole family ends.
    EndFamily,
    /// It is of no use any more.
    Refuse,
    /// Its account is deactivated.
    Inactive,
}

impl Presented {
    /// The rule of rotation with a grace (RFC 9700 section 4.14.2).
    pub fn verdict(&self, now_ms: i64) -> Verdict {
        if !self.active {
            return Verdict::Inactive;
        }
        if self.ended || self.expires_ms <= now_ms {
            return Verdict::Refuse;
        }
        match self.spent_ms {
            None => Verdict::Rotate,
            Some(spent) if now_ms - spent <= GRACE_MS && !self.successor_spent => Verdict::Repeat,
            Some(_) => Verdict::EndFamily,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn presented() -> Presented {
        Presented {
            spent_ms: None,
            successor_spent: false,
            expires_ms: 1_000_000,
            ended: false,
            active: true,
        }
    }

    #[test]
    fn claims_say_what_the_contract_says() {
        let ids = PairIds {
            refresh_jti: "r".into(),
            access_jti: "a".into(),
        };
        let grant = Grant::new(7, "s".into(), Roles::default(), ids, 5_999);
        let access = grant.claims(TokenType::Access);
        assert_eq!((access.iat, access.exp, access.iat_ms), (5, 905, 5_999));
        assert_eq!(
            (access.user_id, access.sub.as_str(), access.jti.as_str()),
            (7, "7", "a")
        );
        let refresh = grant.claims(TokenType::Refresh);
        assert_eq!(
            (refresh.exp - refresh.iat, refresh.jti.as_str()),
            (86_400, "r")
        );
    }

    #[test]
    fn the_grace_ends_with_time_and_with_the_successors_use() {
        let spent = Presented {
            spent_ms: Some(100),
            ..presented()
        };
        assert_eq!(presented().verdict(100), Verdict::Rotate);
        assert_eq!(spent.verdict(100 + GRACE_MS), Verdict::Repeat);
        assert_eq!(spent.verdict(101 + GRACE_MS), Verdict::EndFamily);
        let used = Presented {
            successor_spent: true,
            ..spent
        };
        assert_eq!(used.verdict(101), Verdict::EndFamily);
    }

    #[test]
    fn an_ended_or_expired_or_inactive_one_is_refused() {
        assert_eq!(
            Presented {
                ended: true,
                ..presented()
            }
            .verdict(0),
            Verdict::Refuse
        );
        assert_eq!(presented().verdict(1_000_000), Verdict::Refuse);
        let gone = Presented {
            active: false,
            ended: true,
            ..presented()
        };
        assert_eq!(gone.verdict(0), Verdict::Inactive);
    }

    proptest! {
        #[test]
        fn a_successor_is_made_only_for_an_unspent_token_of_a_living_family(
            spent in proptest::option::of(0i64..50_000), successor_spent: bool,
            ended: bool, active: bool, now in 0i64..60_000,
        ) {
            let token = Presented { spent_ms: spent, successor_spent, expires_ms: 40_000, ended, active };
            if token.verdict(now) == Verdict::Rotate {
                prop_assert!(spent.is_none() && !ended && active && now < 40_000);
            }
        }
    }
}
