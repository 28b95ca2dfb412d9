//! The page as a whole: what is in it, in which order, and what a browser may do
//! with it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaos_engine::{RunResult, Scenario};

use crate::checks::Row;
use crate::compare::Table;
use crate::data::Data;
use crate::embed::Embedded;
use crate::markup::{El, Markup, el};
use crate::story::Story;
use crate::traces::{self, Trace};
use crate::verdict::{Shown, control, why};
use crate::{about, charts, checks, compare, integrity, markdown, series};

/// Built from `frontend/report` and committed; a test keeps them current.
pub(crate) const SCRIPT: &str = include_str!("../assets/report.js");
pub(crate) const STYLE: &str = include_str!("../assets/report.css");

/// Everything that a page is made of.
pub(crate) struct Parts<'a> {
    pub(crate) result: &'a RunResult,
    pub(crate) scenario: &'a Scenario,
    pub(crate) data: &'a Data,
    pub(crate) traces: &'a [Trace],
    pub(crate) log: &'a Embedded,
}

/// Only what is inlined here, byte for byte; no network, no frame, no form.
pub(crate) fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

pub(crate) fn page(parts: &Parts<'_>) -> String {
    let result = parts.result;
    let verdict = Shown::of_run(result);
    let head = el("head")
        .child(el("meta").attr("charset", "utf-8"))
        .child(
            el("meta")
                .attr("http-equiv", "Content-Security-Policy")
                .attr("content", policy()),
        )
        .child(
            el("meta")
                .attr("name", "viewport")
                .attr("content", "width=device-width, initial-scale=1"),
        )
        .child(
            el("meta")
                .attr("name", "color-scheme")
                .attr("content", "light dark"),
        )
        .child(el("meta").attr("name", "generator").attr(
            "content",
            format!("Faultline {}", result.environment.version),
        ))
        .child(el("title").text(format!(
            "{}: {}{} – Faultline",
            result.scenario,
            verdict.word(),
            if result.run.header.negative_control {
                " (negative control)"
            } else {
                ""
            }
        )))
        .child(el("style").asset(STYLE));
    let body = el("body")
        .child(
            el("a")
                .class("skip")
                .attr("href", "#main")
                .text("Skip to the verdict"),
        )
        .child(patterns())
        .child(bar(result))
        .child(main(parts))
        .child(foot(parts))
        .child(
            el("script")
                .attr("type", "application/json")
                .id("data")
                .json(&series::json(parts.data)),
        )
        .child(el("script").asset(SCRIPT));
    let html: Markup = el("html").attr("lang", "en").child(head).child(body).into();
    format!("<!doctype html>\n{}\n", html.into_string())
}

/// Hatching, once for all pictures.
fn patterns() -> El {
    let hatch = |id: &str, size: u32, class: &'static str, d: &str| {
        el("pattern")
            .id(id)
            .attr("patternUnits", "userSpaceOnUse")
            .attr("width", size)
            .attr("height", size)
            .child(el("path").class(class).attr("d", d))
    };
    el("svg")
        .class("defs")
        .attr("width", 0)
        .attr("height", 0)
        .attr("aria-hidden", "true")
        .child(
            el("defs")
                .child(hatch(
                    "hatch-fault",
                    8,
                    "hatch-fault",
                    "M-2 2l4 -4M0 8l8 -8M6 10l4 -4",
                ))
                .child(hatch(
                    "hatch-wait",
                    5,
                    "hatch-wait",
                    "M-1 1l2 -2M0 5l5 -5M4 6l2 -2",
                ))
                .child(hatch(
                    "hatch-half",
                    4,
                    "hatch-half",
                    "M-1 1l2 -2M0 4l4 -4M3 5l2 -2",
                ))
                .child(
                    el("pattern")
                        .id("limit-dash")
                        .attr("patternUnits", "userSpaceOnUse")
                        .attr("width", 9)
                        .attr("height", 400)
                        .child(
                            el("rect")
                                .class("limit-dash")
                                .attr("width", 6)
                                .attr("height", 400),
                        ),
                )
                // Level lines look the same however far a picture is stretched.
                .child(hatch("lines-refused", 4, "lines-refused", "M0 1H4"))
                .child(hatch("lines-degraded", 6, "lines-degraded", "M0 1H6")),
        )
}

fn bar(result: &RunResult) -> El {
    let links = [
        ("#story", "Story"),
        ("#checks", "Checks"),
        ("#curves", "Curves"),
        ("#compare", "Compare"),
        ("#traces", "Traces"),
        ("#run", "This run"),
    ];
    let links = links
        .iter()
        .map(|(to, name)| el("a").attr("href", to).text(name));
    el("header")
        .class("bar")
        .child(
            el("span")
                .class("brand")
                .text("Faultline")
                .child(el("span").text(&result.scenario)),
        )
        .child(el("nav").attr("aria-label", "Sections").children(links))
        .child(el("div").id("actions").flag("hidden"))
}

