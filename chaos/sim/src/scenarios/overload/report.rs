//! What `overload` prints and draws.

use resilience::{Priority, server};

use super::world::{Fate, MIX, Seen};
use super::{BY_LEVEL, BY_LEVEL_LOAD, Params, Spot};
use crate::report::chart::{Axis, Chart, Lines, Panel, Series, Style};
use crate::report::{Rows, Table, Value};

/// The name of all callers together, where they aren't told apart by level.
const EVERYBODY: &str = "all";

/// The preset without a limit.
const UNLIMITED: &str = "unlimited";

/// From which load on (per cent of capacity) limiters are shown close up.
const CLOSE_UP_FROM: f64 = 85.0;

/// Answers in time, as a share of what the server can do.
pub(super) fn goodput(params: &Params, fate: Fate) -> f64 {
    fate.answered as f64 / (params.capacity * params.duration.as_secs_f64())
}

fn of_asked(count: u64, fate: Fate) -> f64 {
    count as f64 / fate.asked.max(1) as f64
}

pub(super) fn rows(params: &Params, spots: &[Spot], seen: &[Seen]) -> Rows {
    let mut rows = Rows::new([
        "limiter",
        "callers",
        "load",
        "goodput_share",
        "answered_share",
        "refused_share",
        "wasted_share",
        "limit",
    ]);
    for (spot, seen) in spots.iter().zip(seen) {
        for (callers, fate) in groups(*spot, seen) {
            rows.push([
                Value::name(spot.limiter),
                Value::name(callers),
                Value::Real(spot.load, 3),
                Value::Real(goodput(params, fate), 4),
                Value::Real(of_asked(fate.answered, fate), 4),
                Value::Real(of_asked(fate.refused, fate), 4),
                Value::Real(seen.wasted, 4),
                // Without a limit: null.
                Value::Real(seen.limit.map_or(f64::INFINITY, f64::from), 0),
            ]);
        }
    }
    rows
}

/// All callers of a cell; where they are of all levels, by level, most important first.
fn groups(spot: Spot, seen: &Seen) -> Vec<(&'static str, Fate)> {
    if !spot.mixed {
        return vec![(EVERYBODY, seen.all())];
    }
    let levels = Priority::ALL.into_iter().rev();
    levels
        .map(|level| (level.as_str(), seen.fates[level as usize]))
        .collect()
}

/// The cells of one limiter where callers are alike, by load.
fn of<'a>(
    limiter: &'a str,
    spots: &'a [Spot],
    seen: &'a [Seen],
) -> impl Iterator<Item = (Spot, &'a Seen)> {
    spots
        .iter()
        .copied()
        .zip(seen)
        .filter(move |(spot, _)| spot.limiter == limiter && !spot.mixed)
}

pub(super) fn tables(params: &Params, spots: &[Spot], seen: &[Seen]) -> Vec<Table> {
    let by_load = |title: &str, cell: &dyn Fn(&Seen) -> String| {
        let limiters = server::preset::names();
        let mut table = Table::new(title, ["load"].iter().chain(limiters).copied());
        for (at, load) in params.loads.iter().enumerate() {
            let cells = limiters.iter().map(|limiter| {
                of(limiter, spots, seen)
                    .nth(at)
                    .map_or_else(String::new, |(_, seen)| cell(seen))
            });
            table.push(std::iter::once(percent(*load)).chain(cells));
        }
        table
    };
    vec![
        by_load("Answers in time, in per cent of capacity", &|seen| {
            percent(goodput(params, seen.all()))
        }),
        by_load(
            "Work for callers who have left, in per cent of the work",
            &|seen| percent(seen.wasted),
        ),
        by_load("The limit at the end", &|seen| {
            seen.limit
                .map_or_else(|| "-".to_owned(), |limit| limit.to_string())
        }),
        by_level(spots, seen),
    ]
}

