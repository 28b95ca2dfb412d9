//! What the integrity checker says: each rule, and a broken one as its shortest story.

use chaos_engine::RunResult;
use chaos_engine::runlog::{Judged, RuleJudged, StoryTold};

use crate::markup::{El, el};
use crate::page::scrolls;

/// Nothing when nobody wrote a history.
pub(crate) fn section(result: &RunResult) -> Option<El> {
    let mut repeats = Vec::new();
    for arm in &result.arms {
        for repeat in &arm.repeats {
            if let Some(judged) = &repeat.judged {
                repeats.push(one(&arm.name, repeat.repeat, judged));
            }
        }
    }
    (!repeats.is_empty()).then(|| {
        el("section")
            .id("integrity")
            .child(el("h2").text("Promises about orders and stock"))
            .child(el("p").text(
                "Everything that customers asked for was written down, the shop's books were read \
                 at rest, and the integrity checker judged the history by these rules.",
            ))
            .children(repeats)
    })
}

fn one(arm: &str, repeat: u32, judged: &Judged) -> El {
    let of = |name| judged.count(name);
    let counts = format!(
        "{} operations, {} of unknown fate; {} orders acknowledged, {} asked for again, {} called \
         off; {} faults; {:.0} operations a second acknowledged in calm. The history: {}.",
        of("operations"),
        of("info"),
        of("orders"),
        of("repeated"),
        of("cancelled"),
        of("faults"),
        judged.calm_rate,
        judged.history
    );
    let head = ["rule", "promise", "result"].map(|name| el("th").attr("scope", "col").text(name));
    let table = el("table")
        .class("figures")
        .child(el("thead").child(el("tr").children(head)))
        .child(el("tbody").children(judged.rules.iter().map(row)));
    el("div")
        .child(el("h3").text(format!("{arm}, repeat {repeat}: {}", judged.verdict)))
        .child(el("p").text(counts))
        .child(scrolls(&format!("Rules, {arm}, repeat {repeat}"), table))
        .children(judged.stories.iter().enumerate().map(|(n, told)| {
            let label = format!("Story {}, {arm}, repeat {repeat}", n + 1);
            story(told, &label)
        }))
}

fn row(rule: &RuleJudged) -> El {
    let result = match (&rule.why, rule.violations) {
        (Some(why), _) => format!("{}: {why}", rule.result),
        (None, 0) => rule.result.clone(),
        (None, n) => format!("{} {n} times", rule.result),
    };
    el("tr")
        .child(el("th").attr("scope", "row").text(rule.number))
        .child(el("td").text(&rule.words))
        .child(el("td").text(result))
}

fn story(told: &StoryTold, label: &str) -> El {
    let (ops, of) = told.ops;
    let lines = told.lines.join("\n");
    el("details")
        .flag("open")
        .child(el("summary").text(format!("Rule {}", told.rule)))
        .child(el("p").text(format!(
            "{}. {ops} of {of} operations tell it:",
            told.what.trim_end_matches('.')
        )))
        .child(
            el("pre")
                .attr("tabindex", 0)
                .attr("role", "region")
                .attr("aria-label", label)
                .text(lines),
        )
}
