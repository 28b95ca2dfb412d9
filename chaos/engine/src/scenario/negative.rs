//! `[negative_control]`: the scenario without what its checks are about. A check that still
//! holds then has shown nothing (a negative control, as experimenters call it).

use std::collections::BTreeSet;

use super::known::DEFECTS;
use super::read::{At, Table};
use super::{Action, Arm, Condition, Scenario, Schedule, arms};
use crate::diagnostics::Collector;
use crate::result::RunResult;
use crate::verdict::Verdict;

/// What is taken away, and which checks must not hold without it.
#[derive(Clone, Debug, PartialEq)]
pub struct NegativeControl {
    /// Why they can't hold.
    pub because: String,
    /// Arms that take the place of those of the same name.
    pub arms: Vec<Arm>,
    /// Faults and conditions that are not injected.
    pub omit: Vec<String>,
    /// Seeded defects that are switched on.
    pub defects: Vec<String>,
    /// The checks that must not hold.
    pub fails: Vec<String>,
}

impl NegativeControl {
    /// What speaks against the checks: nothing, when each of those named fails or can't be
    /// decided. A run whose trials were void has shown neither, unless a fault was left out,
    /// which is what makes its trials prove nothing.
    #[must_use]
    pub fn objections(&self, result: &RunResult) -> Vec<String> {
        let held = |id: &&String| {
            let check = result.checks.iter().find(|c| c.id == **id);
            check.is_none_or(|c| c.verdict == Verdict::Pass)
        };
        let held = self.fails.iter().filter(held);
        let mut found: Vec<_> = held
            .map(|id| format!("`{id}` holds without what it is about"))
            .collect();
        if self.omit.is_empty() {
            found.extend(result.reasons.iter().cloned());
        }
        found
    }
}

impl Scenario {
    /// The scenario that its `[negative_control]` makes of it, if it has one.
    #[must_use]
    pub fn without_protection(&self) -> Option<Self> {
        let control = self.negative_control.as_ref()?;
        let mut changed = self.clone();
        changed.shows = format!("negative control: {}", control.because);
        for arm in &mut changed.arms {
            if let Some(other) = control.arms.iter().find(|a| a.name == arm.name) {
                *arm = other.clone();
            }
        }
        let quick = changed.quick.as_mut();
        for schedule in std::iter::once(&mut changed.full).chain(quick) {
            leave_out(schedule, &control.omit);
        }
        Some(changed.with_defects(&control.defects))
    }

    /// The scenario on a shop with these seeded defects, throughout: conditions of the names that
    /// the defects have.
    #[must_use]
    pub fn with_defects(&self, defects: &[String]) -> Self {
        let mut changed = self.clone();
        let known = |name: &String| DEFECTS.iter().find(|(known, _)| known == name);
        let on = defects.iter().filter_map(known);
        let conditions: Vec<Condition> = on.map(|(name, part)| defect(name, part)).collect();
        let quick = changed.quick.as_mut();
        for schedule in std::iter::once(&mut changed.full).chain(quick) {
            schedule.conditions.extend(conditions.iter().cloned());
        }
        changed
    }
}

fn defect(name: &str, part: &str) -> Condition {
    Condition {
        name: name.to_owned(),
        link: part.to_owned(),
        action: Action::Defect(name.to_owned()),
        inject: true,
    }
}

fn leave_out(schedule: &mut Schedule, names: &[String]) {
    for fault in &mut schedule.faults {
        fault.inject &= !names.contains(&fault.name);
    }
    for condition in &mut schedule.conditions {
        condition.inject &= !names.contains(&condition.name);
    }
}

/// The names that the section can use.
pub(super) struct Known<'a> {
    pub arms: &'a [Arm],
    /// Faults and conditions.
    pub faults: Vec<&'a str>,
    pub checks: &'a BTreeSet<String>,
}

pub(super) fn read(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    known: &Known<'_>,
) -> Option<NegativeControl> {
    let because = t.need_text(c, "because");
    let changed = t.table(c, "arms");
    let changed = changed.map_or_else(Vec::new, |arms| arms::read(c, &arms));
    let omit = t.texts(c, "omit");
    let defects = t.texts(c, "defects");
    let fails = t.texts(c, "fails");
    let span = t.span();
    t.finish(c);
    let arm_names = known.arms.iter().map(|arm| arm.name.as_str());
    for arm in &changed {
        if known.arms.iter().all(|k| k.name != arm.name) {
            c.unknown(span.clone(), "arm", &arm.name, arm_names.clone());
        }
    }
    if changed.is_empty() && omit.is_empty() && defects.is_empty() {
        let message = "[negative_control] takes nothing away: it needs `arms`, `omit` or `defects`";
        c.error(span.clone(), message);
    }
    if fails.is_empty() {
        let message = "[negative_control] needs `fails`, the checks that must not hold then";
        c.error(span, message);
    }
    let faults = known.faults.iter().copied();
    let omit = names(c, omit, "fault", faults);
    let defects = names(c, defects, "defect", DEFECTS.iter().map(|(name, _)| *name));
    let checks = known.checks.iter().map(String::as_str);
    let fails = names(c, fails, "check", checks);
    Some(NegativeControl {
        because: because?.value,
        arms: changed,
        omit,
        defects,
        fails,
    })
}

fn names<'k>(
    c: &mut Collector<'_>,
    found: Vec<At<String>>,
    what: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) -> Vec<String> {
    for name in &found {
        if !known.clone().any(|k| k == name.value) {
            c.unknown(name.span.clone(), what, &name.value, known.clone());
        }
    }
    found.into_iter().map(|name| name.value).collect()
}
