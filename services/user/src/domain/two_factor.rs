//! The second factor: time-based codes (RFC 6238) and backup tokens.

use totp_rs::{Algorithm, Builder, Totp, TotpError};

use super::Account;

/// Wrong codes an account may enter in any 24 hours. With the window of three
/// steps below, 20 guesses find a code with probability 20·3/10⁶ a day.
pub const GUESSES_A_DAY: i64 = 20;
/// The time those guesses are counted over, in milliseconds.
pub const GUESS_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;
/// How long the password step of a login is remembered, in milliseconds.
pub const PENDING_LIFE_MS: i64 = 5 * 60 * 1000;
/// Backup tokens made at a time.
pub const BACKUP_TOKENS: usize = 10;
/// Characters of a backup token: 128 bits, lower-case hexadecimal.
pub const BACKUP_TOKEN_LENGTH: usize = 32;
/// What the only kind of device is called.
pub const DEVICE_NAME: &str = "Authenticator app";

const ISSUER: &str = "Faultline Shop";

/// A registered second factor.
#[derive(Clone, Debug)]
pub struct Device {
    /// The id that `verify-setup/` names.
    pub id: i64,
    /// For people.
    pub name: String,
    /// The secret as stored: sealed, and bound to the account.
    pub sealed_secret: String,
    /// Whether the owner has proved to hold it; only then it counts.
    pub confirmed: bool,
    /// The newest time step a code was accepted for.
    pub last_step: i64,
}

/// What a person entered as second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// Six digits of an authenticator.
    Totp(String),
    /// One of the backup tokens.
    Backup(String),
}

impl Code {
    /// Reads what a person typed: blanks and hyphens don't count, nor does case.
    /// `None` when it can be neither kind.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_lowercase())
            .take(BACKUP_TOKEN_LENGTH + 1)
            .collect();
        match text.len() {
            6 if text.bytes().all(|b| b.is_ascii_digit()) => Some(Self::Totp(text)),
            BACKUP_TOKEN_LENGTH if text.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Some(Self::Backup(text))
            }
            _ => None,
        }
    }
}

/// The generator of an account's codes: SHA-1, 6 digits, steps of 30 s, one step
/// of tolerance either way. ASVS 6.5.5 asks for a narrower window; phones whose
/// clock is off are the commoner trouble, and the guesses are limited.
///
/// # Errors
/// When the secret is shorter than 128 bits.
pub fn totp(account: &Account, secret: Vec<u8>) -> Result<Totp, TotpError> {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(30)
        .with_secret(secret)
        .with_issuer(Some(ISSUER))
        .with_account_name(account.username.as_str())
        .build()
}

/// The time step a code belongs to, if it is right at `now_ms`, its window
/// included, and newer than `last_step`: a code works once, and none that is
/// older than one that worked (RFC 6238 section 5.2).
pub fn matching_step(totp: &Totp, code: &str, now_ms: i64, last_step: i64) -> Option<i64> {
    let now_s = u64::try_from(now_ms.div_euclid(1000)).ok()?;
    let step = i64::try_from(totp.check(code, now_s)?).ok()?;
    (step > last_step).then_some(step)
}

/// What a device's secret is bound to when it is sealed.
pub fn secret_binding(user_id: i64) -> String {
    format!("totp_devices.secret:{user_id}")
}

/// What is hashed of a backup token, so that equal tokens of two accounts have
/// different hashes.
pub fn backup_token_text(user_id: i64, token: &str) -> String {
    format!("{user_id}:{token}")
}

#[cfg(test)]
mod tests {
    use kit::auth::Roles;

    use super::*;

    fn account() -> Account {
        Account {
            id: 1,
            username: "ann".into(),
            email: "ann@example.com".into(),
            first_name: String::new(),
            last_name: String::new(),
            is_active: true,
            roles: Roles::default(),
            joined_ms: 0,
        }
    }

    /// RFC 6238 appendix B, its SHA-1 rows cut to six digits.
    #[test]
    fn codes_of_the_rfc() {
        let totp = totp(&account(), b"12345678901234567890".to_vec()).unwrap();
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(totp.generate(time).to_string(), code);
            assert_eq!(
                matching_step(&totp, code, time as i64 * 1000, 0),
                Some(time as i64 / 30)
            );
        }
    }

    #[test]
    fn one_step_either_way_and_never_backwards() {
        let totp = totp(&account(), vec![7; 20]).unwrap();
        let code = totp.generate(3000).to_string();
        for (now_s, fits) in [
            (2940, false),
            (2970, true),
            (3000, true),
            (3059, true),
            (3060, false),
        ] {
            assert_eq!(
                matching_step(&totp, &code, now_s * 1000, 0).is_some(),
                fits,
                "{now_s}"
            );
        }
        assert_eq!(
            matching_step(&totp, &code, 3_000_000, 100),
            None,
            "the same step again"
        );
        assert_eq!(
            matching_step(&totp, &code, 3_000_000, 101),
            None,
            "an earlier step"
        );
        assert_eq!(matching_step(&totp, &code, 3_000_000, 99), Some(100));
    }

    #[test]
    fn what_people_type() {
        assert_eq!(Code::parse(" 123 456 "), Some(Code::Totp("123456".into())));
        let token = "0123456789abcdef0123456789abcdef";
        assert_eq!(
            Code::parse(&token.to_uppercase()),
            Some(Code::Backup(token.into()))
        );
        for bad in [
            "",
            "12345",
            "1234567",
            "12345a",
            "zz",
            "０１２３４５",
            &"a".repeat(33),
        ] {
            assert_eq!(Code::parse(bad), None, "{bad}");
        }
    }
}
