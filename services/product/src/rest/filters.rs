//! The list's query parameters. An empty one counts as absent, since forms send
//! those; one that can't be read is a 400 that names it.

use kit::{ApiResult, Cents, form::Form, page::Params};
use serde_json::Map;

use crate::domain::{self, Ordering, Query};

/// Longest search, in characters.
const MAX_SEARCH: usize = 1000;
/// The most words in one: each costs a look into the text index.
const MAX_WORDS: usize = 32;

/// Reads the filters of a list.
///
/// # Errors
/// 400 with one key a parameter.
pub fn read(params: &Params) -> ApiResult<Query> {
    let mut form = Form::of(Map::new());
    let query = Query {
        words: words(params, &mut form),
        ordering: ordering(params, &mut form),
        category: category(params, &mut form),
        min_price: price(params, "min_price", &mut form),
        max_price: price(params, "max_price", &mut form),
        in_stock: flag(params, "in_stock", &mut form),
    };
    form.finish()?;
    Ok(query)
}

fn words(params: &Params, form: &mut Form) -> Vec<String> {
    let text = params.get("search").unwrap_or("");
    let words = domain::words(text);
    if text.chars().count() > MAX_SEARCH {
        form.error(
            "search",
            format!("Ensure this field has no more than {MAX_SEARCH} characters."),
        );
    } else if words.len() > MAX_WORDS {
        form.error(
            "search",
            format!("Ensure this field has no more than {MAX_WORDS} words."),
        );
    }
    words
}

fn ordering(params: &Params, form: &mut Form) -> Option<Ordering> {
    let text = params.get("ordering")?;
    let ordering = Ordering::parse(text);
    if ordering.is_none() {
        form.error(
            "ordering",
            "One of name, price, created_at, rating; '-' before it turns it round.",
        );
    }
    ordering
}

fn category(params: &Params, form: &mut Form) -> Option<String> {
    let text = params.get("category")?;
    if text.contains('\0') {
        form.error("category", "Null characters are not allowed.");
    }
    Some(text.to_owned())
}

fn price(params: &Params, name: &str, form: &mut Form) -> Option<Cents> {
    match params.get(name)?.parse() {
        Ok(price) => Some(price),
        Err(error) => {
            let error: kit::MoneyError = error;
            form.error(name, error.to_string());
            None
        }
    }
}

fn flag(params: &Params, name: &str, form: &mut Form) -> Option<bool> {
    match params.get(name)? {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => {
            form.error(name, "Must be true or false.");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn every_filter_is_read() {
        let query = read(&params(&[
            ("search", "red  mouse"),
            ("ordering", "-price"),
            ("category", "laptops"),
            ("min_price", "10"),
            ("max_price", "99.90"),
            ("in_stock", "true"),
            ("page", "2"),
        ]));
        let query = query.unwrap();
        assert_eq!(query.words, ["red", "mouse"]);
        assert_eq!(query.ordering, Ordering::parse("-price"));
        assert_eq!(query.category.as_deref(), Some("laptops"));
        assert_eq!(
            (query.min_price, query.max_price),
            (Some(Cents(1000)), Some(Cents(9990)))
        );
        assert_eq!(query.in_stock, Some(true));
    }

    #[test]
    fn empty_parameters_filter_nothing() {
        let names = [
            "search",
            "ordering",
            "category",
            "min_price",
            "max_price",
            "in_stock",
        ];
        assert_eq!(
            read(&params(&names.map(|name| (name, "")))).unwrap(),
            Query::default()
        );
    }

    #[test]
    fn what_can_not_be_read_is_a_400() {
        let long = "x".repeat(MAX_SEARCH + 1);
        let wordy: String = (0..=MAX_WORDS).map(|n| format!("w{n} ")).collect();
        for (name, value) in [
            ("ordering", "id"),
            ("min_price", "cheap"),
            ("max_price", "1.001"),
            ("in_stock", "maybe"),
            ("category", "a\0"),
            ("search", &long),
            ("search", &wordy),
        ] {
            assert_eq!(
                read(&params(&[(name, value)])).unwrap_err().status(),
                400,
                "{name}"
            );
        }
    }
}
