//! Where a run happens, and how the engine reaches it.
//!
//! A [`Target`] is made in code by the lab for the shop, or read from a file for any
//! other system ([`Target::from_file`], TOML; JSON works too, by serde). Everything
//! but `kind` and `entry` is optional:
//!
//! ```toml
//! schema_version = 1
//! kind = "nginx"                          # goes into the results
//! entry = "http://127.0.0.1:8081"         # where the load enters
//! proxy_api = "http://127.0.0.1:8474"     # any Toxiproxy
//! lab_token = "…"                         # of the control API
//!
//! [control]                               # control listeners by part
//! order = "http://127.0.0.1:9203"
//! product = "http://127.0.0.1:9202"       # a part alone, or the first of several
//! "product.2" = "http://127.0.0.1:9212"   # another replica
//!
//! [links]                                 # link → proxies, where the names differ
//! client-nginx = ["nginx"]
//!
//! [load]                                  # only when it isn't the shop
//! max_rate = 200                          # a ceiling; 200/s if not said
//! link = "client-nginx"                   # the link that the load itself goes over
//! [load.requests.browse]                  # what an operation is here
//! path = "/"
//! ```
//!
//! **Replicas.** A name with a number, `product.2`, is one replica; `product` alone is
//! the first of several, or the only one. Policies, resets, events and faults per
//! request go to every replica of a part. Proxies are found by name in the same way:
//! a fault on `order-product` is put on `order-product` and every `order-product.N`
//! that the proxy API lists, one on `order-product.2` on that alone. Parts of
//! [`Processes`] have compose's names: `product-service`, `product-service.2`.

mod file;
mod http;
mod processes;

use std::collections::BTreeMap;
use std::sync::Arc;

use loadtest::{Op, Template};
use reqwest::Url;
use serde::{Deserialize, Serialize};

pub(crate) use http::{http_client, innermost, join, read, send, send_if_there, send_json};
pub use processes::{ProcessResult, Processes};

use crate::error::EngineError;
use crate::scenario::known;

/// The version of a written target that this engine reads.
pub const SCHEMA_VERSION: u32 = 1;

/// A running system: its entry, its controls and its fault proxies.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "file::Written", into = "file::Written")]
pub struct Target {
    /// `embedded`, `real`, …: goes into the results.
    pub kind: String,
    /// Where the load enters.
    pub entry: Url,
    /// The bearer token of the control API; empty without one.
    pub lab_token: String,
    /// Control listeners by part: `user`, `product`, `product.2`, `order`, `gateway`.
    pub control: BTreeMap<String, Url>,
    /// Metrics listeners by part.
    pub metrics: BTreeMap<String, Url>,
    /// The API of the fault proxies (Toxiproxy's).
    pub proxy_api: Option<Url>,
    /// The proxies of a link, where they aren't called like it.
    pub links: BTreeMap<String, Vec<String>>,
    /// Process ids by part, for CPU times.
    pub pids: BTreeMap<String, u32>,
    /// What the load does when the target isn't the shop.
    pub load: Option<PlainLoad>,
    /// Whoever can stop and start its processes; never written.
    pub processes: Option<Arc<dyn Processes>>,
}

/// Load on a system that isn't the shop: requests that need no fixtures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainLoad {
    /// The most requests a second of all streams together.
    #[serde(default = "PlainLoad::usual_ceiling")]
    pub max_rate: f64,
    /// The link that the load itself goes over: its requests are the attempts on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// How each operation looks.
    pub requests: BTreeMap<Op, Template>,
}

impl PlainLoad {
    const fn usual_ceiling() -> f64 {
        200.0
    }
}

impl std::fmt::Debug for Target {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = |url: &Url| url.as_str().to_owned();
        f.debug_struct("Target")
            .field("kind", &self.kind)
            .field("entry", &self.entry.as_str())
            .field("control", &self.control)
            .field("proxy_api", &self.proxy_api.as_ref().map(address))
            .finish_non_exhaustive()
    }
}

impl Target {
    /// A system of which only the entry is known.
    #[must_use]
    pub fn new(kind: &str, entry: Url) -> Self {
        Self {
            kind: kind.to_owned(),
            entry,
            lab_token: String::new(),
            control: BTreeMap::new(),
            metrics: BTreeMap::new(),
            proxy_api: None,
            links: BTreeMap::new(),
            pids: BTreeMap::new(),
            load: None,
            processes: None,
        }
    }

    /// Whether it is the shop, with everything that the shop has.
    #[must_use]
    pub const fn is_shop(&self) -> bool {
        self.load.is_none()
    }

    /// The process ids by part as they are now.
    #[must_use]
    pub fn pids_now(&self) -> BTreeMap<String, u32> {
        let Some(processes) = &self.processes else {
            return self.pids.clone();
        };
        let short = |(part, pid): (String, u32)| (part.replacen("-service", "", 1), pid);
        processes.pids().into_iter().map(short).collect()
    }

    /// The control listener of a part; of its first replica, if it has several.
    ///
    /// # Errors
    /// [`EngineError::Missing`].
    pub fn control_of(&self, part: &str) -> Result<&Url, EngineError> {
        let mut of_part = self.control.iter().filter(|(name, _)| same(name, part));
        of_part
            .next()
            .map(|(_, url)| url)
            .ok_or_else(|| EngineError::Missing {
                what: "control API",
                part: part.to_owned(),
            })
    }
}

/// Whether `name` is what `wanted` means: `order-product.2` is itself and one of
/// `order-product`; `order-product.1` may be called `order-product`.
#[must_use]
pub fn same(name: &str, wanted: &str) -> bool {
    let number = |name| known::replica(name).unwrap_or(1);
    known::base(name) == known::base(wanted)
        && known::replica(wanted).is_none_or(|_| number(name) == number(wanted))
}
