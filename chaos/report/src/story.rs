//! What happened, in sentences with their numbers: what was broken and when, and
//! what each arm did about it.

mod ground;

use chaos_engine::checks::{Metric, Selector, Window};
use chaos_engine::measure::{Lengths, Tally, Trial, pooled};
use chaos_engine::result::ArmResult;
use chaos_engine::runlog::Facts;
use chaos_engine::scenario::Schedule;
use chaos_engine::stats;
use chaos_engine::{RunResult, Scenario};
use serde_json::Value;

use crate::data::{Data, bands, faulted_links};
use crate::words::{self, count, list, percent, plural, seconds};

/// The story: its beginning, a paragraph an arm, and what follows.
pub(crate) struct Story {
    pub(crate) setting: Vec<String>,
    pub(crate) arms: Vec<(String, String)>,
    pub(crate) outcome: Vec<String>,
}

impl Story {
    pub(crate) fn of(result: &RunResult, scenario: &Scenario, data: &Data) -> Self {
        let link = faulted_links(result)
            .into_iter()
            .find(|l| data.links.contains(l));
        let schedule = scenario.schedule(result.quick);
        let teller = Teller {
            result,
            schedule,
            link,
        };
        let arms = result
            .arms
            .iter()
            .map(|arm| (arm.name.clone(), teller.arm(arm)));
        Self {
            setting: teller.setting(),
            arms: arms.collect(),
            outcome: [teller.compared(), teller.facts(), teller.proof()]
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

struct Teller<'a> {
    result: &'a RunResult,
    schedule: &'a Schedule,
    /// The first faulted link that was called.
    link: Option<String>,
}

impl Teller<'_> {
    fn setting(&self) -> Vec<String> {
        let header = &self.result.run.header;
        let mut said = Vec::new();
        let arms: Vec<String> = self.result.arms.iter().map(|a| a.name.clone()).collect();
        let repeats = match header.repeats {
            1 => "once".to_owned(),
            2 => "twice".to_owned(),
            n => format!("{n} times"),
        };
        let which = match arms.len() {
            1 => format!("The arm {} was run {repeats}", arms[0]),
            n => format!(
                "{n} arms ({}) were each run {repeats}, in turn, and met the same seeded load",
                list(&arms)
            ),
        };
        said.push(match self.rate() {
            Some(rate) => format!("{which}: about {} requests a second.", count(rate.round())),
            None => format!("{which}."),
        });
        let faults: Vec<String> = self
            .result
            .timeline
            .iter()
            .filter_map(|f| self.fault(f))
            .collect();
        let ground = ground::conditions(self.schedule);
        match (faults.is_empty(), ground.is_empty()) {
            (true, true) => said.push("Nothing was broken.".to_owned()),
            (true, false) => said.push("Nothing else was broken.".to_owned()),
            (false, _) => {}
        }
        // What was in force from the beginning is told before what came.
        let faults_from = said.len() - usize::from(faults.is_empty());
        said.splice(faults_from..faults_from, ground);
        said.extend(faults);
        said.extend(ground::windows(self.schedule, &self.result.checks));
        said
    }

    /// Requests a second before any fault, in any trial that counts.
    fn rate(&self) -> Option<f64> {
        let trials: Vec<&Trial> = self
            .result
            .arms
            .iter()
            .flat_map(|a| self.result.trials(&a.name))
            .collect();
        let of = |t: &&Trial| {
            let by_second = t.tallies(&Window::Before, &Selector::All);
            // The last second is cut by the fault.
            let whole = by_second.len().saturating_sub(1).max(1);
            let n: u64 = by_second.values().take(whole).map(Tally::requests).sum();
            (n > 0).then(|| n as f64 / whole as f64)
        };
        stats::median(&trials.iter().filter_map(of).collect::<Vec<_>>())
    }

    fn fault(&self, fault: &Value) -> Option<String> {
        let name = fault.get("name")?.as_str()?;
        let place = ["link", "part"]
            .iter()
            .find_map(|k| fault.get(*k)?.as_str());
        let action = fault.get("action").unwrap_or(&Value::Null);
        let place = match place {
            None => "the shop".to_owned(),
            Some(part) if action.get("process").is_some() => part.to_owned(),
            Some(link) => words::link(link),
        };
        let what = words::action(action);
        let planned = |key: &str| fault.get(key).and_then(Value::as_str).unwrap_or("?");
        let on: Vec<(f64, f64)> = self
            .result
            .arms
            .iter()
            .flat_map(|a| self.result.trials(&a.name))
            .take(1)
            .flat_map(|t| bands(t, f64::INFINITY))
            .filter(|b| b.fault == name)
            .map(|b| (b.from, b.to))
            .collect();
        Some(match on.as_slice() {
            [] => format!(
                "Planned at {} for {}: {place} {what}. It was not injected in a repeat that counts.",
                planned("at"),
                planned("for")
            ),
            [(from, to)] => format!(
                "The fault {name}: at second {} {place} {what}, for {}.",
                words::short_s(*from),
                seconds(to - from)
            ),
            [(from, _), .., (_, to)] => format!(
                "The fault {name}: {} times between second {} and second {} {place} {what}.",
                on.len(),
                words::short_s(*from),
                words::short_s(*to)
            ),
        })
    }

    fn arm(&self, arm: &ArmResult) -> String {
        let trials = self.result.trials(&arm.name);
        if trials.is_empty() {
            return "No repeat of this arm counts, so nothing can be said of it.".to_owned();
        }
        let faulted = trials.iter().any(|t| t.injected_at().is_some());
        let window = if faulted {
            Window::During
        } else {
            Window::Whole
        };
        let mut said = vec![served(&pooled(&trials, &window, &Selector::All), faulted)];
        said.extend(self.attempts(&trials, &window));
        said.extend(self.breaker(&trials));
        said.extend(self.recovery(&trials, arm));
        said.join(" ")
    }

    fn attempts(&self, trials: &[&Trial], window: &Window) -> Option<String> {
        let link = self.link.as_ref()?;
        let c = pooled(trials, window, &Selector::Link(link.clone())).counts;
        let times = (c.calls > 0).then(|| c.attempts as f64 / c.calls as f64)?;
        let judged = match times {
            x if x > 1.05 => ", which multiplies the load on it",
            x if x < 0.95 => ", which spares it",
            _ => "",
        };
        Some(format!(
            "It made {} on {} for {}: ×{times:.2}{judged}.",
            plural(c.attempts, "attempt"),
            words::link(link),
            plural(c.calls, "call"),
        ))
    }

    fn breaker(&self, trials: &[&Trial]) -> Option<String> {
        let link = self.link.as_ref()?;
        // The whole of a repeat needs no lengths.
        let unbounded = Lengths {
            duration_s: f64::INFINITY,
            recovering_s: 0.0,
        };
        let middle = |metric: Metric| {
            let of = |t: &&Trial| t.breaker_figure(metric, link, &Window::Whole, unbounded);
            let values: Vec<f64> = trials.iter().filter_map(of).collect();
            stats::median(&values).filter(|x| x.is_finite())
        };
        let opens = middle(Metric::Opens).filter(|n| *n > 0.0);
        if opens.is_none() {
            let any = trials.iter().any(|t| !t.breaker_links().is_empty());
            return (!any).then(|| "No breaker opened.".to_owned());
        }
        let opened = middle(Metric::OpenedWithin)
            .map_or_else(String::new, |s| format!(" {} into the fault", seconds(s)));
        let after = middle(Metric::OpenedAfterFailures).map_or_else(String::new, |n| {
            format!(", after {} failed attempts in a row", count(n))
        });
        let again = opens
            .filter(|n| *n >= 2.0)
            .map_or_else(String::new, |n| format!(", {} times in all", count(n)));
        let closed = match middle(Metric::ClosedWithin) {
            Some(s) => format!("it was closed {} after the clearing", seconds(s)),
            None => "it did not close again".to_owned(),
        };
        Some(format!(
            "Its breaker opened{opened}{after}{again}; {closed}."
        ))
    }

    fn recovery(&self, trials: &[&Trial], arm: &ArmResult) -> Option<String> {
        trials.iter().find_map(|t| t.cleared_at())?;
        let back = arm
            .repeats
            .iter()
            .filter(|r| r.total.recovery_s.is_some())
            .count();
        let of = arm.repeats.len();
        Some(match arm.summary.get("recovery_s") {
            None => "It never served as before again while it was watched.".to_owned(),
            Some(s) if back == of => {
                format!("It served as before again {}.", after(s.median))
            }
            Some(s) => format!(
                "It served as before again in {back} of {of} repeats, {}.",
                after(s.median)
            ),
        })
    }

    /// The arms that send most and least over the faulted link, against each other.
    fn compared(&self) -> Option<String> {
        let link = self.link.as_ref()?;
        let of = |arm: &ArmResult| {
            let trials = self.result.trials(&arm.name);
            let c = pooled(&trials, &Window::During, &Selector::Link(link.clone())).counts;
            (c.calls > 0).then(|| (arm.name.clone(), c.attempts as f64 / c.calls as f64))
        };
        let all: Vec<(String, f64)> = self.result.arms.iter().filter_map(of).collect();
        let most = all.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let least = all.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        if most.1 < 1.2 * least.1.max(0.01) {
            return None;
        }
        let times = if least.1 > 0.0 {
            format!(" ({} times as many)", count(round_two(most.1 / least.1)))
        } else {
            String::new()
        };
        Some(format!(
            "For each call that the broken link was wanted for, {} sent {:.2} attempts and {} sent {:.2}{times}.",
            most.0, most.1, least.0, least.1
        ))
    }

    fn facts(&self) -> Option<String> {
        let facts: Vec<Facts> = self
            .result
            .arms
            .iter()
            .flat_map(|a| self.result.trials(&a.name))
            .filter_map(|t| t.facts)
            .collect();
        let sum = |of: fn(&Facts) -> u64| facts.iter().map(of).sum::<u64>();
        let (made, lost) = (sum(|f| f.acknowledged), sum(|f| f.lost_orders));
        let (twice, over) = (sum(|f| f.duplicate_orders), sum(|f| f.oversold));
        (!facts.is_empty()).then(|| {
            if lost + twice + over == 0 {
                return format!(
                    "Of {} acknowledged none was lost and none made twice, and the stock adds up.",
                    plural(made, "order")
                );
            }
            format!(
                "Of {} acknowledged, {} lost and {} made twice; {} oversold.",
                plural(made, "order"),
                count(lost as f64),
                count(twice as f64),
                plural(over, "unit")
            )
        })
    }

    /// What shows that the faults did something.
    fn proof(&self) -> Option<String> {
        let repeats = || self.result.arms.iter().flat_map(|a| &a.repeats);
        if self.result.timeline.is_empty() || repeats().next().is_none() {
            return None;
        }
        let seen: u64 = repeats().map(|r| r.total.fault.seen).sum();
        let acted: Vec<u64> = repeats().filter_map(|r| r.total.fault.acted).collect();
        let counted = match acted.is_empty() {
            true => String::new(),
            false => format!(
                "the injectors counted {} and ",
                plural(acted.iter().sum(), "act")
            ),
        };
        Some(format!(
            "That the fault acted: {counted}{} inside its windows failed or were slower than before.",
            plural(seen, "attempt")
        ))
    }
}

fn after(s: f64) -> String {
    match s {
        // Recovery is told in whole seconds of the log; less than that is at once.
        s if s < 0.05 => "as soon as it was cleared".to_owned(),
        s => format!("{} after the clearing", seconds(s)),
    }
}

/// Two digits that count; more would claim too much.
fn round_two(x: f64) -> f64 {
    let unit = 10_f64.powf(x.abs().max(1.0).log10().floor() - 1.0);
    (x / unit).round() * unit
}

fn served(t: &Tally, faulted: bool) -> String {
    let Some(rate) = t.success_rate() else {
        return "No request fell into the fault.".to_owned();
    };
    let o = t.outcomes;
    let when = if faulted { "During the fault it" } else { "It" };
    let mut parts = Vec::new();
    if o.degraded > 0 {
        parts.push(format!("{} by a fallback", count(o.degraded as f64)));
    }
    if o.rejected > 0 {
        parts.push(format!("{} refused", count(o.rejected as f64)));
    }
    if o.failed > 0 {
        parts.push(format!("{} failed", count(o.failed as f64)));
    }
    let rest = match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", list(&parts)),
    };
    let slow = match (t.latency.quantile(0.5), t.latency.quantile(1.0)) {
        (Some(p50), Some(max)) => {
            format!(
                "; half were answered within {}, the longest took {}",
                seconds(p50),
                seconds(max)
            )
        }
        _ => String::new(),
    };
    format!(
        "{when} served {} of {}{rest}{slow}.",
        percent(rate),
        plural(t.requests(), "request")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_rounded_to_what_they_can_claim() {
        assert_eq!(round_two(90.5), 91.0);
        assert!((round_two(3.17) - 3.2).abs() < 1e-9);
        assert_eq!(round_two(1234.0), 1200.0);
    }

    #[test]
    fn nothing_served_is_said_plainly() {
        assert!(served(&Tally::default(), true).contains("No request"));
    }
}
