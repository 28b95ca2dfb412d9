//! What became of the orders: lost, duplicate, oversold. Counted after a repeat,
//! against what the load was told, in time proportional to the orders.
//!
//! An acknowledged order must be there. An order that was listed but not
//! acknowledged must be explained by a request whose outcome the load doesn't know
//! (a time-out, a reset, a 5xx after sending) of the same customer and, where the
//! listing shows items, for the same items. Units must add up: what left the stock
//! of a product is what live orders hold, give or take the unknown requests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use loadtest::fixtures::Catalogue;
use loadtest::{Customer, Effect, Line, Op, Record};
use reqwest::Url;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;

use crate::error::EngineError;
use crate::runlog::Facts;
use crate::target::{join, send_json};

/// How many questions are asked at once.
const AT_ONCE: usize = 8;

/// How often a question is asked before it is given up.
const TRIES: u32 = 3;

/// The orders that the load made, as it was told.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Order ids by customer.
    acknowledged: HashMap<i64, Vec<i64>>,
    /// What each acknowledged order asked for.
    asked: HashMap<i64, Vec<Line>>,
    /// What the requests of unknown fate asked for, by customer.
    unknown: HashMap<i64, Vec<Vec<Line>>>,
}

/// An order as the shop lists it.
#[derive(Clone, Debug)]
struct Listed {
    id: i64,
    live: bool,
    /// `None` when the listing doesn't show items.
    lines: Option<Vec<Line>>,
}

/// A product's stock.
#[derive(Clone, Copy, Debug)]
struct Stock {
    initial: i64,
    left: i64,
}

impl Ledger {
    /// Notes what a request did.
    pub fn note(&mut self, record: &Record) {
        if record.op != Op::Order {
            return;
        }
        match (record.effect(), record.order_id) {
            (Effect::Done, Some(id)) => {
                self.asked.insert(id, merged(&record.lines));
                self.acknowledged
                    .entry(record.customer)
                    .or_default()
                    .push(id);
            }
            (Effect::None, _) => {}
            (Effect::Unknown | Effect::Done, _) => {
                self.unknown
                    .entry(record.customer)
                    .or_default()
                    .push(merged(&record.lines));
            }
        }
    }

    fn count(&self, listed: &HashMap<i64, Vec<Listed>>, stock: &HashMap<i64, Stock>) -> Facts {
        let total = |by: &HashMap<i64, Vec<i64>>| by.values().map(Vec::len).sum::<usize>() as u64;
        Facts {
            acknowledged: total(&self.acknowledged),
            indeterminate: self.unknown.values().map(Vec::len).sum::<usize>() as u64,
            listed: listed.values().map(Vec::len).sum::<usize>() as u64,
            lost_orders: self.lost(listed).len() as u64,
            duplicate_orders: self.duplicates(listed),
            oversold: self.oversold(listed, stock),
            violations: None,
        }
    }

    fn lost<'a>(&'a self, listed: &HashMap<i64, Vec<Listed>>) -> Vec<&'a i64> {
        let there: HashSet<i64> = listed.values().flatten().map(|o| o.id).collect();
        let all = self.acknowledged.values().flatten();
        all.filter(|id| !there.contains(id)).collect()
    }

    fn duplicates(&self, listed: &HashMap<i64, Vec<Listed>>) -> u64 {
        let mut unexplained = 0;
        for (customer, orders) in listed {
            let acknowledged: HashSet<i64> = self
                .acknowledged
                .get(customer)
                .into_iter()
                .flatten()
                .copied()
                .collect();
            let mut unknown = self.unknown.get(customer).cloned().unwrap_or_default();
            for order in orders.iter().filter(|o| !acknowledged.contains(&o.id)) {
                let explains =
                    |asked: &Vec<Line>| order.lines.as_ref().is_none_or(|lines| lines == asked);
                match unknown.iter().position(explains) {
                    Some(i) => drop(unknown.swap_remove(i)),
                    None => unexplained += 1,
                }
            }
        }
        unexplained
    }

    fn oversold(&self, listed: &HashMap<i64, Vec<Listed>>, stock: &HashMap<i64, Stock>) -> u64 {
        let orders: Vec<&Listed> = listed.values().flatten().filter(|o| o.live).collect();
        if orders.iter().any(|o| o.lines.is_none()) {
            // Without items only the stock itself can be looked at.
            return stock.values().map(|s| (-s.left).max(0) as u64).sum();
        }
        let held = units(orders.iter().filter_map(|o| o.lines.as_ref()));
        let unknown = units(self.unknown.values().flatten());
        // A lost order is counted as that; its units are not missing a second time.
        let lost = units(
            self.lost(listed)
                .into_iter()
                .filter_map(|id| self.asked.get(id)),
        );
        let of = |by: &HashMap<i64, i64>, id: &i64| by.get(id).copied().unwrap_or(0);
        let wrong = |(id, s): (&i64, &Stock)| {
            let (gone, sold) = (s.initial - s.left, of(&held, id));
            // Sold without leaving the stock; or gone, and no request can have
            // taken it; or below zero.
            let vanished = gone - sold - of(&unknown, id) - of(&lost, id);
            (sold - gone).max(vanished).max(-s.left).max(0) as u64
        };
        stock.iter().map(wrong).sum()
    }
}

