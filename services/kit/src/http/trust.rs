//! Whose word about the client's address is taken.

use std::{fmt, net::IpAddr, str::FromStr};

/// A range of addresses: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    prefix: u32,
}

/// Not `address` or `address/prefix`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address and no range such as 10.0.0.0/8")]
pub struct NetError(String);

impl Net {
    fn contains(self, other: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, bits: u32| {
            bits == 0 || ours >> (128 - bits) == theirs >> (128 - bits)
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(
                u128::from(u32::from(ours)) << 96,
                u128::from(u32::from(theirs)) << 96,
                self.prefix,
            ),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.into(), theirs.into(), self.prefix),
            _ => false,
        }
    }
}

impl FromStr for Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let wrong = || NetError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
            None => most,
        };
        if prefix > most {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

/// The proxies in front of us that write `X-Forwarded-For` themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Net>);

impl TrustedProxies {
    /// This machine's own: what stands in front of a service in the lab.
    pub fn loopback() -> Self {
        "127.0.0.0/8,::1".parse().unwrap_or_default()
    }

    /// Whether an address is one of theirs.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(address))
    }

    /// The client of a request that came from `peer` with these `X-Forwarded-For`: every proxy
    /// appends whom it saw, so the list is read from its end, as far as our proxies go.
    pub(crate) fn client(&self, peer: IpAddr, forwarded: &[&str]) -> IpAddr {
        let mut client = peer;
        let told = forwarded.iter().rev().flat_map(|list| list.rsplit(','));
        for address in told {
            if !self.contains(client) {
                break;
            }
            match address.trim().parse() {
                Ok(address) => client = address,
                Err(_) => break,
            }
        }
        client
    }
}

impl FromStr for TrustedProxies {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let nets = text.split(',').map(str::trim).filter(|net| !net.is_empty());
        nets.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nets = self
            .0
            .iter()
            .map(|net| format!("{}/{}", net.address, net.prefix));
        f.write_str(&nets.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let proxies: TrustedProxies = "10.0.0.0/8, 192.0.2.7, fd00::/8".parse().unwrap();
        for inside in ["10.1.2.3", "192.0.2.7", "fd12::1", "::ffff:10.0.0.1"] {
            assert!(proxies.contains(ip(inside)), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "fe80::1", "127.0.0.1"] {
            assert!(!proxies.contains(ip(outside)), "{outside}");
        }
        for wrong in ["10.0.0.0/33", "10", "a/8", "::1/129", "10.0.0.0/-1"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_forged_beginning_of_the_list_is_not_believed() {
        let proxies = TrustedProxies::loopback();
        let client = |peer: &str, told: &[&str]| proxies.client(ip(peer), told).to_string();
        assert_eq!(
            client("127.0.0.1", &["6.6.6.6, 198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("127.0.0.1", &["6.6.6.6", "198.51.100.1, 127.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("127.0.0.1", &["unknown"]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }
}
