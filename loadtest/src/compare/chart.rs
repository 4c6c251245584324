//! Bar chart of the comparison: one bar per server and load, with the ratio as height and its range.

use anyhow::anyhow;
use plotters::prelude::*;

use super::table::LoadCosts;
use crate::contender::Contender;

const SIZE: (u32, u32) = (960, 420);
const BAR: f64 = 0.8;

/// Returns an SVG.
pub(super) fn bars(loads: &[LoadCosts], reference: Contender) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(loads, reference, SVGBackend::with_string(&mut svg, SIZE))
        .map_err(|error| anyhow!("cannot draw the chart: {error}"))?;
    Ok(svg)
}

fn draw<'a>(
    loads: &[LoadCosts],
    reference: Contender,
    backend: SVGBackend<'a>,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let bars: Vec<_> = loads
        .iter()
        .enumerate()
        .flat_map(|(group, load)| load.costs.iter().map(move |cost| (group, load.load, cost)))
        .collect();
    let highest = bars.iter().map(|(_, _, cost)| cost.ratio.highest).fold(1.0, f64::max);
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let caption = format!("CPU per redirect, {reference} = 1");
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..bars.len() as f64, 0.0..highest * 1.1)?;
    chart.configure_mesh().disable_x_mesh().disable_x_axis().draw()?;
    for (at, (group, load, cost)) in bars.iter().enumerate() {
        let (left, ratio) = (at as f64 + (1.0 - BAR) / 2.0, cost.ratio);
        let color = Palette99::pick(*group);
        let bar = Rectangle::new([(left, 0.0), (left + BAR, ratio.median)], color.filled());
        let middle = at as f64 + 0.5;
        let range = [(middle, ratio.lowest), (middle, ratio.highest)];
        let label = format!("{} ({load}) {:.2}", cost.contender, ratio.median);
        chart.draw_series([bar])?;
        chart.draw_series([PathElement::new(range, BLACK)])?;
        let style = ("sans-serif", 11).into_font().transform(FontTransform::Rotate270);
        chart.draw_series([Text::new(label, (left + 0.1, 0.02 * highest), style)])?;
    }
    area.present()
}
