//! Failed log-ins slow down: which places they are counted at, and known devices.

use std::net::IpAddr;

use kit::crypto::random_token;

use crate::{
    core::Core,
    domain::{
        account::unique_key,
        slowdown::{ACCOUNT, ADDRESS},
    },
    error::{Error, Result},
    store::{Attempted, Bucket},
};

/// How long a device is known after a log-in on it, in milliseconds.
pub const DEVICE_LIFE_MS: i64 = 180 * 24 * 60 * 60 * 1000;

/// A cookie by which a device is known again: for one account, signed.
pub struct DeviceCookie {
    /// It says for which account, by a keyed hash: several may share a browser.
    pub name: String,
    /// Time, nonce and signature.
    pub value: String,
}

/// An attempt that was counted as failed before it was checked.
#[must_use]
pub struct Counted {
    buckets: Vec<Bucket>,
    /// Whether the next one waits, should this one fail.
    pub waits: bool,
}

impl Core {
    /// What the cookie of an account's known devices is called.
    pub fn device_cookie_name(&self, username: &str) -> String {
        format!("shop_device_{}", self.account_mark(username))
    }

    /// A cookie for a device on which that account has just logged in.
    pub fn device_cookie(&self, username: &str) -> DeviceCookie {
        let (at_ms, nonce) = (self.clock.now_ms(), random_token::<16>());
        let mark = self.device_mark(username, at_ms, &nonce);
        DeviceCookie {
            name: self.device_cookie_name(username),
            value: format!("{at_ms}.{nonce}.{mark}"),
        }
    }

    /// Tells accounts apart, those that do not exist too, without their names.
    pub fn account_mark(&self, username: &str) -> String {
        let mut mark = self.cipher.blind_index("account", &unique_key(username));
        mark.truncate(12);
        mark
    }

    /// The nonce of a device that is known for that account.
    fn known_device<'a>(&self, username: &str, cookie: Option<&'a str>) -> Option<&'a str> {
        let mut parts = cookie?.splitn(3, '.');
        let (at_ms, nonce, mark) = (parts.next()?, parts.next()?, parts.next()?);
        let at_ms: i64 = at_ms.parse().ok()?;
        let age_ms = self.clock.now_ms().checked_sub(at_ms)?;
        let expected = self.device_mark(username, at_ms, nonce);
        let signed =
            aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), mark.as_bytes());
        (signed.is_ok() && (0..DEVICE_LIFE_MS).contains(&age_ms)).then_some(nonce)
    }

    fn device_mark(&self, username: &str, at_ms: i64, nonce: &str) -> String {
        let text = format!("{at_ms}:{nonce}:{}", unique_key(username));
        self.cipher.blind_index("known device", &text)
    }

    /// Counts a log-in as failed until it turns out not to be.
    ///
    /// # Errors
    /// [`Error::Slowed`]: too many have failed, this one is not to be looked at.
    pub async fn count_login(
        &self,
        username: &str,
        device: Option<&str>,
        address: &str,
    ) -> Result<Counted> {
        let buckets = match self.known_device(username, device) {
            // Counted on the device alone: a stranger's failures don't hold the owner up.
            Some(nonce) => vec![self.bucket("device", nonce)],
            None => vec![
                self.bucket("account", &unique_key(username)),
                Bucket {
                    rule: ADDRESS,
                    cleared: false,
                    ..self.bucket("address", &network(address))
                },
            ],
        };
        self.count(buckets).await
    }

    /// The same for a session that is asked for its password once more: who holds
    /// somebody's access token can't guess the password with it.
    ///
    /// # Errors
    /// [`Error::Slowed`].
    pub async fn count_reauthentication(&self, sid: &str) -> Result<Counted> {
        self.count(vec![self.bucket("session", sid)]).await
    }

    async fn count(&self, buckets: Vec<Bucket>) -> Result<Counted> {
        let now_ms = self.clock.now_ms();
        match self.store.count_attempt(&buckets, now_ms).await? {
            Attempted::Counted { waits } => Ok(Counted { buckets, waits }),
            Attempted::Wait { until_ms } => Err(Error::Slowed {
                wait_ms: (until_ms - now_ms).max(1),
            }),
        }
    }

    /// Takes a counted attempt back unless the credentials were wrong: a full queue
    /// is nobody's failure.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle<T>(&self, counted: Counted, outcome: &Result<T>) -> Result<()> {
        let mut buckets = counted.buckets;
        match outcome {
            Err(Error::BadCredentials | Error::WrongPassword) => return Ok(()),
            Ok(_) => {}
            // Not proved: only its own count is taken back.
            Err(_) => buckets.iter_mut().for_each(|bucket| bucket.cleared = false),
        }
        self.store.forgive_attempt(&buckets).await
    }

    fn bucket(&self, kind: &str, what: &str) -> Bucket {
        Bucket {
            key: self
                .cipher
                .blind_index(&format!("attempts by {kind}"), what),
            rule: ACCOUNT,
            cleared: true,
        }
    }
}

/// An IPv6 client has a whole /64 to choose addresses from.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_none() => {
            format!("{:x}", u128::from(ip) >> 64)
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
