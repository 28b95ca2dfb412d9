//! Draws a chart as SVG: light background, axes with their units, one legend below.

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{Circle, Rectangle, Text};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, IntoFont as _, RGBColor, ShapeStyle, TextStyle, WHITE};

use super::axis::Coord;
use super::chart::{Chart, Lines, Map, Panel, Series, Style};
use super::legend::Legend;
use crate::error::SimError;

pub(super) type Svg<'a> = SVGBackend<'a>;
pub(super) type Area<'a> = DrawingArea<Svg<'a>, Shift>;
type Plot<'a, 'b> = ChartContext<'a, Svg<'b>, Cartesian2d<Coord, Coord>>;

const PANEL: (u32, u32) = (520, 400);
/// A panel alone is wider: there is room.
const ALONE: u32 = 800;
const TITLE_HEIGHT: u32 = 44;
const PANEL_TITLE_HEIGHT: u32 = 28;
/// Room left and right of a plot; its axis' name and numbers are on the left.
const SIDES: (u32, u32) = (84, 24);
const IN_A_ROW: usize = 3;
const FONT: &str = "sans-serif";

const GRID: RGBColor = RGBColor(228, 228, 228);
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);

/// From nothing to everything, by way of white: both ends are dark and differ for everybody.
const SHARES: [(f64, RGBColor); 5] = [
    (0.0, RGBColor(178, 24, 43)),
    (0.25, RGBColor(239, 138, 98)),
    (0.5, RGBColor(247, 247, 247)),
    (0.75, RGBColor(103, 169, 207)),
    (1.0, RGBColor(33, 102, 172)),
];

pub(super) fn svg(chart: &Chart) -> Result<String, SimError> {
    let mut document = String::new();
    let columns = chart.panels.len().clamp(1, IN_A_ROW);
    let rows = chart.panels.len().div_ceil(columns).max(1);
    let width = if columns == 1 {
        ALONE
    } else {
        PANEL.0 * columns as u32
    };
    let body_height = PANEL.1 * rows as u32;
    let legend = Legend::of(chart, width);
    let height = TITLE_HEIGHT + body_height + legend.height();
    {
        let root = Svg::with_string(&mut document, (width, height)).into_drawing_area();
        root.fill(&WHITE).map_err(picture)?;
        let (head, body) = root.split_vertically(TITLE_HEIGHT);
        let (body, foot) = body.split_vertically(body_height);
        write(&head, &chart.title, (width as i32 / 2, 26), 19)?;
        for (area, panel) in body.split_evenly((rows, columns)).iter().zip(&chart.panels) {
            match panel {
                Panel::Lines(lines) => draw_lines(area, lines, &legend)?,
                Panel::Map(map) => draw_map(area, map)?,
            }
        }
        legend.draw(&foot)?;
        root.present().map_err(picture)?;
    }
    Ok(document)
}

pub(super) fn picture(error: impl std::fmt::Display) -> SimError {
    SimError::Picture(error.to_string())
}

pub(super) fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

fn centred(size: u32) -> TextStyle<'static> {
    text(size).pos(Pos::new(HPos::Center, VPos::Center))
}

fn write(area: &Area<'_>, words: &str, at: (i32, i32), size: u32) -> Result<(), SimError> {
    area.draw(&Text::new(words.to_owned(), at, centred(size)))
        .map_err(picture)
}

fn draw_lines(area: &Area<'_>, lines: &Lines, legend: &Legend<'_>) -> Result<(), SimError> {
    let points = || lines.series.iter().flat_map(|series| &series.points);
    let x = Coord::fit(&lines.x, points().map(|point| point.0));
    let y = Coord::fit(&lines.y, points().map(|point| point.1));
    let mut plot = plot(area, &lines.title, (x.clone(), y.clone()))?;
    mesh(&mut plot, &lines.x.label, &lines.y.label, true)?;
    for series in &lines.series {
        let seen: Vec<(f64, f64)> = series
            .points
            .iter()
            .copied()
            .filter(|point| x.shows(point.0) && y.shows(point.1))
            .collect();
        draw_series(&mut plot, series, seen, legend.colour(&series.name))?;
    }
    Ok(())
}

fn plot<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    (x, y): (Coord, Coord),
) -> Result<Plot<'a, 'b>, SimError> {
    // Not plotters' own caption, which is centred by a guess at its width.
    let (width, _) = area.dim_in_pixel();
    let middle = SIDES.0 + (width - SIDES.0 - SIDES.1) / 2;
    write(
        area,
        title,
        (middle as i32, PANEL_TITLE_HEIGHT as i32 / 2),
        15,
    )?;
    ChartBuilder::on(area)
        .margin(12)
        .margin_top(PANEL_TITLE_HEIGHT)
        .margin_right(SIDES.1)
        .x_label_area_size(48)
        .y_label_area_size(SIDES.0 - 12)
        .build_cartesian_2d(x, y)
        .map_err(picture)
}

