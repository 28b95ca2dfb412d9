//! A reader over a TOML document that knows where everything stands: wrong
//! types, missing and unknown keys are all reported with their place.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::diagnostics::Collector;

/// A value with the bytes of the file it came from.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// A table being read. [`Table::finish`] reports the keys nobody asked for.
pub(crate) struct Table<'a, 'i> {
    table: &'a DeTable<'i>,
    span: Range<usize>,
    what: String,
    asked: Vec<&'static str>,
}

impl<'a, 'i> Table<'a, 'i> {
    pub(crate) fn new(table: &'a DeTable<'i>, span: Range<usize>, what: &str) -> Self {
        Self {
            table,
            span,
            what: what.to_owned(),
            asked: Vec::new(),
        }
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(crate) fn inner(&self) -> &'a DeTable<'i> {
        self.table
    }

    /// What was asked for as JSON, for types that another crate reads.
    pub(crate) fn json_asked(&self) -> serde_json::Value {
        let asked = |(k, _): &(&Spanned<DeString<'_>>, _)| self.asked.contains(&&**k.get_ref());
        self.table
            .iter()
            .filter(asked)
            .map(|(k, v)| (k.get_ref().to_string(), to_json(v.get_ref())))
            .collect()
    }

    pub(crate) fn raw(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    pub(crate) fn missing(&self, c: &mut Collector<'_>, key: &str) {
        c.error(self.span(), format!("{} needs `{key}`", self.what));
    }

    fn expect<T>(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
        kind: &str,
        read: impl Fn(&DeValue<'i>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.raw(key)?;
        if let Some(v) = read(value.get_ref()) {
            return Some(At {
                value: v,
                span: value.span(),
            });
        }
        let found = value.get_ref().type_str();
        c.error(
            value.span(),
            format!("`{key}` must be {kind}, not {}", article(found)),
        );
        None
    }

    pub(crate) fn text(&mut self, c: &mut Collector<'_>, key: &'static str) -> Option<At<String>> {
        self.expect(c, key, "a string", |v| v.as_str().map(str::to_owned))
    }

    /// A string that must be there and say something.
    pub(crate) fn need_text(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
    ) -> Option<At<String>> {
        if !self.has(key) {
            self.missing(c, key);
        }
        let text = self.text(c, key)?;
        if text.value.trim().is_empty() {
            c.error(text.span, format!("`{key}` is empty"));
            return None;
        }
        Some(text)
    }

    pub(crate) fn flag(&mut self, c: &mut Collector<'_>, key: &'static str) -> Option<bool> {
        self.expect(c, key, "true or false", DeValue::as_bool)
            .map(|v| v.value)
    }

    /// A number above zero, integer or not.
    pub(crate) fn positive(&mut self, c: &mut Collector<'_>, key: &'static str) -> Option<At<f64>> {
        let v = self.expect(c, key, "a number", number)?;
        if v.value > 0.0 && v.value.is_finite() {
            return Some(v);
        }
        c.error(v.span, format!("`{key}` must be above zero"));
        None
    }

    /// A share: above 0, at most 1.
    pub(crate) fn share(&mut self, c: &mut Collector<'_>, key: &'static str) -> Option<At<f64>> {
        let v = self.expect(c, key, "a number", number)?;
        if v.value > 0.0 && v.value <= 1.0 {
            return Some(v);
        }
        c.error(v.span, format!("`{key}` is a share: above 0 and at most 1"));
        None
    }

    /// A whole number from 1 on.
    pub(crate) fn count(&mut self, c: &mut Collector<'_>, key: &'static str) -> Option<At<u32>> {
        let v = self.integer(c, key)?;
        match u32::try_from(v.value).ok().filter(|n| *n > 0) {
            Some(value) => Some(At {
                value,
                span: v.span,
            }),
            None => {
                c.error(
                    v.span,
                    format!(
                        "`{key}` must be a whole number above zero, at most {}",
                        u32::MAX
                    ),
                );
                None
            }
        }
    }

    pub(crate) fn need_count(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
    ) -> Option<At<u32>> {
        if !self.has(key) {
            self.missing(c, key);
        }
        self.count(c, key)
    }

    /// An array; absent is empty.
    pub(crate) fn array(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
    ) -> Vec<&'a Spanned<DeValue<'i>>> {
        let Some(value) = self.raw(key) else {
            return Vec::new();
        };
        match value.get_ref().as_array() {
            Some(items) if !items.is_empty() => items.iter().collect(),
            Some(_) => {
                let message = format!("`{key}` is empty; leave it out to mean all");
                c.error(value.span(), message);
                Vec::new()
            }
            None => {
                let found = article(value.get_ref().type_str());
                c.error(
                    value.span(),
                    format!("`{key}` must be an array, not {found}"),
                );
                Vec::new()
            }
        }
    }

    /// An array of strings; absent is empty.
    pub(crate) fn texts(&mut self, c: &mut Collector<'_>, key: &'static str) -> Vec<At<String>> {
        let mut found = Vec::new();
        for item in self.array(c, key) {
            match item.get_ref().as_str() {
                Some(text) => found.push(At {
                    value: text.to_owned(),
                    span: item.span(),
                }),
                None => c.error(item.span(), format!("`{key}` holds strings")),
            }
        }
        found
    }

    pub(crate) fn integer(&mut self, c: &mut Collector<'_>, key: &'static str) -> Option<At<i64>> {
        self.expect(c, key, "an integer", |v| {
            let i = v.as_integer()?;
            i64::from_str_radix(i.as_str(), i.radix()).ok()
        })
    }

    /// A duration such as `"10s"` or `"1m 30s"`.
    pub(crate) fn duration(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
    ) -> Option<At<Duration>> {
        let text = self.expect(c, key, "a duration such as \"10s\"", |v| {
            v.as_str().map(str::to_owned)
        })?;
        parse_duration(c, text)
    }

    pub(crate) fn need_duration(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
    ) -> Option<At<Duration>> {
        if !self.has(key) {
            self.missing(c, key);
        }
        self.duration(c, key)
    }

    pub(crate) fn table(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
    ) -> Option<Table<'a, 'i>> {
        let value = self.raw(key)?;
        let Some(t) = value.get_ref().as_table() else {
            c.error(value.span(), format!("`{key}` must be a table"));
            return None;
        };
        Some(Table::new(t, value.span(), &format!("[{key}]")))
    }

    pub(crate) fn need_table(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
    ) -> Option<Table<'a, 'i>> {
        if !self.has(key) {
            self.missing(c, &format!("[{key}]"));
        }
        self.table(c, key)
    }

    /// An array of tables, `[[key]]`; absent is empty.
    pub(crate) fn tables(
        &mut self,
        c: &mut Collector<'_>,
        key: &'static str,
    ) -> Vec<Table<'a, 'i>> {
        let Some(value) = self.raw(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            c.error(
                value.span(),
                format!("`{key}` must be an array of tables: [[{key}]]"),
            );
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_table() {
                Some(t) => out.push(Table::new(t, item.span(), &format!("[[{key}]]"))),
                None => c.error(item.span(), format!("each `{key}` must be a table")),
            }
        }
        out
    }

    /// Every entry, for tables whose keys are names.
    pub(crate) fn entries(&self) -> Vec<(At<String>, &'a Spanned<DeValue<'i>>)> {
        let mut all: Vec<_> = self
            .table
            .iter()
            .map(|(k, v)| {
                (
                    At {
                        value: k.get_ref().to_string(),
                        span: k.span(),
                    },
                    v,
                )
            })
            .collect();
        // The map sorts by name; people mean the order they wrote.
        all.sort_by_key(|(k, _)| k.span.start);
        all
    }

    /// Reports every key that no reader asked for.
    pub(crate) fn finish(self, c: &mut Collector<'_>) {
        for (key, _) in self.entries() {
            if !self.asked.contains(&key.value.as_str()) {
                let what = format!("key in {}:", self.what);
                c.unknown(key.span, &what, &key.value, self.asked.iter().copied());
            }
        }
    }
}

fn parse_duration(c: &mut Collector<'_>, text: At<String>) -> Option<At<Duration>> {
    match humantime::parse_duration(text.value.trim()) {
        Ok(value) => Some(At {
            value,
            span: text.span,
        }),
        Err(e) => {
            let shown = text.value;
            c.error(
                text.span,
                format!("`{shown}` is no duration ({e}); write \"10s\" or \"250ms\""),
            );
            None
        }
    }
}

/// A duration that stands alone, as in an array.
pub(crate) fn duration(c: &mut Collector<'_>, value: &Spanned<DeValue<'_>>) -> Option<Duration> {
    let Some(text) = value.get_ref().as_str() else {
        let found = article(value.get_ref().type_str());
        c.error(
            value.span(),
            format!("a duration such as \"10s\" is wanted, not {found}"),
        );
        return None;
    };
    let text = At {
        value: text.to_owned(),
        span: value.span(),
    };
    parse_duration(c, text).map(|d| d.value)
}

/// The number in a value, whichever way it was written.
pub(crate) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix())
            .ok()
            .map(|n| n as f64),
        DeValue::Float(f) => f.as_str().replace('_', "").parse().ok(),
        _ => None,
    }
}

/// The value as JSON, for specs that another crate reads.
pub(crate) fn to_json(value: &DeValue<'_>) -> serde_json::Value {
    use serde_json::Value;
    match value {
        DeValue::String(s) => Value::from(s.as_ref()),
        DeValue::Boolean(b) => Value::from(*b),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) => Value::from(n),
            Err(_) => Value::from(i.as_str()),
        },
        DeValue::Float(_) => number(value).map_or(Value::Null, Value::from),
        DeValue::Datetime(d) => Value::from(d.to_string()),
        DeValue::Array(a) => a.iter().map(|v| to_json(v.get_ref())).collect(),
        DeValue::Table(t) => t
            .iter()
            .map(|(k, v)| (k.get_ref().to_string(), to_json(v.get_ref())))
            .collect(),
    }
}

pub(crate) fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}