fn units<'a>(orders: impl Iterator<Item = &'a Vec<Line>>) -> HashMap<i64, i64> {
    let mut by_product = HashMap::new();
    for line in orders.flatten() {
        *by_product.entry(line.product_id).or_default() += i64::from(line.quantity);
    }
    by_product
}

/// Lines by product, as the shop merges them.
fn merged(lines: &[Line]) -> Vec<Line> {
    let mut by_product: BTreeMap<i64, u32> = BTreeMap::new();
    for line in lines {
        *by_product.entry(line.product_id).or_default() += line.quantity;
    }
    by_product
        .into_iter()
        .map(|(product_id, quantity)| Line {
            product_id,
            quantity,
        })
        .collect()
}

/// Reads the shop through its entry.
pub struct Counter<'a> {
    /// The client.
    pub client: &'a Client,
    /// The shop's entry.
    pub entry: &'a Url,
    /// The lab's token.
    pub token: &'a str,
    /// The customers and products of the trial.
    pub catalogue: &'a Catalogue,
}

#[derive(Deserialize)]
struct Page {
    results: Vec<Value>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Detail {
    inventory_count: i64,
}

impl Counter<'_> {
    /// Counts what the trial's orders came to.
    ///
    /// # Errors
    /// [`EngineError::Http`] if the shop doesn't answer.
    pub async fn count(&self, ledger: &Ledger) -> Result<Facts, EngineError> {
        let customers = self.catalogue.customers.iter();
        let listed: HashMap<i64, Vec<Listed>> = stream::iter(customers)
            .map(|c| async move { Ok::<_, EngineError>((c.user_id, self.orders(c).await?)) })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let stock: HashMap<i64, Stock> = stream::iter(&self.catalogue.products)
            .map(|p| async move {
                let left = self.left(p.id).await?;
                let initial = i64::try_from(p.units).unwrap_or(i64::MAX);
                Ok::<_, EngineError>((p.id, Stock { initial, left }))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(ledger.count(&listed, &stock))
    }

    async fn orders(&self, customer: &Customer) -> Result<Vec<Listed>, EngineError> {
        let mut found = Vec::new();
        for page in 1_u32.. {
            let path = format!("/api/orders/?page={page}&page_size=100");
            let answer: Page = self
                .ask("listing a customer's orders", &path, Some(customer))
                .await?;
            found.extend(answer.results.iter().filter_map(listed));
            if answer.next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn left(&self, product: i64) -> Result<i64, EngineError> {
        let path = format!("/api/products/{product}/");
        let detail: Detail = self.ask("reading a product's stock", &path, None).await?;
        Ok(detail.inventory_count)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        customer: Option<&Customer>,
    ) -> Result<T, EngineError> {
        let mut tried = 1;
        loop {
            match send_json(what, self.request(path, customer)).await {
                Err(_) if tried < TRIES => {
                    tokio::time::sleep(Duration::from_millis(300) * tried).await;
                    tried += 1;
                }
                answer => return answer,
            }
        }
    }

    fn request(&self, path: &str, customer: Option<&Customer>) -> RequestBuilder {
        let request = self
            .client
            .get(join(self.entry, path))
            .header("x-lab-token", self.token);
        match customer {
            Some(c) => request
                .bearer_auth(&c.access)
                .header("x-forwarded-for", c.address.to_string()),
            None => request,
        }
    }
}

fn listed(order: &Value) -> Option<Listed> {
    let lines = order
        .get("items")
        .and_then(Value::as_array)
        .and_then(|items| {
            let lines: Option<Vec<Line>> = items.iter().map(line).collect();
            Some(merged(&lines?))
        });
    let live = order.get("status").and_then(Value::as_str) != Some("cancelled");
    Some(Listed {
        id: order.get("id")?.as_i64()?,
        live,
        lines,
    })
}

/// An item; its `product_id` is a string on the wire.
fn line(item: &Value) -> Option<Line> {
    let id = item.get("product_id")?;
    let product_id = id.as_i64().or_else(|| id.as_str()?.parse().ok())?;
    let quantity = u32::try_from(item.get("quantity")?.as_u64()?).ok()?;
    Some(Line {
        product_id,
        quantity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[(i64, u32)]) -> Vec<Line> {
        of.iter()
            .map(|(product_id, quantity)| Line {
                product_id: *product_id,
                quantity: *quantity,
            })
            .collect()
    }

    fn order(id: i64, of: &[(i64, u32)]) -> Listed {
        Listed {
            id,
            live: true,
            lines: Some(lines(of)),
        }
    }

    fn ledger(acknowledged: &[i64], unknown: &[&[(i64, u32)]]) -> Ledger {
        Ledger {
            acknowledged: HashMap::from([(1, acknowledged.to_vec())]),
            asked: acknowledged
                .iter()
                .map(|id| (*id, lines(&[(7, 2)])))
                .collect(),
            unknown: HashMap::from([(1, unknown.iter().map(|l| lines(l)).collect())]),
        }
    }

    fn count(ledger: &Ledger, orders: Vec<Listed>, left: i64) -> (u64, u64, u64) {
        let stock = HashMap::from([(7, Stock { initial: 100, left })]);
        let f = ledger.count(&HashMap::from([(1, orders)]), &stock);
        (f.lost_orders, f.duplicate_orders, f.oversold)
    }

    #[test]
    fn a_clean_shop_has_nothing_to_show() {
        let l = ledger(&[1, 2], &[]);
        assert_eq!(
            count(&l, vec![order(1, &[(7, 2)]), order(2, &[(7, 1)])], 97),
            (0, 0, 0)
        );
    }

    #[test]
    fn an_acknowledged_order_that_is_gone_is_lost() {
        assert_eq!(
            count(&ledger(&[1, 2], &[]), vec![order(1, &[(7, 2)])], 98),
            (1, 0, 0)
        );
    }

    #[test]
    fn an_unknown_request_explains_one_order_with_its_items() {
        let l = ledger(&[1], &[&[(7, 3)]]);
        let first = order(1, &[(7, 1)]);
        assert_eq!(
            count(&l, vec![first.clone(), order(2, &[(7, 3)])], 96),
            (0, 0, 0)
        );
        // The same again is one too many; so is one for other items.
        let twice = vec![first.clone(), order(2, &[(7, 3)]), order(3, &[(7, 3)])];
        assert_eq!(count(&l, twice, 93), (0, 1, 0));
        assert_eq!(count(&l, vec![first, order(2, &[(7, 2)])], 97).1, 1);
    }

    #[test]
    fn units_must_add_up() {
        let l = ledger(&[1], &[]);
        // Sold two, one left the stock.
        assert_eq!(count(&l, vec![order(1, &[(7, 2)])], 99).2, 1);
        // Five left the stock, two were sold, and nobody else can have them.
        assert_eq!(count(&l, vec![order(1, &[(7, 2)])], 95).2, 3);
        // A request of unknown fate may hold three.
        let l = ledger(&[1], &[&[(7, 3)]]);
        assert_eq!(count(&l, vec![order(1, &[(7, 2)])], 95).2, 0);
        // Below zero.
        assert_eq!(
            count(&ledger(&[1], &[]), vec![order(1, &[(7, 101)])], -1).2,
            1
        );
        // Without items only that can be seen.
        let bare = Listed {
            id: 1,
            live: true,
            lines: None,
        };
        assert_eq!(count(&ledger(&[1], &[]), vec![bare], -4).2, 4);
    }

    #[test]
    fn cancelled_orders_hold_no_units() {
        let cancelled = Listed {
            live: false,
            ..order(1, &[(7, 2)])
        };
        assert_eq!(count(&ledger(&[1], &[]), vec![cancelled], 100), (0, 0, 0));
    }

    #[test]
    fn orders_are_read_as_the_contract_has_them() {
        let wire = serde_json::json!({"id": 5, "status": "pending", "items": [
            {"product_id": "7", "quantity": 1}, {"product_id": "3", "quantity": 2},
            {"product_id": "7", "quantity": 1}]});
        let read = listed(&wire).unwrap();
        assert_eq!((read.id, read.live), (5, true));
        assert_eq!(read.lines, Some(lines(&[(3, 2), (7, 2)])));
    }
}
