//! Latency as a heat map over a logarithmic axis, with the median, p95, p99 and
//! the longest on it; never an average.

use chaos_engine::latency::Latency;

use super::plot::{Key, Limit, Path, Plot};
use crate::data::{ArmData, Data, Second};
use crate::markup::Markup;
use crate::scale::Up;
use crate::words;

const HEIGHT: f64 = 150.0;
/// Columns of the map; a longer run has several seconds in each. Counts add up and
/// the longest stays the longest, so nothing is lost but time.
const COLUMNS: usize = 150;
const ROWS_A_DECADE: f64 = 6.0;
/// Shades, by the logarithm of a field's share of the fullest.
const SHADES: [&str; 5] = ["heat1", "heat2", "heat3", "heat4", "heat5"];

/// The lines, from below: class and word.
pub(crate) const LINES: [(&str, &str); 4] = [
    ("p50", "p50"),
    ("p95", "p95"),
    ("p99", "p99"),
    ("longest", "max"),
];

const QUANTILES: [f64; 4] = [0.5, 0.95, 0.99, 1.0];

/// `reach`: the axis goes up to it, unless that would flatten what is drawn.
pub(super) fn heat_map(data: &Data, arm: &ArmData, limits: Vec<Limit>, reach: f64) -> Plot {
    let (low, high) = data.latencies();
    let (low, high) = if low.is_finite() {
        (low, high)
    } else {
        (0.001, 1.0)
    };
    let high = if reach <= 100.0 * high {
        high.max(reach)
    } else {
        high
    };
    let up = Up::log(HEIGHT, low, high);
    let columns = columns(arm);
    let mut drawn = fields(&columns, &up);
    for (i, (class, _)) in LINES.iter().enumerate() {
        drawn.push(line(&columns, QUANTILES[i], &up).draw(class));
    }
    let mut keys: Vec<Key> = LINES
        .iter()
        .rev()
        .map(|(class, word)| Key {
            class,
            word: (*word).to_owned(),
            line: true,
        })
        .collect();
    for (class, word) in [("heat1", "few"), ("heat5", "many")] {
        let word = word.to_owned();
        keys.push(Key {
            class,
            word,
            line: false,
        });
    }
    Plot {
        kind: "latency".to_owned(),
        title: match width(arm) {
            1 => "Latency".to_owned(),
            n => format!("Latency, {n} s a column"),
        },
        keys,
        up,
        height: HEIGHT,
        tick: words::seconds,
        says: heat_words(arm),
        drawn,
        limits,
    }
}

fn heat_words(arm: &ArmData) -> String {
    let all = Latency::sum(arm.seconds.iter().map(|s| &s.latency));
    let q = |share| {
        all.quantile(share)
            .map_or_else(|| "unknown".to_owned(), words::seconds)
    };
    format!(
        "Latency of requests in arm {}, over time, logarithmic: median {}, 95th percentile {}, 99th {}, longest {}",
        arm.name,
        q(0.5),
        q(0.95),
        q(0.99),
        q(1.0)
    )
}

/// A stretch of time with its latencies.
struct Column {
    from: f64,
    to: f64,
    latency: Latency,
}

fn columns(arm: &ArmData) -> Vec<Column> {
    let seconds = width(arm);
    let column = |part: &[Second]| Column {
        from: part[0].at as f64,
        to: part[0].at as f64 + part.len() as f64,
        latency: Latency::sum(part.iter().map(|s| &s.latency)),
    };
    arm.seconds.chunks(seconds).map(column).collect()
}

/// How many seconds a column has.
fn width(arm: &ArmData) -> usize {
    arm.seconds.len().div_ceil(COLUMNS).max(1)
}

fn fields(columns: &[Column], up: &Up) -> Markup {
    let edges = edges(up);
    let counted: Vec<Vec<u64>> = columns.iter().map(|c| counts(&c.latency, &edges)).collect();
    let fullest = counted.iter().flatten().copied().max().unwrap_or(0);
    let mut shades: Vec<Path> = SHADES.iter().map(|_| Path::default()).collect();
    for (column, counts) in columns.iter().zip(&counted) {
        for (row, n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let path = &mut shades[shade(*n, fullest)];
            let (bottom, top) = (up.y(edges[row]), up.y(edges[row + 1]));
            path.move_to(column.from, bottom);
            path.up_to(top);
            path.across(column.to);
            path.up_to(bottom);
            path.close();
        }
    }
    let drawn = shades
        .into_iter()
        .zip(SHADES)
        .map(|(path, class)| path.draw(class));
    drawn.collect()
}

fn edges(up: &Up) -> Vec<f64> {
    let decades = (up.high() / up.low()).log10().round();
    let rows = (decades * ROWS_A_DECADE) as u32;
    (0..=rows)
        .map(|i| up.low() * 10_f64.powf(f64::from(i) / ROWS_A_DECADE))
        .collect()
}

/// How many lie between each two edges; those beyond the ends count at the ends.
fn counts(latency: &Latency, edges: &[f64]) -> Vec<u64> {
    let rows = edges.len() - 1;
    let mut passed = 0;
    (1..=rows)
        .map(|i| {
            let upto = if i == rows {
                latency.len()
            } else {
                latency.within(edges[i])
            };
            let here = upto - passed;
            passed = upto;
            here
        })
        .collect()
}

fn shade(n: u64, fullest: u64) -> usize {
    let share = (1.0 + n as f64).ln() / (1.0 + fullest.max(1) as f64).ln();
    ((share * SHADES.len() as f64).ceil() as usize).clamp(1, SHADES.len()) - 1
}

fn line(columns: &[Column], share: f64, up: &Up) -> Path {
    let mut path = Path::default();
    let mut broken = true;
    for column in columns {
        let middle = f64::midpoint(column.from, column.to);
        // A stretch without requests breaks the line.
        match column.latency.quantile(share).map(|s| up.y(s)) {
            None => broken = true,
            Some(y) if broken => {
                path.move_to(middle, y);
                broken = false;
            }
            Some(y) => path.line_to(middle, y),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_in_one_field() {
        let up = Up::log(HEIGHT, 0.001, 1.0);
        let edges = edges(&up);
        assert_eq!(edges.len(), 19);
        assert!((edges[18] - 1.0).abs() < 1e-9);
        assert_eq!(counts(&Latency::default(), &edges), vec![0; 18]);
    }

    #[test]
    fn shades_go_from_the_first_to_the_last() {
        assert_eq!(shade(1, 1_000), 0);
        assert_eq!(shade(1_000, 1_000), 4);
        assert_eq!(shade(1, 1), 4);
    }
}
