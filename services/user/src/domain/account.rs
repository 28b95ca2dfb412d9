//! An account and what it may do.

use kit::auth::Roles;

/// An account as stored, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Positive, never reused.
    pub id: i64,
    /// As the owner wrote it.
    pub username: String,
    /// As the owner wrote it.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// False once deactivated.
    pub is_active: bool,
    /// What the account may do.
    pub roles: Roles,
    /// Registration, UTC epoch milliseconds.
    pub joined_ms: i64,
}

/// An account to be made; its texts have passed [`super::profile`].
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Unique whatever the case.
    pub username: String,
    /// Unique whatever the case.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// PHC string of the password.
    pub password_hash: String,
    /// What the account may do.
    pub roles: Roles,
    /// UTC epoch milliseconds.
    pub joined_ms: i64,
}

impl NewAccount {
    /// The account it became.
    pub fn with_id(self, id: i64) -> Account {
        Account {
            id,
            username: self.username,
            email: self.email,
            first_name: self.first_name,
            last_name: self.last_name,
            is_active: true,
            roles: self.roles,
            joined_ms: self.joined_ms,
        }
    }
}

/// Changes to a profile; `None` leaves a value as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// Unique whatever the case.
    pub email: Option<String>,
    /// May be empty.
    pub first_name: Option<String>,
    /// May be empty.
    pub last_name: Option<String>,
}

impl ProfileChange {
    /// The account as it is after the change.
    pub fn apply(self, account: &Account) -> Account {
        Account {
            email: self.email.unwrap_or_else(|| account.email.clone()),
            first_name: self
                .first_name
                .unwrap_or_else(|| account.first_name.clone()),
            last_name: self.last_name.unwrap_or_else(|| account.last_name.clone()),
            ..account.clone()
        }
    }
}

/// The form under which a username or an e-mail address is unique and found:
/// lower case. Letters that differ otherwise stay different.
pub fn unique_key(text: &str) -> String {
    text.to_lowercase()
}

/// What the staff's search looks through, lower case.
pub fn search_text(username: &str, email: &str, first_name: &str, last_name: &str) -> String {
    format!("{username} {email} {first_name} {last_name}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ignore_case_only() {
        assert_eq!(unique_key("Ann@X.org"), unique_key("aNN@x.ORG"));
        assert_ne!(unique_key("ann"), unique_key("anna"));
    }
}
