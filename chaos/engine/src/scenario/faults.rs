//! Reading the time line.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::known::{LINKS, TOXICS, is_slot};
use super::read::{At, Table};
use super::{Action, Fault, Schedule, Toxic, arms};
use crate::checks;
use crate::diagnostics::Collector;

/// The time line. `names` has every fault with its link, those with a mistake
/// elsewhere too, so that one mistake is not told again by every check.
pub(super) struct Line {
    pub(super) faults: Vec<At<Fault>>,
    pub(super) names: Vec<(String, String)>,
}

pub(super) fn timeline(c: &mut Collector<'_>, root: &mut Table<'_, '_>) -> Line {
    let mut seen = HashSet::new();
    let (mut faults, mut names) = (Vec::new(), Vec::new());
    for mut t in root.tables(c, "timeline") {
        let span = t.span();
        let name = t.need_text(c, "name");
        if let Some(n) = &name {
            fault_name(c, n, seen.insert(n.value.clone()));
        }
        let at = t.need_duration(c, "at");
        let lasts = t.need_duration(c, "for");
        if let Some(l) = lasts.as_ref().filter(|l| l.value.is_zero()) {
            c.error(l.span.clone(), "`for` must be above zero");
        }
        let link = t.need_text(c, "link");
        if let Some(l) = &link {
            link_known(c, l);
        }
        let action = action(c, &mut t);
        let inject = t.flag(c, "inject").unwrap_or(true);
        if !inject {
            c.warning(
                span,
                "declared with `inject = false`: the run will be inconclusive",
            );
        }
        let at_span = at.as_ref().map(|a| a.span.clone());
        t.finish(c);
        if let Some(n) = &name {
            let link = link.as_ref().map_or(LINKS[0], |l| l.value.as_str());
            names.push((n.value.clone(), link.to_owned()));
        }
        let fault = (|| {
            let (at, lasts) = (at?.value, lasts?.value);
            Some(Fault {
                name: name?.value,
                at,
                lasts,
                link: link?.value,
                action: action?,
                inject,
            })
        })();
        if let (Some(value), Some(span)) = (fault, at_span) {
            faults.push(At { value, span });
        }
    }
    faults.sort_by_key(|f| f.value.at);
    Line { faults, names }
}

fn fault_name(c: &mut Collector<'_>, name: &At<String>, is_new: bool) {
    if !arms::is_name(&name.value) {
        c.error(
            name.span.clone(),
            "a fault's name has letters, digits, underscores and inner hyphens only, and begins with a letter",
        );
    } else if checks::RESERVED.contains(&name.value.as_str()) {
        c.error(
            name.span.clone(),
            format!("`{}` is a word of the checks", name.value),
        );
    } else if !is_new {
        c.error(
            name.span.clone(),
            format!("there is a fault `{}` already", name.value),
        );
    }
}

fn link_known(c: &mut Collector<'_>, link: &At<String>) {
    if !LINKS.contains(&link.value.as_str()) {
        c.unknown(link.span.clone(), "link", &link.value, LINKS);
    } else if !is_slot(&link.value) {
        let message = "no caller reports attempts on this link, so nothing will prove that the \
                       fault acted: the run will be inconclusive";
        c.warning(link.span.clone(), message);
    }
}

fn action(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Option<Action> {
    let Some(value) = t.raw("action") else {
        c.error(
            t.span(),
            "[[timeline]] needs `action`: \"down\" or { toxic = … }",
        );
        return None;
    };
    match value.get_ref() {
        DeValue::String(s) if s == "down" => Some(Action::Down),
        DeValue::String(s) => {
            c.unknown(value.span(), "action", s, ["down"]);
            None
        }
        DeValue::Table(table) => toxic(c, Table::new(table, value.span(), "`action`")),
        _ => {
            c.error(value.span(), "`action` is \"down\" or { toxic = … }");
            None
        }
    }
}

fn toxic(c: &mut Collector<'_>, mut t: Table<'_, '_>) -> Option<Action> {
    let kind = t.need_text(c, "toxic");
    let stream = t.text(c, "stream");
    if let Some(s) = stream
        .as_ref()
        .filter(|s| !["upstream", "downstream"].contains(&&*s.value))
    {
        c.unknown(
            s.span.clone(),
            "stream",
            &s.value,
            ["upstream", "downstream"],
        );
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
        c.unknown(
            kind.span,
            "toxic",
            &kind.value,
            TOXICS.iter().map(|(name, _)| *name),
        );
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
    t.finish(c);
    Some(Action::Toxic(Toxic {
        kind: kind.value,
        stream: stream.map_or_else(|| "downstream".to_owned(), |s| s.value),
        toxicity: toxicity.map_or(1.0, |x| x.value),
        attributes,
    }))
}

pub(super) fn move_fault(c: &mut Collector<'_>, fault: &mut Fault, value: &Spanned<DeValue<'_>>) {
    let Some(table) = value.get_ref().as_table() else {
        c.error(value.span(), "write { at = \"6s\", for = \"8s\" }");
        return;
    };
    let mut t = Table::new(table, value.span(), "[quick.timeline]");
    if let Some(at) = t.duration(c, "at") {
        fault.at = at.value;
    }
    if let Some(lasts) = t.duration(c, "for") {
        if lasts.value.is_zero() {
            c.error(lasts.span.clone(), "`for` must be above zero");
        }
        fault.lasts = lasts.value;
    }
    t.finish(c);
}

/// Faults must be cleared while there is load to see the recovery; one that
/// begins after the load can't act, which is allowed and inconclusive.
pub(super) fn fits(c: &mut Collector<'_>, s: &Schedule, spans: impl Iterator<Item = Range<usize>>) {
    for (fault, span) in s.faults.iter().zip(spans) {
        let end = humantime::format_duration(s.duration);
        if fault.at >= s.duration {
            let message = format!(
                "`{}` would begin when the load has ended ({end}): it is never injected, and the run will be inconclusive",
                fault.name
            );
            c.warning(span, message);
        } else if fault.at + fault.lasts >= s.duration {
            let cleared = humantime::format_duration(fault.at + fault.lasts);
            let message = format!(
                "`{}` is cleared at {cleared}, but the load ends at {end}",
                fault.name
            );
            c.error(span, message);
        }
    }
}
