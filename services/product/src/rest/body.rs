//! A product as an admin writes it.

use kit::{ApiError, ApiResult, Cents, form::Form, json::Object};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::{
    Changes, DEFAULT_INVENTORY, MAX_CATEGORY, MAX_DESCRIPTION, MAX_NAME, MAX_PRICE, MAX_UNITS,
    MIN_PRICE, NewProduct,
};

/// What POST and PUT take. PUT needs `inventory_count` too, since a default would
/// throw the stock away; what else it leaves out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(
    dead_code,
    reason = "it documents the body; the form reads it field by field"
)]
pub struct ProductBody {
    /// At most 200 characters.
    name: String,
    /// A number or a text, 0.01 to 99999999.99.
    price: String,
    /// Empty unless given.
    description: Option<String>,
    /// Units that can be sold; 10 unless given. A change is booked as a restock.
    inventory_count: Option<i32>,
    /// At most 100 characters.
    category: Option<String>,
}

/// What PATCH takes: any of them.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(
    dead_code,
    reason = "it documents the body; the form reads it field by field"
)]
pub struct ProductChanges {
    /// At most 200 characters.
    name: Option<String>,
    /// A number or a text, 0.01 to 99999999.99.
    price: Option<String>,
    /// Free text.
    description: Option<String>,
    /// Units that can be sold. A change is booked as a restock.
    inventory_count: Option<i32>,
    /// At most 100 characters; null or empty for none.
    category: Option<String>,
}

/// Reads a POST.
///
/// # Errors
/// 400 with one key a field.
pub fn new_product(body: Object) -> ApiResult<NewProduct> {
    let mut form = Form::new(body);
    let name = name(form.text("name", 1..=MAX_NAME));
    let price = form.money("price");
    check_price(&mut form, price);
    let description = form.opt_text("description", 0..=MAX_DESCRIPTION);
    let units = form.opt_int("inventory_count", 0..=MAX_UNITS);
    let category = category(&mut form);
    form.finish()?;
    let (Some(name), Some(price)) = (name, price) else {
        return Err(ApiError::internal(
            "a form without a problem lacks a required field",
        ));
    };
    Ok(NewProduct {
        name,
        description: description.unwrap_or_default(),
        price,
        units: units.unwrap_or(DEFAULT_INVENTORY),
        category: category.flatten(),
    })
}

/// Reads a PUT.
///
/// # Errors
/// 400 with one key a field.
pub fn replacement(body: Object) -> ApiResult<Changes> {
    let mut form = Form::new(body);
    let name = name(form.text("name", 1..=MAX_NAME));
    let price = form.money("price");
    let units = form.int("inventory_count", 0..=MAX_UNITS);
    rest_of_changes(form, name, price, units)
}

/// Reads a PATCH.
///
/// # Errors
/// 400 with one key a field.
pub fn changes(body: Object) -> ApiResult<Changes> {
    let mut form = Form::new(body);
    let name = name(form.opt_text("name", 1..=MAX_NAME));
    let price = form.opt_money("price");
    let units = form.opt_int("inventory_count", 0..=MAX_UNITS);
    rest_of_changes(form, name, price, units)
}

fn rest_of_changes(
    mut form: Form,
    name: Option<String>,
    price: Option<Cents>,
    units: Option<i64>,
) -> ApiResult<Changes> {
    check_price(&mut form, price);
    let description = form.opt_text("description", 0..=MAX_DESCRIPTION);
    let category = category(&mut form);
    form.finish()?;
    Ok(Changes {
        name,
        description,
        price,
        units,
        category,
    })
}

fn name(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
}

fn check_price(form: &mut Form, price: Option<Cents>) {
    match price {
        Some(price) if price < MIN_PRICE => {
            form.error(
                "price",
                format!("Ensure this value is greater than or equal to {MIN_PRICE}."),
            );
        }
        Some(price) if price > MAX_PRICE => {
            form.error(
                "price",
                "Ensure that there are no more than 10 digits in total.",
            );
        }
        _ => {}
    }
}

/// None: not spoken of. Null and a blank one take the category away.
fn category(form: &mut Form) -> Option<Option<String>> {
    let spoken_of = form.has("category");
    let text = form.opt_text("category", 0..=MAX_CATEGORY);
    spoken_of.then(|| {
        text.map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(value: Value) -> Object {
        let Value::Object(map) = value else {
            panic!("an object")
        };
        Object(map)
    }

    #[test]
    fn a_post_has_defaults() {
        let product = new_product(object(json!({ "name": " Mug ", "price": 9.9 }))).unwrap();
        let expected = NewProduct {
            name: "Mug".into(),
            description: String::new(),
            price: Cents(990),
            units: 10,
            category: None,
        };
        assert_eq!(product, expected);
    }

    #[test]
    fn a_put_needs_the_stock_and_leaves_the_rest() {
        let error = replacement(object(json!({ "name": "Mug", "price": "9.90" }))).unwrap_err();
        assert_eq!(error.status(), 400);
        let changes = replacement(object(
            json!({ "name": "Mug", "price": "9.90", "inventory_count": 0 }),
        ))
        .unwrap();
        assert_eq!(
            (changes.units, changes.description, changes.category),
            (Some(0), None, None)
        );
    }

    #[test]
    fn a_patch_tells_null_from_absent_for_the_category() {
        assert_eq!(changes(object(json!({}))).unwrap(), Changes::default());
        assert_eq!(
            changes(object(json!({ "category": null })))
                .unwrap()
                .category,
            Some(None)
        );
        assert_eq!(
            changes(object(json!({ "category": " " })))
                .unwrap()
                .category,
            Some(None)
        );
        assert_eq!(
            changes(object(json!({ "category": "a" })))
                .unwrap()
                .category,
            Some(Some("a".into()))
        );
    }

    #[test]
    fn bounds_are_kept() {
        for wrong in [
            json!({ "name": "x".repeat(201), "price": 1 }),
            json!({ "name": " ", "price": 1 }),
            json!({ "name": "a", "price": 0 }),
            json!({ "name": "a", "price": "100000000.00" }),
            json!({ "name": "a", "price": "1.005" }),
            json!({ "name": "a", "price": 1, "inventory_count": -1 }),
            json!({ "name": "a", "price": 1, "inventory_count": 2_147_483_648_i64 }),
            json!({ "name": "a", "price": 1, "category": "x".repeat(101) }),
            json!({ "name": "a", "price": true }),
            json!({ "price": 1 }),
        ] {
            assert_eq!(
                new_product(object(wrong.clone())).unwrap_err().status(),
                400,
                "{wrong}"
            );
        }
        assert!(new_product(object(json!({ "name": "a", "price": "99999999.99" }))).is_ok());
    }
}
