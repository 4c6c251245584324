//! The choices that say how a file is read, where its first line does not say it.

use crate::catalog::text::trim_invisible;
use crate::catalog::words::words;
use crate::catalog::{COLUMNS, Encoding};
use crate::store::casefolded;

words! {
    /// The separator between the cells of a row.
    Separator {
        /// `,`
        Comma = "comma",
        /// `;`
        Semicolon = "semicolon",
        /// A tab.
        Tab = "tab",
        /// `|`
        Pipe = "pipe",
    }
}

impl Separator {
    /// The first is taken where a header has none.
    const ALL: [Separator; 4] =
        [Separator::Comma, Separator::Semicolon, Separator::Tab, Separator::Pipe];

    pub(super) fn byte(self) -> u8 {
        match self {
            Separator::Comma => b',',
            Separator::Semicolon => b';',
            Separator::Tab => b'\t',
            Separator::Pipe => b'|',
        }
    }

    /// The separator that a header has most often outside of quotes.
    pub(super) fn of_header(header: &[u8]) -> Separator {
        let mut counts = [0_u32; Separator::ALL.len()];
        let mut is_quoted = false;
        for byte in header {
            is_quoted ^= *byte == b'"';
            let found = Separator::ALL.iter().position(|separator| separator.byte() == *byte);
            if let Some(found) = found.filter(|_| !is_quoted) {
                counts[found] += 1;
            }
        }
        let most = counts.iter().max().copied().unwrap_or_default();
        let place = counts.iter().position(|count| *count == most).unwrap_or_default();
        Separator::ALL[place]
    }
}

/// How a file is read. What is not said here, the file's beginning says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The encoding of the text.
    pub encoding: Option<Encoding>,
    /// Stands between the cells of a row.
    pub separator: Option<Separator>,
    /// The fields of columns that are not found by their names.
    pub columns: Vec<ColumnChoice>,
    /// The values of fields without a column, the same in all rows.
    pub values: Vec<FieldValue>,
}

/// A column of the file, and its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnChoice {
    /// The column.
    pub column: ColumnRef,
    /// Place in [`COLUMNS`]; `None` ignores the column.
    pub field: Option<usize>,
}

/// Names a column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnRef {
    /// From 1.
    Position(usize),
    /// The header's cell, in any case.
    Name(String),
}

/// A field and its value, as in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue {
    /// Place in [`COLUMNS`].
    pub field: usize,
    /// The cell.
    pub value: String,
}

impl ColumnRef {
    pub(super) fn is_of(&self, position: usize, name: &str) -> bool {
        match self {
            ColumnRef::Position(own) => *own == position,
            ColumnRef::Name(own) => is_same_name(own, name),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            ColumnRef::Position(position) => format!("#{position}"),
            ColumnRef::Name(name) => name.clone(),
        }
    }
}

fn is_same_name(one: &str, other: &str) -> bool {
    casefolded(trim_invisible(one)) == casefolded(trim_invisible(other))
}

/// The place in [`COLUMNS`] of a name, in any case.
#[must_use]
pub fn field_place(name: &str) -> Option<usize> {
    let folded = trim_invisible(name).to_ascii_lowercase();
    let folded = if folded == "notes" { "internal_notes" } else { folded.as_str() };
    COLUMNS.iter().position(|known| *known == folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_the_most_frequent_one_outside_of_quotes() {
        let cases = [
            ("a,b,c", Separator::Comma),
            ("a;b;\"c,d,e,f\"", Separator::Semicolon),
            ("a\tb (x, y)\tc\td", Separator::Tab),
            ("a|b", Separator::Pipe),
            ("coupon_code", Separator::Comma),
        ];
        for (header, separator) in cases {
            assert_eq!(Separator::of_header(header.as_bytes()), separator, "{header}");
        }
    }
}
