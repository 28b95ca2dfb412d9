//! Customers and products for a run, made by the services themselves through the control API
//! (POST `/lab/fixtures`), outside the measured time.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::client::HttpClient;
use crate::error::LoadError;
use crate::target::{Customer, LoadTarget, customer_address};

/// Minting 10 000 tokens (RSA-4096) takes a while.
const PATIENCE: Duration = Duration::from_secs(180);
/// 10 000 customers with their tokens are about 13 MB.
const MAX_ANSWER: usize = 64 << 20;
/// The place, and so the address, of the first keeper: behind those of all customers.
const KEEPERS: usize = 10_000;

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixtureSpec {
    /// Virtual customers, at most 10 000.
    pub customers: usize,
    /// Staff accounts, who may read everybody's orders.
    pub staff: usize,
    /// Products.
    pub products: usize,
    /// Units of each product.
    pub units: u64,
    /// What the names begin with, so that a run's are told from another's.
    pub run: String,
}

/// A product that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its price, with two decimals.
    pub price: String,
    /// The units it was stocked with.
    pub units: u64,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// The customers, each with an address of its own.
    pub customers: Vec<Customer>,
    /// The staff.
    pub staff: Vec<Customer>,
    /// The password of all of them.
    pub password: String,
    /// The products.
    pub products: Vec<Product>,
}

impl Catalogue {
    /// A target at `base` with these customers and products, and the usual bounds.
    #[must_use]
    pub fn target(&self, base: Url, lab_token: &str, run: &str) -> LoadTarget {
        LoadTarget {
            lab_token: Some(lab_token.to_owned()),
            customers: self.customers.clone(),
            products: self.products.iter().map(|product| product.id).collect(),
            password: Some(self.password.clone()),
            run: run.to_owned(),
            ..LoadTarget::new(base)
        }
    }
}

/// How a load gets customers with fresh tokens when those it has are about to end: as many new
/// accounts, which take the places (and addresses) of the old.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Whom to ask.
    pub fixtures: Fixtures,
    /// What the run's names begin with, as in [`FixtureSpec::run`].
    pub run: String,
}

/// The client of the control API's fixtures.
#[derive(Clone, Debug)]
pub struct Fixtures {
    client: HttpClient,
    user: Url,
    product: Url,
    authorization: HeaderValue,
}

#[derive(Deserialize)]
struct Accounts {
    customers: Vec<Account>,
    #[serde(default)]
    staff: Vec<Account>,
    #[serde(default)]
    admins: Vec<Account>,
    password: String,
}

#[derive(Deserialize)]
struct Account {
    user_id: i64,
    username: String,
    access: String,
}

#[derive(Deserialize)]
struct Products {
    products: Vec<Product>,
}

