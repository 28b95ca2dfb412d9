//! The figures of one trial.

use std::collections::BTreeMap;

use loadtest::Outcome;

use super::seen::Seen;
use super::spans::seconds;
use super::told::{Did, Move, Request, Told};
use crate::checks::{Metric, percentile_needs};
use crate::figures::{FaultFigures, Figures, Total};
use crate::measure::BreakerLife;
use crate::requests::Row;
use crate::runlog::{BreakerState, Phase};

/// What was counted of one link in one phase.
#[derive(Clone, Copy, Default)]
struct Counts {
    calls: u64,
    attempts: u64,
    retries: u64,
    hedges: u64,
    shed: u64,
    wasted_us: u64,
}

type Links = BTreeMap<String, Counts>;

/// The figures of a trial as a whole and by phase. `rows` are its requests, in order.
pub(super) fn of(told: &Told, rows: &[Row]) -> (Total, BTreeMap<String, Figures>) {
    let mut seen = Seen::new(told);
    let mut links: BTreeMap<Phase, Links> = BTreeMap::new();
    for row in rows {
        if let Some(request) = told.requests.get(&row.request_id) {
            request.count(told, row.phase, &mut links, &mut seen);
        }
    }
    // The warm-up counts for nothing.
    links.remove(&Phase::WarmUp);
    let heard = !links.is_empty();
    let phase = |phase: Phase| {
        let none = Links::new();
        let links = links.get(&phase).unwrap_or(&none);
        let figures = figures(told, rows, Some(phase), (links, heard));
        (phase.as_str().to_owned(), figures)
    };
    let phases = Phase::COUNTED.into_iter().map(phase).collect();
    let all = together(links.values());
    let figures = figures(told, rows, None, (&all, heard));
    let faults = faults(told, &seen);
    let total = Total {
        figures,
        breaker: breakers(told, rows),
        recovery_s: recovery_s(told, rows),
        fault: FaultFigures {
            acted: told.acted.values().copied().reduce(|a, b| a + b),
            seen: faults.values().map(|f| f.seen).sum(),
        },
        faults,
        ..Total::default()
    };
    (total, phases)
}

impl Request {
    /// A request that met the fault may have made calls before it and after it: each has the
    /// phase of its own life.
    fn count(
        &self,
        told: &Told,
        of_request: Phase,
        links: &mut BTreeMap<Phase, Links>,
        seen: &mut Seen<'_>,
    ) {
        let phase = |life| match of_request {
            Phase::During => told.phase(life),
            other => other,
        };
        let mut at = |phase, link: &str, add: &dyn Fn(&mut Counts)| {
            let links: &mut Links = links.entry(phase).or_default();
            add(links.entry(link.to_owned()).or_default());
        };
        for a in &self.attempts {
            let phase = phase(self.life(&a.link, a.life));
            seen.attempt(a, phase);
            at(phase, &a.link, &|c| {
                c.attempts += 1;
                c.retries += u64::from(a.number > 1);
            });
        }
        for call in &self.calls {
            at(phase(call.life), &call.link, &|c| c.calls += 1);
        }
        for deed in &self.deeds {
            let life = self.life(&deed.link, (deed.at_us, deed.at_us));
            at(phase(life), &deed.link, &|c| match deed.what {
                Did::Hedge => c.hedges += 1,
                Did::Shed => c.shed += 1,
                Did::Waste(us) => c.wasted_us += us,
                Did::Else => {}
            });
        }
    }
}

fn together<'a>(phases: impl Iterator<Item = &'a Links>) -> Links {
    let mut all = Links::new();
    for (link, more) in phases.flatten() {
        let sum = all.entry(link.clone()).or_default();
        sum.calls += more.calls;
        sum.attempts += more.attempts;
        sum.retries += more.retries;
        sum.hedges += more.hedges;
        sum.shed += more.shed;
        sum.wasted_us += more.wasted_us;
    }
    all
}

