//! Axes with round numbers on them, linear or logarithmic, in one type.
//!
//! plotters has a type for each kind of axis, so a chart would be drawn by four copies of the same
//! code; and its ticks on a logarithmic axis are too many or too few. This one is both kinds and
//! chooses its ticks itself.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::chart::{Axis, Scale};

/// About how many ticks a linear axis has.
const TICKS: f64 = 8.0;

/// An axis with its ends and ticks.
#[derive(Clone, Debug)]
pub(super) struct Coord {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Coord {
    /// The axis for these values.
    pub(super) fn fit(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = axis.range.unwrap_or_else(|| ends(axis.scale, values));
        let high = if high > low { high } else { low + 1.0 };
        let ticks = match axis.scale {
            Scale::Linear => linear_ticks(low, high),
            Scale::Log => log_ticks(low, high),
        };
        Self {
            scale: axis.scale,
            low,
            high,
            ticks: ticks.into_iter().map(|tick| (tick, plain(tick))).collect(),
        }
    }

    /// One unit for each name, its tick in the middle.
    pub(super) fn names(names: &[String]) -> Self {
        let ticks = names
            .iter()
            .enumerate()
            .map(|(i, name)| (i as f64 + 0.5, name.clone()));
        Self {
            scale: Scale::Linear,
            low: 0.0,
            high: names.len().max(1) as f64,
            ticks: ticks.collect(),
        }
    }

    /// Whether the value can be shown.
    pub(super) fn shows(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }

    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }
}

impl Ranged for Coord {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (from, to) = (f64::from(limit.0), f64::from(limit.1));
        (from + self.place(*value) * (to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // plotters asks again for a finer grid, which these pictures don't have.
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(tick, _)| *tick).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Coord {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks
            .iter()
            .find(|(tick, _)| tick == value)
            .map_or_else(|| plain(*value), |(_, name)| name.clone())
    }
}

fn ends(scale: Scale, values: impl Iterator<Item = f64>) -> (f64, f64) {
    let fits = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
    let (low, high) = values
        .filter(fits)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    match scale {
        _ if low > high => (1.0, 10.0),
        Scale::Linear => (low.min(0.0), high * 1.05),
        Scale::Log => (low / 1.3, high * 1.3),
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / TICKS;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= raw)
        .unwrap_or(10.0 * power);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Powers of ten; on a short axis 2 and 5 times those as well.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let factors: &[f64] = if decades > 3.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last)
        .flat_map(|power| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(power))
        })
        .filter(|tick| (low..=high).contains(tick))
        .collect()
}

/// As few digits as tell it apart, with thousands set off.
fn plain(value: f64) -> String {
    let digits = match value.abs() {
        v if v == 0.0 || v >= 10.0 => 0,
        v => (1.0 - v.log10().floor()).clamp(0.0, 9.0) as usize,
    };
    let text = format!("{value:.digits$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    grouped(text)
}

fn grouped(text: &str) -> String {
    let (sign, rest) = text
        .strip_prefix('-')
        .map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    let mut out = String::from(sign);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        assert_eq!(
            linear_ticks(0.0, 100.0),
            [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
        );
        assert_eq!(log_ticks(9.0, 110.0), [10.0, 20.0, 50.0, 100.0]);
        assert_eq!(
            log_ticks(0.9, 11_000.0),
            [1.0, 10.0, 100.0, 1_000.0, 10_000.0]
        );
    }

    #[test]
    fn figures_are_plain() {
        assert_eq!(plain(0.0), "0");
        assert_eq!(plain(0.25), "0.25");
        assert_eq!(plain(2.5), "2.5");
        assert_eq!(plain(100_000.0), "100\u{a0}000");
        assert_eq!(plain(-1_000.0), "-1\u{a0}000");
        assert_eq!(plain(0.000_1), "0.0001");
    }

    #[test]
    fn both_kinds_map_their_ends_to_the_limits() {
        for axis in [Axis::linear("x"), Axis::log("x")] {
            let coord = Coord::fit(&axis.between(1.0, 100.0), std::iter::empty());
            assert_eq!(coord.map(&1.0, (0, 200)), 0);
            assert_eq!(coord.map(&100.0, (0, 200)), 200);
        }
        let log = Coord::fit(&Axis::log("x").between(1.0, 100.0), std::iter::empty());
        assert_eq!(log.map(&10.0, (0, 200)), 100);
        assert!(!log.shows(0.0));
    }

    #[test]
    fn an_axis_without_values_still_has_a_length() {
        for axis in [Axis::linear("x"), Axis::log("x")] {
            let coord = Coord::fit(&axis, std::iter::empty());
            assert!(coord.range().end > coord.range().start);
        }
    }
}
