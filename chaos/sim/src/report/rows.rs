//! Rows of named values: what `--json` prints.

use std::borrow::Cow;

use serde_json::json;

use super::Table;

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Count(u64),
    /// A measured value and the digits after the point that it is good for. One that is no finite
    /// number is written as null.
    Real(f64, usize),
    /// A name.
    Name(Cow<'static, str>),
    /// Yes or no.
    Flag(bool),
}

impl Value {
    /// A name.
    pub fn name(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Name(name.into())
    }

    fn text(&self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Real(value, digits) if value.is_finite() => {
                format!("{:.*}", digits, unsigned_zero(*value, *digits))
            }
            Self::Real(..) => "-".to_owned(),
            Self::Name(name) => name.to_string(),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Real(value, _) if !value.is_finite() => "null".to_owned(),
            // The same digits as in the table: no more is known, and it can't differ by platform.
            Self::Real(..) | Self::Count(_) => self.text(),
            Self::Name(name) => json!(name).to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

/// "-0.00" says no more than "0.00".
fn unsigned_zero(value: f64, digits: usize) -> f64 {
    let half = 0.5 * 0.1_f64.powi(i32::try_from(digits).unwrap_or(i32::MAX));
    if value.abs() < half { 0.0 } else { value }
}

/// Rows with the same columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// No rows yet. The columns' names are the JSON keys: snake case, with their unit
    /// (`completion_ms`).
    pub fn new<const N: usize>(columns: [&'static str; N]) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: a value for each column, in their order.
    pub fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns.len(), "a value for each column");
        self.rows.push(row.into());
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as a table, its head being the columns' names.
    pub fn table(&self) -> Table {
        let mut table = Table::new("", self.columns.iter().map(|name| name.replace('_', " ")));
        for row in &self.rows {
            table.push(row.iter().map(Value::text));
        }
        table
    }

    /// A JSON array, one object a line, ending in a line break.
    pub fn json(&self) -> String {
        let lines: Vec<String> = self.rows.iter().map(|row| self.object(row)).collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    }

    fn object(&self, row: &[Value]) -> String {
        let fields: Vec<String> = self
            .columns
            .iter()
            .zip(row)
            .map(|(name, value)| format!("{}: {}", json!(name), value.json()))
            .collect();
        format!("  {{{}}}", fields.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::new(["clients", "jitter", "completion_ms", "back"]);
        rows.push([
            Value::Count(10),
            Value::name("full \"x\""),
            Value::Real(465.149, 1),
            Value::Flag(true),
        ]);
        rows.push([
            Value::Count(10),
            Value::name("none"),
            Value::Real(f64::INFINITY, 1),
            Value::Flag(false),
        ]);
        rows
    }

    #[test]
    fn json_is_what_the_reader_expects() {
        let read: serde_json::Value = serde_json::from_str(&rows().json()).unwrap();
        assert_eq!(
            read,
            json!([
                {"clients": 10, "jitter": "full \"x\"", "completion_ms": 465.1, "back": true},
                {"clients": 10, "jitter": "none", "completion_ms": null, "back": false},
            ])
        );
    }

    #[test]
    fn a_table_has_fixed_digits_and_no_negative_zero() {
        let text = rows().table().text();
        assert!(text.contains("completion ms"), "{text}");
        assert!(text.contains("465.1"), "{text}");
        assert_eq!(Value::Real(-0.0004, 2).text(), "0.00");
        assert_eq!(Value::Real(-0.006, 2).text(), "-0.01");
    }
}
