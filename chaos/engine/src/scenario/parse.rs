//! Reading a scenario file from text, all problems at once.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use loadtest::Stream;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::arms;
use super::faults::{Line, fits, move_fault, timeline};
use super::known::PARTS;
use super::read::{At, Table, number, to_json};
use super::{Arm, Scenario, Schedule};
use crate::checks::{self, Check};
use crate::diagnostics::{Collector, Diagnostics, Severity};

/// The version of the format that this engine reads.
const SCHEMA_VERSION: i64 = 1;

/// The most repeats of an arm; more would be a slip of the finger.
const MAX_REPEATS: i64 = 200;

pub(super) fn scenario(text: &str, file: &str) -> Result<Scenario, Diagnostics> {
    let mut c = Collector::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for e in &errors {
        c.error(
            e.span().unwrap_or(0..0),
            format!("not TOML: {}", e.message()),
        );
    }
    // What follows a syntax error would only repeat it in other words.
    let parts = if errors.is_empty() {
        Some(read(&mut c, &document))
    } else {
        None
    };
    let warnings = c.finish(file)?;
    let Some(Some(parts)) = parts else {
        // Every missing part reports an error, so there is nothing to add.
        return Err(Diagnostics {
            file: file.to_owned(),
            items: warnings,
        });
    };
    Ok(Scenario {
        warnings,
        source: text.to_owned(),
        file: file.to_owned(),
        ..parts
    })
}

fn read(c: &mut Collector<'_>, document: &Spanned<DeTable<'_>>) -> Option<Scenario> {
    // The head of the file is what a missing key is reported at.
    let mut root = Table::new(document.get_ref(), 0..1, "the scenario");
    version(c, &mut root);
    let name = root.need_text(c, "name");
    if let Some(name) = name.as_ref().filter(|name| !arms::is_name(&name.value)) {
        c.error(
            name.span.clone(),
            "a scenario's name has letters, digits, underscores and inner hyphens only, and begins with a letter",
        );
    }
    let shows = root.need_text(c, "shows");
    let hypothesis = root.need_text(c, "hypothesis");
    let takes = root.duration(c, "takes").map(|d| d.value);
    let replicas = topology(c, &mut root);
    let load = root.need_table(c, "load").and_then(|t| load(c, t));
    let Line { faults, names } = timeline(c, &mut root);
    let repeats = repeats(c, &mut root).unwrap_or(3);
    let arms = root
        .need_table(c, "arms")
        .map(|t| arms::read(c, &t))
        .unwrap_or_default();
    let checks = read_checks(c, &mut root, &arms, names.clone());
    let full = load.map(|l| Schedule {
        repeats,
        warm_up: l.warm_up,
        duration: l.duration,
        streams: l.streams,
        faults: faults.iter().map(|f| f.value.clone()).collect(),
    });
    let quick = match (&full, root.table(c, "quick")) {
        (Some(full), Some(t)) => Some(quick(c, full, &names, t)),
        _ => None,
    };
    if let Some(full) = &full {
        fits(c, full, faults.iter().map(|f| f.span.clone()));
    }
    root.finish(c);
    Some(Scenario {
        name: name?.value,
        shows: shows?.value,
        hypothesis: hypothesis?.value,
        takes,
        replicas,
        full: full?,
        quick,
        arms,
        checks,
        warnings: Vec::new(),
        source: String::new(),
        file: String::new(),
    })
}

fn version(c: &mut Collector<'_>, root: &mut Table<'_, '_>) {
    if !root.has("schema_version") {
        c.error(root.span(), "the scenario needs `schema_version = 1`");
    }
    if let Some(v) = root
        .integer(c, "schema_version")
        .filter(|v| v.value != SCHEMA_VERSION)
    {
        let message = format!("schema_version {} is unknown; this engine reads 1", v.value);
        c.error(v.span, message);
    }
}

fn topology(c: &mut Collector<'_>, root: &mut Table<'_, '_>) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let Some(mut t) = root.table(c, "topology") else {
        return found;
    };
    if let Some(replicas) = t.table(c, "replicas") {
        for (part, value) in replicas.entries() {
            if !PARTS.contains(&part.value.as_str()) {
                c.unknown(part.span.clone(), "part", &part.value, PARTS);
            }
            match number(value.get_ref()) {
                // One process a part is what a target offers so far.
                Some(1.0) => {
                    found.insert(part.value, 1);
                }
                _ => c.error(value.span(), "only one replica of each part can be had"),
            }
        }
    }
    t.finish(c);
    found
}

