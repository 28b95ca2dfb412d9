//! Where the load goes, and on whose behalf.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use resilience::Policy;
use resilience::observe::{Fanout, Observer};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::LoadError;
use crate::fixtures::Renewal;
use crate::mix::Op;
use crate::orders::Orders;
use crate::plan::Plan;
use crate::template::Template;

/// A virtual customer: an account and an address of its own, so that rate limits by either see many
/// customers, as they would.
#[derive(Clone, Serialize, Deserialize)]
pub struct Customer {
    /// The account's id.
    pub user_id: i64,
    /// The account's name.
    pub username: String,
    /// An access token of the account.
    pub access: String,
    /// The address the customer comes from.
    pub address: IpAddr,
}

impl std::fmt::Debug for Customer {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Customer")
            .field("user_id", &self.user_id)
            .field("username", &self.username)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Customer {
    /// When the access token ends, if it is a JWT that says so. Nothing is verified.
    #[must_use]
    pub fn token_ends(&self) -> Option<SystemTime> {
        #[derive(Deserialize)]
        struct Claims {
            exp: u64,
        }
        let payload = URL_SAFE_NO_PAD
            .decode(self.access.split('.').nth(1)?)
            .ok()?;
        let claims: Claims = serde_json::from_slice(&payload).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
    }
}

/// The address of the n-th virtual customer: out of 100.64.0.0/10, which RFC 6598 keeps for
/// carriers' own use, so that it is nobody's. Repeats after 4 194 302.
#[must_use]
pub fn customer_address(n: usize) -> IpAddr {
    const FIRST: u32 = 0x6440_0001;
    const USABLE: usize = (1 << 22) - 2;
    IpAddr::V4(Ipv4Addr::from_bits(FIRST + (n % USABLE) as u32))
}

/// What the load is sent to.
#[derive(Clone)]
pub struct LoadTarget {
    /// The entry: scheme (`http`), host, port and perhaps a path that all requests share.
    pub base: Url,
    /// The lab's token; with it the gateway believes the customers' addresses.
    pub lab_token: Option<String>,
    /// On whose behalf requests are made; may be empty if no operation needs an account.
    pub customers: Vec<Customer>,
    /// Ids of the products to look at and to buy.
    pub products: Vec<i64>,
    /// The password of every customer, for log-ins.
    pub password: Option<String>,
    /// When a request is given up. A bound on the measurement, not a customer's patience: it stays
    /// well above every deadline of the target.
    pub request_timeout: Duration,
    /// At most so many requests at once; what exceeds it is not sent and makes the run void.
    pub max_in_flight: usize,
    /// What request ids begin with; empty for none. Arms to be compared pairwise share it, because
    /// fates are decided by request id.
    pub run: String,
    /// Policies of the slot `load`, with their weights, as [`SlotSpec::resolve`] gives them: each
    /// request is then a logical call through a [`resilience::Slot`] with link and service `load`.
    /// Empty (the usual): one attempt, bounded by `request_timeout` alone, and nothing to observe.
    ///
    /// [`SlotSpec::resolve`]: resilience::SlotSpec::resolve
    pub policies: Vec<(u32, Policy)>,
    /// How orders are sent.
    pub orders: Orders,
    /// Hears what those policies decide.
    pub observer: Arc<dyn Observer>,
    /// How customers with fresh tokens are had, for loads that last longer than tokens live.
    pub renewal: Option<Renewal>,
    /// What each operation is on a system that isn't the shop; empty for the shop.
    pub requests: BTreeMap<Op, Template>,
}

impl std::fmt::Debug for LoadTarget {
    /// Without token and password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadTarget")
            .field("base", &self.base.as_str())
            .field("customers", &self.customers.len())
            .field("products", &self.products.len())
            .field("request_timeout", &self.request_timeout)
            .field("max_in_flight", &self.max_in_flight)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl LoadTarget {
    /// The usual bound on one request.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
    /// The usual bound on requests at once.
    pub const MAX_IN_FLIGHT: usize = 20_000;

    /// A target without customers or products, with the usual bounds.
    #[must_use]
    pub fn new(base: Url) -> Self {
        Self {
            base,
            lab_token: None,
            customers: Vec::new(),
            products: Vec::new(),
            password: None,
            request_timeout: Self::REQUEST_TIMEOUT,
            max_in_flight: Self::MAX_IN_FLIGHT,
            run: String::new(),
            policies: Vec::new(),
            orders: Orders::Once,
            observer: Arc::new(Fanout::default()),
            renewal: None,
            requests: BTreeMap::new(),
        }
    }

    /// Checks that every request of `plan` can be made.
    ///
    /// # Errors
    /// [`LoadError::Invalid`], naming what is missing.
    pub fn validate(&self, plan: &Plan) -> Result<(), LoadError> {
        let ops = || plan.streams.iter().flat_map(|stream| stream.mix.ops());
        let missing = |field: &str, message: String| Err(LoadError::invalid(field, message));
        if self.base.scheme() != "http" || !self.base.has_host() {
            return missing("base", format!("{} is not an http:// address", self.base));
        }
        if !self.requests.is_empty() {
            // No shop: nobody is needed and nothing is bought.
            return match ops().find(|op| !self.requests.contains_key(op)) {
                Some(op) => missing("requests", format!("the target has no request for `{op}`")),
                None => self.bounds(),
            };
        }
        if let Some(op) = ops().find(|op| op.needs_customer() && self.customers.is_empty()) {
            return missing("customers", format!("`{op}` needs at least one"));
        }
        if let Some(op) = ops().find(|op| op.needs_products() && self.products.is_empty()) {
            return missing("products", format!("`{op}` needs at least one"));
        }
        if self.password.is_none() && ops().any(|op| op == Op::Login) {
            return missing("password", "`login` needs it".to_owned());
        }
        self.bounds()
    }

    fn bounds(&self) -> Result<(), LoadError> {
        let missing = |field: &str, message: String| Err(LoadError::invalid(field, message));
        if self.request_timeout.is_zero() || self.max_in_flight == 0 {
            return missing(
                "request_timeout, max_in_flight",
                "must be over 0".to_owned(),
            );
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.run.len() > 64 || !self.run.chars().all(plain) {
            let message = "at most 64 of letters, digits, `-`, `_`, `.` (it travels in a header)";
            return missing("run", message.to_owned());
        }
        Ok(())
    }

    /// When the first of the customers' tokens ends; none if there is none that says so.
    #[must_use]
    pub fn tokens_end(&self) -> Option<SystemTime> {
        self.customers.iter().filter_map(Customer::token_ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Mix;
    use crate::stream::Arrivals;

    fn customer(access: &str) -> Customer {
        let username = "c".to_owned();
        Customer {
            user_id: 1,
            username,
            access: access.to_owned(),
            address: customer_address(0),
        }
    }

    #[test]
    fn addresses_are_distinct_and_nobodys() {
        assert_eq!(customer_address(0).to_string(), "100.64.0.1");
        assert_eq!(customer_address(256).to_string(), "100.64.1.1");
        assert_eq!(
            customer_address((1 << 22) - 3).to_string(),
            "100.127.255.254"
        );
        assert_eq!(customer_address((1 << 22) - 2), customer_address(0));
    }

    #[test]
    fn what_a_mix_needs_must_be_there() {
        let plan = |mix: &str| {
            let mix = Mix::named(mix).unwrap();
            Plan::single(mix, 1.0, Arrivals::Poisson, Duration::from_secs(1), 1)
        };
        let bare = LoadTarget::new(Url::parse("http://127.0.0.1:8080").unwrap());
        let missing = |target: &LoadTarget, mix: &str| match target.validate(&plan(mix)) {
            Ok(()) => String::new(),
            Err(LoadError::Invalid { field, .. }) => field,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(missing(&bare, "browse"), "");
        assert_eq!(missing(&bare, "view"), "products");
        assert_eq!(missing(&bare, "order"), "customers");
        let peopled = LoadTarget {
            customers: vec![customer("t")],
            ..bare.clone()
        };
        assert_eq!(missing(&peopled, "history"), "");
        assert_eq!(missing(&peopled, "login"), "password");
        assert_eq!(missing(&peopled, "order"), "products");
        let tls = LoadTarget {
            base: Url::parse("https://127.0.0.1").unwrap(),
            ..bare.clone()
        };
        assert_eq!(missing(&tls, "browse"), "base");
        let odd = LoadTarget {
            run: "a\r\nb".to_owned(),
            ..bare
        };
        assert_eq!(missing(&odd, "browse"), "run");
    }

    #[test]
    fn the_earliest_end_of_a_token_is_found_and_secrets_stay_out_of_debug() {
        let jwt = |exp: u64| {
            let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp},"user_id":1}}"#));
            customer(&format!("e30.{payload}.c2ln"))
        };
        let mut target = LoadTarget::new(Url::parse("http://127.0.0.1").unwrap());
        assert_eq!(target.tokens_end(), None);
        target.customers = vec![jwt(2_000), customer("opaque"), jwt(1_000)];
        target.lab_token = Some("s3cret".to_owned());
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(target.tokens_end(), Some(end));
        let debug = format!("{target:?} {:?}", target.customers);
        assert!(
            !debug.contains("s3cret") && !debug.contains("opaque"),
            "{debug}"
        );
    }
}
