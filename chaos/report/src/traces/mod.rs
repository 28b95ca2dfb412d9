//! A few requests as waterfalls, from `decisions.jsonl` and `requests.csv.zst`.
//! They illustrate; no figure of the report comes from them.

mod call;
mod draw;
mod read;
mod story;

use std::path::Path;

use chaos_engine::RunResult;

use crate::ReportError;
use crate::markup::{El, el, slug};
pub(crate) use story::Trace;

/// The traces of every arm that has some: of its first repeat that counts.
pub(crate) fn of(result: &RunResult, dir: &Path) -> Result<Vec<Trace>, ReportError> {
    let firsts: Vec<_> = result
        .arms
        .iter()
        .filter_map(|arm| Some(result.trials(&arm.name).first()?.start.clone()))
        .collect();
    let stories = read::decisions(&dir.join("decisions.jsonl"), &firsts)?;
    let mut traces = Vec::new();
    for (start, requests) in firsts.iter().zip(stories) {
        traces.extend(story::chosen(start, requests));
    }
    read::requests(&dir.join("requests.csv.zst"), &mut traces)?;
    traces.iter_mut().for_each(Trace::complete);
    Ok(traces)
}

/// The arms that have traces.
pub(crate) fn arms(traces: &[Trace]) -> Vec<String> {
    let mut arms: Vec<String> = traces.iter().map(|t| t.arm.clone()).collect();
    arms.dedup();
    arms
}

pub(crate) fn section(traces: &[Trace]) -> El {
    let section = el("section").id("traces").child(el("h2").text("Traces"));
    if traces.is_empty() {
        let none = "There are none: the folder has no decisions.jsonl with a request that failed, or that a policy or a fault decided on.";
        return section.child(el("p").class("quiet").text(none));
    }
    let note = "A few requests of each arm’s first repeat, in their own time. Bars are attempts, hatched bars are waits, \
                diamonds are attempts that were refused, a flag is the fault that acted, a dashed line is the deadline; ≈ is a time that nobody told and that follows from the waits around it.";
    let groups = arms(traces).into_iter().map(|arm| {
        let of_arm = traces.iter().filter(|t| t.arm == arm);
        el("div")
            .class("trace-group")
            .id(format!("traces-{}", slug(&arm)))
            .child(el("h3").text(&arm))
            .children(of_arm.map(draw::trace))
    });
    section
        .child(el("p").class("note").text(note))
        .children(groups)
}
