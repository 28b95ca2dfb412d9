//! Listen and upstream addresses as Toxiproxy writes them: `host:port`, where
//! the host may be empty.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::error::{Error, Result};

/// Splits `host:port`; brackets around an IPv6 address are taken off.
fn split(address: &str, what: &'static str) -> Result<(String, u16)> {
    let blame = |part: &str, problem: &str| Error::Address {
        what,
        address: format!("address {part}"),
        problem: problem.to_owned(),
    };
    let fail = |problem| blame(address, problem);
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| fail("missing port in address"))?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner
            .strip_suffix(']')
            .ok_or_else(|| fail("missing ']' in address"))?,
        None if host.contains(':') => return Err(fail("too many colons in address")),
        None => host,
    };
    // An empty port means "any", as it does in Toxiproxy.
    let number = if port.is_empty() { Ok(0) } else { port.parse() };
    Ok((
        host.to_owned(),
        number.map_err(|_| blame(port, "invalid port"))?,
    ))
}

/// Resolves a listen address. Empty text and an empty host mean every
/// interface, port 0 any free port.
pub(crate) async fn resolve_listen(address: &str, what: &'static str) -> Result<SocketAddr> {
    if address.is_empty() {
        return Ok(any(0));
    }
    let (host, port) = split(address, what)?;
    if host.is_empty() {
        return Ok(any(port));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let mut found: Vec<_> = found.map(Iterator::collect).unwrap_or_default();
    // `localhost` is 127.0.0.1 for everyone who writes it into a test.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| Error::Address {
        what,
        address: format!("lookup {host}"),
        problem: "no such host".to_owned(),
    })
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// The address to connect to: a missing host is this machine.
pub(crate) fn upstream(address: &str) -> String {
    match address.strip_prefix(':') {
        Some(port) => format!("localhost:{port}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hosts_ports_and_their_absence() {
        for (given, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            (":80", "[::]:80"),
            ("", "[::]:0"),
            ("127.0.0.1:", "127.0.0.1:0"),
            ("localhost:7", "127.0.0.1:7"),
        ] {
            assert_eq!(
                resolve_listen(given, "").await.unwrap().to_string(),
                expected,
                "{given}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_address_says_why() {
        for (given, why) in [
            ("nonsense", "missing port"),
            ("1:2:3", "too many colons"),
            ("[::1:80", "missing ']'"),
            ("127.0.0.1:99999", "invalid port"),
            ("127.0.0.1:http!", "invalid port"),
        ] {
            let error = resolve_listen(given, "").await.unwrap_err();
            assert!(error.to_string().contains(why), "{given}: {error}");
            assert_eq!(error.status(), 500);
        }
    }

    #[test]
    fn an_upstream_without_host_is_this_machine() {
        assert_eq!(upstream(":80"), "localhost:80");
        assert_eq!(upstream("example.test:80"), "example.test:80");
    }
}
