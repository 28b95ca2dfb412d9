//! The shop over HTTP: its gateway with bearer tokens, and the control API of its services.

mod watch;
mod wire;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::shop::{Page, Placed, Reply, Seen, Shop, ShopError};
use crate::snapshot::{Open, Orders, Payments, Stock};
use crate::types::{Basket, Cents, OrderId, ProductId, Status, UserId};
pub use watch::{Sent, Watch};
use watch::{Ticket, Watcher};

/// Orders a page.
const PAGE: usize = 100;

/// Where the shop is.
#[derive(Clone, Debug)]
pub struct Places {
    /// The gateway, such as `http://127.0.0.1:8080`.
    pub entry: String,
    /// The product service's control API.
    pub product: String,
    /// The order service's.
    pub order: String,
    /// The payment service's, if there is one.
    pub payment: Option<String>,
    /// The token of the control APIs. With it the gateway trusts the customers' addresses.
    pub lab_token: String,
}

/// Somebody with an access token.
#[derive(Clone, Debug)]
pub struct Person {
    /// The access token.
    pub token: String,
    /// The address that requests say they come from, so that limits of rate see many people.
    pub address: Option<IpAddr>,
}

/// A shop over HTTP. The client that it is made with must not follow redirects or repeat requests,
/// since the history holds what was sent.
pub struct HttpShop {
    client: Client,
    places: Places,
    customers: BTreeMap<UserId, Person>,
    staff: Person,
    admin: Person,
    watcher: Option<Watcher>,
}

impl HttpShop {
    /// A shop; `staff` takes orders on, `admin` changes prices.
    #[must_use]
    pub fn new(
        client: Client,
        places: Places,
        customers: BTreeMap<UserId, Person>,
        staff: Person,
        admin: Person,
    ) -> Self {
        Self {
            client,
            places,
            customers,
            staff,
            admin,
            watcher: None,
        }
    }

    /// Tells `watch` of every request of a customer as it ends, and gives each an `x-request-id`
    /// that begins with `prefix`.
    #[must_use]
    pub fn watched(mut self, prefix: &str, watch: Arc<dyn Watch>) -> Self {
        self.watcher = Some(Watcher::new(prefix, watch));
        self
    }

    /// Sends a customer's request.
    async fn ask(
        &self,
        call: &'static str,
        user: UserId,
        request: RequestBuilder,
    ) -> Reply<(Value, bool)> {
        let Some(watcher) = &self.watcher else {
            return ask(request, None).await;
        };
        let ticket = watcher.begins(call, user);
        let request = request.header("x-request-id", ticket.request_id());
        ask(request, Some(ticket)).await
    }

    fn request(&self, method: Method, path: &str, by: &Person) -> RequestBuilder {
        let base = self.places.entry.trim_end_matches('/');
        let request = self
            .client
            .request(method, format!("{base}{path}"))
            .bearer_auth(&by.token)
            .header("x-lab-token", &self.places.lab_token);
        match by.address {
            Some(address) => request.header("x-forwarded-for", address.to_string()),
            None => request,
        }
    }

    fn customer(&self, user: UserId) -> Person {
        let known = self.customers.get(&user).cloned();
        // Without a token the shop refuses, and the log says so.
        known.unwrap_or(Person {
            token: String::new(),
            address: None,
        })
    }

    async fn tell<T: DeserializeOwned>(
        &self,
        what: &'static str,
        base: &str,
        query: &str,
    ) -> Result<T, ShopError> {
        let failed = |why: String| ShopError { what, why };
        let url = format!("{}/lab/integrity{query}", base.trim_end_matches('/'));
        let request = self.client.get(url).bearer_auth(&self.places.lab_token);
        let answer = request
            .send()
            .await
            .map_err(|error| failed(innermost(&error)))?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(failed(status.to_string()));
        }
        answer
            .json()
            .await
            .map_err(|error| failed(innermost(&error)))
    }
}

/// Sends a request and says what is known of its outcome: a 2xx is done, a 4xx refused, a request
/// that found no connection was not sent; everything else is unknown.
async fn ask(request: RequestBuilder, ticket: Option<Ticket>) -> Reply<(Value, bool)> {
    let (status, reply) = answered(request).await;
    if let Some(ticket) = ticket {
        ticket.ended(status, &reply);
    }
    reply
}

/// The status, 0 when no answer began, with what it says.
async fn answered(request: RequestBuilder) -> (u16, Reply<(Value, bool)>) {
    match request.send().await {
        Ok(answer) => (answer.status().as_u16(), read_answer(answer).await),
        Err(error) => (0, unanswered(&error)),
    }
}

fn unanswered(error: &reqwest::Error) -> Reply<(Value, bool)> {
    if error.is_connect() || error.is_builder() {
        return Reply::Refused {
            status: 0,
            error: innermost(error),
        };
    }
    if error.is_timeout() {
        return Reply::Unknown("timeout".to_owned());
    }
    Reply::Unknown(innermost(error))
}