fn main(parts: &Parts<'_>) -> El {
    let (result, scenario, data) = (parts.result, parts.scenario, parts.data);
    let story = Story::of(result, scenario, data);
    let rows: Vec<Row> = checks::rows(result, scenario, data);
    let table: Table = compare::table(result, data);
    let command = about::command(result, scenario);
    let text = markdown::of(result, &story, &rows, &table, &command);
    el("main")
        .id("main")
        .child(hero(result, &rows))
        .child(story_section(result, &story))
        .child(checks::section(&rows, &traces::arms(parts.traces)))
        .child(integrity::section(result))
        .child(charts::section(data, result, scenario))
        .child(compare::section(result, &table))
        .child(traces::section(parts.traces))
        .child(about::void(result))
        .child(about::section(result, scenario))
        .child(files(parts.log))
        .child(markdown_section(&text))
}

fn hero(result: &RunResult, rows: &[Row]) -> El {
    let verdict = Shown::of_run(result);
    let tally = [Shown::Pass, Shown::Fail, Shown::Inconclusive, Shown::Error].map(|shown| {
        let n = rows.iter().filter(|row| row.shown == shown).count();
        (n > 0).then(|| {
            el("li")
                .child(shown.icon())
                .text(format!("{n} {}", shown.word().to_lowercase()))
        })
    });
    let e = &result.environment;
    let repeats = result.run.header.repeats;
    let quick = if result.quick {
        " · quick: about this run only"
    } else {
        ""
    };
    // Of a negative control that is said above.
    let shows = control(result).is_none();
    let shows = shows.then(|| el("p").class("shows").text(&result.shows));
    el("section")
        .id("verdict")
        .class(format!("hero {}", verdict.class()))
        .child(
            el("div").class("headline").child(verdict.icon()).child(
                el("div")
                    .child(el("p").class("word").text(verdict.word()))
                    .child(el("h1").text(&result.scenario)),
            ),
        )
        .child(control(result).map(|words| el("p").class("why").child(el("b").text(words))))
        .child(el("p").class("why").text(why(result)))
        .child(shows)
        .child(
            el("ul")
                .class("tally")
                .attr("aria-label", "Checks by verdict")
                .children(tally.into_iter().flatten()),
        )
        .child(el("p").class("meta").text(format!(
            "seed {} · {} arms · {repeats} {} · {} on {}, {} cores · {}{quick}",
            result.seed,
            result.arms.len(),
            if repeats == 1 { "repeat" } else { "repeats" },
            e.kind,
            e.os,
            e.cores,
            e.started_at
        )))
}

fn story_section(result: &RunResult, story: &Story) -> El {
    let paragraph = |said: &[String]| (!said.is_empty()).then(|| el("p").text(said.join(" ")));
    let arms = story.arms.iter().map(|(arm, words)| {
        el("div")
            .child(el("dt").text(arm))
            .child(el("dd").text(words))
    });
    el("section")
        .id("story")
        .child(el("h2").text("The story"))
        .child(paragraph(&story.setting))
        .child(el("dl").class("story").children(arms))
        .child(paragraph(&story.outcome))
        .child(
            el("details")
                .flag("open")
                .child(el("summary").text("What was expected"))
                .child(el("p").class("hypothesis").text(result.hypothesis.trim())),
        )
}

fn files(log: &Embedded) -> El {
    let section = el("section").id("log").child(el("h2").text("The run log"));
    let says = match log.lacks {
        None => "All of run.ndjson is in this page, from which every figure here was made; the console can import it.".to_owned(),
        Some(lacks) => format!("The run log in this page is {lacks}."),
    };
    if log.base64.is_empty() {
        return section.child(el("p").text(says));
    }
    let link = el("a")
        .id("run-log")
        .class("button")
        .attr("download", "run.ndjson.gz")
        .attr("data-complete", log.lacks.is_none())
        .attr(
            "href",
            format!("data:application/gzip;base64,{}", log.base64),
        )
        .text("Save run.ndjson.gz");
    section.child(el("p").text(says)).child(el("p").child(link))
}

fn markdown_section(text: &str) -> El {
    let pre = el("pre")
        .id("markdown")
        .attr("tabindex", 0)
        .attr("role", "region")
        .attr("aria-label", "Markdown")
        .text(text);
    el("section")
        .id("as-markdown")
        .child(el("h2").text("As Markdown"))
        .child(
            el("details")
                .child(el("summary").text("For an issue or a review"))
                .child(pre),
        )
}

fn foot(parts: &Parts<'_>) -> El {
    el("footer").text(format!(
        "Made by Faultline {} from run.ndjson and from nothing else.",
        parts.result.environment.version
    ))
}

/// A table that scrolls by itself where the page is narrow.
pub(crate) fn scrolls(name: &str, table: El) -> El {
    el("div")
        .class("scrolls")
        .attr("tabindex", 0)
        .attr("role", "region")
        .attr("aria-label", name)
        .child(table)
}
