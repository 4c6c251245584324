//! Median and range of figures.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Spread {
    pub(crate) fn from_figures(mut figures: Vec<f64>) -> Option<Spread> {
        figures.sort_by(f64::total_cmp);
        let (lowest, highest) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = match figures.len() % 2 {
            0 => f64::midpoint(figures[middle - 1], figures[middle]),
            _ => figures[middle],
        };
        Some(Spread { median, lowest, highest })
    }

    /// The median, with the range in brackets.
    pub(crate) fn display(self, decimals: usize) -> String {
        let Spread { median, lowest, highest } = self;
        format!("{median:.decimals$} ({lowest:.decimals$}–{highest:.decimals$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let spread = Spread::from_figures(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.5, lowest: 1.0, highest: 4.0 });
        assert_eq!(spread.display(1), "2.5 (1.0–4.0)");
        assert_eq!(Spread::from_figures(Vec::new()), None);
    }
}
