//! Reading `[quick]`: what `--quick` changes.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::line::{Spans, fits};
use super::load::{self, warm_up_long_enough};
use super::parse::repeats;
use super::read::Table;
use super::storm;
use super::{Fault, Schedule, Window};
use crate::diagnostics::Collector;

/// `faults` has those with a mistake elsewhere too, which need no second telling; with a
/// mistake in the streams (they aren't `sound`) nothing can be said of changes to them.
pub(super) fn read(
    c: &mut Collector<'_>,
    full: &Schedule,
    (faults, sound): (&[(String, String)], bool),
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
    if let Some(streams) = t.table(c, "stream").filter(|_| sound) {
        load::quick(c, &mut s.streams, &streams);
    }
    let fixtures = t.table(c, "fixtures");
    s.fixtures = load::fixtures(c, fixtures, s.fixtures);
    let mut spans = Spans {
        faults: vec![t.span(); s.faults.len()],
        windows: vec![t.span(); s.windows.len()],
        storm: t.span(),
    };
    if let (Some(storm), true) = (&mut s.storm, t.has("storm"))
        && let Some(changes) = t.table(c, "storm")
    {
        spans.storm = changes.span();
        storm::quick(c, storm, changes);
    }
    if let Some(line) = t.table(c, "timeline") {
        let told = |name: &str| faults.iter().any(|(known, _)| known == name);
        moved(c, "fault", &line, (&mut s.faults, &mut spans.faults), told);
    }
    if let Some(windows) = t.table(c, "window") {
        let both = (&mut *s.windows, &mut *spans.windows);
        moved(c, "window", &windows, both, |_| false);
    }
    t.finish(c);
    fits(c, &s, &spans);
    s.faults.sort_by_key(|f| f.at);
    s
}

/// What has a name and can be moved in time.
trait Moved {
    fn name(&self) -> &str;
    fn at(&mut self, at: Duration);
    fn lasts(&mut self, lasts: Duration);
    /// Reads what only this kind has.
    fn rest(&mut self, c: &mut Collector<'_>, t: &mut Table<'_, '_>);
}

fn moved<T: Moved>(
    c: &mut Collector<'_>,
    kind: &str,
    line: &Table<'_, '_>,
    (items, spans): (&mut [T], &mut [Range<usize>]),
    told: impl Fn(&str) -> bool,
) {
    for (name, value) in line.entries() {
        match items.iter().position(|item| item.name() == name.value) {
            Some(i) => {
                spans[i] = value.span();
                one(c, &mut items[i], value);
            }
            None if told(&name.value) => {}
            None => {
                let known = items.iter().map(Moved::name);
                c.unknown(name.span, kind, &name.value, known);
            }
        }
    }
}

fn one<T: Moved>(c: &mut Collector<'_>, item: &mut T, value: &Spanned<DeValue<'_>>) {
    let Some(table) = value.get_ref().as_table() else {
        c.error(value.span(), "write { at = \"6s\", for = \"8s\" }");
        return;
    };
    let mut t = Table::new(table, value.span(), "[quick]");
    if let Some(at) = t.duration(c, "at") {
        item.at(at.value);
    }
    if let Some(lasts) = t.duration(c, "for") {
        if lasts.value.is_zero() {
            c.error(lasts.span.clone(), "`for` must be above zero");
        }
        item.lasts(lasts.value);
    }
    item.rest(c, &mut t);
    t.finish(c);
}

impl Moved for Fault {
    fn name(&self) -> &str {
        &self.name
    }

    fn at(&mut self, at: Duration) {
        self.at = at;
    }

    fn lasts(&mut self, lasts: Duration) {
        self.lasts = lasts;
    }

    fn rest(&mut self, c: &mut Collector<'_>, t: &mut Table<'_, '_>) {
        let (every, times) = (t.duration(c, "every"), t.count(c, "times"));
        let Some(again) = &mut self.again else {
            if let Some(span) = every.map(|e| e.span).or(times.map(|t| t.span)) {
                c.error(
                    span,
                    "the fault comes once; `every` and `times` belong to [[timeline]]",
                );
            }
            return;
        };
        again.times = times.map_or(again.times, |times| times.value);
        again.every = every.as_ref().map_or(again.every, |every| every.value);
        if again.every <= self.lasts {
            let span = every.map_or_else(|| t.span(), |every| every.span);
            c.error(
                span,
                "`every` must be longer than `for`, or the fault would never be cleared",
            );
        }
    }
}

impl Moved for Window {
    fn name(&self) -> &str {
        &self.name
    }

    fn at(&mut self, at: Duration) {
        self.at = at;
    }

    fn lasts(&mut self, lasts: Duration) {
        self.lasts = lasts;
    }

    fn rest(&mut self, _: &mut Collector<'_>, _: &mut Table<'_, '_>) {}
}
