use serde::{Deserialize, Serialize};

/// The `iss` claim.
pub const ISSUER: &str = "faultline";
/// The `aud` claim.
pub const AUDIENCE: &str = "shop";
/// How far clocks may differ, in seconds.
pub const LEEWAY_S: u64 = 5;

/// How long an access token is good for, in seconds.
pub const ACCESS_LIFE_S: i64 = 15 * 60;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// Presented with each request.
    Access,
    /// Exchanged for new tokens.
    Refresh,
}

impl TokenType {
    /// As it stands in the claim.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// What it is for.
    pub token_type: TokenType,
    /// Until when, in seconds since the epoch.
    pub exp: i64,
    /// Since when, in seconds since the epoch.
    pub iat: i64,
    /// Since when, in milliseconds, for per-user not-before times.
    pub iat_ms: i64,
    /// 128 random bits.
    pub jti: String,
    /// Whose, as an integer.
    pub user_id: i64,
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// Whose, as text (RFC 7519).
    pub sub: String,
    /// `staff`, `admin`.
    pub roles: Vec<String>,
    /// The refresh family it belongs to.
    pub sid: String,
}

/// What an account may do; admins are staff.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Sees all users and orders.
    pub staff: bool,
    /// Changes the catalogue.
    pub admin: bool,
}

impl Roles {
    /// As they stand in the claim.
    pub fn names(self) -> Vec<String> {
        let mut names = Vec::new();
        if self.staff || self.admin {
            names.push("staff".to_owned());
        }
        if self.admin {
            names.push("admin".to_owned());
        }
        names
    }

    /// From the claim; unknown names give nothing.
    pub fn of(names: &[String]) -> Self {
        let admin = names.iter().any(|name| name == "admin");
        Self {
            staff: admin || names.iter().any(|name| name == "staff"),
            admin,
        }
    }
}

/// Who a verified access token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub user_id: i64,
    /// What it may do.
    pub roles: Roles,
    /// The refresh family of the token.
    pub sid: String,
    /// The token's id.
    pub jti: String,
    /// When it was issued, in milliseconds since the epoch.
    pub issued_ms: i64,
}

impl From<Claims> for Principal {
    fn from(claims: Claims) -> Self {
        Self {
            user_id: claims.user_id,
            roles: Roles::of(&claims.roles),
            sid: claims.sid,
            jti: claims.jti,
            issued_ms: claims.iat_ms,
        }
    }
}
