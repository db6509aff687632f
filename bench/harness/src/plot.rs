//! Bars with their spreads, as an SVG.

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color as _, DrawingArea, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor, Rectangle,
    SVGBackend, Text, WHITE,
};

use crate::statistics::Spread;

const WIDTH: u32 = 960;
const BAR_HEIGHT: u32 = 34;
const HEAD_HEIGHT: u32 = 110;
/// The part of the width that is the names'.
const NAMES_WIDTH: u32 = 220;

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const FAINT: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
const BAR: RGBColor = RGBColor(0x9a, 0xa7, 0xb5);
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb2);

/// A bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// How long it is, and its spread.
    pub value: Spread,
    /// Whether it is of what the plot is about.
    pub is_ours: bool,
}

/// Draws `bars` below each other into `file`. `unit` says what their length is.
///
/// # Errors
/// If the file cannot be written.
pub fn bars(file: &Path, title: &str, unit: &str, bars: &[Bar]) -> Result<()> {
    let height = HEAD_HEIGHT + BAR_HEIGHT * bars.len() as u32;
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    draw(&area, title, unit, bars).with_context(|| format!("{} cannot be drawn", file.display()))?;
    area.present().with_context(|| format!("{} cannot be written", file.display()))
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, title: &str, unit: &str, bars: &[Bar]) -> Result<()> {
    area.fill(&WHITE)?;
    // Too few rounds have no end to their spread.
    let end = |value: &Spread| if value.high.is_finite() { value.high } else { value.median };
    let longest = bars.iter().map(|bar| end(&bar.value)).fold(0.0, f64::max) * 1.15;
    let count = bars.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20).into_font())
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(NAMES_WIDTH)
        .build_cartesian_2d(0.0..longest, 0.0..count)?;
    let mesh = &mut chart.configure_mesh();
    mesh.disable_y_mesh().disable_y_axis().light_line_style(WHITE).bold_line_style(FAINT).axis_style(FAINT);
    mesh.x_desc(unit).label_style(("sans-serif", 14)).draw()?;
    for (place, Bar { name, value, is_ours }) in bars.iter().enumerate() {
        // The first is on top.
        let middle = count - place as f64 - 0.5;
        let colour = if *is_ours { OURS } else { BAR };
        let bar = Rectangle::new([(0.0, middle - 0.32), (value.median, middle + 0.32)], colour.filled());
        let whisker = PathElement::new(vec![(value.low.max(0.0), middle), (end(value), middle)], INK.stroke_width(2));
        let text = Text::new(format!("{:.2}", value.median), (end(value) + longest * 0.01, middle + 0.15), INK_TEXT);
        chart.draw_series([bar])?;
        chart.draw_series([whisker])?;
        chart.draw_series([text])?;
        let (x, y) = chart.backend_coord(&(0.0, middle));
        area.draw(&Text::new(name.clone(), (x - NAMES_WIDTH as i32 + 10, y - 7), INK_TEXT))?;
    }
    Ok(())
}

const INK_TEXT: (&str, i32) = ("sans-serif", 14);
