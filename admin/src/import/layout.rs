//! The choices that say how a file is read, where its first line does not say it.

use crate::catalog::text::trim_invisible;
use crate::catalog::words::words;
use crate::catalog::{COLUMNS, DateFormat, Encoding};
use crate::csv_file::BYTE_ORDER_MARK;
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

    /// The separator that a file names in a line before its header, as Excel does (`sep=;`), and the
    /// bytes before the header.
    pub(super) fn named_in(start: &[u8]) -> Option<(Separator, usize)> {
        let mark = if start.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let end = start.iter().position(|byte| *byte == b'\n')?;
        let line = start.get(mark..end)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let quoted = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\""));
        let (name, byte) = quoted.unwrap_or(line).split_at_checked(4)?;
        let is_named = |separator: &Separator| byte == [separator.byte()];
        let named = Separator::ALL.into_iter().find(is_named)?;
        name.eq_ignore_ascii_case(b"sep=").then_some((named, end + 1))
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
    /// The sheet of a workbook; else the first one with rows.
    pub sheet: Option<String>,
    /// The form of days that do not begin with the year.
    pub date_format: Option<DateFormat>,
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

/// Other names that columns have in files of people and programs, as [`letters`].
const ALIASES: [(&str, &str); 17] = [
    ("networkcouponcodeid", "coupon_code_id"),
    ("codeid", "coupon_code_id"),
    ("code", "coupon_code"),
    ("coupon", "coupon_code"),
    ("offer", "offer_id"),
    ("networkofferid", "offer_id"),
    ("affiliate", "affiliate_id"),
    ("partner", "affiliate_id"),
    ("partnerid", "affiliate_id"),
    ("networkaffiliateid", "affiliate_id"),
    ("couponstatus", "status"),
    ("start", "start_date"),
    ("end", "end_date"),
    ("plaintext", "is_description_plain_text"),
    ("descriptionplaintext", "is_description_plain_text"),
    ("note", "internal_notes"),
    ("notes", "internal_notes"),
];

/// The place in [`COLUMNS`] of a name of people and programs, with any signs between the words.
pub(super) fn alias_place(name: &str) -> Option<usize> {
    let name = letters(name);
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, column)| *column);
    COLUMNS
        .iter()
        .position(|column| alias.map_or_else(|| letters(column) == name, |a| a == *column))
}

/// The letters and digits of a name in lower case, without spaces, underscores and hyphens.
fn letters(name: &str) -> String {
    let letters = name.chars().filter(|character| character.is_alphanumeric());
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
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

    #[test]
    fn a_line_names_the_separator_as_excel_writes_it() {
        let named = |start: &str| Separator::named_in(start.as_bytes());
        assert_eq!(named("sep=;\r\na,b"), Some((Separator::Semicolon, 7)));
        assert_eq!(named("\u{feff}\"SEP=\t\"\na"), Some((Separator::Tab, 11)));
        for other in ["sep=x\na", "sep=;", "sep=\na", "separator;b\n1;2", "code;sep=;\n"] {
            assert_eq!(named(other), None, "{other:?}");
        }
    }

    #[test]
    fn names_of_people_and_programs_mean_a_field() {
        for (name, column) in [
            ("Offer ID", "offer_id"),
            ("offer-id", "offer_id"),
            ("PARTNER_ID", "affiliate_id"),
            ("Affiliate", "affiliate_id"),
            ("Coupon", "coupon_code"),
            ("Coupon  Code", "coupon_code"),
            ("Start Date", "start_date"),
            ("Is Description Plain Text", "is_description_plain_text"),
            ("Internal notes", "internal_notes"),
        ] {
            assert_eq!(alias_place(name).map(|place| COLUMNS[place]), Some(column), "{name}");
        }
        for other in ["", "Id", "Colour", "Offer name", "Date"] {
            assert_eq!(alias_place(other), None, "{other}");
        }
    }
}
