//! Reading what a fault does, and where.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::effects;
use super::known::{self, LINKS, PROCESSES, TOXICS};
use super::read::{At, Table};
use super::{Action, ProcessAction, Toxic};
use crate::checks;
use crate::diagnostics::Collector;

/// The actions that are one word.
const WORDS: [(&str, Action); 4] = [
    ("down", Action::Down),
    ("kill", Action::Process(ProcessAction::Kill)),
    ("pause", Action::Process(ProcessAction::Pause)),
    ("restart", Action::Process(ProcessAction::Restart)),
];

/// What is broken: a link of the shop, one of the target's, or a part.
pub(super) struct Place<'a> {
    /// The links that `[topology] links` adds.
    pub(super) links: &'a [String],
}

/// The name of a fault, a condition or a window: what checks call it.
pub(super) fn name(
    c: &mut Collector<'_>,
    t: &mut Table<'_, '_>,
    seen: &mut Vec<String>,
) -> Option<At<String>> {
    let name = t.need_text(c, "name")?;
    if !super::arms::is_name(&name.value) {
        c.error(
            name.span.clone(),
            "a name has letters, digits, underscores and inner hyphens only, and begins with a letter",
        );
    } else if checks::RESERVED.contains(&name.value.as_str()) {
        c.error(
            name.span.clone(),
            format!("`{}` is a word of the checks", name.value),
        );
    } else if seen.contains(&name.value) {
        let message = format!(
            "the name `{}` is taken already; faults, conditions and windows share their names",
            name.value
        );
        c.error(name.span.clone(), message);
    }
    seen.push(name.value.clone());
    Some(name)
}

/// The action and the link or part that it is done to, fitting each other.
pub(super) fn read(
    c: &mut Collector<'_>,
    t: &mut Table<'_, '_>,
    places: &Place<'_>,
) -> Option<(At<String>, Action)> {
    let link = t.text(c, "link");
    let part = t.text(c, "part");
    let action = action(c, t, link.as_ref());
    let place = match (link, part, &action) {
        (Some(_), Some(part), _) => {
            c.error(part.span, "either `link` or `part`, not both");
            return None;
        }
        (Some(link), None, Some(Action::Process(_))) => {
            c.error(
                link.span,
                "this is done to a process: name a `part`, such as \"user-service\"",
            );
            return None;
        }
        (None, Some(part), Some(Action::Process(_)) | None) => part_known(c, part)?,
        (None, Some(part), Some(_)) => {
            c.error(
                part.span,
                "this is done to a link: name a `link`, such as \"order-product\"",
            );
            return None;
        }
        (Some(link), None, _) => link_known(c, link, action.as_ref(), places)?,
        (None, None, Some(Action::Process(_))) => {
            t.missing(c, "part");
            return None;
        }
        (None, None, _) => {
            t.missing(c, "link");
            return None;
        }
    };
    Some((place, action?))
}

fn part_known(c: &mut Collector<'_>, part: At<String>) -> Option<At<String>> {
    if PROCESSES.contains(&known::base(&part.value)) {
        return Some(part);
    }
    c.unknown(part.span, "part", &part.value, PROCESSES);
    None
}

fn link_known(
    c: &mut Collector<'_>,
    link: At<String>,
    action: Option<&Action>,
    places: &Place<'_>,
) -> Option<At<String>> {
    let base = known::base(&link.value);
    let per_request = matches!(action, Some(Action::Request(_)));
    let into = base
        .strip_prefix("*-")
        .is_some_and(|s| known::SERVICES.contains(&s));
    // With a mistake in the action nobody knows; one telling is enough.
    if into && (per_request || action.is_none()) {
        return Some(link);
    }
    if !LINKS.contains(&base) && !places.links.iter().any(|l| l == base) {
        let links = LINKS
            .into_iter()
            .chain(places.links.iter().map(String::as_str));
        c.unknown(link.span, "link", base, links);
        return None;
    }
    if per_request && base.ends_with("-keys") {
        let message = "no fault layer serves the key links; break them with \"down\" or a toxic";
        c.error(link.span, message);
        return None;
    }
    if !per_request && known::is_entry(base) {
        let message = "no fault proxy stands between the load and the gateway; break this link per request, such as { fail = … }";
        c.error(link.span, message);
        return None;
    }
    if !per_request && action.is_some() {
        wire(c, &link, base);
    }
    Some(link)
}

/// What keeps a fault of the proxies from being seen, or from being put at all.
fn wire(c: &mut Collector<'_>, link: &At<String>, base: &str) {
    if known::is_store(base) {
        let message = "embedded, caches and databases have no wire to break: this needs a target \
                       with real ones; { fail = … }, { delay = … } and { hang = … } work in both";
        c.warning(link.span.clone(), message);
    } else if LINKS.contains(&base) && !known::is_slot(base) {
        let message = "no caller reports attempts on this link, so only a fault proxy that counts \
                       (Faultline's own) can prove that the fault acted";
        c.warning(link.span.clone(), message);
    }
}

