//! Text that a spreadsheet would take for a formula.
//!
//! On the way out such a cell gets an apostrophe in front, and on the way in one is taken away
//! again. A cell that already begins with apostrophes before such a character gets one more, so the
//! two are exact inverses, whatever the text.

use std::borrow::Cow;

/// What a cell begins with when a spreadsheet computes it.
const COMPUTED: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

fn is_computed(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(COMPUTED)
}

/// The text as it goes into a file.
#[must_use]
pub fn neutralised(text: &str) -> Cow<'_, str> {
    if is_computed(text) { format!("'{text}").into() } else { text.into() }
}

/// The text that a cell of a file stands for.
#[must_use]
pub fn restored(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| is_computed(rest)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_cell_that_goes_out_is_a_formula_and_each_comes_back_as_it_was() {
        for text in [
            "=1+1",
            "+1",
            "-",
            "-5 %",
            "@SUM",
            "\t=1",
            "\r",
            "'=1",
            "''-x",
            "'",
            "''",
            "it's",
            "",
            "20 % - off",
            "'quoted'",
        ] {
            let cell = neutralised(text);
            assert!(!cell.starts_with(COMPUTED), "{cell:?}");
            assert_eq!(restored(&cell), text, "by way of {cell:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_goes_out_as_no_formula_and_comes_back(text in "['=+@\t\r-]{0,5}\\PC{0,10}") {
            let cell = neutralised(&text);
            prop_assert!(!cell.starts_with(COMPUTED));
            prop_assert_eq!(restored(&cell), text.as_str());
        }
    }
}
