//! A table for a terminal.

/// Rows of text under a head, with a title.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table; an empty title isn't shown.
    pub fn new(
        title: impl Into<String>,
        head: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            title: title.into(),
            rows: vec![head.into_iter().map(Into::into).collect()],
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// Whether it has a head only.
    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Columns as wide as their widest cell, two blanks apart; figures stand to the right.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let layout: Vec<(usize, bool)> = (0..columns)
            .map(|column| (self.width(column), self.is_figures(column)))
            .collect();
        let mut text = String::new();
        if !self.title.is_empty() {
            text.push_str(&self.title);
            text.push('\n');
        }
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&layout)
                .map(|(cell, (width, right))| match right {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                })
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        self.cells(column)
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    }

    /// Whether every cell below the head begins like a figure.
    fn is_figures(&self, column: usize) -> bool {
        self.cells(column)
            .skip(1)
            .all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c)))
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows
            .iter()
            .filter_map(move |row| row.get(column))
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_figures_right() {
        let mut table = Table::new("means", ["jitter", "calls"]);
        table.push(["full", "39.2"]);
        table.push(["exponential", "1861.0"]);
        assert_eq!(
            table.text(),
            "means\njitter        calls\nfull           39.2\nexponential  1861.0\n"
        );
    }
}
