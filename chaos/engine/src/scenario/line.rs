//! Reading what happens when: conditions, the time line, and windows.

use std::ops::Range;
use std::time::Duration;

use super::actions::{self, Place};
use super::known::{self, is_slot};
use super::read::{At, Table};
use super::storm::{self, Spell, Storm};
use super::{Action, Again, Condition, Fault, ProcessAction, Schedule, Window};
use crate::diagnostics::Collector;
use crate::target::same;

/// A fault that comes more often than this is a slip of the finger.
const MAX_TIMES: u32 = 10_000;

/// All of it, by time. The names are those of everything that has one, with a mistake
/// elsewhere too, so that one mistake is not told again by every check.
pub(super) struct Line {
    pub(super) conditions: Vec<At<Condition>>,
    pub(super) faults: Vec<At<Fault>>,
    pub(super) windows: Vec<At<Window>>,
    /// Faults with the links that their callers see.
    pub(super) names: Vec<(String, String)>,
    /// Conditions with theirs.
    pub(super) met: Vec<(String, String)>,
    /// That faults come at random too; they are among the others.
    pub(super) storm: Option<At<Storm>>,
}

pub(super) fn read(c: &mut Collector<'_>, root: &mut Table<'_, '_>, places: &Place<'_>) -> Line {
    let mut seen = Vec::new();
    let mut line = Line {
        conditions: Vec::new(),
        faults: Vec::new(),
        windows: Vec::new(),
        names: Vec::new(),
        met: Vec::new(),
        storm: None,
    };
    for t in root.tables(c, "condition") {
        let first = seen.len();
        let condition = condition(c, t, places, &mut seen);
        let name = seen.get(first).cloned();
        let link = condition.as_ref().map(|f| f.value.link.clone());
        line.met.extend(
            name.into_iter()
                .flat_map(|name| meets(name, link.as_deref())),
        );
        line.conditions.extend(condition);
    }
    for t in root.tables(c, "timeline") {
        let first = seen.len();
        let fault = fault(c, t, places, &mut seen);
        let name = seen.get(first).cloned();
        let link = fault.as_ref().map(|f| f.value.link.clone());
        line.names.extend(
            name.into_iter()
                .flat_map(|name| meets(name, link.as_deref())),
        );
        line.faults.extend(fault);
    }
    if let Some(t) = root.table(c, "storm") {
        let (first, span) = (seen.len(), t.span());
        let (storm, kinds) = storm::read(c, t, places, &mut seen);
        for kind in &kinds {
            let (name, link) = (kind.value.name.clone(), kind.value.link.as_str());
            line.names.extend(meets(name, Some(link)));
        }
        // Those with a mistake have a name too, which checks may use.
        for name in &seen[first..] {
            if kinds.iter().all(|kind| kind.value.name != *name) {
                line.names.extend(meets(name.clone(), None));
            }
        }
        line.storm = storm.map(|value| At { value, span });
        line.faults.extend(kinds);
    }
    for t in root.tables(c, "window") {
        line.windows.extend(window(c, t, &mut seen));
    }
    line.faults.sort_by_key(|f| f.value.at);
    line
}

/// A fault with each link whose callers tell of it; with the plain link if none does.
fn meets(name: String, link: Option<&str>) -> Vec<(String, String)> {
    let link = link.unwrap_or(known::LINKS[0]);
    let links = known::links_of(link);
    let told = links.iter().filter(|link| is_slot(link));
    let told: Vec<_> = told
        .map(|link| (name.clone(), (*link).to_owned()))
        .collect();
    if told.is_empty() {
        return vec![(name, known::base(link).to_owned())];
    }
    told
}

