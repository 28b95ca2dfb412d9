//! What request an arrival makes: a pure function of seed and index.

mod choice;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;

use choice::LARGE_PAGE;
pub use choice::{Action, Choice, Line, choose};

use crate::client::{Answer, Interrupted};
use crate::draw::{Draws, Purpose};
use crate::error::LoadError;
use crate::mix::Op;
use crate::orders::Orders;
use crate::people::{People, Population, secret};
use crate::plan::Plan;
use crate::record::{Judgement, judge};
use crate::schedule::Arrival;
use crate::stream::Stream;
use crate::target::LoadTarget;
use crate::template::{self, Plain};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAB_TOKEN: HeaderName = HeaderName::from_static("x-lab-token");
const PRIORITY: HeaderName = HeaderName::from_static(resilience::priority::HEADER);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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
    /// Whether the load's own policy may repeat it after an unknown outcome.
    pub repeatable: bool,
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
    orders: Orders,
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
            orders: target.orders,
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
        if arrival.op == Op::Order && self.orders == Orders::Keyed {
            request = request.header(IDEMPOTENCY_KEY, &request_id);
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
            repeatable: self.orders.may_repeat(arrival.op),
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
            repeatable: arrival.op.is_idempotent(),
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