fn action(
    c: &mut Collector<'_>,
    t: &mut Table<'_, '_>,
    link: Option<&At<String>>,
) -> Option<Action> {
    const FORMS: &str = "\"down\", \"kill\", \"pause\", \"restart\", { toxic = … } or an action \
                         per request such as { fail = { share = 0.2, status = \"UNAVAILABLE\" } }";
    let Some(value) = t.raw("action") else {
        t.missing(c, "action");
        return None;
    };
    match value.get_ref() {
        DeValue::String(s) => {
            let found = WORDS.iter().find(|(word, _)| *word == &**s);
            if found.is_none() {
                c.unknown(
                    value.span(),
                    "action",
                    s,
                    WORDS.iter().map(|(word, _)| *word),
                );
            }
            found.map(|(_, action)| action.clone())
        }
        DeValue::Table(table) if table.get("toxic").is_some() => {
            toxic(c, Table::new(table, value.span(), "`action`"))
        }
        DeValue::Table(table) if effects::any(table) => {
            let t = Table::new(table, value.span(), "`action`");
            effects::read(c, t, link.map(|l| l.value.as_str())).map(Action::Request)
        }
        DeValue::Table(table) => {
            no_action(c, table, value.span());
            None
        }
        _ => {
            c.error(value.span(), format!("`action` is {FORMS}"));
            None
        }
    }
}

/// A table that names nothing known: its first key is taken for the slip.
fn no_action(c: &mut Collector<'_>, table: &DeTable<'_>, span: std::ops::Range<usize>) {
    let names = || ["toxic"].into_iter().chain(effects::NAMES);
    let what = Table::new(table, span.clone(), "`action`");
    match what.entries().first() {
        Some((key, _)) => c.unknown(key.span.clone(), "action", &key.value, names()),
        None => c.error(
            span,
            "`action` is empty; write \"down\" or { toxic = \"latency\", latency = 100 }",
        ),
    }
}

fn toxic(c: &mut Collector<'_>, mut t: Table<'_, '_>) -> Option<Action> {
    let kind = t.need_text(c, "toxic");
    let stream = t.text(c, "stream");
    let streams = ["upstream", "downstream"];
    if let Some(s) = stream.as_ref().filter(|s| !streams.contains(&&*s.value)) {
        c.unknown(s.span.clone(), "stream", &s.value, streams);
    }
    let toxicity = t.positive(c, "toxicity");
    if let Some(x) = toxicity.as_ref().filter(|x| x.value > 1.0) {
        c.error(
            x.span.clone(),
            "`toxicity` is a share of connections: above 0 and at most 1",
        );
    }
    let kind = kind?;
    let Some((_, known)) = TOXICS.iter().find(|(name, _)| *name == kind.value) else {
        let names = TOXICS.iter().map(|(name, _)| *name);
        c.unknown(kind.span, "toxic", &kind.value, names);
        return None;
    };
    let mut attributes = BTreeMap::new();
    for name in *known {
        if let Some(v) = t.integer(c, name) {
            if v.value < 0 {
                c.error(v.span, format!("`{name}` can't be negative"));
            }
            attributes.insert((*name).to_owned(), v.value);
        }
    }
    does_something(c, &t, &kind.value, &attributes);
    t.finish(c);
    Some(Action::Toxic(Toxic {
        kind: kind.value,
        stream: stream.map_or_else(|| "downstream".to_owned(), |s| s.value),
        toxicity: toxicity.map_or(1.0, |x| x.value),
        attributes,
    }))
}

/// An attribute that is left out is 0, which makes some toxics do nothing and others
/// more than anybody means.
fn does_something(
    c: &mut Collector<'_>,
    t: &Table<'_, '_>,
    kind: &str,
    attributes: &BTreeMap<String, i64>,
) {
    let of = |name: &str| attributes.get(name).copied().unwrap_or(0);
    let problem = match kind {
        "latency" if of("latency") == 0 && of("jitter") == 0 => {
            "needs `latency` or `jitter`, in milliseconds"
        }
        "bandwidth" if of("rate") == 0 => "needs `rate`, in kilobytes a second",
        "slow_close" if of("delay") == 0 => "needs `delay`, in milliseconds",
        "slicer" if of("average_size") == 0 => "needs `average_size`, in bytes",
        "slicer" if of("size_variation") >= of("average_size") => {
            "needs a `size_variation` below `average_size`, or slices could be empty"
        }
        "limit_data" if of("bytes") == 0 => "needs `bytes`; to let nothing through, use \"down\"",
        _ => return,
    };
    c.error(t.span(), format!("the toxic `{kind}` {problem}"));
}
