//! What request an arrival makes: a pure function of seed and index.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use crate::client::{Answer, Interrupted};
use crate::draw::{Draws, Purpose};
use crate::error::LoadError;
use crate::mix::Op;
use crate::people::{People, Population, secret};
use crate::plan::Plan;
use crate::record::{Judgement, judge};
use crate::schedule::Arrival;
use crate::stream::Stream;
use crate::target::LoadTarget;
use crate::template::{self, Plain};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LAB_TOKEN: HeaderName = HeaderName::from_static("x-lab-token");
const PRIORITY: HeaderName = HeaderName::from_static(resilience::priority::HEADER);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What people search for: words of the sample catalogue, beginnings of words, and one that finds
/// nothing.
const WORDS: [&str; 8] = [
    "laptop", "pro", "gaming", "wireless", "mouse", "key", "stand", "zeppelin",
];
/// Products on a page of the catalogue, as the contract says.
const PAGE_SIZE: usize = 20;
/// Products on a large page, the most that the contract allows.
const LARGE_PAGE: usize = 100;
/// How far people leaf through the catalogue.
const PAGES_READ: usize = 5;

/// A line of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub product_id: i64,
    /// Units of it.
    pub quantity: u32,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A page of the catalogue, from 1.
    Browse(usize),
    /// A large page of the catalogue, from 1.
    Page(usize),
    /// A search for a word.
    Search(&'static str),
    /// The product with this id.
    View(i64),
    /// A log-in of the customer.
    Login,
    /// An order.
    Order(Vec<Line>),
    /// The customer's orders.
    History,
    /// A quote.
    Quote(Vec<Line>),
}

/// A request, chosen but not yet made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The customer's place in the target's list; none if the list is empty.
    pub customer: Option<usize>,
    /// What is asked for.
    pub action: Action,
}

/// The request of arrival `index`: customer, page, word, products and quantities. It depends on
/// nothing but the arguments, so that the same seed asks the same again.
///
/// # Panics
/// If `op` needs products and there are none ([`LoadTarget::validate`] sees to it).
#[must_use]
pub fn choose(seed: u64, index: u64, op: Op, customers: usize, products: &[i64]) -> Choice {
    let mut draws = Draws::new(seed, Purpose::Request, index);
    let customer = draws.below(customers);
    let action = match op {
        Op::Browse => Action::Browse(page(&mut draws, products.len(), PAGE_SIZE)),
        Op::Page => Action::Page(page(&mut draws, products.len(), LARGE_PAGE)),
        Op::Search => Action::Search(WORDS[draws.below(WORDS.len())]),
        Op::View => Action::View(products[draws.below(products.len())]),
        Op::Login => Action::Login,
        Op::Order => Action::Order(basket(&mut draws, products)),
        Op::History => Action::History,
        Op::Quote => Action::Quote(basket(&mut draws, products)),
    };
    Choice {
        customer: (customers > 0).then_some(customer),
        action,
    }
}

/// One of the pages that people read of so many products.
fn page(draws: &mut Draws, products: usize, size: usize) -> usize {
    1 + draws.below(products.div_ceil(size).clamp(1, PAGES_READ))
}

/// One or two different products, one to three units of each.
fn basket(draws: &mut Draws, products: &[i64]) -> Vec<Line> {
    let n = products.len();
    let first = draws.below(n);
    let mut places = vec![first];
    if n > 1 && draws.below(2) == 1 {
        // A step from the first that never comes back to it.
        places.push((first + 1 + draws.below(n - 1)) % n);
    }
    let line = |place| Line {
        product_id: products[place],
        quantity: 1 + draws.below(3) as u32,
    };
    places.into_iter().map(line).collect()
}

/// The `x-request-id` of arrival `index`: `run`, the index and a tag of the seed, all but `run` in
/// hexadecimal; a pure function, so that a repeated run (same prefix, same seed) sends the same ids
/// and the fault layer decides the same fates.
#[must_use]
pub fn request_id(run: &str, seed: u64, index: u64) -> String {
    let tag = Draws::new(seed, Purpose::RequestId, index).next() as u32;
    let dash = if run.is_empty() { "" } else { "-" };
    format!("{run}{dash}{index:08x}-{tag:08x}")
}

/// A request ready to be sent.
#[derive(Debug)]
pub struct Prepared {
    /// The request.
    pub request: Request<Full<Bytes>>,
    /// Its id.
    pub request_id: String,
    /// The customer's user id; 0 if it is nobody's.
    pub customer: i64,
    /// What it orders or asks a quote for.
    pub lines: Vec<Line>,
    /// The statuses of a good answer, on a system that isn't the shop; any 2xx if there are none.
    pub expect: Option<Arc<[u16]>>,
}

