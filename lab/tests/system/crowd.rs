//! Customers of a running lab, who note every answer that they should not have got.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use loadtest::Customer;
use loadtest::fixtures::{Catalogue, FixtureSpec, Fixtures};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::Lab;

/// Customers who ask at the same time.
const AT_ONCE: usize = 8;
/// Accounts of each of them, in turn: no account comes near its rate limit.
const ACCOUNTS: usize = 8;
/// No answer takes longer; one that does has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many failures are told.
const TOLD: usize = 10;

/// The shop as customers see it, with accounts and products of their own.
pub struct Shop {
    pub base: String,
    pub client: Client,
    pub catalogue: Catalogue,
    token: String,
}

/// What became of a crowd.
#[derive(Debug, Default)]
pub struct Tally {
    /// All requests.
    pub requests: usize,
    /// Orders that were acknowledged, by the customer's place.
    pub ordered: BTreeMap<usize, usize>,
    /// How many failed, and the first of them in words.
    pub failed: usize,
    pub failures: Vec<String>,
}

/// A crowd that goes on asking until it is stopped.
pub struct Crowd {
    begun: Instant,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    workers: JoinSet<Tally>,
}

impl Shop {
    /// Makes accounts and products in the running lab.
    pub async fn open(lab: &Lab) -> Self {
        let token = lab.secret("LAB_TOKEN");
        let control = |part: &str| {
            let url = lab.part(part)["control"].as_str().unwrap().to_owned();
            url.parse().unwrap()
        };
        let fixtures = Fixtures::new(control("user-service"), control("product-service"), &token);
        let spec = FixtureSpec {
            customers: AT_ONCE * ACCOUNTS,
            staff: 0,
            products: 20,
            units: 1_000_000,
            run: format!("crowd{:x}", rand::random::<u32>()),
        };
        let catalogue = fixtures.unwrap().prepare(&spec).await.unwrap();
        Self {
            base: lab.url(""),
            client: Client::builder()
                .no_proxy()
                .timeout(PATIENCE)
                .build()
                .unwrap(),
            catalogue,
            token,
        }
    }

    /// A request of the customer at that place, from an address of his own.
    pub fn request(&self, method: Method, path: &str, place: usize) -> RequestBuilder {
        let customer = &self.catalogue.customers[place];
        self.from(method, path, &customer.address.to_string())
            .bearer_auth(&customer.access)
    }

    /// A stranger's, from an address.
    pub fn from(&self, method: Method, path: &str, address: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .header("x-lab-token", &self.token)
            .header("x-forwarded-for", address)
    }

    /// The customer at that place logs in anew.
    pub async fn log_in(&self, place: usize) -> Result<Value, String> {
        let customer = &self.catalogue.customers[place];
        let body = json!({ "username": customer.username, "password": self.catalogue.password });
        let request = self
            .from(Method::POST, "/api/token/", &customer.address.to_string())
            .json(&body);
        expect(request, 200).await
    }

    /// How many orders the customer at that place has.
    pub async fn orders(&self, place: usize) -> usize {
        let request = self.request(Method::GET, "/api/orders/", place);
        let page = expect(request, 200).await.unwrap();
        usize::try_from(page["count"].as_u64().unwrap()).unwrap()
    }
}

