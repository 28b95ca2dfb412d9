//! A trace as a waterfall: a row for the request, each call and each attempt.

use super::call::{Attempt, Call};
use super::story::Trace;
use crate::markup::{El, el};
use crate::scale::short;
use crate::words::{link, seconds};

const HEIGHT: f64 = 20.0;

/// Rows of one call that are drawn; a storm has more than anybody reads.
const ROWS: usize = 30;

/// Places times of one trace in per cent of its width.
struct Ruler {
    from: i64,
    to: i64,
}

impl Ruler {
    fn x(&self, us: i64) -> String {
        let share = (us - self.from) as f64 / (self.to - self.from) as f64;
        format!("{}%", short(share.clamp(0.0, 1.0) * 100.0, 2))
    }

    fn width(&self, from: i64, to: i64) -> String {
        let share = (to.min(self.to) - from.max(self.from)) as f64 / (self.to - self.from) as f64;
        format!("{}%", short(share.max(0.0) * 100.0, 2))
    }

    fn bar(&self, class: &str, from: i64, to: i64, inset: f64) -> El {
        el("rect")
            .class(class)
            .attr("x", self.x(from))
            .attr("width", self.width(from, to))
            .attr("y", short(inset, 1))
            .attr("height", short(HEIGHT - 2.0 * inset, 1))
            .attr("rx", 2)
    }
}

pub(super) fn trace(trace: &Trace) -> El {
    let (from, to) = trace.ends_us();
    let ruler = Ruler { from, to };
    let head = el("h4")
        .text(format!("{}: ", trace.why))
        .child(el("code").text(&trace.request_id))
        .child(el("span").class("quiet").text(format!(
            " repeat {}, from second {}, {}",
            trace.repeat,
            short(from as f64 / 1e6, 2),
            seconds((to - from) as f64 / 1e6)
        )));
    el("article")
        .class("trace")
        .child(head)
        .child(request(trace, &ruler))
        .children(trace.calls.iter().map(|c| call(c, &ruler)))
        .child(axis(&ruler))
}

fn row(class: &str, label: &str, said: &str, plot: El) -> El {
    el("div")
        .class(format!("wf {class}"))
        .child(el("span").class("wf-label").text(label))
        .child(plot)
        .child(el("span").class("wf-said").text(said))
}

fn plot() -> El {
    el("svg")
        .class("plot")
        .attr("height", HEIGHT)
        .attr("aria-hidden", "true")
}

fn request(trace: &Trace, ruler: &Ruler) -> Option<El> {
    let r = trace.request.as_ref()?;
    let late = ruler.bar("wf-wait", r.due_us, r.sent_us, 7.0);
    let bar = ruler.bar("wf-request", r.sent_us, r.ended_us, 4.0);
    let status = if r.status == 0 {
        "no answer".to_owned()
    } else {
        r.status.to_string()
    };
    let said = format!(
        "{status}, {} after {}",
        r.outcome,
        seconds((r.ended_us - r.due_us) as f64 / 1e6)
    );
    let bad = if ["ok", "degraded"].contains(&r.outcome.as_str()) {
        ""
    } else {
        "bad"
    };
    Some(row(bad, &r.op, &said, plot().child(late).child(bar)))
}

