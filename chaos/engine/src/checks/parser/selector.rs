//! What the second argument of a metric means.

use std::ops::Range;

use loadtest::Op;
use resilience::Priority;

use super::Problem;
use crate::checks::metric::{Metric, Scope};
use crate::checks::{Names, Selector};
use crate::scenario::known::{LINKS, SLOTS};

/// The link of the load generator's own policy.
const LOAD: &str = "load";

/// Every link and door that events can be about.
pub(super) fn links() -> Vec<&'static str> {
    let slots = SLOTS.iter().map(|(slot, _)| *slot);
    let mut all: Vec<&str> = LINKS.iter().copied().chain(slots).chain([LOAD]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The selector of this name. A stream goes before an operation, and an operation before a
/// priority.
pub(super) fn selector(
    names: &Names,
    metric: Metric,
    name: &str,
    span: Range<usize>,
) -> Result<Selector, Problem> {
    let link = || links().into_iter().find(|link| *link == name);
    match metric.scope() {
        Scope::Repeat if metric == Metric::Recovery => of_requests(names, name)
            .filter(|s| *s != Selector::Refused)
            .ok_or_else(|| unknown(span, name, &request_names(names))),
        Scope::Repeat if metric == Metric::Acted => {
            let known: Vec<&str> = names.broken().map(|(fault, _)| fault.as_str()).collect();
            if known.contains(&name) {
                return Ok(Selector::Fault(name.to_owned()));
            }
            Err(Problem::unknown(span, "fault or condition", name, &known))
        }
        Scope::Repeat | Scope::Traffic => Err(Problem::new(
            span,
            format!("`{metric}` takes an arm and nothing else"),
        )),
        Scope::Link | Scope::LinkTraffic | Scope::Work | Scope::Breaker => link()
            .map(|link| Selector::Link(link.to_owned()))
            .ok_or_else(|| Problem::unknown(span, "link", name, &links())),
        Scope::Requests => of_requests(names, name)
            .or_else(|| link().map(|link| Selector::Link(link.to_owned())))
            .ok_or_else(|| {
                let known: Vec<&str> = request_names(names).into_iter().chain(links()).collect();
                unknown(span, name, &known)
            }),
    }
}

fn of_requests(names: &Names, name: &str) -> Option<Selector> {
    if names.streams.iter().any(|stream| stream == name) {
        return Some(Selector::Stream(name.to_owned()));
    }
    if let Some(op) = Op::ALL.into_iter().find(|op| op.as_str() == name) {
        return Some(Selector::Op(op));
    }
    if name == "refused" {
        return Some(Selector::Refused);
    }
    let level = Priority::ALL.into_iter().find(|p| p.as_str() == name)?;
    Some(Selector::Priority(level.as_str().to_owned()))
}

fn request_names(names: &Names) -> Vec<&str> {
    let ops = Op::ALL.iter().map(|op| op.as_str());
    let streams = names.streams.iter().map(String::as_str);
    let levels = Priority::ALL.iter().map(|p| p.as_str());
    ops.chain(streams)
        .chain(levels)
        .chain(["refused"])
        .collect()
}

fn unknown(span: Range<usize>, name: &str, known: &[&str]) -> Problem {
    Problem::unknown(span, "selector", name, known)
}