fn mesh(plot: &mut Plot<'_, '_>, x: &str, y: &str, grid: bool) -> Result<(), SimError> {
    let mut mesh = plot.configure_mesh();
    mesh.x_desc(x)
        .y_desc(y)
        .axis_desc_style(text(14))
        .label_style(text(12))
        .bold_line_style(GRID)
        .axis_style(INK);
    if !grid {
        mesh.disable_mesh();
    }
    mesh.draw().map_err(picture)
}

fn draw_series(
    plot: &mut Plot<'_, '_>,
    series: &Series,
    points: Vec<(f64, f64)>,
    colour: RGBColor,
) -> Result<(), SimError> {
    let line = colour.stroke_width(2);
    let marks = |points: &[(f64, f64)]| -> Vec<_> {
        let points = points.iter().copied();
        points
            .map(|at| Circle::new(at, 4, colour.filled()))
            .collect()
    };
    let drawn = match series.style {
        Style::Line => plot.draw_series(LineSeries::new(points, line)).map(drop),
        Style::Marks => plot.draw_series(marks(&points)).map(drop),
        Style::Dashed => plot
            .draw_series(DashedLineSeries::new(points, 6, 4, colour.stroke_width(1)))
            .map(drop),
        Style::Marked => {
            plot.draw_series(marks(&points)).map_err(picture)?;
            plot.draw_series(LineSeries::new(points, line)).map(drop)
        }
    };
    drawn.map_err(picture)
}

fn draw_map(area: &Area<'_>, map: &Map) -> Result<(), SimError> {
    let axes = (Coord::names(&map.columns), Coord::names(&map.rows));
    let mut plot = plot(area, &map.title, axes)?;
    let fields = || {
        map.shares.iter().enumerate().flat_map(|(row, shares)| {
            let at = move |(column, share): (usize, &f64)| (column as f64, row as f64, *share);
            shares.iter().enumerate().map(at)
        })
    };
    let boxes = fields()
        .map(|(x, y, share)| Rectangle::new([(x, y), (x + 1.0, y + 1.0)], shade(share).filled()));
    plot.draw_series(boxes).map_err(picture)?;
    let words = fields().map(|(x, y, share)| {
        let ink = if (0.2..0.8).contains(&share) {
            &INK
        } else {
            &WHITE
        };
        let style = centred(12).color(ink);
        Text::new(format!("{:.0}", share * 100.0), (x + 0.5, y + 0.5), style)
    });
    plot.draw_series(words).map_err(picture)?;
    mesh(&mut plot, &map.x_label, &map.y_label, false)
}

fn shade(share: f64) -> ShapeStyle {
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let above = SHARES
        .iter()
        .position(|(stop, _)| *stop >= share)
        .unwrap_or(0)
        .max(1);
    let ((low, from), (high, to)) = (SHARES[above - 1], SHARES[above]);
    let way = (share - low) / (high - low);
    let blend = |a: u8, b: u8| (f64::from(a) + way * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(
        blend(from.0, to.0),
        blend(from.1, to.1),
        blend(from.2, to.2),
    )
    .filled()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::Axis;

    fn lines() -> Panel {
        let series = |name: &str, style| Series {
            name: name.to_owned(),
            style,
            points: vec![(1.0, 1.0), (10.0, 0.0), (100.0, f64::NAN), (100.0, 50.0)],
        };
        Panel::Lines(Lines {
            title: "a < b".to_owned(),
            x: Axis::log("clients"),
            y: Axis::log("time (ms)"),
            series: vec![
                series("full", Style::Marked),
                series("theory", Style::Dashed),
            ],
        })
    }

    #[test]
    fn a_chart_becomes_a_well_formed_document_with_title_units_and_legend() {
        let map = Panel::Map(Map {
            title: "naive".to_owned(),
            x_label: "load (%)".to_owned(),
            columns: vec!["50".to_owned(), "90".to_owned()],
            y_label: "trigger (s)".to_owned(),
            rows: vec!["1".to_owned()],
            shares: vec![vec![1.0, 0.0]],
        });
        let chart = Chart {
            title: "Contention".to_owned(),
            panels: vec![lines(), map],
        };
        let svg = chart.svg().unwrap();
        for words in [
            "Contention",
            "time (ms)",
            "full",
            "theory",
            "trigger (s)",
            "a &lt; b",
        ] {
            assert!(svg.contains(words), "{words} is not in the picture");
        }
        assert!(svg.trim_end().ends_with("</svg>"));
        assert!(!svg.contains("NaN"));
        assert_eq!(svg, chart.svg().unwrap());
    }

    #[test]
    fn a_chart_without_panels_is_drawn_as_well() {
        assert!(Chart::default().svg().unwrap().contains("<svg"));
    }

    #[test]
    fn shares_go_from_red_to_blue() {
        assert_eq!(shade(0.0), SHARES[0].1.filled());
        assert_eq!(shade(1.0), SHARES[4].1.filled());
        assert_eq!(shade(f64::NAN), shade(-1.0));
    }
}
