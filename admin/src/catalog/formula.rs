//! Text that a spreadsheet could execute as a formula.
//!
//! An export puts an apostrophe before such a cell, and an import removes the apostrophe. A cell
//! that already begins with apostrophes before such a character gets another, so import and export
//! are exact inverses for any text.

use std::borrow::Cow;

/// Signs that begin a formula: the four signs, and the full-width, small, raised and lowered forms
/// that some programs normalise to the usual form.
const SIGNS: [char; 20] = [
    '=', '+', '-', '@', '\u{207a}', '\u{207b}', '\u{207c}', '\u{208a}', '\u{208b}', '\u{208c}',
    '\u{2212}', '\u{fb29}', '\u{fe62}', '\u{fe63}', '\u{fe66}', '\u{fe6b}', '\u{ff0b}', '\u{ff0d}',
    '\u{ff1d}', '\u{ff20}',
];

/// Whether a spreadsheet could compute the cell. Invisible characters count, because some programs
/// skip them and compute the rest.
fn is_computed(text: &str) -> bool {
    let first = text.trim_start_matches('\'').chars().next();
    first.is_some_and(|first| {
        SIGNS.contains(&first) || first.is_whitespace() || first.is_control() || is_invisible(first)
    })
}

/// Marks without width: byte order, direction, joiners, soft hyphen.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The cell of a file for a text.
#[must_use]
pub fn escape_formula(text: &str) -> Cow<'_, str> {
    if is_computed(text) { format!("'{text}").into() } else { text.into() }
}

/// The text of a cell of a file.
#[must_use]
pub fn unescape_formula(cell: &str) -> &str {
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
            "\n=1",
            " =1",
            "\u{a0}=1",
            "\u{3000}@x",
            "\u{feff}=1",
            "\u{200b}=1",
            "\u{7}=1",
            "\u{ff1d}1",
            "\u{ff0b}1",
            "\u{ff0d}1",
            "\u{ff20}x",
            "\u{fe66}1",
            "\u{2212}1",
            "'=1",
            "''-x",
            "'\n=1",
        ] {
            let cell = escape_formula(text);
            assert!(cell.starts_with('\'') && cell.len() == text.len() + 1, "{cell:?}");
            assert_eq!(unescape_formula(&cell), text, "by way of {cell:?}");
        }
        for text in ["'", "''", "it's", "", "20 % - off", "'quoted'", "a=b", "\u{e9}t\u{e9}"] {
            assert_eq!((escape_formula(text).as_ref(), unescape_formula(text)), (text, text));
        }
    }

    proptest! {
        #[test]
        fn any_text_goes_out_as_no_formula_and_comes_back(
            text in "['=+@\t\r\n \u{ff1d}\u{feff}-]{0,5}\\PC{0,10}",
        ) {
            let cell = escape_formula(&text);
            let is_computed = |first: char| {
                SIGNS.contains(&first) || first.is_whitespace() || first.is_control()
            };
            prop_assert!(!cell.starts_with(is_computed), "{cell:?}");
            prop_assert_eq!(unescape_formula(&cell), text.as_str());
        }
    }
}
