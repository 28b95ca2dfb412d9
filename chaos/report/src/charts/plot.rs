//! The frame of every picture: title, keys, axis, fault bands, limits.
//!
//! A plot has two layers. What must keep its shape (text, hatching, limits) is
//! placed in per cent of the width; lines and areas lie in an inner `<svg>` whose
//! view box is the time axis, so that they stretch, and a script can zoom by
//! changing that box alone. What a script moves then carries `data-a`/`data-b`,
//! its ends in seconds.

use std::fmt::Write as _;

use crate::data::{Band, Data};
use crate::markup::{El, Markup, el};
use crate::scale::{Time, Up, moments, short};

/// How a legend's sample is drawn, and its word.
pub(crate) struct Key {
    pub(crate) class: &'static str,
    pub(crate) word: String,
    pub(crate) line: bool,
}

/// A limit that a check sets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) value: f64,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) words: String,
    pub(crate) check: String,
}

/// One picture of one arm.
pub(crate) struct Plot {
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) keys: Vec<Key>,
    pub(crate) up: Up,
    pub(crate) height: f64,
    pub(crate) tick: fn(f64) -> String,
    /// What it shows, for those who can't see it.
    pub(crate) says: String,
    /// The layer that stretches.
    pub(crate) drawn: Markup,
    pub(crate) limits: Vec<Limit>,
}

/// The width of the column of axis labels, as in the style sheet.
const AXIS: u32 = 46;

pub(crate) fn figure(plot: Plot, time: Time, bands: &[Band]) -> El {
    let keys = plot.keys.iter().map(key);
    let caption = el("figcaption")
        .child(el("h4").text(&plot.title))
        .child(el("ul").class("keys").children(keys))
        .child(el("span").class("read").attr("data-read", &plot.kind));
    let height = plot.height;
    let area = el("svg")
        .class("plot")
        .attr("height", height)
        .attr("role", "img")
        .attr("aria-label", &plot.says)
        .children(bands.iter().map(|band| band_rect(band, time, height)))
        .children(plot.up.ticks().into_iter().map(|v| grid(plot.up.y(v))))
        .child(stretched(time, height).child(plot.drawn))
        .children(bands.iter().flat_map(|band| edges(band, height, time)))
        .children(
            plot.limits
                .iter()
                .map(|limit| limit_mark(limit, &plot.up, time)),
        );
    el("figure")
        .class("panel")
        .attr("data-panel", &plot.kind)
        .child(caption)
        .child(
            el("div")
                .class("chart")
                .child(axis(&plot.up, height, plot.tick))
                .child(area),
        )
}

fn key(key: &Key) -> El {
    let sample = el("svg")
        .class("key")
        .attr("aria-hidden", "true")
        .child(if key.line {
            el("path").class(key.class).attr("d", "M0 6H18")
        } else {
            el("rect")
                .class(key.class)
                .attr("y", 1)
                .attr("width", 12)
                .attr("height", 10)
        });
    let sample = sample
        .attr("width", if key.line { 18 } else { 12 })
        .attr("height", 12);
    el("li").child(sample).text(&key.word)
}

fn axis(up: &Up, height: f64, tick: fn(f64) -> String) -> El {
    let label = |value: f64| {
        let y = up.y(value).clamp(9.0, height - 2.0);
        el("text")
            .attr("x", AXIS - 8)
            .attr("y", short(y + 3.0, 1))
            .text(tick(value))
    };
    el("svg")
        .class("up")
        .attr("width", AXIS)
        .attr("height", height)
        .attr("aria-hidden", "true")
        .children(up.ticks().into_iter().map(label))
}

fn grid(y: f64) -> El {
    let y = short(y, 1);
    el("line")
        .class("grid")
        .attr("x2", "100%")
        .attr("y1", &y)
        .attr("y2", &y)
}

pub(crate) fn stretched(time: Time, height: f64) -> El {
    let span = short(time.span(), 2);
    el("svg")
        .class("zoom")
        .attr("width", "100%")
        .attr("height", height)
        .attr(
            "viewBox",
            format!("{} 0 {span} {height}", short(time.from, 2)),
        )
        .attr("preserveAspectRatio", "none")
}

/// Places an element along time, and says where for the script.
pub(crate) fn along(shape: El, time: Time, from: f64, to: f64) -> El {
    shape
        .attr("x", time.percent(from.max(time.from)))
        .attr("width", time.width(from, to))
        .attr("data-a", short(from, 2))
        .attr("data-b", short(to, 2))
}