/// Sends it; what isn't that status is told in words.
pub async fn expect(request: RequestBuilder, status: u16) -> Result<Value, String> {
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let got = answer.status().as_u16();
    let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
    if got != status {
        return Err(format!("{got} {text}"));
    }
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

impl Crowd {
    /// Starts one. With `logging_in`, log-ins are among what it does, and their tokens are used.
    pub fn start(shop: &Arc<Shop>, logging_in: bool) -> Self {
        let (stop, asked) = (Arc::default(), Arc::default());
        let begun = Instant::now();
        let mut workers = JoinSet::new();
        for number in 0..AT_ONCE {
            let worker = Worker {
                shop: Arc::clone(shop),
                number,
                logging_in,
                begun,
                tokens: BTreeMap::new(),
                tally: Tally::default(),
            };
            workers.spawn(worker.work(Arc::clone(&stop), Arc::clone(&asked)));
        }
        Self {
            begun,
            stop,
            asked,
            workers,
        }
    }

    /// How many requests there have been.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Lets everybody finish.
    pub async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        while let Some(one) = self.workers.join_next().await {
            all.add(one.unwrap());
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        println!(
            "{} requests in {seconds:.1} s, {} failed",
            all.requests, all.failed
        );
        all
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        for (place, count) in other.ordered {
            *self.ordered.entry(place).or_default() += count;
        }
        self.failures.extend(other.failures);
        self.failures.truncate(TOLD);
    }

    /// Panics with the first failures, if there are any; and with orders that are not there.
    pub async fn nothing_failed(&self, shop: &Shop) {
        assert_eq!(self.failed, 0, "of {}: {:#?}", self.requests, self.failures);
        for (&place, &acknowledged) in &self.ordered {
            assert_eq!(
                shop.orders(place).await,
                acknowledged,
                "acknowledged orders of customer {place}"
            );
        }
    }
}

struct Worker {
    shop: Arc<Shop>,
    number: usize,
    logging_in: bool,
    begun: Instant,
    /// What a log-in has given, by the customer's place.
    tokens: BTreeMap<usize, String>,
    tally: Tally,
}

impl Worker {
    async fn work(mut self, stop: Arc<AtomicBool>, asked: Arc<AtomicUsize>) -> Tally {
        let mut turn = 0;
        while !stop.load(Ordering::Relaxed) {
            let at = self.begun.elapsed().as_secs_f64();
            let (what, outcome) = self.ask(turn).await;
            asked.fetch_add(1, Ordering::Relaxed);
            self.tally.requests += 1;
            if let Err(why) = outcome {
                self.tally.failed += 1;
                if self.tally.failures.len() < TOLD {
                    let failure = format!("{what} at {at:.2} s: {why}");
                    self.tally.failures.push(failure);
                }
            }
            turn += 1;
        }
        self.tally
    }

    /// One request of the round that every customer makes: all three services, reading and writing.
    async fn ask(&mut self, turn: usize) -> (&'static str, Result<(), String>) {
        let place = self.number * ACCOUNTS + (turn / 8) % ACCOUNTS;
        let product = self.shop.catalogue.products[turn % 20].id;
        match turn % 8 {
            0 | 4 => {
                let page = self.get("/api/products/?page_size=10", place).await;
                ("the catalogue", page)
            }
            1 => {
                let path = format!("/api/products/{product}/");
                ("a product", self.get(&path, place).await)
            }
            2 | 6 => ("ordering", self.order(place, product).await),
            3 => ("the history", self.get("/api/orders/", place).await),
            // A log-in burns tens of milliseconds of a core: now and then.
            5 if self.logging_in && turn % 64 == 5 => ("logging in", self.log_in(place).await),
            5 => ("the account", self.get("/api/users/me/", place).await),
            _ => ("changing the account", self.change(place, turn).await),
        }
    }

    fn request(&self, method: Method, path: &str, place: usize) -> RequestBuilder {
        let Some(token) = self.tokens.get(&place) else {
            return self.shop.request(method, path, place);
        };
        let Customer { address, .. } = &self.shop.catalogue.customers[place];
        self.shop
            .from(method, path, &address.to_string())
            .bearer_auth(token)
    }

    async fn get(&self, path: &str, place: usize) -> Result<(), String> {
        let request = self.request(Method::GET, path, place);
        expect(request, 200).await.map(drop)
    }

    /// Without an idempotency key: nobody on the way could repeat it unseen.
    async fn order(&mut self, place: usize, product: i64) -> Result<(), String> {
        let body = json!({ "items": [{ "product_id": product, "quantity": 1 }] });
        let request = self.request(Method::POST, "/api/orders/", place);
        expect(request.json(&body), 201).await?;
        *self.tally.ordered.entry(place).or_default() += 1;
        Ok(())
    }

    async fn change(&self, place: usize, turn: usize) -> Result<(), String> {
        let body = json!({ "first_name": format!("Ada{turn}") });
        let request = self.request(Method::PATCH, "/api/users/me/", place);
        expect(request.json(&body), 200).await.map(drop)
    }

    async fn log_in(&mut self, place: usize) -> Result<(), String> {
        let answer = self.shop.log_in(place).await?;
        let access = answer["access"].as_str().ok_or("no token")?;
        self.tokens.insert(place, access.to_owned());
        Ok(())
    }
}
