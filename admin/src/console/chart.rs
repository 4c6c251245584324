//! Charts as SVG made by the server: a line for each series, or bars.
//!
//! A chart says what it shows in a sentence and has its figures in a table. Its looks come from
//! classes and attributes alone, because the pages' policy refuses inline styles.

use super::format;

/// Size of the picture, in its own units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
/// The area of lines inside the picture.
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 24.0;
/// Bars begin behind their labels and end before their figures.
const BARS_LEFT: f64 = 190.0;
const BARS_RIGHT: f64 = WIDTH - 110.0;
const BAR_STEP: f64 = 24.0;
/// The longest label of a bar, in characters.
const LABEL_LENGTH: usize = 24;
/// Labels under the lines.
const MAX_LABELS: usize = 6;

/// The most series, each with a colour and a dash pattern of its own.
pub(crate) const MAX_SERIES: usize = 5;

/// A figure: its height, and its text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) text: String,
}

/// Figures of one name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// One for each place.
    pub(crate) figures: Vec<Figure>,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// A name for the places, such as "Day".
    pub(crate) places_name: &'static str,
    /// The places along the axis.
    pub(crate) places: Vec<String>,
    pub(crate) series: Vec<Series>,
    /// Whether places are points in time; else each place is a bar of the first series.
    pub(crate) is_line: bool,
}

/// A labelled line of the scale.
#[derive(Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: String,
    pub(crate) label: String,
    /// Whether a narrow picture leaves the label out.
    pub(crate) is_spare: bool,
}

/// A bar with its label.
#[derive(Debug, PartialEq)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) figure: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) width: String,
    pub(crate) height: String,
    /// Place of the label's and the figure's baseline.
    pub(crate) baseline: String,
    pub(crate) figure_x: String,
}

impl Chart {
    /// Clicks and conversions by day; a day without `counts` has none.
    pub(crate) fn of_days(
        title: &str,
        days: Vec<String>,
        counts: impl Fn(&str) -> Option<(u64, u64)>,
    ) -> Chart {
        let counts: Vec<(u64, u64)> =
            days.iter().map(|day| counts(day).unwrap_or_default()).collect();
        let series = |name: &str, count: fn(&(u64, u64)) -> u64| {
            let figure = |count: u64| Figure { value: count as f64, text: format::count(count) };
            let figures = counts.iter().map(|day| figure(count(day))).collect();
            Series { name: name.to_owned(), figures }
        };
        let series =
            vec![series("Clicks", |(clicks, _)| *clicks), series("Conversions", |(_, cv)| *cv)];
        Chart { title: title.to_owned(), places_name: "Day", places: days, series, is_line: true }
    }

    /// Whether there is anything to see.
    pub(crate) fn has_figures(&self) -> bool {
        let figures = self.series.iter().flat_map(|series| &series.figures);
        figures.into_iter().any(|figure| figure.value != 0.0)
    }

