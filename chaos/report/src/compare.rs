//! Arms against phases, with intervals, and what is said of a whole repeat.

use std::collections::BTreeMap;

use chaos_engine::RunResult;
use chaos_engine::checks::{Metric, Selector};
use chaos_engine::figures::window_of;
use chaos_engine::measure::pooled;
use chaos_engine::result::{ArmResult, Summary};
use chaos_engine::runlog::Phase;

use crate::data::Data;
use crate::markup::{El, el};
use crate::page::scrolls;
use crate::scale::short;
use crate::words::{count, percent, seconds};

type Show = fn(f64) -> String;

/// Columns: the summary's name, the head, how to show it.
const COLUMNS: [(&str, &str, Show); 7] = [
    ("requests", "requests", count),
    ("success_rate", "served", percent),
    ("goodput_rps", "goodput / s", one_digit),
    ("rejected", "refused", count),
    ("failed", "failed", count),
    ("p50_ms", "p50", milliseconds),
    ("p99_ms", "p99", milliseconds),
];

const WHOLE: [(&str, &str, Show); 5] = [
    ("recovery_s", "recovery", seconds),
    ("wasted_work_s", "wasted work", seconds),
    ("lost_orders", "orders lost", count),
    ("duplicate_orders", "made twice", count),
    ("oversold", "units oversold", count),
];

fn one_digit(x: f64) -> String {
    short(x, 1)
}

fn milliseconds(ms: f64) -> String {
    seconds(ms / 1e3)
}

fn times(x: f64) -> String {
    format!("×{x:.2}")
}

/// A cell: its value, and the interval below it.
pub(crate) struct Cell {
    pub(crate) value: String,
    pub(crate) interval: Option<String>,
}

/// One arm in one phase.
pub(crate) struct Line {
    pub(crate) phase: &'static str,
    pub(crate) cells: Vec<Cell>,
}

pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) arms: Vec<(String, Vec<Line>)>,
}

pub(crate) fn table(result: &RunResult, data: &Data) -> Table {
    let mut head: Vec<String> = COLUMNS.iter().map(|c| c.1.to_owned()).collect();
    head.extend(
        data.links
            .iter()
            .map(|link| format!("attempts / call, {link}")),
    );
    let arms = result
        .arms
        .iter()
        .map(|arm| (arm.name.clone(), lines(result, arm, &data.links)));
    Table {
        head,
        arms: arms.collect(),
    }
}

fn lines(result: &RunResult, arm: &ArmResult, links: &[String]) -> Vec<Line> {
    let trials = result.trials(&arm.name);
    let line = |phase: Phase| {
        let name = phase.as_str();
        let all = pooled(&trials, &window_of(phase), &Selector::All);
        let cell = |(figure, _, show): &(&str, &str, Show)| {
            let percentile = match *figure {
                "p50_ms" => Some((Metric::P50, 20)),
                "p99_ms" => Some((Metric::P99, 1_000)),
                _ => None,
            };
            let summary = arm.summary.get(&format!("{name}.{figure}"));
            // Too few in one repeat may be enough in all of them.
            let all_of_them = percentile
                .filter(|(_, need)| all.requests() >= *need)
                .and_then(|(metric, _)| all.figure(metric, None, 0.0));
            match (summary, all_of_them) {
                (None, Some(s)) => Cell {
                    value: seconds(s),
                    interval: Some("all repeats".to_owned()),
                },
                _ => summarised(summary, arm.repeats.len(), *show),
            }
        };
        let mut cells: Vec<Cell> = COLUMNS.iter().map(cell).collect();
        cells.extend(links.iter().map(|link| {
            let summary = arm.summary.get(&format!("{name}.amplification.{link}"));
            summarised(summary, arm.repeats.len(), times)
        }));
        (all.requests() > 0).then_some(Line { phase: name, cells })
    };
    Phase::COUNTED.into_iter().filter_map(line).collect()
}

