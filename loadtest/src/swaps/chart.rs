//! Chart of the run: latencies of each bucket over time, with the swaps marked.

use anyhow::anyhow;
use plotters::prelude::*;

use super::Swaps;
use super::phases::Bucket;
use super::publications::Kind;
use crate::report::Times;

const SIZE: (u32, u32) = (1200, 540);
/// Lower bound of the latency axis.
const LOWEST_US: f64 = 10.0;

/// A line of the chart: name, style, and the value for a bucket.
type Series = (&'static str, ShapeStyle, fn(&Bucket) -> f64);

/// Returns an SVG.
pub(super) fn timeline(swaps: &Swaps) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(swaps, SVGBackend::with_string(&mut svg, SIZE))
        .map_err(|error| anyhow!("cannot draw the chart: {error}"))?;
    Ok(svg)
}

fn draw<'a>(
    swaps: &Swaps,
    backend: SVGBackend<'a>,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let end = swaps.buckets.last().map_or(1.0, |bucket| bucket.at_s + 0.1);
    let slowest = swaps.buckets.iter().map(|bucket| bucket.latency_us.max);
    let highest = slowest.fold(LOWEST_US * 10.0, f64::max) * 1.5;
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let caption = format!(
        "{} codes, {:.0} requests/s: latency in buckets of 100 ms; p99.9 during swaps {:.2} × steady",
        swaps.codes, swaps.rate, swaps.ratio
    );
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end, (LOWEST_US..highest).log_scale())?;
    chart.configure_mesh().x_desc("seconds").y_desc("microseconds").draw()?;
    for (kind, name, color) in [
        (Kind::Level, "level swap", full_palette::LIGHTBLUE_300),
        (Kind::Base, "base swap, until freed", full_palette::ORANGE_300),
    ] {
        // Width of the swap's duration, and at least a line.
        let marks = swaps.swaps_of(kind).map(|swap| {
            let to = swap.published_s + (swap.freed_after_ms / 1e3).max(end / 800.0);
            Rectangle::new([(swap.published_s, LOWEST_US), (to, highest)], color.mix(0.45).filled())
        });
        chart.draw_series(marks)?.label(name).legend(move |(x, y)| {
            Rectangle::new([(x, y - 5), (x + 16, y + 5)], color.mix(0.45).filled())
        });
    }
    let thin = |color: RGBColor| ShapeStyle::from(&color).stroke_width(1);
    let thick = |color: RGBColor| ShapeStyle::from(&color).stroke_width(2);
    let series: [Series; 5] = [
        ("generator lag, p99", thin(full_palette::GREY_500), |b| b.generator_lag_us.p99),
        ("p50", thin(full_palette::GREEN_700), |b| b.latency_us.p50),
        ("p99", thin(full_palette::BLUE_700), |b| b.latency_us.p99),
        ("p99.9", thick(full_palette::RED_700), |b| b.latency_us.p99_9),
        ("max", thin(full_palette::PURPLE_300), |b| b.latency_us.max),
    ];
    for (name, style, of) in series {
        let answered = swaps
            .buckets
            .iter()
            .filter(|Bucket { latency_us: Times { count, .. }, .. }| *count > 0);
        let points = answered.map(|bucket| (bucket.at_s + 0.05, of(bucket).max(LOWEST_US)));
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()
}