    /// The chart in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let of_series = |series: &Series| {
            let best = series.figures.iter().enumerate();
            let best = best.max_by(|(_, one), (_, other)| one.value.total_cmp(&other.value));
            let (Some((at, most)), true) = (best, self.is_line) else { return String::new() };
            let (first, last) =
                (&series.figures[0].text, &series.figures[series.figures.len() - 1].text);
            format!(
                "{}: {first} at first, {last} at last, at most {} on {}.",
                series.name, most.text, self.places[at]
            )
        };
        let of_bar = |(place, figure): (&String, &Figure)| format!("{place}: {}.", figure.text);
        let sentences: Vec<String> = if self.is_line {
            self.series.iter().map(of_series).collect()
        } else {
            let figures = self.series.first().map(|series| series.figures.as_slice());
            self.places.iter().zip(figures.unwrap_or_default()).map(of_bar).collect()
        };
        sentences.join(" ")
    }

    pub(crate) fn view_box(&self) -> String {
        let height = if self.is_line { HEIGHT } else { self.places.len() as f64 * BAR_STEP + 4.0 };
        format!("0 0 {WIDTH} {height}")
    }

    /// The points of a series' line.
    pub(crate) fn points(&self, series: &Series) -> String {
        let scale = self.scale();
        let point = |(place, figure): (usize, &Figure)| {
            format!("{:.1},{:.1}", self.x(place), scale.y(figure.value))
        };
        series.figures.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
    }

    /// The places' positions along the axis, for walking through them.
    pub(crate) fn positions(&self) -> String {
        let places = 0..self.places.len();
        places.map(|place| format!("{:.1}", self.x(place))).collect::<Vec<_>>().join(" ")
    }

    /// The lines of the scale.
    pub(crate) fn scale_ticks(&self) -> Vec<Tick> {
        let scale = self.scale();
        let tick = |step: i32| {
            let value = scale.low + f64::from(step) * scale.step;
            Tick { at: format!("{:.1}", scale.y(value)), label: short(value), is_spare: false }
        };
        (0..=scale.steps).map(tick).collect()
    }

    /// Labels of some of the places, the first and the last among them.
    pub(crate) fn place_ticks(&self) -> Vec<Tick> {
        let last = self.places.len().saturating_sub(1);
        let every = last.div_ceil(MAX_LABELS - 1).max(1);
        let is_labelled = |place: &usize| {
            *place == last || (place.is_multiple_of(every) && last - place >= every)
        };
        let labelled: Vec<usize> = (0..self.places.len()).filter(is_labelled).collect();
        // A narrow picture has room for both ends, and for the middle where it is far from both.
        let kept = [Some(0), (labelled.len() > 4).then(|| labelled[labelled.len() / 2])];
        let tick = |place: usize| Tick {
            at: format!("{:.1}", self.x(place)),
            label: self.places[place].clone(),
            is_spare: place != last && !kept.contains(&Some(place)),
        };
        labelled.into_iter().map(tick).collect()
    }

    /// The bars of the first series.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let Some(series) = self.series.first() else { return Vec::new() };
        let longest = series.figures.iter().map(|figure| figure.value.abs()).fold(0.0, f64::max);
        let bar = |(at, (place, figure)): (usize, (&String, &Figure))| {
            let share = if longest > 0.0 { figure.value.abs() / longest } else { 0.0 };
            let (width, y) = (share * (BARS_RIGHT - BARS_LEFT), at as f64 * BAR_STEP);
            Bar {
                label: shortened(place),
                figure: figure.text.clone(),
                x: format!("{BARS_LEFT:.1}"),
                y: format!("{:.1}", y + 4.0),
                width: format!("{width:.1}"),
                height: format!("{:.1}", BAR_STEP - 6.0),
                baseline: format!("{:.1}", y + 18.0),
                figure_x: format!("{:.1}", BARS_LEFT + width + 6.0),
            }
        };
        self.places.iter().zip(&series.figures).enumerate().map(bar).collect()
    }

    /// The rows of the table: each place with the figures of all series.
    pub(crate) fn rows(&self) -> Vec<(&str, Vec<&str>)> {
        let figures = |place: usize| {
            let texts = self.series.iter().map(|series| series.figures.get(place));
            texts.map(|figure| figure.map_or("", |figure| figure.text.as_str())).collect()
        };
        self.places.iter().enumerate().map(|(at, place)| (place.as_str(), figures(at))).collect()
    }

    fn x(&self, place: usize) -> f64 {
        match self.places.len() {
            0 | 1 => f64::midpoint(LEFT, RIGHT),
            count => LEFT + (RIGHT - LEFT) * place as f64 / (count - 1) as f64,
        }
    }

    fn scale(&self) -> Scale {
        let figures = self.series.iter().flat_map(|series| &series.figures);
        let (low, high) = figures.fold((0.0_f64, 0.0_f64), |(low, high), figure| {
            (low.min(figure.value), high.max(figure.value))
        });
        let is_whole = self.series.iter().flat_map(|series| &series.figures);
        let is_whole = is_whole.into_iter().all(|figure| figure.value.fract() == 0.0);
        Scale::around(low, high, if is_whole { 1.0 } else { 0.0 })
    }
}

/// A vertical scale with round steps.
struct Scale {
    low: f64,
    step: f64,
    steps: i32,
}

