//! The legend: one for all panels, below them, on as many lines as it needs.

use plotters::element::{Circle, PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, RGBColor};

use super::chart::{Chart, Panel, Style};
use super::draw::{Area, picture, text};
use crate::error::SimError;

/// Told apart by people with any colour vision (Okabe and Ito, 2008), dark enough on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

/// Pixels between two lines.
const LINE: i32 = 24;

/// Pixels of the key before a name, and of the gap behind it.
const KEY: i32 = 28;
const GAP: i32 = 24;

/// Series of one name, in one panel or several, have one entry and one colour.
pub(super) struct Legend<'a> {
    entries: Vec<Entry<'a>>,
    /// Where each line of entries begins: the first entry, and its place.
    lines: Vec<Vec<(usize, i32)>>,
}

struct Entry<'a> {
    name: &'a str,
    styles: Vec<Style>,
}

impl<'a> Legend<'a> {
    /// The legend of a picture of that width.
    pub(super) fn of(chart: &'a Chart, width: u32) -> Self {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        for series in chart.panels.iter().flat_map(series) {
            match entries.iter_mut().find(|entry| entry.name == series.name) {
                Some(entry) => entry.styles.push(series.style),
                None => entries.push(Entry {
                    name: &series.name,
                    styles: vec![series.style],
                }),
            }
        }
        let lines = lines(&entries, width as i32);
        Self { entries, lines }
    }

    /// Pixels that it takes.
    pub(super) fn height(&self) -> u32 {
        let lines = self.lines.len() as i32 * LINE;
        if lines == 0 {
            0
        } else {
            (lines + LINE / 2) as u32
        }
    }

    /// The colour of the series of that name.
    pub(super) fn colour(&self, name: &str) -> RGBColor {
        let at = self.entries.iter().position(|entry| entry.name == name);
        COLOURS[at.unwrap_or(0) % COLOURS.len()]
    }

    pub(super) fn draw(&self, area: &Area<'_>) -> Result<(), SimError> {
        for (line, places) in (0..).zip(&self.lines) {
            let height = LINE / 2 + LINE * line;
            for (entry, left) in places {
                self.draw_entry(area, &self.entries[*entry], (*left, height))?;
            }
        }
        Ok(())
    }

    fn draw_entry(
        &self,
        area: &Area<'_>,
        entry: &Entry<'_>,
        (left, height): (i32, i32),
    ) -> Result<(), SimError> {
        let colour = self.colour(entry.name);
        for style in &entry.styles {
            draw_key(area, *style, colour, (left, height))?;
        }
        let style = text(13).pos(Pos::new(HPos::Left, VPos::Center));
        let name = Text::new(entry.name.to_owned(), (left + KEY + 6, height), style);
        area.draw(&name).map_err(picture)
    }
}

fn series(panel: &Panel) -> impl Iterator<Item = &super::chart::Series> {
    let series: &[super::chart::Series] = match panel {
        Panel::Lines(lines) => &lines.series,
        Panel::Map(_) => &[],
    };
    series.iter()
}

/// Fills line after line, each centred.
fn lines(entries: &[Entry<'_>], width: i32) -> Vec<Vec<(usize, i32)>> {
    let mut lines: Vec<(Vec<(usize, i32)>, i32)> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let long = KEY + 6 + words(entry.name) + GAP;
        match lines.last_mut() {
            Some((line, used)) if *used + long <= width => {
                line.push((at, *used));
                *used += long;
            }
            _ => lines.push((vec![(at, 0)], long)),
        }
    }
    let centred = |(line, used): (Vec<(usize, i32)>, i32)| {
        let left = (width - used + GAP) / 2;
        line.into_iter()
            .map(|(at, place)| (at, left + place))
            .collect()
    };
    lines.into_iter().map(centred).collect()
}

/// Letters of a proportional font are a little over half as wide as high, on average.
fn words(name: &str) -> i32 {
    name.chars().count() as i32 * 15 / 2
}

fn draw_key(
    area: &Area<'_>,
    style: Style,
    colour: RGBColor,
    (left, height): (i32, i32),
) -> Result<(), SimError> {
    let (stroke, dashes): (_, &[(i32, i32)]) = match style {
        Style::Line | Style::Marked => (2, &[(0, KEY)]),
        Style::Dashed => (1, &[(0, 6), (11, 17), (22, KEY)]),
        Style::Marks => (1, &[]),
    };
    for (from, to) in dashes {
        let ends = vec![(left + from, height), (left + to, height)];
        area.draw(&PathElement::new(ends, colour.stroke_width(stroke)))
            .map_err(picture)?;
    }
    if matches!(style, Style::Marked | Style::Marks) {
        area.draw(&Circle::new((left + KEY / 2, height), 4, colour.filled()))
            .map_err(picture)?;
    }
    Ok(())
}
