//! Which port each listener has: fixed ones for the usual lab, a block of 64 for any other.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

use crate::replicas::{Replicas, Service};

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
    PaymentHttp,
    PaymentGrpc,
    PaymentMetrics,
    PaymentControl,
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
    LinkOrderPayment,
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

/// Where the listeners of second and further replicas begin: N + 40 to N + 63, or 18140 to 18163
/// in the usual layout. They are given out in the order of [`Layout::further`], so that any mix of
/// replicas that fits has room.
const FURTHER: u16 = 40;
const USUAL_FURTHER: u16 = 18_100 + FURTHER;

/// How many listeners second and further replicas may have.
pub const FURTHER_ROOM: usize = (BLOCK - FURTHER) as usize;

/// The one table of ports. Offsets 3 (console), 13, 18, 19 and 32 to 39 are kept for what comes
/// later.
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
    row(Port::PaymentHttp, "payment-service", "HTTP", 8004, 27),
    row(Port::PaymentGrpc, "payment-service", "gRPC", 50053, 28),
    row(Port::PaymentMetrics, "payment-service", "metrics", 9105, 29),
    row(Port::PaymentControl, "payment-service", "control", 9204, 30),
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
        Port::LinkOrderPayment,
        "toxiproxy",
        "link order-payment",
        18053,
        31,
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
#[derive(Clone, Debug)]
pub struct Listener {
    /// The part that opens it.
    pub part: String,
    /// What is spoken on it.
    pub what: String,
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
    replicas: Replicas,
}

impl Layout {
    /// The usual ports, or those from `base` on; one process of each service.
    ///
    /// # Errors
    /// When the block does not fit between 1024 and 65535.
    pub fn new(base: Option<u16>) -> Result<Self> {
        if let Some(n) = base
            && !(1024..=u16::MAX - BLOCK + 1).contains(&n)
        {
            bail!("--port-base {n} is out of range: N to N+63 must lie within 1024 and 65535");
        }
        Ok(Self {
            base,
            replicas: Replicas::default(),
        })
    }

    /// The same with so many processes of each service.
    pub fn with(self, replicas: Replicas) -> Self {
        Self { replicas, ..self }
    }

    /// The base of the block, unless these are the usual ports.
    pub fn base(self) -> Option<u16> {
        self.base
    }

    /// How many processes each service has.
    pub fn replicas(self) -> Replicas {
        self.replicas
    }

    /// The number of one listener.
    pub fn number(self, port: Port) -> u16 {
        self.of(row_of(port))
    }

    /// The number of a replica's listener; the first replica has the usual one.
    pub fn number_of(self, port: Port, replica: u8) -> u16 {
        if replica == 1 {
            return self.number(port);
        }
        let at = self
            .further()
            .position(|(p, r)| (p, r) == (port, replica))
            .expect("only replicas that there are have listeners");
        self.further_number(at)
    }

    /// The listener's address as a URL without a path.
    pub fn url(self, port: Port) -> String {
        self.url_of(port, 1)
    }

    /// The same of a replica's listener.
    pub fn url_of(self, port: Port, replica: u8) -> String {
        format!("http://{}", self.address_of(port, replica))
    }

    /// A replica's listener's address, `host:port`.
    pub fn address_of(self, port: Port, replica: u8) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.number_of(port, replica))
    }

    /// Every listener of the lab.
    pub fn listeners(self) -> impl Iterator<Item = Listener> {
        let first = TABLE.iter().map(move |row| Listener {
            part: row.part.to_owned(),
            what: row.what.to_owned(),
            number: self.of(row),
        });
        let further = self.further().enumerate();
        first.chain(further.map(move |(at, (port, replica))| {
            let row = row_of(port);
            let (part, what) = if row.part == "toxiproxy" {
                (row.part.to_owned(), format!("{}.{replica}", row.what))
            } else {
                (format!("{}.{replica}", row.part), row.what.to_owned())
            };
            Listener {
                part,
                what,
                number: self.further_number(at),
            }
        }))
    }

    /// The listeners of second and further replicas, in the order of their numbers.
    fn further(self) -> impl Iterator<Item = (Port, u8)> {
        Service::ALL.into_iter().flat_map(move |service| {
            (2..=self.replicas.of(service))
                .flat_map(move |replica| service.ports().iter().map(move |port| (*port, replica)))
        })
    }

    fn further_number(self, at: usize) -> u16 {
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        self.base
            .map_or(USUAL_FURTHER, |base| base + FURTHER)
            .saturating_add(at)
    }

    fn of(self, row: &Row) -> u16 {
        self.base.map_or(row.usual, |base| base + row.offset)
    }
}

fn row_of(port: Port) -> &'static Row {
    TABLE
        .iter()
        .find(|row| row.port == port)
        .expect("every port is in the table")
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
pub fn find_free(start: u16, replicas: Replicas) -> Result<Layout> {
    for turn in 0..BLOCKS {
        let base = FIRST_BLOCK + BLOCK * ((start % BLOCKS + turn) % BLOCKS);
        let layout = Layout {
            base: Some(base),
            replicas,
        };
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

    fn many() -> Replicas {
        let counts = [
            ("user-service", 2),
            ("product-service", 3),
            ("order-service", 2),
        ];
        Replicas::new(counts).unwrap()
    }

    #[test]
    fn no_two_listeners_share_a_port_in_either_layout() {
        for base in [None, Some(30_000)] {
            for (replicas, further) in [(Replicas::default(), 0), (many(), 22)] {
                let layout = Layout::new(base).unwrap().with(replicas);
                let numbers: BTreeSet<_> = layout.listeners().map(|l| l.number).collect();
                assert_eq!(numbers.len(), TABLE.len() + further);
            }
        }
    }

    #[test]
    fn a_replica_has_listeners_and_links_of_its_own() {
        let layout = Layout::new(Some(30_000)).unwrap().with(many());
        let named = |part: &str, what: &str| {
            let mut all = layout.listeners();
            all.find(|l| l.part == part && l.what == what)
                .map(|l| l.number)
        };
        assert_eq!(
            named("product-service.3", "control"),
            Some(layout.number_of(Port::ProductControl, 3))
        );
        assert_eq!(
            named("toxiproxy", "link order-product.2"),
            Some(layout.number_of(Port::LinkOrderProduct, 2))
        );
        assert_eq!(named("order-service.2", "gRPC"), None);
    }

    #[test]
    fn a_block_stays_within_its_64_ports() {
        let layout = Layout::new(Some(30_000)).unwrap().with(many());
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
        let first = find_free(0, Replicas::default()).unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, first.number(Port::OrderHttp))).unwrap();
        let second = find_free(0, Replicas::default()).unwrap();
        assert_ne!(first, second);
        drop(held);
    }
}
