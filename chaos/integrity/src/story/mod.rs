//! A broken rule as the shortest story: the history filtered to what the violation is about, and
//! then reduced, first by whole orders and then by single operations, as long as the same rule is
//! still broken in the same way (delta debugging: Zeller, Hildebrandt, TSE 2002).

mod ddmin;
mod print;
mod slice;
mod threads;

use serde::Serialize;

use crate::check::{Rule, Subject, Violation, judge};
use crate::history::{History, Op};
use crate::workload::Limits;
use threads::{Thread, Threads};

/// A violation with the few operations that show it.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// What was broken, and how.
    pub violation: Violation,
    /// How many operations the history has.
    pub of: usize,
    /// The operations of the story, by number.
    pub ops: Vec<u64>,
    /// Operations that may be to blame, where the violation itself names none.
    pub suspects: Vec<u64>,
    /// The story for people: one line an operation, a fault, or a thing found at rest.
    pub lines: Vec<String>,
}

/// How many judgements a story may cost; above that it stays as long as it is. Fewer of a long
/// history, so that its story is told in seconds too.
fn budget(history: &History) -> usize {
    (4_000_000 / history.ops.len().max(1)).clamp(40, 400)
}

/// Tells the shortest story of a violation.
#[must_use]
pub fn tell(history: &History, limits: &Limits, violation: &Violation) -> Story {
    let same = |shorter: &History| {
        let judged = judge(violation.rule, shorter, limits);
        judged
            .violations()
            .iter()
            .any(|other| other.is_same_as(violation))
    };
    let all = Threads::of(history);
    let subject = all.about(history, violation);
    let whole = slice::keeping(history, &subject, violation);
    let short = if reducible(violation) && same(&whole) {
        reduced(&whole, violation, &same)
    } else {
        // What the violation names has to do.
        slice::named(history, violation)
    };
    let suspects = suspects(history, &short, violation);
    Story {
        violation: violation.clone(),
        of: history.ops.len(),
        ops: short.ops.iter().map(|op| op.id).collect(),
        lines: print::lines(history, &short, &suspects, violation),
        suspects,
    }
}

/// With fewer orders asked for, more are too many: that story can't be made shorter without
/// becoming untrue. Neither can a share of all operations.
fn reducible(violation: &Violation) -> bool {
    violation.code != "too_many" && violation.rule != Rule::SuccessComesBack
}

/// So many operations are told even where the books alone show what is wrong.
const TOLD_ANYWAY: usize = 12;

fn reduced(whole: &History, violation: &Violation, same: &dyn Fn(&History) -> bool) -> History {
    // Orders that go give their units back, so a row below zero would not stay there.
    let short = match violation.code {
        "below_zero" => whole.clone(),
        _ => by_threads(whole, violation, same),
    };
    let shortest = by_operations(&short, violation, same);
    if shortest.ops.is_empty() && short.ops.len() <= TOLD_ANYWAY {
        return short;
    }
    shortest
}

/// Leaves whole orders out: their operations, and what they left in every book.
fn by_threads(
    history: &History,
    violation: &Violation,
    same: &dyn Fn(&History) -> bool,
) -> History {
    let threads = Threads::of(history);
    let free: Vec<&Thread> = threads
        .all
        .iter()
        .filter(|t| !t.is_needed_by(violation))
        .collect();
    let without = |kept: &[usize]| {
        let mut goes = vec![true; free.len()];
        kept.iter().for_each(|at| goes[*at] = false);
        let gone = free.iter().zip(goes).filter(|(_, goes)| *goes);
        slice::without(
            history,
            &gone.map(|(thread, _)| *thread).collect::<Vec<_>>(),
        )
    };
    let all: Vec<usize> = (0..free.len()).collect();
    let kept = ddmin::minimal(&all, budget(history), |kept| same(&without(kept)));
    without(&kept)
}

/// Leaves single operations out.
fn by_operations(
    history: &History,
    violation: &Violation,
    same: &dyn Fn(&History) -> bool,
) -> History {
    let needed = |op: &Op| violation.context.contains(&op.id);
    let free: Vec<u64> = history
        .ops
        .iter()
        .filter(|op| !needed(op))
        .map(|op| op.id)
        .collect();
    let with = |kept: &[u64]| {
        let kept: std::collections::HashSet<u64> = kept.iter().copied().collect();
        let mut shorter = history.clone();
        shorter.ops.retain(|op| needed(op) || kept.contains(&op.id));
        shorter
    };
    let kept = ddmin::minimal(&free, budget(history), |kept| same(&with(kept)));
    with(&kept)
}

/// Where a book is wrong and no operation shows how it became so: what did not end well on that
/// product for as many units, before the first look that found it and after the last that did not.
fn suspects(history: &History, short: &History, violation: &Violation) -> Vec<u64> {
    let Subject::Product(product) = violation.subject else {
        return Vec::new();
    };
    let found = violation
        .ops
        .first()
        .and_then(|id| history.ops.iter().find(|op| op.id == *id));
    let until = found.map_or(u64::MAX, |op| op.ended);
    let shown: Vec<u64> = short.ops.iter().map(|op| op.id).collect();
    let amount = violation.amount.abs();
    let odd = |op: &&Op| {
        let units = op
            .place()
            .map_or(0, |(_, _, basket)| basket.units_of(product));
        units == amount
            && amount > 0
            && !op.is_ok()
            && op.invoked <= until
            && !shown.contains(&op.id)
    };
    let mut odd: Vec<u64> = history.ops.iter().filter(odd).map(|op| op.id).collect();
    odd.reverse();
    odd.truncate(5);
    odd
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::check::tests_support::{Corruption, corrupt, healthy};

    #[test]
    fn a_lost_order_is_told_in_one_operation() {
        let history = healthy(5, 2_000);
        let (broken, _) = corrupt(&history, Corruption::Lost, 17).unwrap();
        let limits = Limits::default();
        let findings = check(&broken, &limits);
        let lost = findings.violations().find(|v| v.code == "lost").unwrap();
        let story = tell(&broken, &limits, lost);
        assert_eq!(
            (story.of, story.ops.len()),
            (broken.ops.len(), 1),
            "{story:#?}"
        );
        let text = story.lines.join("\n");
        let Subject::Order(order) = lost.subject else {
            panic!("{lost:?}")
        };
        assert!(
            text.contains(&format!("order {order}")) && text.contains("places"),
            "{text}"
        );
    }

    #[test]
    fn every_corruption_has_a_short_story_that_is_true() {
        let history = healthy(6, 1_500);
        let limits = Limits::default();
        for corruption in Corruption::ALL {
            let Some((broken, rule)) = corrupt(&history, corruption, 3) else {
                continue;
            };
            let findings = check(&broken, &limits);
            let violation = findings.violations().find(|v| v.rule == rule).unwrap();
            let story = tell(&broken, &limits, violation);
            assert!(
                story.ops.len() <= 12,
                "{corruption:?}: {} operations",
                story.ops.len()
            );
            assert!(!story.lines.is_empty(), "{corruption:?}");
        }
    }
}
