//! Products of a run of the lab: as many as it wants, with as many units.

use std::sync::Arc;

use kit::{ApiResult, Cents, form::Form, time::now_ms};
use serde_json::{Map, Value, json};

use crate::{
    Shared,
    domain::{MAX_UNITS, NewProduct},
};

/// The most products in one request.
const MAX_PRODUCTS: i64 = 1000;
/// The category of all of them, so that they can be told from the catalogue.
const CATEGORY: &str = "fixture";

/// Makes the products that `{"products", "units", "run"}` asks for and answers
/// them.
///
/// # Errors
/// 400 with one key a field; as the store.
pub async fn make(shared: Arc<Shared>, body: Value) -> ApiResult<Value> {
    let wanted = read(body)?;
    let made = shared.store.create_restocked(wanted, now_ms()).await?;
    made.iter()
        .for_each(|product| shared.catalogue.product_changed(product.id));
    let products: Vec<Value> = made
        .iter()
        .map(|p| json!({ "id": p.id, "name": p.name, "price": p.price, "units": p.available }))
        .collect();
    Ok(json!({ "products": products }))
}

fn read(body: Value) -> ApiResult<Vec<NewProduct>> {
    let mut form = Form::of(match body {
        Value::Object(map) => map,
        _ => Map::new(),
    });
    let products = form.int("products", 1..=MAX_PRODUCTS);
    let units = form.int("units", 0..=MAX_UNITS);
    let run = form.opt_text("run", 0..=100);
    form.finish()?;
    let (units, run) = (units.unwrap_or(0), run.unwrap_or_default());
    Ok((1..=products.unwrap_or(0))
        .map(|n| product(n, units, &run))
        .collect())
}

/// The same number has the same price in every run: 5.00 to 104.90.
fn product(n: i64, units: i64, run: &str) -> NewProduct {
    NewProduct {
        name: format!("Fixture {run} {n}"),
        description: "A product of the lab.".to_owned(),
        price: Cents(500 + n * 370 % 10_000),
        units,
        category: Some(CATEGORY.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_alike_but_for_the_name() {
        let of = |run: &str| read(json!({ "products": 3, "units": 7, "run": run })).unwrap();
        let (a, b) = (of("a"), of("b"));
        assert_eq!(a.len(), 3);
        assert!(
            a.iter()
                .zip(&b)
                .all(|(a, b)| a.price == b.price && a.units == 7 && a.name != b.name)
        );
    }

    #[test]
    fn what_is_no_number_of_products_is_refused() {
        for wrong in [
            json!({}),
            json!([]),
            json!({ "products": 0, "units": 1 }),
            json!({ "products": 1, "units": -1 }),
        ] {
            assert_eq!(read(wrong).unwrap_err().status(), 400);
        }
    }
}
