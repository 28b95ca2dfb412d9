//! The curves: each arm's pictures over the one time axis.

mod breakers;
mod latency;
mod limits;
pub(crate) mod plot;
mod requests;

use chaos_engine::RunResult;
use chaos_engine::Scenario;

pub(crate) use breakers::word as breaker_word;
pub(crate) use latency::LINES;
pub(crate) use requests::OUTCOMES;

use crate::data::{ArmData, Data};
use crate::markup::{El, el, slug};
use limits::Limits;

pub(crate) fn section(data: &Data, result: &RunResult, scenario: &Scenario) -> El {
    let limits = Limits::of(result, scenario, data);
    let pooled = data.arms.iter().map(|arm| arm.repeats).max().unwrap_or(0);
    let how = match pooled {
        0 | 1 => "Each point is one second".to_owned(),
        n => format!(
            "Each point is one second: rates are a repeat's mean over {n} repeats, latencies all of them together"
        ),
    };
    let note = format!(
        "{how}. All arms have the same axes; hatched: a fault is on; dashed: a limit that a check sets. \
         A request belongs to the second in which it ended."
    );
    let arms = data.arms.iter().map(|arm| arm_card(data, arm, &limits));
    el("section")
        .id("curves")
        .child(el("h2").text("What happened, second by second"))
        .child(el("p").class("note").text(note))
        .child(el("div").id("tools").flag("hidden"))
        .child(el("p").id("live").class("sr").attr("aria-live", "polite"))
        .child(el("div").class("arms").children(arms))
        .child(el("div").id("data-table").flag("hidden"))
}

fn arm_card(data: &Data, arm: &ArmData, limits: &Limits) -> El {
    let bands = &arm.bands;
    let panel = |plot| plot::figure(plot, data.time, bands);
    let note = (!arm.counts).then(|| {
        let words = "No repeat of this arm counts; this is its last, void try.";
        el("p").class("warn").text(words)
    });
    let links = (0..data.links.len()).map(|i| panel(requests::link(data, arm, i)));
    el("article")
        .class("arm")
        .id(format!("arm-{}", slug(&arm.name)))
        .attr("data-arm", &arm.name)
        .child(el("h3").text(&arm.name))
        .child(note)
        .child(panel(requests::outcomes(
            data,
            arm,
            limits.goodput(&arm.name),
        )))
        .child(panel(latency::heat_map(
            data,
            arm,
            limits.latency(&arm.name),
            limits.longest(),
        )))
        .children(links)
        .child(breakers::strips(data, arm))
        .child(plot::time_axis(data, bands))
}
