//! Reading the load: streams of requests, and what is prepared for them.

use std::ops::Range;
use std::str::FromStr as _;
use std::time::Duration;

use loadtest::{LoadError, Mix, Op, Stream};
use resilience::Priority;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::known::{LINKS, SLOTS};
use super::read::{At, Table, article, number, to_json};
use crate::diagnostics::Collector;

/// What a trial prepares before its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixtures {
    /// Customers with accounts and addresses of their own: enough that no rate limit
    /// meets honest load.
    pub customers: usize,
    /// Products.
    pub products: usize,
    /// Units of each product: more than a trial can sell.
    pub units: u64,
}

impl Default for Fixtures {
    fn default() -> Self {
        Self {
            customers: 50,
            products: 20,
            units: 1_000_000,
        }
    }
}

/// Customers who do one thing after another and write everything down, so that the shop's promises
/// can be judged from it: the workload of the integrity checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLoad {
    /// The mean wait between a customer's operations.
    pub pause: Duration,
    /// How long a customer waits for an answer.
    pub timeout: Duration,
}

impl HistoryLoad {
    /// What customers do, as checks call it.
    pub const CALLS: [&str; 4] = ["place", "cancel", "read", "list"];
}

/// What the control API makes at most.
const MAX_FIXTURES: i64 = 10_000;

pub(super) struct Load {
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    pub(super) streams: Vec<Stream>,
    pub(super) history: Option<HistoryLoad>,
    /// What the streams are called, those with a mistake elsewhere too.
    pub(super) names: Vec<String>,
    /// Whether every stream could be read.
    pub(super) sound: bool,
}

pub(super) fn read(c: &mut Collector<'_>, mut t: Table<'_, '_>) -> Option<Load> {
    let warm_up = t.duration(c, "warm_up");
    warm_up_long_enough(c, warm_up.as_ref());
    let duration = t.need_duration(c, "duration");
    let tables = t.tables(c, "stream");
    let history = t.table(c, "history").map(|t| history(c, t));
    if history.is_some() && !tables.is_empty() {
        let message = "either [[load.stream]] or [load.history], not both: the checker must know of every order";
        c.error(t.span(), message);
    }
    if tables.is_empty() && history.is_none() {
        c.error(t.span(), "[load] needs at least one [[load.stream]]");
    }
    let (mut names, mut streams, declared) = (Vec::new(), Vec::new(), tables.len());
    if history.is_some() {
        names.extend(HistoryLoad::CALLS.map(str::to_owned));
    }
    for mut s in tables {
        let named = name(c, &mut s, &mut names);
        streams.extend(stream(c, s).filter(|_| named));
    }
    t.finish(c);
    let warm_up = warm_up.map_or(Duration::from_secs(3), |w| w.value);
    Some(Load {
        warm_up,
        duration: duration?.value,
        sound: streams.len() == declared,
        streams,
        history,
        names,
    })
}

fn history(c: &mut Collector<'_>, mut t: Table<'_, '_>) -> HistoryLoad {
    let mut or = |key, usual| match t.duration(c, key) {
        Some(d) if d.value.is_zero() => {
            c.error(d.span, format!("`{key}` must be above zero"));
            usual
        }
        Some(d) => d.value,
        None => usual,
    };
    let read = HistoryLoad {
        pause: or("pause", Duration::from_millis(100)),
        timeout: or("timeout", Duration::from_secs(5)),
    };
    t.finish(c);
    read
}

/// Two steady seconds come before each repeat, so there must be two to look at.
pub(super) fn warm_up_long_enough(c: &mut Collector<'_>, warm_up: Option<&At<Duration>>) {
    if let Some(w) = warm_up.filter(|w| w.value < Duration::from_secs(2)) {
        c.error(w.span.clone(), "`warm_up` must be at least 2s: two steady seconds are proof that the last repeat has left nothing behind");
    }
}

/// Whether a stream's name, if it has one, can be had: it selects in checks, so it must
/// be told from what else does.
fn name(c: &mut Collector<'_>, t: &mut Table<'_, '_>, earlier: &mut Vec<String>) -> bool {
    let Some(name) = t.text(c, "name") else {
        return !t.has("name");
    };
    let is = &*name.value;
    let taken = if Op::from_str(is).is_ok() {
        Some("an operation")
    } else if Priority::from_str(is).is_ok() {
        Some("a priority")
    } else if LINKS.contains(&is) || SLOTS.iter().any(|(slot, _)| *slot == is) {
        Some("a link")
    } else if is == "refused" {
        Some("a selector of the checks")
    } else if earlier.iter().any(|other| other == is) {
        Some("another stream")
    } else {
        None
    };
    if let Some(taken) = taken {
        let message = format!("`{is}` is the name of {taken} already");
        c.error(name.span.clone(), message);
    }
    earlier.push(name.value);
    taken.is_none()
}

fn stream(c: &mut Collector<'_>, mut t: Table<'_, '_>) -> Option<Stream> {
    let mix = t.raw("mix");
    if mix.is_none() {
        c.error(t.span(), "[[load.stream]] needs `mix`");
    }
    let mut sound = mix.and_then(|v| parsed::<Mix>(c, v)).is_some();
    if !t.has("rate") && !t.has("customers") {
        let message = "[[load.stream]] needs `rate`, in arrivals a second, or `customers` who wait for their answers";
        c.error(t.span(), message);
        sound = false;
    }
    sound &= t.raw("rate").is_none_or(|v| rate(c, v));
    sound &= t
        .raw("arrivals")
        .is_none_or(|v| parsed::<loadtest::Arrivals>(c, v).is_some());
    sound &= t
        .raw("priority")
        .is_none_or(|v| parsed::<Priority>(c, v).is_some());
    for key in ["customers", "think"] {
        t.raw(key);
    }
    // Without what is no key of a stream, which is told anyway.
    let (json, table, span) = (t.json_asked(), t.inner(), t.span());
    t.finish(c);
    sound.then(|| whole(c, json, table, span)).flatten()
}

