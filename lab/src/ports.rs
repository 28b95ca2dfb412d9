//! Which port each listener has: fixed ones for the usual lab, a block of 64 for any other.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// How many ports a lab with `--port-base N` may use: N to N + 63.
pub const BLOCK: u16 = 64;

/// A listener of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    GatewayHttp,
    GatewayMetrics,
    GatewayControl,
    UserHttp,
    UserGrpc,
    UserMetrics,
    UserControl,
    ProductHttp,
    ProductGrpc,
    ProductMetrics,
    ProductControl,
    OrderHttp,
    OrderMetrics,
    OrderControl,
    ProxyApi,
    ProxyMetrics,
    LinkGatewayUser,
    LinkGatewayProduct,
    LinkGatewayOrder,
    LinkOrderUser,
    LinkOrderProduct,
    LinkOrderKeys,
    LinkProductKeys,
}

struct Row {
    port: Port,
    part: &'static str,
    what: &'static str,
    usual: u16,
    offset: u16,
}

const fn row(port: Port, part: &'static str, what: &'static str, usual: u16, offset: u16) -> Row {
    Row {
        port,
        part,
        what,
        usual,
        offset,
    }
}

/// The one table of ports. Offsets 3 (console), 13, 18 and 27 to 63 are kept for what comes later.
const TABLE: &[Row] = &[
    row(Port::GatewayHttp, "gateway", "HTTP", 8080, 0),
    row(Port::GatewayMetrics, "gateway", "metrics", 9100, 1),
    row(Port::GatewayControl, "gateway", "control", 9200, 2),
    row(Port::UserHttp, "user-service", "HTTP", 8001, 4),
    row(Port::UserGrpc, "user-service", "gRPC", 50051, 5),
    row(Port::UserMetrics, "user-service", "metrics", 9101, 6),
    row(Port::UserControl, "user-service", "control", 9201, 7),
    row(Port::ProductHttp, "product-service", "HTTP", 8002, 8),
    row(Port::ProductGrpc, "product-service", "gRPC", 50052, 9),
    row(Port::ProductMetrics, "product-service", "metrics", 9102, 10),
    row(Port::ProductControl, "product-service", "control", 9202, 11),
    row(Port::OrderHttp, "order-service", "HTTP", 8003, 12),
    row(Port::OrderMetrics, "order-service", "metrics", 9103, 14),
    row(Port::OrderControl, "order-service", "control", 9203, 15),
    row(Port::ProxyApi, "toxiproxy", "API", 8474, 16),
    row(Port::ProxyMetrics, "toxiproxy", "metrics", 9104, 17),
    row(
        Port::LinkGatewayUser,
        "toxiproxy",
        "link gateway-user",
        18001,
        20,
    ),
    row(
        Port::LinkGatewayProduct,
        "toxiproxy",
        "link gateway-product",
        18002,
        21,
    ),
    row(
        Port::LinkGatewayOrder,
        "toxiproxy",
        "link gateway-order",
        18003,
        22,
    ),
    row(
        Port::LinkOrderUser,
        "toxiproxy",
        "link order-user",
        18051,
        23,
    ),
    row(
        Port::LinkOrderProduct,
        "toxiproxy",
        "link order-product",
        18052,
        24,
    ),
    row(
        Port::LinkOrderKeys,
        "toxiproxy",
        "link order-keys",
        18061,
        25,
    ),
    row(
        Port::LinkProductKeys,
        "toxiproxy",
        "link product-keys",
        18062,
        26,
    ),
];

/// One listener with its number.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// The part that opens it.
    pub part: &'static str,
    /// What is spoken on it.
    pub what: &'static str,
    /// Its number.
    pub number: u16,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} ({}, {})", self.number, self.part, self.what)
    }
}

/// Where a lab's listeners are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    base: Option<u16>,
}

impl Layout {
    /// The usual ports, or those from `base` on.
    ///
    /// # Errors
    /// When the block does not fit between 1024 and 65535.
    pub fn new(base: Option<u16>) -> Result<Self> {
        if let Some(n) = base
            && !(1024..=u16::MAX - BLOCK + 1).contains(&n)
        {
            bail!("--port-base {n} is out of range: N to N+63 must lie within 1024 and 65535");
        }
        Ok(Self { base })
    }

    /// The base of the block, unless these are the usual ports.
    pub fn base(self) -> Option<u16> {
        self.base
    }

    /// The number of one listener.
    pub fn number(self, port: Port) -> u16 {
        let row = TABLE
            .iter()
            .find(|row| row.port == port)
            .expect("every port is in the table");
        self.of(row)
    }

    /// The listener's address as a URL without a path.
    pub fn url(self, port: Port) -> String {
        format!("http://{}", self.address(port))
    }

    /// The listener's address, `host:port`.
    pub fn address(self, port: Port) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.number(port))
    }

    /// Every listener of the lab.
    pub fn listeners(self) -> impl Iterator<Item = Listener> {
        TABLE.iter().map(move |row| Listener {
            part: row.part,
            what: row.what,
            number: self.of(row),
        })
    }

    fn of(self, row: &Row) -> u16 {
        self.base.map_or(row.usual, |base| base + row.offset)
    }
}

/// Whether a loopback listener could be opened on the port now.
pub fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

/// Blocks below the ephemeral range of Linux and macOS, so that no client socket sits in them.
const FIRST_BLOCK: u16 = 20_032;
const BLOCKS: u16 = 190;

/// A layout whose ports are all free at this moment, tried from `start` on (any number).
///
/// # Errors
/// When no block is free.
pub fn find_free(start: u16) -> Result<Layout> {
    for turn in 0..BLOCKS {
        let base = FIRST_BLOCK + BLOCK * ((start % BLOCKS + turn) % BLOCKS);
        let layout = Layout { base: Some(base) };
        if layout.listeners().all(|listener| is_free(listener.number)) {
            return Ok(layout);
        }
    }
    bail!(
        "no block of 64 free ports between {FIRST_BLOCK} and {}",
        FIRST_BLOCK + BLOCK * BLOCKS
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_listeners_share_a_port_in_either_layout() {
        for layout in [
            Layout::new(None).unwrap(),
            Layout::new(Some(30_000)).unwrap(),
        ] {
            let numbers: BTreeSet<_> = layout.listeners().map(|l| l.number).collect();
            assert_eq!(numbers.len(), TABLE.len());
        }
    }

    #[test]
    fn a_block_stays_within_its_64_ports() {
        let layout = Layout::new(Some(30_000)).unwrap();
        assert!(
            layout
                .listeners()
                .all(|l| (30_000..30_064).contains(&l.number))
        );
        assert_eq!(layout.number(Port::GatewayHttp), 30_000);
    }

    #[test]
    fn a_base_that_does_not_fit_is_refused() {
        assert!(Layout::new(Some(65_472)).is_ok());
        assert!(Layout::new(Some(65_473)).is_err());
        assert!(Layout::new(Some(80)).is_err());
    }

    #[test]
    fn a_block_with_a_taken_port_is_passed_over() {
        let first = find_free(0).unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, first.number(Port::OrderHttp))).unwrap();
        let second = find_free(0).unwrap();
        assert_ne!(first, second);
        drop(held);
    }
}