fn call(call: &Call, ruler: &Ruler) -> El {
    let said = match &call.outcome {
        Some(outcome) => format!(
            "{outcome} after {}",
            seconds((call.to_us - call.from_us) as f64 / 1e6)
        ),
        None => String::new(),
    };
    let deadline = call
        .deadline_us
        .map(|d| call.from_us + d)
        .filter(|d| *d <= ruler.to);
    let line = |x: i64| {
        let x = ruler.x(x);
        el("line")
            .class("wf-deadline")
            .attr("x1", &x)
            .attr("x2", &x)
            .attr("y2", HEIGHT)
    };
    let bar = ruler.bar("wf-call", call.from_us, call.to_us, 8.0);
    let head = row(
        "wf-head",
        &format!("{} {}", link(&call.link), call.method),
        &said,
        plot().child(bar).child(deadline.map(line)),
    );
    let attempts = call
        .attempts
        .iter()
        .take(ROWS)
        .map(|a| attempt(call, a, ruler, deadline.map(line)));
    let refused = call.refused.iter().take(ROWS).map(|r| {
        let mark = el("svg")
            .attr("x", ruler.x(r.at_us))
            .attr("overflow", "visible")
            .child(
                el("path")
                    .class("wf-refused")
                    .attr("d", "M0 3L7 10L0 17L-7 10Z"),
            );
        let label = format!("attempt {}", r.attempt);
        row(
            "bad",
            &label,
            &format!("refused: {}", r.reason),
            plot()
                .child(wait_before(call, r.attempt, ruler))
                .child(mark),
        )
    });
    let wasted = call.wasted.iter().take(ROWS).map(|(from, to)| {
        let said = format!("for nobody: {}", seconds((to - from) as f64 / 1e6));
        row(
            "bad",
            "work",
            &said,
            plot().child(ruler.bar("wf-wait", *from, *to, 5.0)),
        )
    });
    let hidden = call.attempts.len().saturating_sub(ROWS);
    let more = (hidden > 0).then(|| {
        el("p")
            .class("quiet")
            .text(format!("and {hidden} attempts more"))
    });
    el("div")
        .class("wf-group")
        .child(head)
        .children(attempts)
        .children(refused)
        .children(wasted)
        .child(more)
}

fn wait_before(call: &Call, number: u32, ruler: &Ruler) -> Option<El> {
    let wait = call.waits.iter().find(|w| w.before == number)?;
    Some(ruler.bar("wf-wait", wait.from_us, wait.to_us, 5.0))
}

fn attempt(call: &Call, a: &Attempt, ruler: &Ruler, deadline: Option<El>) -> El {
    let class = match (a.cancelled, a.ok) {
        (true, _) => "wf-attempt lost",
        (false, true) => "wf-attempt ok",
        (false, false) => "wf-attempt failed",
    };
    let fault = call.faults.iter().find(|f| f.attempt == a.number);
    let flag = fault.map(|f| {
        el("svg")
            .attr("x", ruler.x(f.at_us))
            .attr("overflow", "visible")
            .child(
                el("path")
                    .class("wf-fault")
                    .attr("d", "M0 19V2H9L6.5 5L9 8H0"),
            )
    });
    let took = a.to_us - a.from_us;
    let mut said = vec![match (a.inferred, took) {
        (true, 0) => "time unknown".to_owned(),
        (true, _) => format!("≈ {}", seconds(took as f64 / 1e6)),
        (false, _) => seconds(took as f64 / 1e6),
    }];
    if !a.words.is_empty() {
        said.push(a.words.clone());
    }
    if a.cancelled {
        said.push("given up".to_owned());
    }
    if let Some(f) = fault {
        said.push(format!("fault {}: {}", f.name, f.action));
    }
    let drawn = plot()
        .child(wait_before(call, a.number, ruler))
        .child(ruler.bar(class, a.from_us, a.to_us, 3.0))
        .child(flag)
        .child(deadline);
    let kind = if a.hedge { "second copy" } else { "attempt" };
    let bad = if a.ok { "" } else { "bad" };
    row(
        bad,
        &format!("{kind} {}", a.number),
        &said.join(", "),
        drawn,
    )
}

fn axis(ruler: &Ruler) -> El {
    let length = (ruler.to - ruler.from) as f64 / 1e6;
    let tick = |i: u32| {
        let share = f64::from(i) / 4.0;
        let anchor = match i {
            0 => "start",
            4 => "end",
            _ => "middle",
        };
        el("text")
            .attr("x", format!("{}%", share * 100.0))
            .attr("y", 12)
            .attr("text-anchor", anchor)
            .text(seconds(length * share))
    };
    let axis = el("svg")
        .class("plot time")
        .attr("height", 16)
        .attr("aria-hidden", "true");
    el("div")
        .class("wf")
        .child(el("span"))
        .child(axis.children((0..=4).map(tick)))
        .child(el("span"))
}