fn success(row: &Row) -> bool {
    matches!(row.outcome, Outcome::Ok | Outcome::Degraded)
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// Of one phase, or without one of all that are counted.
fn figures(
    told: &Told,
    rows: &[Row],
    phase: Option<Phase>,
    (links, heard): (&Links, bool),
) -> Figures {
    let of = |r: &&Row| phase.map_or(r.phase != Phase::WarmUp, |p| r.phase == p);
    let rows_of: Vec<&Row> = rows.iter().filter(of).collect();
    let count = |o: Outcome| rows_of.iter().filter(|r| r.outcome == o).count() as u64;
    let mut us: Vec<i64> = rows_of
        .iter()
        .map(|r| r.ended_us - r.scheduled_us)
        .collect();
    us.sort_unstable();
    let (n, good) = (
        rows_of.len() as u64,
        count(Outcome::Ok) + count(Outcome::Degraded),
    );
    let told_when = |r: &&&Row| r.retry_after && !success(r);
    let span = told.span(phase);
    let length = span.as_ref().map_or(0.0, |s| s.end - s.start);
    let sum = |of: fn(&Counts) -> u64| links.values().map(of).sum::<u64>();
    let by_link = |of: fn(&Counts) -> u64| {
        let all = links.iter().map(|(link, c)| (link.clone(), of(c)));
        all.filter(|(_, n)| *n > 0).collect()
    };
    let times = |(link, c): (&String, &Counts)| Some((link.clone(), share(c.attempts, c.calls)?));
    Figures {
        requests: n,
        ok: count(Outcome::Ok),
        degraded: count(Outcome::Degraded),
        rejected: count(Outcome::Rejected),
        failed: count(Outcome::Failed),
        success_rate: share(good, n),
        goodput_rps: (length > 0.0).then(|| good as f64 / length),
        p50_ms: percentile(&us, 0.5, Metric::P50),
        p90_ms: percentile(&us, 0.9, Metric::P90),
        p99_ms: percentile(&us, 0.99, Metric::P99),
        p999_ms: percentile(&us, 0.999, Metric::P999),
        max_ms: us.last().map(|us| *us as f64 / 1e3),
        retry_after: rows_of.iter().filter(told_when).count() as u64,
        in_flight: span.and_then(|span| in_flight(rows, &span)),
        calls: by_link(|c| c.calls),
        attempts: sum(|c| c.attempts),
        retries: sum(|c| c.retries),
        hedges: sum(|c| c.hedges),
        shed: sum(|c| c.shed),
        attempts_by_link: by_link(|c| c.attempts),
        amplification: links.iter().filter_map(times).collect(),
        wasted_work_s: heard.then(|| sum(|c| c.wasted_us) as f64 / 1e6),
    }
}

/// Between two order statistics around rank (n + 1/3) q + 1/3.
fn percentile(us: &[i64], q: f64, metric: Metric) -> Option<f64> {
    if (us.len() as u64) < percentile_needs(metric)? {
        return None;
    }
    let rank = (us.len() as f64 + 1.0 / 3.0) * q + 1.0 / 3.0;
    let order = |r: f64| us[(r as usize).clamp(1, us.len()) - 1] as f64 / 1e3;
    let (low, high) = (order(rank.floor()), order(rank.floor() + 1.0));
    Some(low + rank.fract() * (high - low))
}

/// The most requests under way at the end of any tenth of a second.
fn in_flight(rows: &[Row], span: &std::ops::Range<f64>) -> Option<u64> {
    let tenth = |us: i64| us.div_euclid(100_000);
    let mut changes: BTreeMap<i64, i64> = BTreeMap::new();
    for row in rows {
        *changes.entry(tenth(row.started_us)).or_default() += 1;
        *changes.entry(tenth(row.ended_us)).or_default() -= 1;
    }
    let (first, last) = (*changes.keys().next()?, *changes.keys().next_back()?);
    let (mut under_way, mut most) = (0, None);
    for tenth in first..=last {
        under_way += changes.get(&tenth).copied().unwrap_or_default();
        if span.contains(&(tenth as f64 / 10.0 + 0.05)) {
            most = most.max(u64::try_from(under_way).ok());
        }
    }
    most
}

/// Successes and requests by the second in which they ended.
fn by_second(rows: &[Row]) -> BTreeMap<i64, (u64, u64)> {
    let mut seconds: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.phase != Phase::WarmUp) {
        let second = seconds.entry(row.ended_us.div_euclid(1_000_000));
        let (good, all) = second.or_default();
        *good += u64::from(success(row));
        *all += 1;
    }
    seconds
}

/// From the clearing to the first of three seconds at 99 % of the success before.
fn recovery_s(told: &Told, rows: &[Row]) -> Option<f64> {
    let cleared = told.cleared_s()?;
    let before: Vec<&Row> = rows.iter().filter(|r| r.phase == Phase::Before).collect();
    let good = before.iter().filter(|r| success(r)).count() as u64;
    let least = 0.99 * share(good, before.len() as u64)?;
    let by_second = by_second(rows);
    let well = |s: i64| {
        let rate = by_second.get(&s).and_then(|(good, all)| share(*good, *all));
        rate.is_some_and(|rate| rate >= least)
    };
    let last = *by_second.keys().next_back()?;
    let first = (cleared.floor() as i64..=last - 2).find(|s| (*s..*s + 3).all(well))?;
    Some((first as f64 - cleared).max(0.0))
}

fn breakers(told: &Told, rows: &[Row]) -> BTreeMap<String, BreakerLife> {
    let end = by_second(rows).keys().next_back().map_or(0, |s| s + 1) as f64;
    let mut links: BTreeMap<String, Vec<&Move>> = BTreeMap::new();
    for m in told.moves.iter().filter(|m| m.at_us >= 0) {
        links.entry(m.link.clone()).or_default().push(m);
    }
    let life = |(link, moves): (String, Vec<&Move>)| {
        let at = |m: &&Move| seconds(m.at_us);
        let opened = |m: &&&Move| m.to == BreakerState::Open;
        let closed = |m: &&&Move| m.to == BreakerState::Closed;
        let until = moves.iter().map(at).skip(1).chain([end]);
        let open = moves.iter().zip(until).filter(|(m, _)| opened(m));
        let life = BreakerLife {
            opened_at_s: moves.iter().find(opened).map(at),
            closed_at_s: moves.iter().rfind(closed).map(at),
            opens: moves.iter().filter(opened).count() as u64,
            open_s: open.map(|(m, until)| (until - at(m)).max(0.0)).sum(),
        };
        (link, life)
    };
    links.into_iter().map(life).collect()
}

fn faults(told: &Told, seen: &Seen<'_>) -> BTreeMap<String, FaultFigures> {
    let names = seen
        .by_fault
        .keys()
        .chain(&told.conditions)
        .chain(&told.told_acted);
    let figures = |name: &String| {
        let figures = FaultFigures {
            acted: told.acted.get(name).copied(),
            seen: seen.by_fault.get(name).copied().unwrap_or_default(),
        };
        (name.clone(), figures)
    };
    names.map(figures).collect()
}
