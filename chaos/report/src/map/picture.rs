//! The picture of a map: the simulator's fields, and over them what was measured.
//!
//! The fields keep their colours in light and dark, with ink that can be read on each; the rest
//! takes the page's. As a document of its own it is light, so every colour stands in an attribute,
//! which a style sheet outweighs.

use super::{Agreement, ArmMap, Map, MapPoint, Standing};
use crate::markup::{El, Markup, el};
use crate::scale::short;
use crate::words::percent;

/// One field.
const CELL: (f64, f64) = (66.0, 44.0);
/// Room for the names of the rows, and of the columns.
const LEFT: f64 = 74.0;
const BELOW: f64 = 50.0;
/// Room for the name of the lower axis.
const NARROWEST: f64 = 380.0;
const INK: &str = "#1b1f24";

/// Shares from this one on, their colour and the ink on it: the ends differ for everybody.
const SHADES: [(f64, &str, &str); 5] = [
    (0.0, "#b2182b", "#ffffff"),
    (0.05, "#f0a58a", INK),
    (0.5, "#f5ecd9", INK),
    (0.8, "#b9d8ea", INK),
    (0.95, "#2166ac", "#ffffff"),
];

fn shade(share: f64) -> (&'static str, &'static str) {
    let found = SHADES.iter().rfind(|(from, ..)| share >= *from);
    found.map_or((SHADES[0].1, SHADES[0].2), |(_, fill, ink)| (*fill, *ink))
}

/// How large an arm's picture is.
fn size(arm: &ArmMap) -> (f64, f64) {
    let map = &arm.background;
    (
        (LEFT + CELL.0 * map.rates.len() as f64 + 8.0).max(NARROWEST),
        CELL.1 * map.triggers_s.len() as f64 + BELOW,
    )
}

/// An arm's picture, for the page.
pub(super) fn figure(map: &Map, arm: &ArmMap) -> El {
    let (width, height) = size(arm);
    el("svg")
        .class("map-plot")
        .attr("width", width)
        .attr("height", height)
        .attr("viewBox", format!("0 0 {width} {height}"))
        .attr("role", "img")
        .attr("aria-label", says(map, arm))
        .child(drawn(map, arm))
}

fn says(map: &Map, arm: &ArmMap) -> String {
    let of = |wanted| arm.points.iter().filter(|p| p.agreement == wanted).count();
    format!(
        "{}: share of requests answered after the trigger, by load and length of `{}`. {} of {} measured points agree with the simulator, {} disagree, {} are undecided; the table below has all of them",
        arm.name,
        map.trigger,
        of(Agreement::Agree),
        arm.points.len(),
        of(Agreement::Disagree),
        of(Agreement::Undecided)
    )
}

/// `map.svg`: the pictures of all arms, one below the other.
pub(super) fn document(map: &Map) -> String {
    const HEAD: f64 = 60.0;
    const TITLE: f64 = 34.0;
    let width = map.arms.iter().map(|arm| size(arm).0).fold(640.0, f64::max);
    let mut panels = Vec::new();
    let mut down = HEAD;
    for arm in &map.arms {
        let title = label(12.0, down + 20.0, &arm.name)
            .attr("font-size", 16)
            .attr("font-weight", 600);
        let panel = el("g")
            .attr("transform", format!("translate(0 {})", down + TITLE))
            .child(drawn(map, arm));
        panels.push(el("g").child(title).child(panel));
        down += TITLE + size(arm).1 + 10.0;
    }
    let says = format!(
        "{}: answered after the trigger, measured over simulated",
        map.scenario
    );
    let svg: Markup = el("svg")
        .attr("xmlns", "http://www.w3.org/2000/svg")
        .attr("width", width)
        .attr("height", down)
        .attr("viewBox", format!("0 0 {width} {down}"))
        .attr("font-family", "system-ui, sans-serif")
        .child(el("title").text(&says))
        .child(rect(0.0, 0.0, width, down).attr("fill", "#ffffff"))
        .child(
            label(12.0, 26.0, &says)
                .attr("font-size", 17)
                .attr("font-weight", 600),
        )
        .child(label(12.0, 46.0, KEY).attr("font-size", 12))
        .children(panels)
        .into();
    svg.into_string() + "\n"
}

/// What is what, in a line.
pub(super) const KEY: &str = "Fields: the simulator, in per cent. Framed: measured, with whether it agrees. \u{25b2} up (95 % and more), \u{25bc} down (less than 50 %), \u{25c6} in between, \u{2013} not measured";

fn drawn(map: &Map, arm: &ArmMap) -> Markup {
    let background = &arm.background;
    let rows = background.triggers_s.len();
    let place = |column: usize, row: usize| {
        (
            LEFT + CELL.0 * column as f64,
            CELL.1 * (rows - 1 - row) as f64,
        )
    };
    let mut parts = Markup::default();
    for (row, shares) in background.answered.iter().enumerate() {
        for (column, share) in shares.iter().enumerate() {
            parts.push(field(place(column, row), *share));
        }
    }
    parts.push(axes(map, arm));
    for point in &arm.points {
        let near = |all: &[f64], value: f64| all.iter().position(|v| (v - value).abs() < 1e-9);
        let column = near(&background.rates, point.rate);
        let row = near(&background.triggers_s, point.trigger_s);
        if let (Some(column), Some(row)) = (column, row) {
            parts.push(mark(place(column, row), point));
        }
    }
    parts
}

