//! The integrity checker's workload on a lab that runs, and what the lab shows of mails.

use std::collections::BTreeMap;
use std::time::Duration;

use integrity::http::{HttpShop, Person, Places};
use integrity::{Config, Verdict};
use serde_json::{Value, json};

use crate::harness::{Lab, PATIENCE, text};

const CUSTOMERS: usize = 20;
const PRODUCTS: usize = 8;

/// The shop of a lab, with people and products of its own.
struct Ground {
    places: Places,
    customers: Vec<Value>,
    staff: Value,
    admin: Value,
    products: Vec<Value>,
}

impl Ground {
    async fn of(lab: &Lab) -> Self {
        let control = |part: &str| lab.part(part)["control"].as_str().unwrap().to_owned();
        let token = lab.secret("LAB_TOKEN");
        let make = async |part: &str, wanted: Value| -> Value {
            let url = format!("{}/lab/fixtures", control(part));
            let post = client().post(url).bearer_auth(&token).json(&wanted);
            post.send().await.unwrap().json().await.unwrap()
        };
        let wanted = json!({ "customers": CUSTOMERS, "staff": 1, "admins": 1, "run": "integrity" });
        let people = make("user-service", wanted).await;
        let wanted = json!({ "products": PRODUCTS, "units": 1_000_000, "run": "integrity" });
        let goods = make("product-service", wanted).await;
        let all = |of: &Value, what: &str| of[what].as_array().unwrap().clone();
        Self {
            customers: all(&people, "customers"),
            staff: people["staff"][0].clone(),
            admin: people["admins"][0].clone(),
            products: all(&goods, "products"),
            places: Places {
                entry: lab.url(""),
                product: control("product-service"),
                order: control("order-service"),
                payment: Some(control("payment-service")),
                lab_token: token,
            },
        }
    }

    fn shop(&self) -> HttpShop {
        let people = self.customers.iter().enumerate();
        let customers: BTreeMap<i64, Person> = people
            .map(|(n, made)| (made["user_id"].as_i64().unwrap(), person(made, n)))
            .collect();
        let (staff, admin) = (&self.staff, &self.admin);
        HttpShop::new(
            client(),
            self.places.clone(),
            customers,
            person(staff, CUSTOMERS),
            person(admin, CUSTOMERS + 1),
        )
    }

    fn config(&self) -> Config {
        let ids = self.customers.iter().map(|made| made["user_id"].as_i64());
        let products = self.products.iter().map(|made| {
            let price = made["price"].as_str().unwrap().replace('.', "");
            (made["id"].as_i64().unwrap(), price.parse().unwrap())
        });
        let ids = ids.map(Option::unwrap).collect();
        Config {
            // The services' events lie on the same axis then.
            zero_ns: loadtest::clock::now_ns(),
            settle: Duration::from_secs(2),
            ..Config::new("integrity", 7, ids, products.collect())
        }
    }
}

fn person(made: &Value, n: usize) -> Person {
    Person {
        token: made["access"].as_str().unwrap().to_owned(),
        address: Some(loadtest::customer_address(n)),
    }
}

/// What is sent is what the history holds: no redirect is followed, nothing is repeated.
fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_nobody_breaks_keeps_every_promise() {
    let mut lab = Lab::new();
    lab.up().await;
    let ground = Ground::of(&lab).await;
    let mut config = ground.config();
    // How many operations a second are enough is a question to a machine that does nothing else.
    config.limits.min_rate = 1.0;
    let stop = tokio::time::sleep(Duration::from_secs(15));
    let report = integrity::run(config, &ground.shop(), futures_util::stream::empty(), stop).await;
    let table = report.table();
    assert_eq!(report.verdict, Verdict::Held, "{table}");
    for row in &report.rules {
        // 12 leaves no trace in a history; 13 is about the time after a fault, and there was none.
        let expected = if [12, 13].contains(&row.number) {
            "not judged"
        } else {
            "held"
        };
        assert_eq!(row.result, expected, "{}: {table}", row.number);
    }
    assert!(
        report.counts.orders > 50 && report.counts.cancelled > 0,
        "{table}"
    );

    // Every mail of the run is shown, the newest last.
    let shown = lab.run(&["outbox", "--json"]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let mails = shown["mails"].as_array().unwrap();
    assert!(
        mails.len() as u64 >= report.counts.orders,
        "{} mails",
        mails.len()
    );
    let times: Vec<&str> = mails
        .iter()
        .map(|m| m["delivered"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted());
    let newest = mails.last().unwrap();
    let short = text(&lab.run(&["outbox", "-n", "1"]));
    let (event, subject) = (
        newest["event"].as_str().unwrap(),
        newest["subject"].as_str().unwrap(),
    );
    assert!(short.contains(event) && short.contains(subject), "{short}");
    assert!(
        short.contains(&format!("{} older ones", mails.len() - 1)),
        "{short}"
    );
}

#[tokio::test]
async fn without_a_lab_there_is_no_outbox_to_show() {
    let lab = Lab::new();
    let shown = lab.run(&["outbox"]);
    assert_eq!(shown.status.code(), Some(3));
    assert!(text(&shown).contains("`lab up` starts one"));
}