fn by_level(spots: &[Spot], seen: &[Seen]) -> Table {
    let title = format!(
        "{BY_LEVEL} at {} % of capacity, callers of all levels: per cent of each level",
        percent(BY_LEVEL_LOAD)
    );
    let mut table = Table::new(title, ["level", "offered", "answered", "refused"]);
    let mixed = spots.iter().zip(seen).filter(|(spot, _)| spot.mixed);
    for (spot, seen) in mixed {
        for ((level, fate), share) in groups(*spot, seen).into_iter().zip(MIX.iter().rev()) {
            table.push([
                level.to_owned(),
                format!("{} % of capacity", percent(share * spot.load)),
                tenths(of_asked(fate.answered, fate)),
                tenths(of_asked(fate.refused, fate)),
            ]);
        }
    }
    table
}

pub(super) fn notes() -> Vec<String> {
    vec![
        "Load in per cent of capacity. An answer is in time when its caller is still there; what \
         is neither answered nor refused has left. Limits, waits and AIMD's time are fitted to \
         this server (docs/SIMULATOR.md says how); what an adaptive limit does is its own."
            .to_owned(),
    ]
}

pub(super) fn chart(params: &Params, spots: &[Spot], seen: &[Seen]) -> Chart {
    let most = params.loads.iter().copied().fold(1.0, f64::max) * 100.0;
    let whole = Lines {
        title: format!(
            "capacity {} requests/s, callers leave after {}",
            params.capacity,
            humantime::format_duration(params.timeout)
        ),
        x: Axis::linear("offered load (% of capacity)"),
        y: Axis::linear("answers in time (% of capacity)").between(0.0, 110.0),
        series: curves(params, spots, seen)
            .chain([best([(0.0, 0.0), (100.0, 100.0), (most, 100.0)])])
            .collect(),
    };
    let panels = [Some(whole), close_up(params, spots, seen, most)];
    Chart {
        title: "What a server gets done in time, by its limiter".to_owned(),
        panels: panels.into_iter().flatten().map(Panel::Lines).collect(),
    }
}

/// A curve for each limiter, in per cent.
fn curves(params: &Params, spots: &[Spot], seen: &[Seen]) -> impl Iterator<Item = Series> {
    server::preset::names().iter().map(|limiter| {
        let mut points: Vec<(f64, f64)> = of(limiter, spots, seen)
            .map(|(spot, seen)| (spot.load * 100.0, goodput(params, seen.all()) * 100.0))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series {
            name: (*limiter).to_owned(),
            style: Style::Marked,
            points,
        }
    })
}

/// What no limiter can exceed.
fn best<const N: usize>(points: [(f64, f64); N]) -> Series {
    Series {
        name: "the most there is".to_owned(),
        style: Style::Dashed,
        points: points.into(),
    }
}

/// The limiters alone, where they differ: from just below capacity on. `None` when no such load
/// was asked for.
fn close_up(params: &Params, spots: &[Spot], seen: &[Seen], most: f64) -> Option<Lines> {
    let mut series: Vec<Series> = curves(params, spots, seen)
        .filter(|series| series.name != UNLIMITED)
        .collect();
    for series in &mut series {
        series.points.retain(|(load, _)| *load >= CLOSE_UP_FROM);
    }
    let heights = series.iter().flat_map(|series| &series.points);
    let (least, greatest) = heights.fold((f64::INFINITY, 100.0_f64), |(least, greatest), point| {
        (least.min(point.1), greatest.max(point.1))
    });
    if !least.is_finite() {
        return None;
    }
    series.push(best([(100.0, 100.0), (most.max(101.0), 100.0)]));
    let low = (least / 5.0).floor() * 5.0;
    Some(Lines {
        title: "with a limit, around capacity and above".to_owned(),
        x: Axis::linear("offered load (% of capacity)").between(CLOSE_UP_FROM, most.max(101.0)),
        y: Axis::linear("answers in time (% of capacity)").between(low, greatest + 1.0),
        series,
    })
}

fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

fn tenths(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}
