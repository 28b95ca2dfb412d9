//! The contract's JSON, read leniently where the contract is: numbers or strings for money.

use serde_json::Value;

use crate::types::{Cents, Order, Sold, Status};

/// An answer that is not what the contract says.
#[derive(Debug, thiserror::Error)]
#[error("the answer can't be read: {0}")]
pub(super) struct Unreadable(String);

fn field<'a>(of: &'a Value, name: &str) -> Result<&'a Value, Unreadable> {
    of.get(name)
        .ok_or_else(|| Unreadable(format!("it has no `{name}`")))
}

/// An id, which is a number or a string.
fn id(of: &Value, name: &str) -> Result<i64, Unreadable> {
    let value = field(of, name)?;
    let read = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| Unreadable(format!("`{name}` is no id: {value}")))
}

fn cents(of: &Value, name: &str) -> Result<Cents, Unreadable> {
    let value = field(of, name)?;
    let text = value.as_str().and_then(parse_money);
    text.ok_or_else(|| Unreadable(format!("`{name}` is no money: {value}")))
}

/// `"9.90"`: exactly two decimals.
fn parse_money(text: &str) -> Option<Cents> {
    let (whole, part) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() != 2 {
        return None;
    }
    let (whole, part): (Cents, Cents) = (whole.parse().ok()?, part.parse().ok()?);
    whole.checked_mul(100)?.checked_add(part)
}

/// Cents as the contract writes them.
pub(super) fn money(cents: Cents) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// An order.
pub(super) fn order(body: &Value) -> Result<Order, Unreadable> {
    let status = field(body, "status")?;
    let status: Status = serde_json::from_value(status.clone())
        .map_err(|_| Unreadable(format!("`status` is none: {status}")))?;
    let items = field(body, "items")?.as_array();
    let items = items.ok_or_else(|| Unreadable("`items` is no list".to_owned()))?;
    let lines: Result<Vec<Sold>, Unreadable> = items.iter().map(sold).collect();
    let mut lines = lines?;
    lines.sort_by_key(|line| line.product);
    Ok(Order {
        id: id(body, "id")?,
        user: id(body, "user_id")?,
        status,
        total: cents(body, "total_amount")?,
        lines,
    })
}

fn sold(item: &Value) -> Result<Sold, Unreadable> {
    Ok(Sold {
        product: id(item, "product_id")?,
        quantity: id(item, "quantity")?,
        price: cents(item, "price_at_purchase")?,
    })
}

/// The orders of a page, and whether it is the last one.
pub(super) fn page(body: &Value) -> Result<(Vec<Order>, bool), Unreadable> {
    let results = field(body, "results")?.as_array();
    let results = results.ok_or_else(|| Unreadable("`results` is no list".to_owned()))?;
    let orders: Result<Vec<Order>, Unreadable> = results.iter().map(order).collect();
    Ok((orders?, field(body, "next")?.is_null()))
}

/// The stable word of an error body.
pub(super) fn word(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let word = body.get("code").or_else(|| body.get("error"))?;
    word.as_str().map(str::to_owned)
}

/// A hash of a body as JSON has it: the order of an object's fields doesn't matter.
pub(super) fn digest(body: &Value) -> u64 {
    let mut text = String::new();
    canonical(body, &mut text);
    crate::chance::fnv(&text)
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            text.push('{');
            for name in names {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(&fields[name], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "id": 5, "user_id": "3", "status": "pending", "total_amount": "29.70",
            "items": [
                {"id": 2, "product_id": "7", "product_name": "b", "quantity": 1,
                 "price_at_purchase": "9.90", "subtotal": "9.90"},
                {"id": 1, "product_id": "4", "product_name": "a", "quantity": 2,
                 "price_at_purchase": "9.90", "subtotal": "19.80"},
            ],
            "created_at": "2026-11-23T17:51:09.123Z", "updated_at": "2026-11-23T17:51:09.123Z",
        })
    }

    #[test]
    fn an_order_is_read_as_the_contract_has_it() {
        let order = order(&body()).unwrap();
        assert_eq!((order.id, order.user, order.total), (5, 3, 2970));
        assert_eq!(order.status, Status::Pending);
        let line = |product, quantity| Sold {
            product,
            quantity,
            price: 990,
        };
        assert_eq!(order.lines, [line(4, 2), line(7, 1)]);
        let (orders, last) =
            page(&json!({ "results": [body()], "next": null, "count": 1 })).unwrap();
        assert_eq!((orders, last), (vec![order], true));
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut body = body();
        body["items"][0]["price_at_purchase"] = json!("9.9");
        assert!(
            order(&body)
                .unwrap_err()
                .to_string()
                .contains("price_at_purchase")
        );
        assert!(
            order(&json!({}))
                .unwrap_err()
                .to_string()
                .contains("status")
        );
    }

    #[test]
    fn money_goes_there_and_back() {
        for cents in [0, 1, 99, 100, 990, 299_999] {
            assert_eq!(parse_money(&money(cents)), Some(cents));
        }
        for wrong in ["9", "9.9", "-1.00", "1.0x", ".50", "9.900"] {
            assert_eq!(parse_money(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn digests_see_content_and_not_the_order_of_fields() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":[1,2]}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":[1,2],"a":1}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":[2,1],"a":1}"#).unwrap();
        assert_eq!(digest(&one), digest(&two));
        assert_ne!(digest(&one), digest(&other));
    }
}