impl Prepared {
    /// Judges what came back.
    pub(crate) fn judge(&self, op: Op, result: &Result<Answer, Interrupted>) -> Judgement {
        match &self.expect {
            None => judge(op, result),
            Some(expect) => template::judge(expect, result),
        }
    }
}

/// Makes the requests of a run.
#[derive(Debug)]
pub struct Requests {
    seed: u64,
    run: String,
    base: String,
    products: Vec<i64>,
    lab_token: Option<HeaderValue>,
    /// Of each stream, by its place.
    priorities: Vec<Option<HeaderValue>>,
    people: Arc<Population>,
    /// What the operations are on a system that isn't the shop.
    plain: BTreeMap<Op, Plain>,
}

impl Requests {
    /// Prepares what all requests of `plan` share.
    ///
    /// # Errors
    /// [`LoadError::Invalid`] if a token can't travel in a header, or the base in a request.
    pub fn new(target: &LoadTarget, plan: &Plan) -> Result<Self, LoadError> {
        let base = target.base.as_str().trim_end_matches('/').to_owned();
        base.parse::<http::Uri>()
            .map_err(|e| LoadError::invalid("base", e.to_string()))?;
        let lab_token = match &target.lab_token {
            Some(token) => Some(secret(token, "lab_token")?),
            None => None,
        };
        let level = |stream: &Stream| {
            let level = stream.priority.map(resilience::Priority::as_str);
            level.map(HeaderValue::from_static)
        };
        let plain = target.requests.iter().map(|(op, template)| {
            let plain = Plain::new(&base, template);
            Ok((*op, plain.map_err(|e| e.inside(&format!("requests.{op}")))?))
        });
        Ok(Self {
            plain: plain.collect::<Result<_, LoadError>>()?,
            seed: plan.seed,
            run: target.run.clone(),
            base,
            products: target.products.clone(),
            lab_token,
            priorities: plan.streams.iter().map(level).collect(),
            people: Arc::new(Population::new(
                &target.customers,
                target.password.as_deref(),
            )?),
        })
    }

    /// Whom requests are made for.
    pub(crate) fn people(&self) -> Arc<Population> {
        Arc::clone(&self.people)
    }

    /// The request of an arrival.
    ///
    /// # Errors
    /// [`LoadError::Invalid`] if it can't be put together, which the checks of [`Requests::new`]
    /// and [`LoadTarget::validate`] leave no way to.
    pub fn prepare(&self, arrival: &Arrival) -> Result<Prepared, LoadError> {
        if let Some(plain) = self.plain.get(&arrival.op) {
            return Ok(self.plain(plain, arrival));
        }
        let people = self.people.now();
        let n = people.visitors.len();
        let mut choice = choose(self.seed, arrival.index, arrival.op, n, &self.products);
        if let (Some(own), Some(place)) = (arrival.customer, choice.customer.as_mut()) {
            // Of a closed stream: always the same one.
            *place = own % n;
        }
        let request_id = request_id(&self.run, self.seed, arrival.index);
        let (method, path, body) = Self::wire(&choice, &people);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(REQUEST_ID, &request_id);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = &self.lab_token {
            request = request.header(LAB_TOKEN, token);
        }
        if let Some(Some(level)) = self.priorities.get(arrival.stream) {
            request = request.header(PRIORITY, level);
        }
        let visitor = choice.customer.map(|place| &people.visitors[place]);
        if let Some(visitor) = visitor {
            if self.lab_token.is_some() {
                request = request.header(FORWARDED_FOR, &visitor.address);
            }
            if arrival.op.needs_customer() && arrival.op != Op::Login {
                request = request.header(AUTHORIZATION, &visitor.authorization);
            }
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|e| LoadError::invalid("request", e.to_string()))?;
        let lines = match choice.action {
            Action::Order(lines) | Action::Quote(lines) => lines,
            _ => Vec::new(),
        };
        Ok(Prepared {
            request,
            request_id,
            customer: visitor.map_or(0, |visitor| visitor.user_id),
            lines,
            expect: None,
        })
    }

