//! A sweep as a chart: p50 and p99 against the rate, both on logarithmic axes.

use anyhow::anyhow;
use plotters::prelude::*;

use super::Line;

const SIZE: (u32, u32) = (960, 540);

/// An SVG.
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
    let mut chart = ChartBuilder::on(&area)
        .caption("Latency from the intended time: p99, and p50 thin", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (lowest.min(highest / 2.0)..highest * 1.1).log_scale(),
            (10.0..slowest * 1.5).log_scale(),
        )?;
    chart.configure_mesh().x_desc("requests per second").y_desc("microseconds").draw()?;
    for (at, line) in lines.iter().enumerate() {
        let color = Palette99::pick(at);
        let thick = ShapeStyle::from(&color).stroke_width(2);
        let p50 = line.steps.iter().map(|step| (step.rate, step.latency_us.p50));
        let p99 = line.steps.iter().map(|step| (step.rate, step.latency_us.p99));
        chart.draw_series(LineSeries::new(p50, ShapeStyle::from(&color).stroke_width(1)))?;
        chart
            .draw_series(LineSeries::new(p99, thick))?
            .label(line.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], thick));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()
}