impl Fixtures {
    /// A client of the user and product services' control listeners.
    ///
    /// # Errors
    /// [`LoadError::Invalid`] if the token can't travel in a header.
    pub fn new(user: Url, product: Url, token: &str) -> Result<Self, LoadError> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| LoadError::invalid("token", "holds what can't travel in a header"))?;
        authorization.set_sensitive(true);
        Ok(Self {
            client: HttpClient::new(),
            user,
            product,
            authorization,
        })
    }

    /// Has everything made; both services work at the same time.
    ///
    /// # Errors
    /// [`LoadError::Unreachable`] or [`LoadError::Fixtures`], naming the URL; the latter also when
    /// fewer came back than were asked for.
    pub async fn prepare(&self, spec: &FixtureSpec) -> Result<Catalogue, LoadError> {
        let accounts = serde_json::json!({
            "customers": spec.customers, "staff": spec.staff, "run": spec.run,
        });
        let products = serde_json::json!({
            "products": spec.products, "units": spec.units, "run": spec.run,
        });
        let (accounts, products) = tokio::try_join!(
            self.post::<Accounts>(&self.user, &accounts),
            self.post::<Products>(&self.product, &products),
        )?;
        let short = |url: &Url, what: &str, got: usize, asked: usize| LoadError::Fixtures {
            url: url.to_string(),
            status: 200,
            message: format!("{got} {what} instead of {asked}"),
        };
        if accounts.customers.len() != spec.customers {
            let got = accounts.customers.len();
            return Err(short(&self.user, "customers", got, spec.customers));
        }
        if accounts.staff.len() != spec.staff {
            return Err(short(&self.user, "staff", accounts.staff.len(), spec.staff));
        }
        if products.products.len() != spec.products {
            let got = products.products.len();
            return Err(short(&self.product, "products", got, spec.products));
        }
        let staff = people(accounts.staff, accounts.customers.len());
        let customers = people(accounts.customers, 0);
        let password = accounts.password;
        Ok(Catalogue {
            customers,
            staff,
            password,
            products: products.products,
        })
    }

    /// Has `n` customers made, and nothing else; with their password.
    ///
    /// # Errors
    /// As [`Fixtures::prepare`].
    pub async fn customers(
        &self,
        n: usize,
        run: &str,
    ) -> Result<(Vec<Customer>, String), LoadError> {
        let wanted = serde_json::json!({ "customers": n, "staff": 0, "run": run });
        let accounts = self.post::<Accounts>(&self.user, &wanted).await?;
        let got = accounts.customers.len();
        if got != n {
            return Err(LoadError::Fixtures {
                url: self.user.to_string(),
                status: 200,
                message: format!("{got} customers instead of {n}"),
            });
        }
        Ok((people(accounts.customers, 0), accounts.password))
    }

    /// Has one of the staff and one admin made, who keep the shop for the customers of a run.
    ///
    /// # Errors
    /// As [`Fixtures::prepare`].
    pub async fn keepers(&self, run: &str) -> Result<(Customer, Customer), LoadError> {
        let wanted = serde_json::json!({ "customers": 0, "staff": 1, "admins": 1, "run": run });
        let made = self.post::<Accounts>(&self.user, &wanted).await?;
        let got = made.staff.len() + made.admins.len();
        let staff = people(made.staff, KEEPERS).pop();
        match (staff, people(made.admins, KEEPERS + 1).pop()) {
            (Some(staff), Some(admin)) => Ok((staff, admin)),
            _ => Err(LoadError::Fixtures {
                url: self.user.to_string(),
                status: 200,
                message: format!("{got} keepers of the shop instead of 2"),
            }),
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        control: &Url,
        body: &serde_json::Value,
    ) -> Result<T, LoadError> {
        let url = format!("{}/lab/fixtures", control.as_str().trim_end_matches('/'));
        let request = Request::post(&url)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|e| LoadError::invalid("control url", format!("{url}: {e}")))?;
        let answer = self
            .client
            .send(request, PATIENCE, MAX_ANSWER)
            .await
            .map_err(|e| LoadError::Unreachable {
                url: url.clone(),
                source: e.error,
            })?;
        let status = answer.status.as_u16();
        if !answer.status.is_success() {
            let message = complaint(&answer.body);
            return Err(LoadError::Fixtures {
                url,
                status,
                message,
            });
        }
        serde_json::from_slice(&answer.body).map_err(|e| {
            let message = format!("not the fixtures that were agreed: {e}");
            LoadError::Fixtures {
                url,
                status,
                message,
            }
        })
    }
}

/// Gives each account the address of its place.
fn people(accounts: Vec<Account>, first: usize) -> Vec<Customer> {
    let places = first..;
    accounts
        .into_iter()
        .zip(places)
        .map(|(account, place)| Customer {
            user_id: account.user_id,
            username: account.username,
            access: account.access,
            address: customer_address(place),
        })
        .collect()
}

/// The `error` of the control API's error body, else the body's beginning.
fn complaint(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    match json.get("error").and_then(serde_json::Value::as_str) {
        Some(error) => error.to_owned(),
        None => String::from_utf8_lossy(body).chars().take(200).collect(),
    }
}
