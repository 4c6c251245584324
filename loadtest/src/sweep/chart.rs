//! Chart of a sweep: p99 and p50 against the rate, both axes logarithmic.
//!
//! Lines of one way of connecting have one colour, from dark to light with the share of misses.
//! Names stand to the right of the lines.

use anyhow::anyhow;
use plotters::prelude::*;

use super::Line;

const SIZE: (u32, u32) = (1200, 560);
/// Width of the names on the right.
const NAMES_WIDTH: u32 = 250;

/// Returns an SVG.
pub(super) fn lines(lines: &[Line]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(lines, SVGBackend::with_string(&mut svg, SIZE))
        .map_err(|error| anyhow!("cannot draw the chart: {error}"))?;
    Ok(svg)
}

fn draw<'a>(
    lines: &[Line],
    backend: SVGBackend<'a>,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let steps = || lines.iter().flat_map(|line| &line.steps);
    let rates = steps().map(|step| step.rate);
    let (lowest, highest) = rates.fold((f64::MAX, 2.0), |(l, h), rate| (rate.min(l), rate.max(h)));
    let slowest = steps().map(|step| step.latency_us.p99).fold(10.0, f64::max);
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let (plot, names) = area.split_horizontally(SIZE.0 - NAMES_WIDTH);
    let mut chart = ChartBuilder::on(&plot)
        .caption(
            "Latency from the intended time: p99 thick with points, p50 thin",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (lowest.min(highest / 2.0)..highest * 1.1).log_scale(),
            (10.0..slowest * 1.5).log_scale(),
        )?;
    let whole = |figure: &f64| format!("{figure:.0}");
    chart
        .configure_mesh()
        .x_desc("requests per second")
        .y_desc("microseconds")
        .x_label_formatter(&whole)
        .y_label_formatter(&whole)
        .draw()?;
    for (at, line) in lines.iter().enumerate() {
        let color = color(lines, line);
        let thick = ShapeStyle::from(&color).stroke_width(2);
        let p50 = line.steps.iter().map(|step| (step.rate, step.latency_us.p50));
        let p99: Vec<_> = line.steps.iter().map(|step| (step.rate, step.latency_us.p99)).collect();
        chart.draw_series(LineSeries::new(p50, ShapeStyle::from(&color).stroke_width(1)))?;
        chart.draw_series(p99.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
        chart.draw_series(LineSeries::new(p99, thick))?;
        let y = 60 + 20 * at as i32;
        names.draw(&PathElement::new([(0, y), (20, y)], thick))?;
        names.draw(&Text::new(line.name(), (28, y - 6), ("sans-serif", 13)))?;
    }
    area.present()
}

fn color(lines: &[Line], of: &Line) -> RGBColor {
    const DARK: [(u8, u8, u8); 4] = [(13, 71, 161), (183, 28, 28), (27, 94, 32), (74, 20, 140)];
    let way = |line: &Line| (line.connect, line.requests_per_connection);
    let mut ways: Vec<_> = lines.iter().map(way).collect();
    ways.dedup();
    let way = ways.iter().position(|other| *other == way(of)).unwrap_or(0);
    let (red, green, blue) = DARK[way % DARK.len()];
    // Two thirds of the way to white for misses alone.
    let lighter = |part: u8| part + (f64::from(255 - part) * of.miss_ratio * 0.66) as u8;
    RGBColor(lighter(red), lighter(green), lighter(blue))
}