fn summarised(summary: Option<&Summary>, repeats: usize, show: Show) -> Cell {
    let Some(s) = summary else {
        return Cell {
            value: "–".to_owned(),
            interval: None,
        };
    };
    let (low, high) = (show(s.low), show(s.high));
    let interval = (repeats > 1 && low != high).then(|| format!("{low} to {high}"));
    Cell {
        value: show(s.median),
        interval,
    }
}

pub(crate) fn section(result: &RunResult, table: &Table) -> El {
    let repeats = result.run.header.repeats;
    let note = match repeats {
        1 => "One repeat: there are no intervals between repeats; those of the checks come from its seconds.".to_owned(),
        2 => "Medians of two repeats; small: the smaller and the greater.".to_owned(),
        n => format!("Medians of {n} repeats; small: the 95 % interval of the mean (Student’s t)."),
    };
    el("section")
        .id("compare")
        .child(el("h2").text("Arms compared"))
        .child(el("p").class("note").text(format!(
            "{note} before: ended before the fault; during: overlapped it; recovering: due from the clearing until the \
             breaker’s reset + 2 s; after: due later. A dash: too few requests (20 for p50, 1 000 for p99)."
        )))
        .child(scrolls("Arms by phase", phases(table)))
        .child(scrolls("Whole repeats", whole(result)))
}

fn phases(table: &Table) -> El {
    let heads = table
        .head
        .iter()
        .map(|h| el("th").attr("scope", "col").class("num").text(h));
    let head = el("tr")
        .child(el("th").attr("scope", "col").text("arm"))
        .child(el("th").attr("scope", "col").text("phase"))
        .children(heads);
    let bodies = table.arms.iter().map(|(arm, lines)| {
        let rows = lines.iter().enumerate().map(|(i, line)| {
            let name = (i == 0).then(|| {
                el("th")
                    .attr("scope", "rowgroup")
                    .attr("rowspan", lines.len())
                    .text(arm)
            });
            let class = if line.phase == "during" { "on" } else { "" };
            el("tr")
                .class(class)
                .child(name)
                .child(
                    el("th")
                        .attr("scope", "row")
                        .class("phase")
                        .text(line.phase),
                )
                .children(line.cells.iter().map(cell))
        });
        el("tbody").children(rows)
    });
    el("table")
        .class("figures")
        .child(el("thead").child(head))
        .children(bodies)
}

fn cell(cell: &Cell) -> El {
    let small = cell.interval.as_ref().map(|i| el("small").text(i));
    el("td").class("num").text(&cell.value).child(small)
}

/// What a repeat has as a whole: recovery, breakers, orders.
fn whole(result: &RunResult) -> El {
    let mut columns: Vec<(String, String, Show)> = WHOLE
        .iter()
        .map(|(figure, head, show)| ((*figure).to_owned(), (*head).to_owned(), *show))
        .collect();
    for link in breakers(result) {
        columns.push((
            format!("breaker.{link}.opens"),
            format!("{link} opened"),
            count,
        ));
        columns.push((
            format!("breaker.{link}.open_s"),
            format!("{link} open for"),
            seconds,
        ));
    }
    columns.retain(|(figure, ..)| result.arms.iter().any(|a| a.summary.contains_key(figure)));
    let heads = columns
        .iter()
        .map(|c| el("th").attr("scope", "col").class("num").text(&c.1));
    let head = el("tr")
        .child(el("th").attr("scope", "col").text("arm"))
        .children(heads);
    let rows = result.arms.iter().map(|arm| {
        let cells = columns.iter().map(|(figure, _, show)| {
            cell(&summarised(
                arm.summary.get(figure),
                arm.repeats.len(),
                *show,
            ))
        });
        el("tr")
            .child(el("th").attr("scope", "row").text(&arm.name))
            .children(cells)
    });
    el("table")
        .class("figures")
        .child(el("thead").child(head))
        .child(el("tbody").children(rows))
}

fn breakers(result: &RunResult) -> Vec<String> {
    let repeats = result.arms.iter().flat_map(|a| &a.repeats);
    let links: BTreeMap<&String, ()> = repeats
        .flat_map(|r| r.total.breaker.keys())
        .map(|link| (link, ()))
        .collect();
    links.into_keys().cloned().collect()
}