fn inject(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> bool {
    let inject = t.flag(c, "inject").unwrap_or(true);
    if !inject {
        c.warning(
            t.span(),
            "declared with `inject = false`: the run will be inconclusive",
        );
    }
    inject
}

pub(super) fn condition(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    places: &Place<'_>,
    seen: &mut Vec<String>,
) -> Option<At<Condition>> {
    let span = t.span();
    let name = actions::name(c, &mut t, seen);
    let what = actions::read(c, &mut t, places);
    let inject = inject(c, &mut t);
    t.finish(c);
    let (link, action) = what?;
    if let Action::Process(_) = action {
        c.error(
            span,
            "a condition lasts from before the warm-up to the end of the load, which no process outlives: use [[timeline]]",
        );
        return None;
    }
    let value = Condition {
        name: name?.value,
        link: link.value,
        action,
        inject,
    };
    Some(At {
        value,
        span: link.span,
    })
}

fn fault(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    places: &Place<'_>,
    seen: &mut Vec<String>,
) -> Option<At<Fault>> {
    let name = actions::name(c, &mut t, seen);
    let at = t.need_duration(c, "at");
    let what = actions::read(c, &mut t, places);
    let restart = matches!(&what, Some((_, Action::Process(ProcessAction::Restart))));
    let lasts = lasts(c, &mut t, restart);
    let again = again(c, &mut t, lasts.as_ref());
    let inject = inject(c, &mut t);
    t.finish(c);
    let (link, action) = what?;
    let at = at?;
    let value = Fault {
        name: name?.value,
        at: at.value,
        lasts: lasts?.value,
        again: again?,
        drawn: None,
        link: link.value,
        action,
        inject,
    };
    Some(At {
        value,
        span: at.span,
    })
}

/// A restart is over when the part is healthy; everything else says how long it stays.
fn lasts(c: &mut Collector<'_>, t: &mut Table<'_, '_>, restart: bool) -> Option<At<Duration>> {
    if restart {
        if let Some(lasts) = t.duration(c, "for") {
            c.error(
                lasts.span,
                "a restart is over when the part is healthy again, whenever that is: leave `for` out",
            );
        }
        return Some(At {
            value: Duration::ZERO,
            span: t.span(),
        });
    }
    let lasts = t.need_duration(c, "for")?;
    if lasts.value.is_zero() {
        c.error(lasts.span.clone(), "`for` must be above zero");
    }
    Some(lasts)
}

/// `None` after a mistake.
#[expect(
    clippy::option_option,
    reason = "the inner one is the value, the outer one says whether it could be read"
)]
fn again(
    c: &mut Collector<'_>,
    t: &mut Table<'_, '_>,
    lasts: Option<&At<Duration>>,
) -> Option<Option<Again>> {
    let (every, times) = (t.duration(c, "every"), t.count(c, "times"));
    let (every, times) = match (every, times) {
        (None, None) => return Some(None),
        (Some(every), Some(times)) => (every, times),
        (Some(every), None) => {
            if !t.has("times") {
                c.error(every.span, "`every` needs `times`: how often in all");
            }
            return None;
        }
        (None, Some(times)) => {
            if !t.has("every") {
                c.error(
                    times.span,
                    "`times` needs `every`: from one injection to the next",
                );
            }
            return None;
        }
    };
    if times.value > MAX_TIMES {
        c.error(times.span, format!("`times` is at most {MAX_TIMES}"));
        return None;
    }
    if let Some(lasts) = lasts.filter(|lasts| lasts.value >= every.value) {
        let message = format!(
            "`every` must be longer than `for` ({}), or the fault would never be cleared",
            humantime::format_duration(lasts.value)
        );
        c.error(every.span, message);
        return None;
    }
    Some(Some(Again {
        every: every.value,
        times: times.value,
    }))
}

fn window(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    seen: &mut Vec<String>,
) -> Option<At<Window>> {
    let name = actions::name(c, &mut t, seen);
    let at = t.need_duration(c, "at");
    let lasts = t.need_duration(c, "for");
    if let Some(l) = lasts.as_ref().filter(|l| l.value.is_zero()) {
        c.error(l.span.clone(), "`for` must be above zero");
    }
    t.finish(c);
    let at = at?;
    let value = Window {
        name: name?.value,
        at: at.value,
        lasts: lasts?.value,
    };
    Some(At {
        value,
        span: at.span,
    })
}

