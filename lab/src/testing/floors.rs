//! Version floors and bans of `deny.toml`, over what `Cargo.lock` has: a test of what ships that
//! needs no tool and no network.

use serde::Deserialize;

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Ban {
    #[serde(rename = "crate")]
    what: String,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// What of `lock` the bans of `deny` refuse.
fn refused(deny: &str, lock: &str) -> Vec<String> {
    let deny: Deny = toml::from_str(deny).expect("deny.toml");
    let lock: Lock = toml::from_str(lock).expect("Cargo.lock");
    let mut refused = Vec::new();
    for ban in deny.bans.deny {
        let (name, floor) = match ban.what.split_once(":<") {
            Some((name, floor)) => (name.to_owned(), Some(version(floor))),
            None => (ban.what, None),
        };
        let found = lock.package.iter().filter(|package| package.name == name);
        let below = found.filter(|p| floor.is_none_or(|floor| version(&p.version) < floor));
        refused.extend(below.map(|p| format!("{} {}", p.name, p.version)));
    }
    refused
}

fn version(text: &str) -> [u64; 3] {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = numbers.split('.').map(|n| n.parse().expect("a version"));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

const DENY: &str = include_str!("../../../deny.toml");
const LOCK: &str = include_str!("../../../Cargo.lock");
/// reliability.md, "Version floors".
const FLOORS: [(&str, &str); 12] = [
    ("jsonwebtoken", "10.3.0"),
    ("rustls", "0.23.46"),
    ("rustls-webpki", "0.103.16"),
    ("aws-lc-sys", "0.39.0"),
    ("h2", "0.4.16"),
    ("tonic", "0.12.3"),
    ("sqlx", "0.8.1"),
    ("libsqlite3-sys", "0.37.0"),
    ("lettre", "0.11.22"),
    ("bytes", "1.11.1"),
    ("time", "0.3.47"),
    ("tokio", "1.44.2"),
];

#[test]
fn what_ships_is_above_every_floor() {
    assert_eq!(refused(DENY, LOCK), Vec::<String>::new());
}

#[test]
fn every_floor_is_in_deny_toml() {
    for (name, floor) in FLOORS {
        let line = format!("crate = \"{name}:<{floor}\"");
        assert!(DENY.contains(&line), "{line}");
    }
    assert!(!DENY.contains("@<"), "cargo-deny reads `@<` as `=`");
}

#[test]
fn what_is_below_a_floor_or_banned_is_found() {
    let lock = "[[package]]\nname = \"h2\"\nversion = \"0.3.27\"\n\
                [[package]]\nname = \"h2\"\nversion = \"0.4.16\"\n\
                [[package]]\nname = \"openssl\"\nversion = \"0.10.0\"\n";
    assert_eq!(refused(DENY, lock), ["h2 0.3.27", "openssl 0.10.0"]);
}