/// Where a fault begins and ends, on top of what hides its hatching.
fn edges(band: &Band, height: f64, time: Time) -> Vec<El> {
    let edge = |at: f64| {
        el("rect")
            .class("edge")
            .attr("x", time.percent(at))
            .attr("width", 1)
            .attr("height", height)
            .attr("data-a", short(at, 2))
    };
    let inside = |at: &f64| (time.from..time.to).contains(at);
    [band.from, band.to]
        .into_iter()
        .filter(inside)
        .map(edge)
        .collect()
}

pub(crate) fn band_rect(band: &Band, time: Time, height: f64) -> El {
    let title = format!(
        "{} on {}: {} s to {} s",
        band.fault,
        band.link,
        short(band.from, 2),
        short(band.to, 2)
    );
    along(el("rect").class("band"), time, band.from, band.to)
        .attr("height", height)
        .child(el("title").text(title))
}

fn limit_mark(limit: &Limit, up: &Up, time: Time) -> Option<El> {
    let y = up.shows(limit.value).then(|| up.y(limit.value))?;
    let line = along(el("rect").class("limit"), time, limit.from, limit.to)
        .attr("y", short(y - 0.75, 2))
        .attr("height", "1.5")
        .child(el("title").text(format!("{}: {}", limit.check, limit.words)));
    // Above its line, or below where there is no room.
    let text_y = if y < 16.0 { y + 12.0 } else { y - 4.0 };
    let label = el("text")
        .class("limit-label")
        .attr("x", time.percent(limit.from.max(time.from)))
        .attr("dx", 4)
        .attr("y", short(text_y, 1))
        .attr("data-a", short(limit.from, 2))
        .text(&limit.words);
    Some(el("g").child(line).child(label))
}

/// The time axis under an arm's pictures, its faults named.
pub(crate) fn time_axis(data: &Data, bands: &[Band]) -> El {
    let time = data.time;
    let tick = |t: f64| {
        let x = time.percent(t);
        let anchor = match t {
            t if t <= time.from => "start",
            t if t > time.to - 0.02 * time.span() => "end",
            _ => "middle",
        };
        let line = el("line")
            .class("tick")
            .attr("x1", &x)
            .attr("x2", &x)
            .attr("y2", 4);
        let label = el("text")
            .attr("x", x)
            .attr("y", 17)
            .attr("text-anchor", anchor);
        el("g")
            .class("moment")
            .child(line)
            .child(label.text(format!("{} s", short(t, 1))))
    };
    let axis = el("svg")
        .class("time")
        .attr("height", 38)
        .attr("aria-hidden", "true");
    let names = fault_names(time, bands);
    let ticks = moments(time, 5.0).into_iter().map(tick);
    el("div").class("chart").child(el("span")).child(
        axis.child(el("g").class("moments").children(ticks))
            .children(names),
    )
}

/// About how much of the axis a letter takes, in per cent, where the picture is narrow.
const LETTER: f64 = 1.1;

/// The faults' names under their bands: one for a fault that comes again and again, and none where
/// another stands already. The cursor tells every one of them.
fn fault_names(time: Time, bands: &[Band]) -> Vec<El> {
    let mut firsts: Vec<(f64, &str)> = Vec::new();
    for band in bands {
        if firsts.iter().all(|(_, name)| *name != band.fault) {
            firsts.push(((band.from + band.to.min(time.to)) / 2.0, &band.fault));
        }
    }
    firsts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free_from = f64::NEG_INFINITY;
    let mut names = Vec::new();
    for (middle, name) in firsts {
        let at = 100.0 * (middle - time.from) / time.span();
        let half = LETTER * name.chars().count() as f64 / 2.0;
        if at - half < free_from {
            continue;
        }
        free_from = at + half;
        let label = el("text").class("fault-name").attr("y", 33);
        names.push(
            label
                .attr("x", time.percent(middle))
                .attr("text-anchor", "middle")
                .attr("data-a", short(middle, 2))
                .text(name),
        );
    }
    names
}

/// A path's data, written bit by bit. Writing to a string can't fail.
#[derive(Default)]
pub(crate) struct Path(String);

impl Path {
    pub(crate) fn move_to(&mut self, x: f64, y: f64) {
        let _ = write!(self.0, "M{} {}", short(x, 2), short(y, 1));
    }

    pub(crate) fn line_to(&mut self, x: f64, y: f64) {
        let _ = write!(self.0, "L{} {}", short(x, 2), short(y, 1));
    }

    pub(crate) fn across(&mut self, x: f64) {
        let _ = write!(self.0, "H{}", short(x, 2));
    }

    pub(crate) fn up_to(&mut self, y: f64) {
        let _ = write!(self.0, "V{}", short(y, 1));
    }

    pub(crate) fn close(&mut self) {
        self.0.push('Z');
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn draw(self, class: &str) -> Option<El> {
        (!self.is_empty()).then(|| el("path").class(class).attr("d", self.0))
    }
}
