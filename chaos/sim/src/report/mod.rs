//! What a simulation found: rows for machines, tables for people, a picture for both.

mod axis;
pub mod chart;
mod draw;
mod legend;
mod rows;
mod table;

pub use chart::Chart;
pub use rows::{Rows, Value};
pub use table::Table;

use crate::error::SimError;

/// The outcome of one simulation. Same parameters and seed, same outcome, to the byte.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario.
    pub name: &'static str,
    /// What it shows, in a line.
    pub title: String,
    /// The seed it ran with.
    pub seed: u64,
    /// Its parameters, as people write them.
    pub parameters: Vec<(&'static str, String)>,
    /// What was measured, one row a cell.
    pub rows: Rows,
    /// The same for people to read, where other tables do that better than the rows.
    pub tables: Vec<Table>,
    /// What to know when reading the figures.
    pub notes: Vec<String>,
    /// The picture.
    pub chart: Chart,
}

impl Outcome {
    /// For a terminal: title, parameters, tables, notes.
    pub fn text(&self) -> String {
        let parameters: Vec<String> = self
            .parameters
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let mut text = format!("{}\n{}\n", self.title, parameters.join(", "));
        for table in &self.tables {
            text.push('\n');
            text.push_str(&table.text());
        }
        if self.tables.is_empty() {
            text.push('\n');
            text.push_str(&self.rows.table().text());
        }
        for note in &self.notes {
            text.push('\n');
            text.push_str(note);
            text.push('\n');
        }
        text
    }

    /// The rows as a JSON array, one object a line, ending in a line break.
    pub fn json(&self) -> String {
        self.rows.json()
    }

    /// The picture as an SVG document.
    ///
    /// # Errors
    /// [`SimError::Picture`] when it can't be drawn, as with a figure that is no number.
    pub fn svg(&self) -> Result<String, SimError> {
        self.chart.svg()
    }
}