/// A plain rate; a profile's fields are the load generator's to judge.
fn rate(c: &mut Collector<'_>, value: &Spanned<DeValue<'_>>) -> bool {
    if value.get_ref().as_table().is_some() {
        return true;
    }
    let message = match number(value.get_ref()) {
        Some(n) if n > 0.0 && n <= Stream::MAX_RATE => return true,
        Some(n) if n > 0.0 => format!("`rate` is at most {}", Stream::MAX_RATE),
        Some(_) => "`rate` must be above zero".to_owned(),
        None => {
            let found = article(value.get_ref().type_str());
            format!(
                "`rate` must be a number, not {found}; or a profile such as {{ from = 20, to = 100 }}"
            )
        }
    };
    c.error(value.span(), message);
    false
}

/// The stream as the load generator reads it; what it finds wrong is told at the
/// field that it names.
fn whole(
    c: &mut Collector<'_>,
    json: Value,
    table: &DeTable<'_>,
    span: Range<usize>,
) -> Option<Stream> {
    let read = serde_json::from_value::<Stream>(json).map_err(|e| e.to_string());
    let valid = read.and_then(|stream| match stream.validate() {
        Ok(()) => Ok(stream),
        Err(LoadError::Invalid { field, message }) => Err(format!("{field}: {message}")),
        Err(e) => Err(e.to_string()),
    });
    match valid {
        Ok(stream) => Some(stream),
        Err(why) => {
            let at = why
                .split_once(": ")
                .and_then(|(field, _)| place(table, field));
            c.error(at.unwrap_or(span), why);
            None
        }
    }
}

/// Where a field such as `rate.to` stands; the nearest that is there.
fn place(table: &DeTable<'_>, field: &str) -> Option<Range<usize>> {
    let (key, rest) = field.split_once('.').unwrap_or((field, ""));
    let value = table.get(key)?;
    let inner = value.get_ref().as_table().and_then(|t| place(t, rest));
    inner.or_else(|| Some(value.span()))
}

/// A value whose type is the load generator's own.
fn parsed<T: serde::de::DeserializeOwned>(
    c: &mut Collector<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Option<T> {
    match serde_json::from_value(to_json(value.get_ref())) {
        Ok(v) => Some(v),
        Err(e) => {
            c.error(value.span(), e.to_string());
            None
        }
    }
}

/// `[quick.stream.NAME]`: other rates, or fewer customers.
pub(super) fn quick(c: &mut Collector<'_>, streams: &mut [Stream], t: &Table<'_, '_>) {
    for (name, value) in t.entries() {
        let names = || streams.iter().enumerate().map(|(i, s)| stream_name(s, i));
        let Some(i) = names().position(|known| known == name.value) else {
            let known: Vec<String> = names().collect();
            let known = known.iter().map(String::as_str);
            c.unknown(name.span, "stream", &name.value, known);
            continue;
        };
        let Some(table) = value.get_ref().as_table() else {
            c.error(value.span(), "write { rate = 10 }");
            continue;
        };
        if let Some(changed) = changed(
            c,
            &streams[i],
            Table::new(table, value.span(), "[quick.stream]"),
        ) {
            streams[i] = changed;
        }
    }
}

fn changed(c: &mut Collector<'_>, stream: &Stream, mut t: Table<'_, '_>) -> Option<Stream> {
    let sound = t.raw("rate").is_none_or(|v| rate(c, v));
    for key in ["customers", "think"] {
        t.raw(key);
    }
    // A stream always serialises, to an object.
    let mut json = serde_json::to_value(stream).ok()?;
    let object = json.as_object_mut()?;
    if let Value::Object(changes) = t.json_asked() {
        object.extend(changes);
    }
    let (table, span) = (t.inner(), t.span());
    t.finish(c);
    sound.then(|| whole(c, json, table, span)).flatten()
}

/// What checks call a stream: its name, or its number in the file, from 0.
pub(super) fn stream_name(stream: &Stream, place: usize) -> String {
    stream.name.clone().unwrap_or_else(|| place.to_string())
}

/// `[fixtures]`, or what `[quick.fixtures]` changes of it.
pub(super) fn fixtures(
    c: &mut Collector<'_>,
    t: Option<Table<'_, '_>>,
    usual: Fixtures,
) -> Fixtures {
    let Some(mut t) = t else { return usual };
    let mut bounded = |key, usual: u64, most: i64| {
        let Some(n) = t.integer(c, key) else {
            return usual;
        };
        if !(1..=most).contains(&n.value) {
            c.error(n.span, format!("`{key}` must be from 1 to {most}"));
        }
        n.value.unsigned_abs()
    };
    let customers = bounded("customers", usual.customers as u64, MAX_FIXTURES);
    let products = bounded("products", usual.products as u64, MAX_FIXTURES);
    let units = bounded("units", usual.units, i64::from(i32::MAX));
    t.finish(c);
    Fixtures {
        customers: customers as usize,
        products: products as usize,
        units,
    }
}