impl Scale {
    /// The scale from `low` to `high`; counts have whole steps, so their least step is 1.
    fn around(low: f64, high: f64, least_step: f64) -> Scale {
        let step = round_step((high - low) / 4.0).max(least_step);
        let low = (low / step).floor() * step;
        let steps = ((high - low) / step).ceil().max(1.0) as i32;
        Scale { low, step, steps }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.step * f64::from(self.steps));
        BOTTOM - share * (BOTTOM - TOP)
    }
}

/// 1, 2 or 5 times a power of ten, not below `step`; 1 for nothing.
fn round_step(step: f64) -> f64 {
    if step <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power);
    // A step of exactly one factor may come out a little above it.
    factors.into_iter().find(|candidate| *candidate >= step * 0.999).unwrap_or(10.0 * power)
}

/// A number of the scale: `1.5k`, `20M`.
fn short(value: f64) -> String {
    let (divisor, unit) = match value.abs() {
        magnitude if magnitude >= 1e9 => (1e9, "G"),
        magnitude if magnitude >= 1e6 => (1e6, "M"),
        magnitude if magnitude >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let text = format!("{:.2}", value / divisor);
    format!("{}{unit}", format::decimal(text.trim_end_matches('0').trim_end_matches('.')))
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_LENGTH {
        return label.to_owned();
    }
    label.chars().take(LABEL_LENGTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64]) -> Chart {
        let figure = |value: &f64| Figure { value: *value, text: value.to_string() };
        Chart {
            title: "Clicks by day".into(),
            places_name: "Day",
            places: (1..=values.len()).map(|day| format!("2026-11-{day:02}")).collect(),
            series: vec![Series {
                name: "Clicks".into(),
                figures: values.iter().map(figure).collect(),
            }],
            is_line: true,
        }
    }

    #[test]
    fn a_line_lies_inside_its_scale() {
        let chart = chart(&[0.0, 7.0, 3.0]);
        let ticks = chart.scale_ticks();
        let labels: Vec<&str> = ticks.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["0", "2", "4", "6", "8"]);
        assert_eq!((ticks[0].at.as_str(), ticks[4].at.as_str()), ("196.0", "10.0"));
        assert_eq!(chart.points(&chart.series[0]), "64.0,196.0 348.0,33.2 632.0,126.2");
        assert_eq!(chart.sentence(), "Clicks: 0 at first, 3 at last, at most 7 on 2026-11-02.");
    }

    #[test]
    fn losses_are_below_the_line_of_zero() {
        let labels: Vec<String> =
            chart(&[-30.0, 50.0]).scale_ticks().into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["-40", "-20", "0", "20", "40", "60"]);
        assert_eq!(chart(&[0.0, 0.0]).scale_ticks().len(), 2);
        assert!(!chart(&[0.0, 0.0]).has_figures());
    }

    #[test]
    fn labels_have_room_and_include_both_ends() {
        for days in [1, 2, 6, 7, 31, 365] {
            let ticks = chart(&vec![1.0; days]).place_ticks();
            assert!(ticks.len() <= MAX_LABELS, "{days}: {ticks:?}");
            assert_eq!(ticks[0].label, "2026-11-01");
            assert_eq!(ticks.last().unwrap().label, format!("2026-11-{days:02}"));
            let kept: Vec<&Tick> = ticks.iter().filter(|tick| !tick.is_spare).collect();
            assert!(kept.len() <= 3, "{days}: {kept:?}");
            let at: Vec<f64> = kept.iter().map(|tick| tick.at.parse().unwrap()).collect();
            assert!(at.windows(2).all(|pair| pair[1] - pair[0] > 180.0 || days == 2), "{at:?}");
            assert_eq!((kept[0], kept.last()), (&ticks[0], ticks.last().as_ref()));
        }
    }

    #[test]
    fn the_longest_bar_takes_all_the_room() {
        let bars = Chart { is_line: false, ..chart(&[5.0, 10.0]) }.bars();
        assert_eq!((bars[0].width.as_str(), bars[1].width.as_str()), ("170.0", "340.0"));
        assert_eq!(short(1_500.0), "1.5k");
        assert_eq!(short(0.25), "0.25");
    }
}
