//! Breakers as strips: a thin line is closed, a full block open, a half block
//! half-open; each says so in a word where there is room.

use chaos_engine::runlog::BreakerState;

use super::plot::{along, band_rect};
use crate::data::{ArmData, Data, Span, Strip};
use crate::markup::{El, el};
use crate::scale::{Time, short};
use crate::words;

const HEIGHT: f64 = 18.0;
/// A block this wide, as a share of the axis, has room for its word.
const ROOM: f64 = 0.12;

pub(super) fn strips(data: &Data, arm: &ArmData) -> El {
    let figure = el("figure").class("panel breakers");
    let title = el("figcaption").child(el("h4").text("Breakers"));
    if arm.strips.is_empty() {
        let none = el("p").class("quiet").text("No breaker moved.");
        return figure.child(title).child(none);
    }
    let title = title
        .child(
            el("ul").class("keys").children(
                [
                    BreakerState::Closed,
                    BreakerState::HalfOpen,
                    BreakerState::Open,
                ]
                .map(state_key),
            ),
        )
        .child(el("span").class("read").attr("data-read", "breaker"));
    let several = arm.repeats > 1;
    let rows = arm.strips.iter().enumerate().map(|(i, s)| {
        let first = i == 0 || arm.strips[i - 1].link != s.link;
        let head = first.then(|| el("p").class("strip-link").text(words::link(&s.link)));
        el("div").child(head).child(row(data, arm, s, several))
    });
    figure.child(title).children(rows)
}

fn state_key(state: BreakerState) -> El {
    let (y, tall) = lies(state, 12.0);
    let sample = el("rect")
        .class(format!("breaker-{}", class(state)))
        .attr("y", short(y, 1))
        .attr("width", 14)
        .attr("height", short(tall, 1));
    let key = el("svg").class("key").attr("width", 14).attr("height", 12);
    el("li")
        .child(key.attr("aria-hidden", "true").child(sample))
        .text(word(state))
}

/// Where a state's block begins, from the top, and how tall it is.
fn lies(state: BreakerState, height: f64) -> (f64, f64) {
    match state {
        BreakerState::Closed => (height / 2.0 - 1.0, 2.0),
        BreakerState::Open => (0.0, height),
        BreakerState::HalfOpen => (height / 2.0, height / 2.0),
    }
}

fn row(data: &Data, arm: &ArmData, strip: &Strip, several: bool) -> El {
    let label = if several {
        format!("r{}", strip.repeat)
    } else {
        String::new()
    };
    let shapes = strip.spans.iter().map(|span| {
        let wide = (span.to - span.from) / data.time.span() >= ROOM;
        let named = span.state != BreakerState::Closed && wide;
        let middle = f64::midpoint(span.from, span.to);
        let name = named.then(|| {
            el("text")
                .class(format!("strip-word on-{}", class(span.state)))
                .attr("x", data.time.percent(middle))
                .attr("data-a", short(middle, 2))
                .attr(
                    "y",
                    if span.state == BreakerState::Open {
                        13
                    } else {
                        8
                    },
                )
                .attr("text-anchor", "middle")
                .text(word(span.state))
        });
        el("g").child(block(span, data.time, HEIGHT)).child(name)
    });
    let plot = el("svg")
        .class("plot strip")
        .attr("height", HEIGHT)
        .attr("role", "img")
        .attr("aria-label", says(strip))
        .children(
            arm.bands
                .iter()
                .map(|band| band_rect(band, data.time, HEIGHT)),
        )
        .children(shapes);
    el("div")
        .class("chart")
        .child(el("span").class("strip-name").text(label))
        .child(plot)
}

fn block(span: &Span, time: Time, height: f64) -> El {
    let (y, tall) = lies(span.state, height);
    let title = format!(
        "{} from {} s to {} s",
        word(span.state),
        short(span.from, 2),
        short(span.to, 2)
    );
    along(
        el("rect").class(format!("breaker-{}", class(span.state))),
        time,
        span.from,
        span.to,
    )
    .attr("y", short(y, 1))
    .attr("height", short(tall, 1))
    .child(el("title").text(title))
}

fn class(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half",
    }
}

pub(crate) fn word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
    }
}

fn says(strip: &Strip) -> String {
    let of = |span: &Span| format!("{} from {} s", word(span.state), short(span.from, 1));
    // A breaker that flaps would be read out for minutes.
    let told: Vec<String> = strip.spans.iter().take(12).map(of).collect();
    let more = match strip.spans.len() {
        n if n > 12 => format!(", and {} changes more", n - 12),
        _ => String::new(),
    };
    format!(
        "Breaker of {}, repeat {}: {}{more}",
        strip.link,
        strip.repeat,
        told.join(", ")
    )
}
