//! Field by field reading of a JSON object, with every problem under its field.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::{ApiError, ApiResult, Cents, json::Object};

/// Reads fields and collects what is wrong with them; [`Form::finish`] turns that
/// into one 400.
#[derive(Debug)]
pub struct Form {
    map: Map<String, Value>,
    problems: Vec<(String, String)>,
}

impl Form {
    /// Over a request's body.
    pub fn new(object: Object) -> Self {
        Self::of(object.0)
    }

    /// Over any JSON object.
    pub fn of(map: Map<String, Value>) -> Self {
        Self {
            map,
            problems: Vec::new(),
        }
    }

    /// Whether the field is there, `null` included.
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// A field's raw value; `null` counts as absent.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A required text, its length in characters.
    pub fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        self.required(name)?;
        self.opt_text(name, length)
    }

    /// A text that may be absent.
    pub fn opt_text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        let value = self.value(name)?.clone();
        match value {
            Value::String(text) => self.check_text(name, text, &length),
            Value::Number(number) => self.check_text(name, number.to_string(), &length),
            _ => self.wrong(name, "Not a valid string."),
        }
    }

    fn check_text(
        &mut self,
        name: &str,
        text: String,
        length: &RangeInclusive<usize>,
    ) -> Option<String> {
        let count = text.chars().count();
        if text.contains('\0') {
            return self.wrong(name, "Null characters are not allowed.");
        }
        if *length.start() > 0 && text.trim().is_empty() {
            return self.wrong(name, "This field may not be blank.");
        }
        if count > *length.end() {
            return self.wrong(
                name,
                format!(
                    "Ensure this field has no more than {} characters.",
                    length.end()
                ),
            );
        }
        if count < *length.start() {
            return self.wrong(
                name,
                format!(
                    "Ensure this field has at least {} characters.",
                    length.start()
                ),
            );
        }
        Some(text)
    }

    /// A required whole number.
    pub fn int(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        self.required(name)?;
        self.opt_int(name, range)
    }

    /// A whole number that may be absent; a text of digits is taken too.
    pub fn opt_int(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let number = match self.value(name)? {
            Value::Number(n) => n.as_i64(),
            Value::String(s) => s.trim().parse().ok(),
            _ => None,
        };
        match number {
            None => self.wrong(name, "A valid integer is required."),
            Some(n) if n < *range.start() => self.wrong(
                name,
                format!(
                    "Ensure this value is greater than or equal to {}.",
                    range.start()
                ),
            ),
            Some(n) if n > *range.end() => self.wrong(
                name,
                format!(
                    "Ensure this value is less than or equal to {}.",
                    range.end()
                ),
            ),
            Some(n) => Some(n),
        }
    }

    /// A required amount of money.
    pub fn money(&mut self, name: &str) -> Option<Cents> {
        self.required(name)?;
        self.opt_money(name)
    }

    /// An amount of money that may be absent.
    pub fn opt_money(&mut self, name: &str) -> Option<Cents> {
        match Cents::from_json(self.value(name)?) {
            Ok(cents) => Some(cents),
            Err(error) => self.wrong(name, error.to_string()),
        }
    }

    /// A truth value that may be absent.
    pub fn opt_bool(&mut self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Bool(b) => Some(*b),
            _ => self.wrong(name, "Must be a valid boolean."),
        }
    }

    /// A required list.
    pub fn array(&mut self, name: &str) -> Option<Vec<Value>> {
        self.required(name)?;
        match self.value(name)?.clone() {
            Value::Array(list) => Some(list),
            _ => self.wrong(name, "Expected a list of items."),
        }
    }

    /// Notes a problem with a field.
    pub fn error(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push((field.to_owned(), message.into()));
    }

    /// Notes a problem between fields.
    pub fn non_field(&mut self, message: impl Into<String>) {
        self.error("non_field_errors", message);
    }

    /// Whether anything was wrong so far.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// What was wrong so far: field and message.
    pub fn problems(&self) -> &[(String, String)] {
        &self.problems
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with one key a field when anything was wrong.
    pub fn finish(self) -> ApiResult<()> {
        let Some((_, first)) = self.problems.first() else {
            return Ok(());
        };
        let error = ApiError::bad_request("invalid", first.clone()).error("Validation failed");
        Err(self.problems.iter().fold(error, |error, (field, message)| {
            error.field(field, message.as_str())
        }))
    }

    fn required(&mut self, name: &str) -> Option<()> {
        match self.map.get(name) {
            None => self.wrong(name, "This field is required."),
            Some(Value::Null) => self.wrong(name, "This field may not be null."),
            Some(_) => Some(()),
        }
    }

    fn wrong<T>(&mut self, name: &str, message: impl Into<String>) -> Option<T> {
        self.error(name, message);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(value: Value) -> Form {
        let Value::Object(map) = value else {
            panic!("an object")
        };
        Form::of(map)
    }

    #[test]
    fn every_problem_stands_under_its_field() {
        let mut form = form(json!({ "name": "", "age": "x", "price": "1.234", "list": {} }));
        assert_eq!(form.text("name", 1..=10), None);
        assert_eq!(form.text("gone", 1..=10), None);
        assert_eq!(form.int("age", 1..=9), None);
        assert_eq!(form.money("price"), None);
        assert_eq!(form.array("list"), None);
        assert_eq!(form.problems().len(), 5);
        assert_eq!(form.finish().unwrap_err().status(), 400);
    }

    #[test]
    fn length_is_counted_in_characters() {
        let mut form = form(json!({ "name": "äöüß" }));
        assert_eq!(form.text("name", 1..=4).as_deref(), Some("äöüß"));
        assert!(form.finish().is_ok());
    }

    #[test]
    fn numbers_as_text_are_taken() {
        let mut form = form(json!({ "n": "7", "m": 8, "k": 7.5 }));
        assert_eq!(form.int("n", 1..=9), Some(7));
        assert_eq!(form.int("m", 1..=9), Some(8));
        assert_eq!(form.int("k", 1..=9), None);
    }
}
