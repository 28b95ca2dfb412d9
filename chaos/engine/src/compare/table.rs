//! The comparison for a terminal.

use std::fmt::Write as _;

use super::{Change, Comparison, Row};
use crate::table::grid;
use crate::verdict::Verdict;

/// Figures that are always shown, so that "no difference" is seen to have been looked at.
const HEADLINES: [&str; 7] = [
    "success_rate",
    "goodput_rps",
    "p50_ms",
    "p99_ms",
    "during.success_rate",
    "during.p99_ms",
    "recovery_s",
];

/// Three digits or so.
pub(super) fn number(x: f64) -> String {
    match x.abs() {
        a if x.fract() == 0.0 && a < 1e9 => format!("{x:.0}"),
        a if a >= 100.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 1.0 => format!("{x:.2}"),
        _ => format!("{x:.4}"),
    }
}

impl Change {
    /// The mark of a row.
    const fn mark(self) -> &'static str {
        match self {
            Self::Unknown => "~",
            Self::Same => "=",
            Self::Different => "differs",
            Self::Better => "better",
            Self::Worse => "WORSE",
        }
    }
}

impl Comparison {
    /// The comparison as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string can't fail.
        let headline = match self.regressions.len() {
            0 => "NO REGRESSION".to_owned(),
            1 => "REGRESSION".to_owned(),
            n => format!("{n} REGRESSIONS"),
        };
        let _ = writeln!(out, "{headline}  {}", self.scenario);
        for (name, side) in [("base", &self.base), ("new ", &self.new)] {
            let _ = writeln!(
                out,
                "  {name}  {} · version {} · seed {} · {}",
                side.verdict.words(),
                side.version,
                side.seed,
                side.started_at
            );
        }
        for line in &self.regressions {
            let _ = writeln!(out, "  worse: {line}");
        }
        for line in &self.notes {
            let _ = writeln!(out, "  note: {line}");
        }
        out.push('\n');
        self.figures(&mut out);
        self.moved_checks(&mut out);
        let how = if self.paired {
            "paired by repeat, since the runs share their seeds"
        } else {
            "Welch's, since the runs have seeds of their own"
        };
        let _ = writeln!(
            out,
            "difference: new less base, [95 % interval] ({how}). `~`: nothing can be said, `=`: none worth\nnaming. What else is like that is left out; the JSON has it all."
        );
        out
    }

    fn figures(&self, out: &mut String) {
        let cells = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
        let mut rows = vec![cells(["arm", "figure", "base", "new", "difference", ""])];
        for arm in &self.arms {
            for row in arm.rows.iter().filter(|r| shown(r)) {
                let interval = match (row.low, row.high) {
                    (Some(low), Some(high)) => {
                        let value = number(row.new - row.base);
                        format!("{value} [{} to {}]", number(low), number(high))
                    }
                    _ => number(row.new - row.base),
                };
                rows.push(vec![
                    arm.name.clone(),
                    row.figure.clone(),
                    number(row.base),
                    number(row.new),
                    interval,
                    row.change.mark().to_owned(),
                ]);
            }
        }
        grid(out, &rows);
        out.push('\n');
    }

    fn moved_checks(&self, out: &mut String) {
        let words = |v: Option<Verdict>| v.map_or("not there", Verdict::words);
        let moved: Vec<_> = self.checks.iter().filter(|c| c.base != c.new).collect();
        if moved.is_empty() {
            let n = self.checks.len();
            let _ = writeln!(out, "all {n} checks came out as before");
        }
        for check in moved {
            let (base, new) = (words(check.base), words(check.new));
            let _ = writeln!(out, "check {}: {base}, now {new}", check.id);
        }
        out.push('\n');
    }
}

fn shown(row: &Row) -> bool {
    let told = matches!(
        row.change,
        Change::Different | Change::Better | Change::Worse
    );
    told || HEADLINES.contains(&row.figure.as_str())
}
