//! Reading a scenario file from text, all problems at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::actions::Place;
use super::known::{LINKS, MAX_REPLICAS, PARTS};
use super::line::{self, Spans, fits};
use super::read::{At, Table, number};
use super::{Fixtures, Scenario, Schedule, abort, arms, load, map, negative, quick};
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
    let (replicas, links) = topology(c, &mut root);
    let load = root.need_table(c, "load").and_then(|t| load::read(c, t));
    let fixtures = root.table(c, "fixtures");
    let fixtures = load::fixtures(c, fixtures, Fixtures::default());
    let line = line::read(c, &mut root, &Place { links: &links });
    let repeats = repeats(c, &mut root).unwrap_or(3);
    let arms = root
        .need_table(c, "arms")
        .map(|t| arms::read(c, &t))
        .unwrap_or_default();
    let streams = load.iter().flat_map(|l| &l.names).cloned().collect();
    let sound = load.as_ref().is_some_and(|l| l.sound);
    let names = checks::Names {
        arms: arms.iter().map(|a| a.name.clone()).collect(),
        faults: line.names.clone(),
        conditions: line.met.clone(),
        windows: line.windows.iter().map(|w| w.value.name.clone()).collect(),
        streams,
    };
    let (checks, ids) = read_checks(c, &mut root, &names);
    let abort_when = root.table(c, "abort_when").and_then(|t| abort::read(c, t));
    let negative_control = root.table(c, "negative_control").and_then(|t| {
        let faults = line.names.iter().chain(&line.met);
        let known = negative::Known {
            arms: &arms,
            faults: faults.map(|(name, _)| name.as_str()).collect(),
            checks: &ids,
        };
        negative::read(c, t, &known)
    });
    let spans = Spans {
        faults: line.faults.iter().map(|f| f.span.clone()).collect(),
        windows: line.windows.iter().map(|w| w.span.clone()).collect(),
        storm: line.storm.as_ref().map_or(0..0, |s| s.span.clone()),
    };
    let faults = line.names;
    let full = load.map(|l| Schedule {
        repeats,
        warm_up: l.warm_up,
        duration: l.duration,
        streams: l.streams,
        history: l.history,
        fixtures,
        conditions: values(line.conditions),
        faults: values(line.faults),
        windows: values(line.windows),
        storm: line.storm.map(|s| s.value),
    });
    let quick = match (&full, root.table(c, "quick")) {
        (Some(full), Some(t)) => Some(quick::read(c, full, (&faults, sound), t)),
        _ => None,
    };
    let map = match (&full, root.table(c, "map")) {
        (Some(full), Some(t)) => {
            let known = map::Known {
                arms: &arms,
                faults: &faults,
                conditions: &line.met,
                schedule: full,
                streams_sound: sound,
            };
            map::read(c, t, &known)
        }
        _ => None,
    };
    if let Some(full) = &full {
        fits(c, full, &spans);
    }
    root.finish(c);
    Some(Scenario {
        name: name?.value,
        shows: shows?.value,
        hypothesis: hypothesis?.value,
        takes,
        replicas,
        links,
        full: full?,
        quick,
        arms,
        checks,
        abort_when,
        negative_control,
        map,
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

fn values<T>(items: Vec<At<T>>) -> Vec<T> {
    items.into_iter().map(|item| item.value).collect()
}

/// Replicas by part, and links that the target has beside the shop's.
fn topology(
    c: &mut Collector<'_>,
    root: &mut Table<'_, '_>,
) -> (BTreeMap<String, u32>, Vec<String>) {
    let mut found = BTreeMap::new();
    let Some(mut t) = root.table(c, "topology") else {
        return (found, Vec::new());
    };
    if let Some(replicas) = t.table(c, "replicas") {
        for (part, value) in replicas.entries() {
            if !PARTS.contains(&part.value.as_str()) {
                c.unknown(part.span.clone(), "part", &part.value, PARTS);
            }
            let n = number(value.get_ref()).filter(|n| n.fract() == 0.0);
            match n.filter(|n| (1.0..=f64::from(MAX_REPLICAS)).contains(n)) {
                Some(n) if n > 1.0 && part.value == "gateway" => {
                    c.error(value.span(), "the gateway is the entry: there is one of it");
                }
                Some(n) => {
                    found.insert(part.value, n as u32);
                }
                None => {
                    let message = format!("a part has from 1 to {MAX_REPLICAS} replicas");
                    c.error(value.span(), message);
                }
            }
        }
    }
    let mut links = Vec::new();
    for link in t.texts(c, "links") {
        if LINKS.contains(&&*link.value) {
            let message = format!("`{}` is a link of the shop already", link.value);
            c.error(link.span, message);
        } else if !arms::is_name(&link.value) {
            c.error(
                link.span,
                "a link's name has letters, digits, underscores and inner hyphens only, and begins with a letter",
            );
        } else {
            links.push(link.value);
        }
    }
    t.finish(c);
    (found, links)
}

pub(super) fn repeats(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Option<u32> {
    let n = t.integer(c, "repeats")?;
    if !(1..=MAX_REPEATS).contains(&n.value) {
        c.error(n.span, format!("`repeats` must be from 1 to {MAX_REPEATS}"));
        return None;
    }
    u32::try_from(n.value).ok()
}

fn read_checks(
    c: &mut Collector<'_>,
    root: &mut Table<'_, '_>,
    names: &checks::Names,
) -> (Vec<Check>, BTreeSet<String>) {
    // Those with a mistake elsewhere too, which need no second telling.
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let tables = root.tables(c, "check");
    if tables.is_empty() {
        c.error(root.span(), "a scenario needs at least one [[check]]");
    }
    for t in tables {
        found.extend(read_check(c, t, names, &mut seen));
    }
    (found, seen)
}

fn read_check(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    names: &checks::Names,
    seen: &mut BTreeSet<String>,
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