    /// The request of a system that isn't the shop.
    fn plain(&self, plain: &Plain, arrival: &Arrival) -> Prepared {
        let request_id = request_id(&self.run, self.seed, arrival.index);
        let mut request = plain.request();
        // Letters, digits and hyphens alone: they travel in a header.
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            request.headers_mut().insert(REQUEST_ID, id);
        }
        if let Some(Some(level)) = self.priorities.get(arrival.stream) {
            request.headers_mut().insert(PRIORITY, level.clone());
        }
        Prepared {
            request,
            request_id,
            customer: 0,
            lines: Vec::new(),
            expect: Some(plain.expect()),
        }
    }

    /// Method, path and body, as the contract writes them.
    fn wire(choice: &Choice, people: &People) -> (Method, String, Option<Bytes>) {
        let get = |path: String| (Method::GET, path, None);
        let post = |path: &str, body: &serde_json::Value| {
            (
                Method::POST,
                path.to_owned(),
                Some(Bytes::from(body.to_string())),
            )
        };
        match &choice.action {
            Action::Browse(page) => get(format!("/api/products/?page={page}")),
            Action::Page(page) => get(format!("/api/products/?page={page}&page_size={LARGE_PAGE}")),
            Action::Search(word) => get(format!("/api/products/?search={word}")),
            Action::View(id) => get(format!("/api/products/{id}/")),
            Action::History => get("/api/orders/".to_owned()),
            Action::Quote(lines) => {
                let items: Vec<String> = lines
                    .iter()
                    .map(|l| format!("{}x{}", l.product_id, l.quantity))
                    .collect();
                get(format!("/api/orders/quote/?items={}", items.join(",")))
            }
            Action::Order(lines) => post("/api/orders/", &serde_json::json!({ "items": lines })),
            Action::Login => {
                let customer = choice.customer.map(|place| &people.visitors[place]);
                let body = serde_json::json!({
                    "username": customer.map(|customer| &customer.username),
                    "password": people.password,
                });
                post("/api/token/", &body)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::time::Duration;

    use crate::mix::Mix;
    use crate::stream::Arrivals;
    use crate::target::{Customer, customer_address};
    use proptest::prelude::*;
    use url::Url;

    const PRODUCTS: [i64; 3] = [11, 12, 13];

    fn requests(seed: u64) -> Requests {
        let customer = |n: i64| Customer {
            user_id: 100 + n,
            username: format!("customer{n}"),
            access: format!("token{n}"),
            address: customer_address(n as usize),
        };
        let target = LoadTarget {
            lab_token: Some("lab".to_owned()),
            customers: (0..5).map(customer).collect(),
            products: PRODUCTS.to_vec(),
            password: Some("password123".to_owned()),
            run: "r1".to_owned(),
            ..LoadTarget::new(Url::parse("http://127.0.0.1:8080/shop/").unwrap())
        };
        Requests::new(&target, &plan(seed)).unwrap()
    }

    fn plan(seed: u64) -> Plan {
        let streams = vec![
            Stream::open(Mix::only(Op::View), 1.0, Arrivals::Poisson),
            Stream::open(Mix::only(Op::View), 1.0, Arrivals::Poisson)
                .with_priority(resilience::Priority::Sheddable),
        ];
        let (warm_up, duration) = (Duration::ZERO, Duration::from_secs(1));
        Plan {
            streams,
            warm_up,
            duration,
            seed,
        }
    }

    fn arrival(index: u64, op: Op) -> Arrival {
        Arrival {
            index,
            stream: 0,
            at: Duration::ZERO,
            op,
            customer: None,
        }
    }

    /// Everything that goes over the wire.
    fn wire(prepared: Prepared) -> String {
        let (head, body) = prepared.request.into_parts();
        let body = format!("{body:?}");
        let headers: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_bytes()))
            .collect();
        format!(
            "{} {} {headers:?} {body} {}",
            head.method, head.uri, prepared.request_id
        )
    }

    proptest! {
        #[test]
        fn a_request_is_a_pure_function_of_seed_and_index(seed: u64, index: u64) {
            for op in Op::ALL {
                let once = wire(requests(seed).prepare(&arrival(index, op)).unwrap());
                prop_assert_eq!(&once, &wire(requests(seed).prepare(&arrival(index, op)).unwrap()));
                let choice = choose(seed, index, op, 5, &PRODUCTS);
                prop_assert_eq!(choice, choose(seed, index, op, 5, &PRODUCTS));
            }
        }

        #[test]
        fn baskets_are_orders_the_shop_must_take(seed: u64, index: u64, n in 1_usize..40) {
            let products: Vec<i64> = (1..=n as i64).collect();
            for op in [Op::Order, Op::Quote] {
                let (Action::Order(lines) | Action::Quote(lines)) =
                    choose(seed, index, op, 1, &products).action
                else { panic!("no basket") };
                let ids: HashSet<i64> = lines.iter().map(|line| line.product_id).collect();
                prop_assert_eq!(ids.len(), lines.len());
                prop_assert!((1..=2).contains(&lines.len()));
                prop_assert!(lines.iter().all(|line| (1..=3).contains(&line.quantity)));
                prop_assert!(ids.iter().all(|id| products.contains(id)));
            }
        }
    }

    #[test]
    fn ids_are_unique_in_a_run_and_differ_between_seeds() {
        let ids: HashSet<String> = (0..10_000).map(|index| request_id("r", 1, index)).collect();
        assert_eq!(ids.len(), 10_000);
        assert!((0..100).all(|index| !ids.contains(&request_id("r", 2, index))));
        assert!(request_id("", 1, 255).starts_with("000000ff-"));
        assert!(request_id("run", 1, 255).starts_with("run-000000ff-"));
    }

    #[test]
    fn every_customer_product_and_quantity_has_its_turn() {
        let mut seen = HashSet::new();
        for index in 0..2_000 {
            let choice = choose(3, index, Op::Order, 5, &PRODUCTS);
            let Action::Order(lines) = choice.action else {
                panic!("an order")
            };
            seen.extend(
                lines
                    .iter()
                    .map(|l| (choice.customer.unwrap(), l.product_id, l.quantity)),
            );
        }
        assert_eq!(seen.len(), 5 * 3 * 3);
        assert_eq!(choose(3, 0, Op::Browse, 0, &[]).customer, None);
        assert_eq!(choose(3, 0, Op::Browse, 0, &[]).action, Action::Browse(1));
        let pages: HashSet<_> = (0..500)
            .map(|index| choose(3, index, Op::Browse, 0, &[1; 41]).action)
            .map(|action| {
                if let Action::Browse(page) = action {
                    page
                } else {
                    0
                }
            })
            .collect();
        assert_eq!(
            pages,
            HashSet::from([1, 2, 3]),
            "41 products fill three pages"
        );
    }

    #[test]
    fn only_what_needs_an_account_carries_its_token() {
        for op in Op::ALL {
            let prepared = requests(1).prepare(&arrival(9, op)).unwrap();
            let headers = prepared.request.headers();
            let bearer = matches!(op, Op::Order | Op::History | Op::Quote);
            assert_eq!(headers.contains_key(AUTHORIZATION), bearer, "{op}");
            assert_eq!(headers[&LAB_TOKEN], "lab");
            let n = prepared.customer - 100;
            assert_eq!(
                headers[&FORWARDED_FOR],
                customer_address(n as usize).to_string()
            );
            assert_eq!(headers[&REQUEST_ID], prepared.request_id);
            assert!(prepared.request.uri().path().starts_with("/shop/api/"));
        }
        let bare = LoadTarget::new(Url::parse("http://127.0.0.1").unwrap());
        let requests = Requests::new(&bare, &plan(1)).unwrap();
        let prepared = requests.prepare(&arrival(0, Op::Browse)).unwrap();
        assert!(!prepared.request.headers().contains_key(&FORWARDED_FOR));
        assert_eq!(prepared.customer, 0);
    }

    #[test]
    fn a_closed_streams_customer_is_always_the_same_one() {
        for (index, own, user) in [(5, 3, 103), (6, 3, 103), (7, 8, 103), (8, 0, 100)] {
            let arrival = Arrival {
                customer: Some(own),
                ..arrival(index, Op::Order)
            };
            let prepared = requests(1).prepare(&arrival).unwrap();
            assert_eq!(prepared.customer, user);
            let address = customer_address(user as usize - 100).to_string();
            assert_eq!(prepared.request.headers()[&FORWARDED_FOR], address);
        }
    }

    #[test]
    fn a_streams_priority_travels() {
        let second = Arrival {
            stream: 1,
            ..arrival(0, Op::View)
        };
        let prepared = requests(1).prepare(&second).unwrap();
        assert_eq!(prepared.request.headers()[&PRIORITY], "sheddable");
        let first = requests(1).prepare(&arrival(0, Op::View)).unwrap();
        assert!(!first.request.headers().contains_key(&PRIORITY));
    }

    #[test]
    fn a_token_that_cannot_travel_is_refused() {
        let base = Url::parse("http://127.0.0.1").unwrap();
        let target = LoadTarget {
            lab_token: Some("a\nb".to_owned()),
            ..LoadTarget::new(base)
        };
        assert!(Requests::new(&target, &plan(1)).is_err());
    }
}
