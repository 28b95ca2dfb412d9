//! Order lines as they come over the wire.

use serde_json::Value;

use crate::domain::{Line, MAX_LINES};

/// The lines of an order's body: `[{"product_id": 1, "quantity": 2}, …]`. Numbers
/// may be texts of digits; other keys are ignored.
///
/// # Errors
/// Every problem, with the line it is in (counted from 1).
pub fn of_body(items: Option<&Value>) -> Result<Vec<Line>, Vec<String>> {
    let list = match items {
        None | Some(Value::Null) => return Err(vec!["This field is required.".to_owned()]),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(vec!["Expected a list of items.".to_owned()]),
    };
    check_count(list.len())?;
    gather(list.iter().map(|item| {
        let number = |name| at_least_one(name, item.get(name).and_then(whole));
        match item {
            Value::Object(_) => Ok(Line {
                product_id: number("product_id")?,
                quantity: number("quantity")?,
            }),
            _ => Err("Expected an object with product_id and quantity.".to_owned()),
        }
    }))
}

/// The lines of a quote's query: `1x2,5x1` is two of product 1 and one of
/// product 5.
///
/// # Errors
/// Every problem, with the line it is in (counted from 1).
pub fn of_query(items: Option<&str>) -> Result<Vec<Line>, Vec<String>> {
    let Some(items) = items else {
        return Err(vec!["This field is required, such as 1x2,5x1.".to_owned()]);
    };
    check_count(items.split(',').count())?;
    gather(items.split(',').map(|text| {
        let (product_id, quantity) = text
            .split_once('x')
            .ok_or_else(|| "Expected a product and a quantity, such as 1x2.".to_owned())?;
        Ok(Line {
            product_id: at_least_one("product_id", digits(product_id))?,
            quantity: at_least_one("quantity", digits(quantity))?,
        })
    }))
}

/// Lines in the form of a quote's query.
pub fn text(lines: &[Line]) -> String {
    let line = |l: &Line| format!("{}x{}", l.product_id, l.quantity);
    lines.iter().map(line).collect::<Vec<_>>().join(",")
}

fn check_count(count: usize) -> Result<(), Vec<String>> {
    match count {
        0 => Err(vec!["An order needs at least one line.".to_owned()]),
        1..=MAX_LINES => Ok(()),
        _ => Err(vec![format!(
            "An order may have {MAX_LINES} lines at most."
        )]),
    }
}

fn gather(lines: impl Iterator<Item = Result<Line, String>>) -> Result<Vec<Line>, Vec<String>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(lines) {
        match line {
            Ok(line) => good.push(line),
            Err(problem) => bad.push(format!("Line {number}: {problem}")),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => digits(text),
        _ => None,
    }
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn at_least_one(name: &str, number: Option<i64>) -> Result<i32, String> {
    number
        .and_then(|n| i32::try_from(n).ok())
        .filter(|n| *n >= 1)
        .ok_or_else(|| format!("{name} must be a whole number from 1 to {}.", i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn line(product_id: i32, quantity: i32) -> Line {
        Line {
            product_id,
            quantity,
        }
    }

    #[test]
    fn numbers_may_be_texts_and_other_keys_are_ignored() {
        let body = json!([
            { "product_id": 1, "quantity": 2, "price": "0.01", "user_id": 9 },
            { "product_id": "5", "quantity": "1" },
        ]);
        assert_eq!(of_body(Some(&body)), Ok(vec![line(1, 2), line(5, 1)]));
    }

    #[test]
    fn every_bad_line_is_named() {
        let bad = [
            json!({ "product_id": 0, "quantity": 1 }),
            json!({ "product_id": 1, "quantity": -1 }),
            json!({ "product_id": 1, "quantity": 1.5 }),
            json!({ "product_id": 1, "quantity": true }),
            json!({ "product_id": 1_i64 << 31, "quantity": 1 }),
            json!({ "product_id": 1 }),
            json!(null),
            json!([1, 2]),
            json!({ "product_id": u64::MAX, "quantity": 1 }),
        ];
        let problems = of_body(Some(&json!(bad))).unwrap_err();
        assert_eq!(problems.len(), bad.len(), "{problems:?}");
        assert!(
            problems[8].starts_with("Line 9: product_id"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_list_of_one_to_a_hundred_lines_is_wanted() {
        let lines = |n: usize| json!(vec![json!({ "product_id": 1, "quantity": 1 }); n]);
        for bad in [None, Some(json!(null)), Some(json!({})), Some(json!("1x2"))] {
            assert!(of_body(bad.as_ref()).is_err(), "{bad:?}");
        }
        assert!(of_body(Some(&lines(0))).is_err());
        assert!(of_body(Some(&lines(100))).is_ok());
        assert!(of_body(Some(&lines(101))).is_err());
    }

    #[test]
    fn a_query_is_read_line_by_line() {
        assert_eq!(of_query(Some("1x2,5x1")), Ok(vec![line(1, 2), line(5, 1)]));
        for bad in [
            "", "1", "1x", "x1", "1x2,", "1x0", "0x1", "1x-1", "1X2", "1x2x3", "+1x2", "a",
        ] {
            assert!(of_query(Some(bad)).is_err(), "{bad}");
        }
        assert!(of_query(None).is_err());
        assert!(of_query(Some(&vec!["1x1"; 101].join(","))).is_err());
    }

    proptest! {
        #[test]
        fn a_query_reads_what_was_written(
            wanted in prop::collection::vec((1..=i32::MAX, 1..=i32::MAX), 1..=100)
        ) {
            let lines: Vec<Line> = wanted.iter().map(|&(id, n)| line(id, n)).collect();
            prop_assert_eq!(of_query(Some(&text(&lines))), Ok(lines));
        }

        #[test]
        fn no_query_panics(text in "[0-9x,\\PC]{0,40}") {
            if let Ok(lines) = of_query(Some(&text)) {
                prop_assert!(lines.iter().all(|l| l.product_id >= 1 && l.quantity >= 1));
            }
        }
    }
}
