//! What the pictures show, taken from the trials that count: each arm second by
//! second, its faults and its breakers.

use std::collections::BTreeMap;

use chaos_engine::checks::{Selector, Window};
use chaos_engine::latency::Latency;
use chaos_engine::measure::{Mark, Tally, Trial};
use chaos_engine::runlog::BreakerState;
use chaos_engine::{RunResult, Scenario};

use crate::scale::Time;

/// Links that get a picture of their own; more would bury the rest.
const LINKS: usize = 2;

/// Everything that is drawn over time.
pub(crate) struct Data {
    pub(crate) time: Time,
    /// The links whose calls are drawn, the first faulted one first.
    pub(crate) links: Vec<String>,
    pub(crate) arms: Vec<ArmData>,
}

/// One arm.
pub(crate) struct ArmData {
    pub(crate) name: String,
    /// The repeats that are drawn, pooled.
    pub(crate) repeats: usize,
    /// `false`: no repeat counts, and what is drawn is the last try.
    pub(crate) counts: bool,
    pub(crate) seconds: Vec<Second>,
    pub(crate) bands: Vec<Band>,
    pub(crate) strips: Vec<Strip>,
}

/// What ended in one second. Counts are a repeat's, on average over those that
/// count; latencies are all of them together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Second {
    pub(crate) at: i64,
    /// ok, degraded, rejected, failed.
    pub(crate) outcomes: [f64; 4],
    pub(crate) latency: Latency,
    /// Calls, attempts, failed attempts of each drawn link.
    pub(crate) links: Vec<[f64; 3]>,
}

impl Second {
    /// p50, p95, p99 and the longest, in seconds.
    pub(crate) fn quantiles(&self) -> Option<[f64; 4]> {
        let q = |share| self.latency.quantile(share);
        Some([q(0.5)?, q(0.95)?, q(0.99)?, q(1.0)?])
    }

    pub(crate) fn requests(&self) -> f64 {
        self.outcomes.iter().sum()
    }
}

/// A stretch of time in which a fault was on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Band {
    pub(crate) fault: String,
    pub(crate) link: String,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// One breaker's life in one repeat.
pub(crate) struct Strip {
    pub(crate) link: String,
    pub(crate) repeat: u32,
    pub(crate) spans: Vec<Span>,
}

/// A stretch of time in one state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) state: BreakerState,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

impl Data {
    pub(crate) fn of(result: &RunResult, scenario: &Scenario) -> Self {
        let planned = scenario.schedule(result.quick).duration.as_secs_f64();
        let drawn: Vec<(&str, bool, Vec<&Trial>)> = result
            .arms
            .iter()
            .map(|arm| drawn(result, &arm.name))
            .collect();
        let last = drawn
            .iter()
            .flat_map(|(_, _, trials)| trials.iter().flat_map(|t| &t.cells))
            .map(|(second, _)| *second + 1)
            .max();
        let to = planned.max(last.unwrap_or(0) as f64).max(1.0);
        let time = Time { from: 0.0, to };
        let links = links(result, &drawn);
        let arms = drawn
            .iter()
            .map(|(name, counts, trials)| ArmData {
                name: (*name).to_owned(),
                repeats: trials.len(),
                counts: *counts,
                seconds: seconds(trials, &links, time),
                bands: trials.first().map(|t| bands(t, to)).unwrap_or_default(),
                strips: strips(trials, to),
            })
            .collect();
        Self { time, links, arms }
    }

    /// The longest latency in any picture, and the shortest median: the ends of
    /// their common axis.
    pub(crate) fn latencies(&self) -> (f64, f64) {
        let all = self.arms.iter().flat_map(|arm| &arm.seconds);
        all.filter_map(Second::quantiles)
            .fold((f64::INFINITY, 0.0), |(low, high), [p50, .., max]| {
                (low.min(p50), high.max(max))
            })
    }

    /// The largest value of a figure in any second of any arm.
    pub(crate) fn most(&self, of: impl Fn(&Second) -> f64) -> f64 {
        let all = self.arms.iter().flat_map(|arm| &arm.seconds);
        all.map(of).fold(0.0, f64::max)
    }
}

/// The trials to draw: those that count, or the last that doesn't where none does.
fn drawn<'a>(result: &'a RunResult, arm: &'a str) -> (&'a str, bool, Vec<&'a Trial>) {
    let counted = result.trials(arm);
    if !counted.is_empty() {
        return (arm, true, counted);
    }
    let mut tries = result.run.trials.iter().filter(|t| t.start.arm == arm);
    (arm, false, tries.next_back().into_iter().collect())
}