async fn read_answer(answer: reqwest::Response) -> Reply<(Value, bool)> {
    let status = answer.status();
    let stale = answer.headers().contains_key("x-degraded");
    let body = answer.bytes().await;
    if status.is_client_error() {
        let word = body.ok().and_then(|body| wire::word(&body));
        return Reply::Refused {
            status: status.as_u16(),
            error: word.unwrap_or_default(),
        };
    }
    let body = match body {
        Ok(body) => body,
        Err(error) => return Reply::Unknown(innermost(&error)),
    };
    if !status.is_success() {
        let word = wire::word(&body).unwrap_or_default();
        return Reply::Unknown(format!("{} {word}", status.as_u16()).trim_end().to_owned());
    }
    match serde_json::from_slice(&body) {
        Ok(body) => Reply::Done((body, stale)),
        Err(error) => Reply::Unknown(format!("the answer is no JSON: {error}")),
    }
}

/// Reads an answer; one that can't be read leaves it open what was done.
fn reading<T>(
    reply: Reply<(Value, bool)>,
    read: impl FnOnce(&Value, bool) -> Result<T, wire::Unreadable>,
) -> Reply<T> {
    match reply {
        Reply::Done((body, stale)) => match read(&body, stale) {
            Ok(done) => Reply::Done(done),
            Err(error) => Reply::Unknown(error.to_string()),
        },
        Reply::Refused { status, error } => Reply::Refused { status, error },
        Reply::Unknown(why) => Reply::Unknown(why),
    }
}

fn seen(body: &Value, stale: bool) -> Result<Seen, wire::Unreadable> {
    Ok(Seen {
        order: wire::order(body)?,
        stale,
    })
}

/// The first cause, which is the one that says something.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[async_trait]
impl Shop for HttpShop {
    async fn place(&self, user: UserId, key: &str, basket: &Basket) -> Reply<Placed> {
        let lines = basket.lines().iter();
        let items: Vec<Value> = lines
            .map(|line| json!({ "product_id": line.product, "quantity": line.quantity }))
            .collect();
        let request = self
            .request(Method::POST, "/api/orders/", &self.customer(user))
            .header("idempotency-key", key)
            .json(&json!({ "items": items }));
        reading(self.ask("place", user, request).await, |body, _| {
            Ok(Placed {
                order: wire::order(body)?,
                digest: wire::digest(body),
            })
        })
    }

    async fn cancel(&self, user: UserId, order: OrderId) -> Reply<Seen> {
        let path = format!("/api/orders/{order}/cancel/");
        let request = self.request(Method::POST, &path, &self.customer(user));
        reading(self.ask("cancel", user, request).await, seen)
    }

    async fn read(&self, user: UserId, order: OrderId) -> Reply<Seen> {
        let path = format!("/api/orders/{order}/");
        let request = self.request(Method::GET, &path, &self.customer(user));
        reading(self.ask("read", user, request).await, seen)
    }

    async fn list(&self, user: UserId, page: u32) -> Reply<Page> {
        let path = format!("/api/orders/?page={page}&page_size={PAGE}");
        let request = self.request(Method::GET, &path, &self.customer(user));
        reading(self.ask("list", user, request).await, |body, stale| {
            let (orders, last) = wire::page(body)?;
            Ok(Page {
                orders,
                last,
                stale,
            })
        })
    }

    async fn advance(&self, order: OrderId, to: Status) -> Reply<Seen> {
        let path = format!("/api/orders/{order}/status/");
        let request = self.request(Method::PATCH, &path, &self.staff);
        let request = request.json(&json!({ "status": to }));
        reading(ask(request, None).await, seen)
    }

    async fn reprice(&self, product: ProductId, price: Cents) -> Reply<()> {
        let path = format!("/api/products/{product}/");
        let request = self.request(Method::PATCH, &path, &self.admin);
        let body = json!({ "price": wire::money(price) });
        ask(request.json(&body), None).await.map(drop)
    }

    async fn stock(&self, whole: bool) -> Result<Stock, ShopError> {
        let query = if whole { "" } else { "?only=stock" };
        self.tell("reading the stock", &self.places.product, query)
            .await
    }

    async fn open(&self) -> Result<Open, ShopError> {
        self.tell("reading open sagas", &self.places.order, "?only=open")
            .await
    }

    async fn orders(&self) -> Result<Orders, ShopError> {
        self.tell("reading sagas and outbox", &self.places.order, "")
            .await
    }

    async fn payments(&self) -> Result<Option<Payments>, ShopError> {
        match &self.places.payment {
            Some(base) => self.tell("reading payments", base, "").await.map(Some),
            None => Ok(None),
        }
    }
}
