//! Reads request bodies as leniently as Toxiproxy does.
//!
//! Its JSON decoder matches field names whatever their case, ignores fields it
//! does not know and anything after the first value, and takes `null` for
//! "leave it as it is". Clients rely on some of that without knowing.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The first JSON value of a body.
pub(crate) fn first_value(body: &[u8]) -> Result<Value> {
    match serde_json::Deserializer::from_slice(body)
        .into_iter()
        .next()
    {
        Some(Ok(value)) => Ok(value),
        Some(Err(e)) => Err(Error::BadRequestBody(e.to_string())),
        None => Err(Error::BadRequestBody("EOF".to_owned())),
    }
}

/// One JSON object whose fields are looked up by name.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// `value` as an object; `null` counts as an empty one.
    pub(crate) fn of(value: Value, what: &str) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            Value::Null => Ok(Self(Map::new())),
            other => Err(wrong_type(what, &other)),
        }
    }

    /// The body's first value as an object.
    pub(crate) fn of_body(body: &[u8], what: &str) -> Result<Self> {
        Self::of(first_value(body)?, what)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let exact = self.0.get(name);
        let found = exact.or_else(|| {
            self.0
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        });
        found.filter(|value| !value.is_null())
    }

    /// A text, if the field is there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        self.typed(name, |v| v.as_str().map(str::to_owned))
    }

    /// A truth value, if the field is there.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.typed(name, Value::as_bool)
    }

    /// A whole number, if the field is there.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>> {
        self.typed(name, Value::as_i64)
    }

    /// A single-precision number, if the field is there.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f32>> {
        self.typed(name, |v| {
            v.as_f64().map(|n| n as f32).filter(|n| n.is_finite())
        })
    }

    /// A nested object, if the field is there.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>> {
        self.get(name)
            .map(|value| Self::of(value.clone(), name))
            .transpose()
    }

    fn typed<T>(&self, name: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        self.get(name)
            .map(|value| read(value).ok_or_else(|| wrong_type(name, value)))
            .transpose()
    }
}

fn wrong_type(what: &str, value: &Value) -> Error {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Error::BadRequestBody(format!("json: cannot unmarshal {kind} into field {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::of_body(body.as_bytes(), "body").unwrap()
    }

    #[test]
    fn names_match_whatever_their_case_and_null_is_absent() {
        let f = fields(r#"{"NAME":"a","Enabled":null,"rate":3} trailing"#);
        assert_eq!(f.text("name").unwrap().as_deref(), Some("a"));
        assert_eq!(f.flag("enabled").unwrap(), None);
        assert_eq!(f.integer("rate").unwrap(), Some(3));
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let f = fields(r#"{"latency":1.5,"toxicity":1e300,"name":7}"#);
        for error in [
            f.integer("latency").unwrap_err(),
            f.number("toxicity").map(|_| ()).unwrap_err(),
            f.text("name").map(|_| ()).unwrap_err(),
        ] {
            assert!(matches!(error, Error::BadRequestBody(_)), "{error}");
        }
        assert!(
            f.integer("latency")
                .unwrap_err()
                .to_string()
                .contains("latency")
        );
    }

    #[test]
    fn what_is_no_object_is_refused_but_null_is_empty() {
        assert!(Fields::of_body(b"", "body").is_err());
        assert!(Fields::of_body(b"{", "body").is_err());
        assert!(Fields::of_body(b"[]", "body").is_err());
        assert!(
            Fields::of_body(b"null", "body")
                .unwrap()
                .text("name")
                .unwrap()
                .is_none()
        );
    }
}
