//! What was found, as rows, tables and a picture.

use super::rules::Rule;
use super::{Cell, Measured};
use crate::report::chart::{Axis, Chart, Lines, Panel, Series, Style};
use crate::report::{Rows, Table, Value};

pub(super) fn rows(cells: &[Cell], measured: &[Measured]) -> Rows {
    let mut rows = Rows::new([
        "rule",
        "failure",
        "breakers",
        "calls",
        "calls_error",
        "calls_expected",
        "z",
        "full_window",
        "full_window_expected",
        "full_window_z",
    ]);
    for (cell, measured) in cells.iter().zip(measured) {
        rows.push([
            Value::name(cell.rule.name()),
            Value::Real(cell.failure, 3),
            Value::Count(measured.breakers.into()),
            Value::Real(measured.calls, 2),
            Value::Real(measured.calls_error, 2),
            Value::Real(measured.calls_expected, 2),
            Value::Real(measured.calls_z, 2),
            Value::Real(measured.full, 4),
            Value::Real(measured.full_expected, 4),
            Value::Real(measured.full_z, 2),
        ]);
    }
    rows
}

pub(super) fn tables(cells: &[Cell], measured: &[Measured]) -> Vec<Table> {
    let number = |value: f64, digits: usize| match value.is_finite() {
        true => format!("{value:.digits$}"),
        false => "-".to_owned(),
    };
    let mut opens = Table::new(
        "calls until it opens, on average",
        ["rule", "failure", "calls", "±", "expected", "z", "breakers"],
    );
    let mut full = Table::new(
        "share of given full windows that open",
        ["rule", "failure", "share", "expected", "z"],
    );
    for (cell, seen) in cells.iter().zip(measured) {
        let name = [cell.rule.name(), cell.failure.to_string()];
        opens.push(name.clone().into_iter().chain([
            number(seen.calls, 2),
            number(seen.calls_error, 2),
            number(seen.calls_expected, 2),
            number(seen.calls_z, 2),
            seen.breakers.to_string(),
        ]));
        if matches!(cell.rule, Rule::Window(_)) {
            full.push(name.into_iter().chain([
                number(seen.full, 4),
                number(seen.full_expected, 4),
                number(seen.full_z, 2),
            ]));
        }
    }
    vec![opens, full]
}

/// Both panels have marks for what was measured and a line for what theory says, if it does.
pub(super) fn chart(cells: &[Cell], measured: &[Measured]) -> Chart {
    Chart {
        title: "Detection: how soon a breaker notices".to_owned(),
        panels: vec![
            Panel::Lines(Lines {
                title: "Until it opens (dots: measured; a window's line only joins them)"
                    .to_owned(),
                x: Axis::linear("calls that fail (%)").between(0.0, 100.0),
                y: Axis::log("mean calls until it opens"),
                series: series(cells, measured, |seen| seen.calls, Rule::calls_expected),
            }),
            Panel::Lines(Lines {
                title: "One given full window (dots: measured, lines: binomial)".to_owned(),
                x: Axis::linear("calls that fail (%)").between(0.0, 100.0),
                y: Axis::linear("windows that open (%)").between(0.0, 105.0),
                series: series(
                    cells,
                    measured,
                    |seen| seen.full * 100.0,
                    |rule, failure| match rule {
                        Rule::Consecutive(_) => None,
                        Rule::Window(window) => Some(window.full_expected(failure) * 100.0),
                    },
                ),
            }),
        ],
    }
}

fn series(
    cells: &[Cell],
    measured: &[Measured],
    figure: fn(&Measured) -> f64,
    theory: fn(Rule, f64) -> Option<f64>,
) -> Vec<Series> {
    let lowest = cells.iter().map(|cell| cell.failure).fold(1.0, f64::min);
    let steps = (0..=100).map(|step| lowest + (1.0 - lowest) * f64::from(step) / 100.0);
    let mut all = Vec::new();
    // A rule's cells stand together.
    for group in cells.chunk_by(|a, b| a.rule == b.rule) {
        let rule = group[0].rule;
        let mine = cells
            .iter()
            .zip(measured)
            .filter(|(cell, _)| cell.rule == rule);
        let seen = mine.map(|(cell, seen)| (cell.failure * 100.0, figure(seen)));
        let seen: Vec<_> = seen.filter(|point| point.1.is_finite()).collect();
        let line = steps.clone();
        let line: Vec<_> = line
            .filter_map(|p| Some((p * 100.0, theory(rule, p)?)))
            .collect();
        let of = |style, points| Series {
            name: rule.name(),
            style,
            points,
        };
        match (line.is_empty(), seen.is_empty()) {
            (true, true) => {}
            (true, false) => all.push(of(Style::Marked, seen)),
            _ => all.extend([of(Style::Line, line), of(Style::Marks, seen)]),
        }
    }
    all
}
