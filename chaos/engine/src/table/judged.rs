//! What the integrity checker says, for a terminal.

use std::fmt::Write as _;

use crate::result::{RepeatResult, RunResult};
use crate::runlog::{Judged, StoryTold};

/// A line a repeat, and below those with a broken rule its stories.
pub(super) fn judged(out: &mut String, result: &RunResult) {
    for arm in &result.arms {
        for repeat in &arm.repeats {
            if let Some(judged) = &repeat.judged {
                // Writing to a string can't fail.
                let _ = writeln!(out, "  {}", line(&arm.name, repeat, judged));
                unjudged(out, judged);
                judged.stories.iter().for_each(|told| story(out, told));
            }
        }
    }
}

fn line(arm: &str, repeat: &RepeatResult, judged: &Judged) -> String {
    let of = |name| judged.count(name);
    let broken = match judged.broken() {
        none if none.is_empty() => String::new(),
        rules => format!(" · rules broken: {rules}"),
    };
    format!(
        "integrity of {arm}, repeat {}: {}{broken} · {} operations ({} unknown), {} orders, \
         {} asked again, {} called off, {} faults, {:.0} a second in calm",
        repeat.repeat,
        judged.verdict,
        of("operations"),
        of("info"),
        of("orders"),
        of("repeated"),
        of("cancelled"),
        of("faults"),
        judged.calm_rate
    )
}

/// The rules that nothing was said of: what holds must not be taken for more than it is.
fn unjudged(out: &mut String, judged: &Judged) {
    for rule in judged.rules.iter().filter(|r| r.result == "not judged") {
        let why = rule.why.as_deref().unwrap_or("it says not why");
        let _ = writeln!(out, "    rule {} was not judged: {why}", rule.number);
    }
}

fn story(out: &mut String, told: &StoryTold) {
    let _ = writeln!(out, "    rule {}", told.rule);
    let _ = writeln!(out, "      {}", told.what);
    let (ops, of) = told.ops;
    let _ = writeln!(out, "      {ops} of {of} operations tell it:");
    for line in &told.lines {
        let _ = writeln!(out, "        {line}");
    }
}
