//! The figures of `result.json` once more, from `requests.csv.zst` and `decisions.jsonl` and by
//! other code than made them: what was counted a second at a time while the run went on is
//! counted here request by request, from two files that were written beside it.

mod figures;
mod seen;
mod spans;
mod told;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use crate::error::EngineError;
use crate::requests::{self, Row};
use crate::result::RunResult;
use crate::{decisions, figures as stated};
use told::Told;

/// Figures that the two files can't give: they were counted in the shop after the load and
/// stand in `run.ndjson` alone (line `facts`).
pub const ELSEWHERE: [&str; 4] = ["lost_orders", "duplicate_orders", "oversold", "violations"];

/// How far a latency may be off: the histograms keep three digits, in whole microseconds.
const LATENCY: (f64, f64) = (1e-3, 1e-3);
/// What adding up in another order does.
const ROUNDING: (f64, f64) = (1e-9, 1e-9);

/// A figure, stated and recomputed.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The arm.
    pub arm: String,
    /// The repeat, from 1.
    pub repeat: u32,
    /// `total` or a phase.
    pub phase: String,
    /// The figure; of a map with its key, such as `calls.order-product`.
    pub figure: String,
    /// What `result.json` says; `None` for null.
    pub stated: Option<f64>,
    /// What the two files say.
    pub recomputed: Option<f64>,
}

impl Compared {
    /// Whether they are the same: counts exactly, latencies to the three digits that the
    /// histograms of the log keep.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let (relative, least) = if self.figure.ends_with("_ms") {
            LATENCY
        } else {
            ROUNDING
        };
        match (self.stated, self.recomputed) {
            (Some(a), Some(b)) => (a - b).abs() <= b.abs() * relative + least,
            (a, b) => a == b,
        }
    }
}

/// Recomputes every figure of every repeat of the run in `dir`, but for [`ELSEWHERE`].
///
/// # Errors
/// [`EngineError::Io`] or [`EngineError::Log`] if a file can't be read, or is of a version that
/// did not write down enough.
pub fn compared(dir: &Path) -> Result<Vec<Compared>, EngineError> {
    let result = RunResult::load(dir)?;
    let told = told::read(&dir.join(decisions::FILE))?;
    let rows = rows(dir)?;
    let mut all = Vec::new();
    for arm in &result.arms {
        for repeat in &arm.repeats {
            let (trial, told) = counted(dir, &told, &arm.name, repeat.repeat)?;
            let rows = rows.get(&trial).map_or(&[][..], Vec::as_slice);
            let (total, phases) = figures::of(told, rows);
            let mut add = |phase: &str, (stated, recomputed)| {
                let place = (arm.name.as_str(), repeat.repeat, phase);
                all.extend(side_by_side(place, &stated, &recomputed));
            };
            add("total", (numbers(&repeat.total), numbers(&total)));
            for (phase, stated) in &repeat.phases {
                let none = stated::Figures::default();
                let recomputed = phases.get(phase).unwrap_or(&none);
                add(phase, (numbers(stated), numbers(recomputed)));
            }
        }
    }
    Ok(all)
}

fn rows(dir: &Path) -> Result<HashMap<u32, Vec<Row>>, EngineError> {
    let mut rows: HashMap<u32, Vec<Row>> = HashMap::new();
    for row in requests::read(&dir.join(requests::FILE))? {
        let row = row?;
        rows.entry(row.trial).or_default().push(row);
    }
    Ok(rows)
}

/// Of the tries at a repeat the first that counts.
fn counted<'a>(
    dir: &Path,
    told: &'a BTreeMap<u32, Told>,
    arm: &str,
    repeat: u32,
) -> Result<(u32, &'a Told), EngineError> {
    let of = |(_, t): &(&u32, &Told)| t.counts && t.arm == arm && t.repeat == repeat;
    let found = told.iter().find(of).map(|(trial, told)| (*trial, told));
    found.ok_or_else(|| EngineError::Log {
        path: dir.join(decisions::FILE),
        line: 1,
        why: format!(
            "it tells of no trial of {arm}, repeat {repeat}, that counts: an older version wrote it"
        ),
    })
}

type Numbers = BTreeMap<String, f64>;

/// Every number in it by its path.
fn numbers(figures: &impl serde::Serialize) -> Numbers {
    let mut all = Numbers::new();
    // Figures are plain data, which always serialises.
    walk(
        String::new(),
        &serde_json::to_value(figures).unwrap_or_default(),
        &mut all,
    );
    all
}

fn walk(name: String, value: &Value, all: &mut Numbers) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                walk(format!("{name}{dot}{key}"), value, all);
            }
        }
        other => all.extend(other.as_f64().map(|x| (name, x))),
    }
}

fn side_by_side(
    (arm, repeat, phase): (&str, u32, &str),
    stated: &Numbers,
    recomputed: &Numbers,
) -> Vec<Compared> {
    let mut names: Vec<&String> = stated.keys().chain(recomputed.keys()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| !ELSEWHERE.contains(&name.as_str()));
    let compared = |figure: &String| Compared {
        arm: arm.to_owned(),
        repeat,
        phase: phase.to_owned(),
        figure: figure.clone(),
        stated: stated.get(figure).copied(),
        recomputed: recomputed.get(figure).copied(),
    };
    names.into_iter().map(compared).collect()
}

#[cfg(test)]
mod tests;
