//! A picture as data: what is drawn, not how.

use crate::error::SimError;

use super::draw;

/// A picture: panels side by side, three in a row at most, under one title and one legend.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// What it shows, in a line.
    pub title: String,
    /// Its panels; without any there is nothing to draw.
    pub panels: Vec<Panel>,
}

/// One part of a picture.
#[derive(Clone, Debug)]
pub enum Panel {
    /// Lines over two axes.
    Lines(Lines),
    /// Shares over two lists.
    Map(Map),
}

/// Lines over two axes. A series of the same name has the same colour in every panel.
#[derive(Clone, Debug)]
pub struct Lines {
    /// What this panel shows.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn, in the order of the legend.
    pub series: Vec<Series>,
}

/// One line, or a cloud of points.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend. A line and its marks may share one.
    pub name: String,
    /// How it is drawn.
    pub style: Style,
    /// Where it goes, in the axes' units. On a logarithmic axis what isn't positive is left out.
    pub points: Vec<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line: many values, close together.
    Line,
    /// A line with a mark at each value: few values.
    Marked,
    /// Marks alone: measurements beside a line that they should follow.
    Marks,
    /// A thin dashed line: what theory says.
    Dashed,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures, with its unit.
    pub label: String,
    /// How values are spread along it.
    pub scale: Scale,
    /// Where it begins and ends; `None`: where the values do (a linear one begins at zero).
    pub range: Option<(f64, f64)>,
}

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal ratios are.
    Log,
}

impl Axis {
    /// A linear axis from zero to the largest value.
    pub fn linear(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            scale: Scale::Linear,
            range: None,
        }
    }

    /// A logarithmic axis from the smallest to the largest value.
    pub fn log(label: impl Into<String>) -> Self {
        Self {
            scale: Scale::Log,
            ..Self::linear(label)
        }
    }

    /// The same axis between two values.
    #[must_use]
    pub fn between(mut self, low: f64, high: f64) -> Self {
        self.range = Some((low, high));
        self
    }
}

/// Shares (0 to 1) over two lists, as coloured fields with the share in per cent in each.
#[derive(Clone, Debug)]
pub struct Map {
    /// What this panel shows.
    pub title: String,
    /// What the columns are, with their unit.
    pub x_label: String,
    /// The columns, from the left.
    pub columns: Vec<String>,
    /// What the rows are, with their unit.
    pub y_label: String,
    /// The rows, from below.
    pub rows: Vec<String>,
    /// A share for each row and column.
    pub shares: Vec<Vec<f64>>,
}

impl Chart {
    /// The picture as an SVG document.
    ///
    /// # Errors
    /// [`SimError::Picture`] when it can't be drawn.
    pub fn svg(&self) -> Result<String, SimError> {
        draw::svg(self)
    }
}