fn field((x, y): (f64, f64), share: f64) -> Markup {
    let (fill, ink) = shade(share);
    let mut field = Markup::default();
    field.push(
        rect(x, y, CELL.0, CELL.1)
            .attr("fill", fill)
            .attr("stroke", "#ffffff")
            .attr("stroke-width", 0.5),
    );
    field.push(
        text(x + CELL.0 / 2.0, y + CELL.1 / 2.0 + 4.0, &whole(share))
            .attr("text-anchor", "middle")
            .attr("font-size", 12)
            .attr("fill", ink),
    );
    field
}

/// A measured point: its share, and whether it agrees, in a frame over its field.
fn mark((x, y): (f64, f64), point: &MapPoint) -> El {
    let (sign, share) = match (point.measured.standing, point.measured.answered) {
        (Some(Standing::Up), Some(share)) => ("\u{25b2}", whole(share) + " %"),
        (Some(Standing::Down), Some(share)) => ("\u{25bc}", whole(share) + " %"),
        (Some(Standing::Between), Some(share)) => ("\u{25c6}", whole(share) + " %"),
        _ => ("\u{2013}", String::new()),
    };
    let (class, stroke, width, dash) = match point.agreement {
        Agreement::Agree => ("map-mark", INK, 1.5, "none"),
        Agreement::Disagree => ("map-mark disagrees", "#b3261e", 3.0, "none"),
        Agreement::Undecided => ("map-mark undecided", "#805200", 1.5, "4 3"),
    };
    let middle = x + CELL.0 / 2.0;
    let line = |y: f64, words: &str, weight: u32| {
        label(middle, y, words)
            .attr("text-anchor", "middle")
            .attr("font-size", 11)
            .attr("font-weight", weight)
    };
    let told = format!(
        "measured {}, simulated {}: {}",
        point
            .measured
            .answered
            .map_or_else(|| "nothing".to_owned(), percent),
        percent(point.simulated.answered),
        point.agreement.words()
    );
    let heavy = if point.agreement == Agreement::Disagree {
        700
    } else {
        400
    };
    el("g")
        .class(class)
        .child(el("title").text(told))
        .child(
            rect(x + 3.0, y + 5.0, CELL.0 - 6.0, CELL.1 - 10.0)
                .attr("rx", 5)
                .attr("fill", "#ffffff")
                .attr("stroke", stroke)
                .attr("stroke-width", width)
                .attr("stroke-dasharray", dash),
        )
        .child(line(y + 20.0, format!("{sign} {share}").trim_end(), 600))
        .child(line(
            y + 33.0,
            &point.agreement.words().to_lowercase(),
            heavy,
        ))
}

fn axes(map: &Map, arm: &ArmMap) -> Markup {
    let background = &arm.background;
    let bottom = CELL.1 * background.triggers_s.len() as f64;
    let mut parts = Markup::default();
    for (i, rate) in background.rates.iter().enumerate() {
        let middle = LEFT + CELL.0 * (i as f64 + 0.5);
        let load = short(rate / map.server.capacity_rps * 100.0, 1);
        parts.push(axis(middle, bottom + 16.0, &load).attr("text-anchor", "middle"));
    }
    for (i, trigger) in background.triggers_s.iter().enumerate() {
        let y = bottom - CELL.1 * (i as f64 + 0.5) + 4.0;
        let words = format!("{} s", short(*trigger, 2));
        parts.push(axis(LEFT - 8.0, y, &words).attr("text-anchor", "end"));
    }
    let across = format!(
        "load, in % of the capacity of {} a second",
        short(map.server.capacity_rps, 1)
    );
    let middle = LEFT + CELL.0 * background.rates.len() as f64 / 2.0;
    parts.push(axis(middle, bottom + 38.0, &across).attr("text-anchor", "middle"));
    let up = format!("length of {}", map.trigger);
    parts.push(axis(0.0, 0.0, &up).attr("text-anchor", "middle").attr(
        "transform",
        format!("translate(14 {}) rotate(-90)", bottom / 2.0),
    ));
    parts
}

fn rect(x: f64, y: f64, width: f64, height: f64) -> El {
    el("rect")
        .attr("x", short(x, 1))
        .attr("y", short(y, 1))
        .attr("width", short(width, 1))
        .attr("height", short(height, 1))
}

fn text(x: f64, y: f64, words: &str) -> El {
    el("text")
        .attr("x", short(x, 1))
        .attr("y", short(y, 1))
        .text(words)
}

/// Text in the page's ink.
fn label(x: f64, y: f64, words: &str) -> El {
    text(x, y, words).class("map-ink").attr("fill", INK)
}

fn axis(x: f64, y: f64, words: &str) -> El {
    text(x, y, words)
        .class("map-axis")
        .attr("fill", "#59626c")
        .attr("font-size", 12)
}

/// In per cent, cut and not rounded: 100 means all.
fn whole(share: f64) -> String {
    format!("{:.0}", (share * 100.0).floor())
}