fn repeats(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Option<u32> {
    let n = t.integer(c, "repeats")?;
    if !(1..=MAX_REPEATS).contains(&n.value) {
        c.error(n.span, format!("`repeats` must be from 1 to {MAX_REPEATS}"));
        return None;
    }
    u32::try_from(n.value).ok()
}

struct Load {
    warm_up: Duration,
    duration: Duration,
    streams: Vec<Stream>,
}

fn load(c: &mut Collector<'_>, mut t: Table<'_, '_>) -> Option<Load> {
    let warm_up = t.duration(c, "warm_up");
    warm_up_long_enough(c, warm_up.as_ref());
    let duration = t.need_duration(c, "duration");
    let tables = t.tables(c, "stream");
    if tables.is_empty() {
        c.error(t.span(), "[load] needs at least one [[load.stream]]");
    }
    let streams: Vec<Stream> = tables.into_iter().filter_map(|s| stream(c, s)).collect();
    t.finish(c);
    let warm_up = warm_up.map_or(Duration::from_secs(3), |w| w.value);
    Some(Load {
        warm_up,
        duration: duration?.value,
        streams,
    })
}

/// Two steady seconds come before each repeat, so there must be two to look at.
fn warm_up_long_enough(c: &mut Collector<'_>, warm_up: Option<&At<Duration>>) {
    if let Some(w) = warm_up.filter(|w| w.value < Duration::from_secs(2)) {
        c.error(w.span.clone(), "`warm_up` must be at least 2s: two steady seconds are proof that the last repeat has left nothing behind");
    }
}

fn stream(c: &mut Collector<'_>, mut t: Table<'_, '_>) -> Option<Stream> {
    let mix = t.raw("mix");
    if mix.is_none() {
        c.error(t.span(), "[[load.stream]] needs `mix`");
    }
    let mix = mix.and_then(|v| parsed(c, v));
    if !t.has("rate") {
        c.error(
            t.span(),
            "[[load.stream]] needs `rate`, in arrivals a second",
        );
    }
    let rate = t.positive(c, "rate");
    if let Some(r) = rate.as_ref().filter(|r| r.value > Stream::MAX_RATE) {
        c.error(
            r.span.clone(),
            format!("`rate` is at most {}", Stream::MAX_RATE),
        );
    }
    let arrivals = match t.raw("arrivals") {
        Some(v) => parsed(c, v)?,
        None => loadtest::Arrivals::default(),
    };
    t.finish(c);
    Some(Stream {
        mix: mix?,
        rate: rate?.value,
        arrivals,
    })
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

fn quick(
    c: &mut Collector<'_>,
    full: &Schedule,
    names: &[(String, String)],
    mut t: Table<'_, '_>,
) -> Schedule {
    let mut s = full.clone();
    s.repeats = repeats(c, &mut t).unwrap_or(1);
    if let Some(d) = t.duration(c, "duration") {
        s.duration = d.value;
    }
    let warm_up = t.duration(c, "warm_up");
    warm_up_long_enough(c, warm_up.as_ref());
    if let Some(d) = warm_up {
        s.warm_up = d.value;
    }
    let mut spans: Vec<Range<usize>> = vec![t.span(); s.faults.len()];
    if let Some(line) = t.table(c, "timeline") {
        for (name, value) in line.entries() {
            if !names.iter().any(|(known, _)| *known == name.value) {
                let known = names.iter().map(|(known, _)| known.as_str());
                c.unknown(name.span, "fault", &name.value, known);
                continue;
            }
            let Some(i) = s.faults.iter().position(|f| f.name == name.value) else {
                continue;
            };
            spans[i] = value.span();
            move_fault(c, &mut s.faults[i], value);
        }
    }
    t.finish(c);
    fits(c, &s, spans.into_iter());
    s
}

fn read_checks(
    c: &mut Collector<'_>,
    root: &mut Table<'_, '_>,
    arms: &[Arm],
    faults: Vec<(String, String)>,
) -> Vec<Check> {
    let names = checks::Names {
        arms: arms.iter().map(|a| a.name.clone()).collect(),
        faults,
        ..checks::Names::default()
    };
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let tables = root.tables(c, "check");
    if tables.is_empty() {
        c.error(root.span(), "a scenario needs at least one [[check]]");
    }
    for t in tables {
        found.extend(read_check(c, t, &names, &mut seen));
    }
    found
}

fn read_check(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    names: &checks::Names,
    seen: &mut HashSet<String>,
) -> Option<Check> {
    let id = t.need_text(c, "id");
    if let Some(id) = id.as_ref().filter(|id| !seen.insert(id.value.clone())) {
        c.error(
            id.span.clone(),
            format!("there is a check `{}` already", id.value),
        );
    }
    let that = t.need_text(c, "that");
    let because = t.need_text(c, "because");
    let quick = t.text(c, "quick");
    let precondition = t.flag(c, "precondition").unwrap_or(false);
    t.finish(c);
    let that = that?;
    let quick = quick.and_then(|text| {
        let predicate = check(c, &text, names, precondition)?;
        Some((text.value, predicate))
    });
    let predicate = check(c, &that, names, precondition);
    Some(Check {
        id: id?.value,
        that: that.value,
        because: because?.value,
        predicate: predicate?,
        precondition,
        quick,
    })
}

fn check(
    c: &mut Collector<'_>,
    that: &At<String>,
    names: &checks::Names,
    precondition: bool,
) -> Option<checks::Predicate> {
    let parsed = checks::parse(&that.value, names).and_then(|predicate| {
        if precondition {
            checks::precondition::admissible(&that.value, &predicate, names)?;
        }
        Ok(predicate)
    });
    match parsed {
        Ok(predicate) => Some(predicate),
        Err(problem) => {
            let span = inside(c.source(), that, &problem.span);
            c.push(Severity::Error, span, problem.message, problem.suggestion);
            None
        }
    }
}

/// Where a part of a string's value stands in the file. Exact unless the string
/// has escapes; then it is the whole string.
fn inside(source: &str, text: &At<String>, part: &Range<usize>) -> Range<usize> {
    let raw = &source[text.span.clone()];
    match raw.find(&text.value) {
        Some(lead) => {
            let start = text.span.start + lead;
            start + part.start..start + part.end
        }
        None => text.span.clone(),
    }
}