/// Where the parts of a schedule stand in the file.
#[derive(Clone)]
pub(super) struct Spans {
    pub(super) faults: Vec<Range<usize>>,
    pub(super) windows: Vec<Range<usize>>,
    pub(super) storm: Range<usize>,
}

/// Faults must be cleared while there is load to see the recovery; one that
/// begins after the load can't act, which is allowed and inconclusive.
pub(super) fn fits(c: &mut Collector<'_>, s: &Schedule, spans: &Spans) {
    let end = humantime::format_duration(s.duration);
    let planned = s.faults.iter().zip(&spans.faults);
    for (fault, span) in planned.filter(|(fault, _)| fault.drawn.is_none()) {
        let (name, over) = (&fault.name, fault.ends());
        if fault.at >= s.duration {
            let message = format!(
                "`{name}` would begin when the load has ended ({end}): it is never injected, and the run will be inconclusive"
            );
            c.warning(span.clone(), message);
        } else if over >= s.duration {
            let over = humantime::format_duration(over);
            let message = format!("`{name}` is cleared at {over}, but the load ends at {end}");
            c.error(span.clone(), message);
        }
    }
    for (window, span) in s.windows.iter().zip(&spans.windows) {
        if window.at + window.lasts > s.duration {
            let (name, over) = (
                &window.name,
                humantime::format_duration(window.at + window.lasts),
            );
            let message = format!("`{name}` ends at {over}, but the load ends at {end}");
            c.error(span.clone(), message);
        }
    }
    apart(c, s, spans);
    storm::fits(c, s, spans.storm.clone());
}

/// What can be on only once must not be put on twice: clearing the one would end the
/// other.
fn apart(c: &mut Collector<'_>, s: &Schedule, spans: &Spans) {
    let clash = |a: &Action, b: &Action| match (a, b) {
        (Action::Down, Action::Down) => Some("down"),
        (Action::Process(_), Action::Process(_)) => Some("stopped"),
        _ => None,
    };
    let meet = |a: &str, b: &str| same(a, b) || same(b, a);
    for (i, (fault, span)) in s.faults.iter().zip(&spans.faults).enumerate() {
        let always = s.conditions.iter().find(|other| {
            clash(&other.action, &fault.action).is_some() && meet(&other.link, &fault.link)
        });
        let other = s.faults[..i].iter().find(|other| {
            clash(&other.action, &fault.action).is_some()
                && meet(&other.link, &fault.link)
                && overlap(other, fault, s.storm.as_ref())
        });
        let other = always.map(|o| &o.name).or(other.map(|o| &o.name));
        if let Some(other) = other {
            let (name, link) = (&fault.name, &fault.link);
            let how = clash(&fault.action, &fault.action).unwrap_or_default();
            let message = format!(
                "`{name}` begins while `{other}` has {link} {how}: clearing the one would end the other"
            );
            c.error(span.clone(), message);
        }
    }
}

/// When a fault may be on; one of a storm at any time of it.
fn span(fault: &Fault, storm: Option<&Storm>) -> Vec<Spell> {
    match storm.filter(|_| fault.drawn.is_some()) {
        Some(storm) => vec![Spell {
            at: storm.from,
            lasts: storm.until.saturating_sub(storm.from),
        }],
        None => fault.spells(),
    }
}

fn overlap(a: &Fault, b: &Fault, storm: Option<&Storm>) -> bool {
    if a.drawn.is_some() && b.drawn.is_some() {
        // A storm's faults come one after the other.
        return false;
    }
    let meet = |a: &Spell, b: &Spell| a.at <= b.at + b.lasts && b.at <= a.at + a.lasts;
    let (a, b) = (span(a, storm), span(b, storm));
    a.iter().any(|a| b.iter().any(|b| meet(a, b)))
}