/// The faulted links that were called, in the order of the time line; without any,
/// the one with the most attempts.
fn links(result: &RunResult, drawn: &[(&str, bool, Vec<&Trial>)]) -> Vec<String> {
    let trials = || drawn.iter().flat_map(|(_, _, trials)| trials.iter());
    let mut attempts: BTreeMap<String, u64> = BTreeMap::new();
    for trial in trials() {
        for link in trial.links_seen() {
            let tally = trial.tally(&Window::Whole, &Selector::Link(link.clone()));
            *attempts.entry(link).or_default() += tally.counts.attempts + tally.counts.calls;
        }
    }
    let mut found: Vec<String> = Vec::new();
    for link in faulted_links(result) {
        if attempts.contains_key(&link) && !found.contains(&link) {
            found.push(link);
        }
    }
    if found.is_empty() {
        let busiest = attempts.into_iter().max_by_key(|(_, n)| *n);
        found.extend(busiest.map(|(link, _)| link));
    }
    found.truncate(LINKS);
    found
}

/// The links of the time line; a replica's counts for its link.
pub(crate) fn faulted_links(result: &RunResult) -> Vec<String> {
    let link = |fault: &serde_json::Value| fault.get("link")?.as_str().map(str::to_owned);
    let mut all = Vec::new();
    for link in result.timeline.iter().filter_map(link) {
        let plain = link.split('.').next().unwrap_or(&link).to_owned();
        all.push(link.clone());
        all.push(plain);
    }
    all
}

fn seconds(trials: &[&Trial], links: &[String], time: Time) -> Vec<Second> {
    let repeats = trials.len().max(1) as f64;
    let mean = |n: u64| n as f64 / repeats;
    let requests = by_second(trials, &Selector::All);
    let of_links: Vec<BTreeMap<i64, Tally>> = links
        .iter()
        .map(|link| by_second(trials, &Selector::Link(link.clone())))
        .collect();
    (0..time.to.ceil() as i64)
        .map(|at| {
            let tally = requests.get(&at).cloned().unwrap_or_default();
            let o = tally.outcomes;
            let link = |calls: &BTreeMap<i64, Tally>| {
                let counts = calls.get(&at).map(|t| t.counts).unwrap_or_default();
                [counts.calls, counts.attempts, counts.attempts_failed].map(mean)
            };
            Second {
                at,
                outcomes: [o.ok, o.degraded, o.rejected, o.failed].map(mean),
                latency: tally.latency,
                links: of_links.iter().map(link).collect(),
            }
        })
        .collect()
}

fn by_second(trials: &[&Trial], selector: &Selector) -> BTreeMap<i64, Tally> {
    let mut parts: BTreeMap<i64, Vec<Tally>> = BTreeMap::new();
    for trial in trials {
        for (second, tally) in trial.tallies(&Window::Whole, selector) {
            parts.entry(second).or_default().push(tally);
        }
    }
    let sum = |(second, parts): (i64, Vec<Tally>)| (second, Tally::sum(&parts));
    parts.into_iter().map(sum).collect()
}

/// Every injection up to the clearing that followed it, or to the end.
pub(crate) fn bands(trial: &Trial, end: f64) -> Vec<Band> {
    let mut cleared: Vec<&Mark> = trial.cleared.iter().collect();
    let mut bands = Vec::new();
    for begun in &trial.injected {
        let follows = |c: &&Mark| c.fault == begun.fault && c.done_s >= begun.begin_s;
        let at = cleared.iter().position(follows);
        bands.push(Band {
            fault: begun.fault.clone(),
            link: begun.link.clone(),
            from: begun.begin_s,
            to: at.map_or(end, |i| cleared.remove(i).done_s),
        });
    }
    bands
}

fn strips(trials: &[&Trial], end: f64) -> Vec<Strip> {
    let mut strips = Vec::new();
    let mut links: Vec<String> = trials.iter().flat_map(|t| t.breaker_links()).collect();
    links.sort();
    links.dedup();
    for link in links {
        for trial in trials {
            strips.push(Strip {
                link: link.clone(),
                repeat: trial.start.repeat,
                spans: spans(trial, &link, end),
            });
        }
    }
    strips
}

fn spans(trial: &Trial, link: &str, end: f64) -> Vec<Span> {
    let (mut state, mut from) = (BreakerState::Closed, 0.0_f64);
    let mut spans = Vec::new();
    for m in trial.moves.iter().filter(|m| m.link == link) {
        let to = m.t_s.clamp(from, end);
        if to > from {
            spans.push(Span { state, from, to });
        }
        (state, from) = (m.to, to);
    }
    spans.push(Span {
        state,
        from,
        to: end,
    });
    spans
}
