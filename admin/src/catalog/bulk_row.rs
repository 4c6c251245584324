//! One row of a bulk file, valid by itself. This module alone defines the meaning of the cells.
//!
//! Adding: each cell is the value of a field of the new code; a blank cell is the field's default.
//! Updating: `coupon_code` selects the code (with `coupon_code_id`, if several offers have the
//! code); of the other cells a blank keeps, `-` clears, and anything else sets the field. The state
//! after an update is checked where the stored code is known.
//!
//! Text in a file, the code included, is escaped by `formula`: `'-5` is the code `-5`, and
//! `'-` the text `-`. Spaces around a cell do not count, except at the end of a text.

use jiff::civil::Date;

use super::coupon_code::{CheckedCode, CouponCodeEdit, CouponStatus};
use super::problems::{FieldError, Problems};
use super::row_code::{FoldedKey, RowCode};
use super::words::words;
use super::{cell_day, formula, text};

words! {
    /// The effect of a file.
    BulkMode {
        /// Each row creates a code.
        Add = "add",
        /// Each row changes an existing code.
        Update = "update",
    }
}

words! {
    /// The encoding of a file's text.
    Encoding {
        /// With or without a byte order mark.
        Utf8 = "utf-8",
        /// The byte order mark names the order of bytes, else the first character does.
        Utf16 = "utf-16",
        /// Never guessed for the whole file without the user's word: any bytes are such text.
        Windows1252 = "windows-1252",
    }
}

/// The columns of a file, as an export writes them.
pub const COLUMNS: [&str; 11] = [
    "coupon_code_id",
    "coupon_code",
    "offer_id",
    "affiliate_id",
    "status",
    "start_date",
    "end_date",
    "description",
    "is_description_plain_text",
    "internal_notes",
    "conversion_only",
];

/// The code of a template's example row. A row with this code is left out, unless it is for
/// conversions only.
pub const EXAMPLE_CODE: &str = "EXAMPLE - write your codes below";

/// A row's cells, in the order of [`COLUMNS`]; a column that the file lacks is blank.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cells<T>(pub [T; COLUMNS.len()]);

impl<T: AsRef<str>> Cells<T> {
    /// The cell of a column; blank for an unknown column.
    pub fn cell(&self, column: &str) -> &str {
        let place = COLUMNS.iter().position(|known| *known == column);
        place.map_or("", |place| self.0[place].as_ref())
    }

    /// The cell without spaces and invisible characters around the value.
    fn value(&self, column: &str) -> &str {
        text::trim_invisible(self.cell(column))
    }

    /// A text as typed. Leading spaces of a text are escaped in an export, so spaces alone are a
    /// blank cell.
    fn text(&self, column: &str) -> &str {
        self.cell(column).trim_start()
    }
}

/// Whether a row is the untouched example of a template.
pub fn is_example<T: AsRef<str>>(cells: &Cells<T>) -> bool {
    let is_example = cells.value("coupon_code").eq_ignore_ascii_case(EXAMPLE_CODE);
    is_example && cells.value("conversion_only").is_empty()
}

/// The change that a cell asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellChange<T> {
    /// Keep the value.
    Keep,
    /// Remove the value.
    Clear,
    /// Set this value.
    Set(T),
}

/// A valid row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRow {
    /// The folded code, for comparisons between rows.
    pub folded: FoldedKey,
    /// The code as typed.
    pub code: String,
    /// Selects one of the code's rows for an update.
    pub code_id: Option<u32>,
    /// `None` keeps.
    pub offer_id: Option<u32>,
    /// The new owner.
    pub affiliate_id: CellChange<u32>,
    /// `None` keeps.
    pub status: Option<CouponStatus>,
    /// First day.
    pub start_date: CellChange<Date>,
    /// Last day.
    pub end_date: CellChange<Date>,
    /// Shown to the partner.
    pub description: CellChange<String>,
    /// `None` keeps.
    pub is_description_plain_text: Option<bool>,
    /// Never shown to the partner.
    pub internal_notes: CellChange<String>,
    /// The code has no link. An update cannot change this.
    pub conversion_only: Option<bool>,
}

impl BulkRow {
    /// Reads a row.
    ///
    /// # Errors
    /// All wrong columns.
    pub fn read<T: AsRef<str>>(
        mode: BulkMode,
        cells: &Cells<T>,
    ) -> Result<BulkRow, Vec<FieldError>> {
        match mode {
            BulkMode::Add => read_addition(cells),
            BulkMode::Update => read_update(cells),
        }
    }
}

/// The folded code of a row with possible errors in other cells.
pub fn folded_code<T: AsRef<str>>(mode: BulkMode, cells: &Cells<T>) -> Option<FoldedKey> {
    let any_form =
        mode == BulkMode::Update || parse_bool(cells.value("conversion_only")) == Ok(Some(true));
    let code = formula::unescape_formula(cells.value("coupon_code"));
    RowCode::parse(code, any_form).ok().map(|code| code.folded())
}

fn read_addition<T: AsRef<str>>(cells: &Cells<T>) -> Result<BulkRow, Vec<FieldError>> {
    let mut problems = Problems::default();
    let offer_id = problems.take("offer_id", number(cells.value("offer_id")));
    let affiliate_id = problems.take("affiliate_id", optional_number(cells.value("affiliate_id")));
    let status = problems.take("status", status(cells.value("status")));
    let start_date = problems.take("start_date", cell_day::parse_cell(cells.value("start_date")));
    let end_date = problems.take("end_date", cell_day::parse_cell(cells.value("end_date")));
    let plain = take_bool(&mut problems, cells, "is_description_plain_text");
    let conversion_only = take_bool(&mut problems, cells, "conversion_only");
    let object = CouponCodeEdit {
        coupon_code: formula::unescape_formula(cells.value("coupon_code")).into(),
        network_offer_id: offer_id.unwrap_or(1),
        network_affiliate_id: affiliate_id.flatten().filter(|id| *id != 0),
        coupon_status: status.unwrap_or(CouponStatus::Paused),
        start_date: start_date.flatten(),
        end_date: end_date.flatten(),
        description: formula::unescape_formula(cells.text("description")).into(),
        is_description_plain_text: plain.flatten().unwrap_or(true),
        internal_notes: formula::unescape_formula(cells.text("internal_notes")).into(),
        allow_reissue: false,
        conversion_only: conversion_only.flatten().unwrap_or(false),
    };
    let checked = object.check_new();
    match (problems.finish(), checked) {
        (Ok(()), Ok(code)) => Ok(BulkRow::from(code)),
        (Ok(()), Err(wrong)) => Err(wrong),
        (Err(wrong), checked) => {
            Err(wrong.into_iter().chain(checked.err().unwrap_or_default()).collect())
        }
    }
}

impl From<CheckedCode> for BulkRow {
    fn from(code: CheckedCode) -> BulkRow {
        fn set<T>(value: Option<T>) -> CellChange<T> {
            value.map_or(CellChange::Clear, CellChange::Set)
        }
        let text = |text: String| set(Some(text).filter(|text| !text.is_empty()));
        BulkRow {
            folded: code.code.folded(),
            code: code.code.as_str().to_owned(),
            code_id: None,
            offer_id: Some(code.offer_id),
            affiliate_id: set(code.affiliate_id),
            status: Some(code.status),
            start_date: set(code.start_date),
            end_date: set(code.end_date),
            description: text(code.description),
            is_description_plain_text: Some(code.is_description_plain_text),
            internal_notes: text(code.internal_notes),
            conversion_only: Some(code.code.is_conversion_only()),
        }
    }
}

fn read_update<T: AsRef<str>>(cells: &Cells<T>) -> Result<BulkRow, Vec<FieldError>> {
    let mut problems = Problems::default();
    let code = formula::unescape_formula(cells.value("coupon_code"));
    let code = problems.take("coupon_code", RowCode::parse(code, true));
    let code_id = problems.take("coupon_code_id", optional_number(cells.value("coupon_code_id")));
    let offer_id = problems.take("offer_id", optional_number(cells.value("offer_id")));
    let affiliate_id =
        problems.take("affiliate_id", cell_change(cells.value("affiliate_id"), number));
    let status = problems.take(
        "status",
        match cells.value("status") {
            "" => Ok(None),
            word => status(word).map(Some),
        },
    );
    let mut day = |column: &str| {
        let read = |cell: &str| cell_day::parse_cell(cell).map_err(|error| error.to_string());
        match problems.take(column, cell_change(cells.value(column), read)) {
            Some(CellChange::Set(Some(day))) => CellChange::Set(day),
            Some(CellChange::Clear) => CellChange::Clear,
            _ => CellChange::Keep,
        }
    };
    let (start_date, end_date) = (day("start_date"), day("end_date"));
    let description = problems.take("description", cell_change(cells.text("description"), note));
    let plain = take_bool(&mut problems, cells, "is_description_plain_text");
    let notes = problems.take("internal_notes", cell_change(cells.text("internal_notes"), note));
    let conversion_only = take_bool(&mut problems, cells, "conversion_only");
    if let (CellChange::Set(start), CellChange::Set(end)) = (&start_date, &end_date)
        && start > end
    {
        problems.add("end_date", "is before start_date");
    }
    let wrong = problems.finish().err();
    let (None, Some(code)) = (&wrong, code) else { return Err(wrong.unwrap_or_default()) };
    Ok(BulkRow {
        folded: code.folded(),
        code: code.as_str().to_owned(),
        code_id: code_id.flatten(),
        offer_id: offer_id.flatten(),
        // 0 means "no partner", as in the rest of the API.
        affiliate_id: match affiliate_id.unwrap_or(CellChange::Keep) {
            CellChange::Set(0) => CellChange::Clear,
            other => other,
        },
        status: status.flatten(),
        start_date,
        end_date,
        description: description.unwrap_or(CellChange::Keep),
        is_description_plain_text: plain.flatten(),
        internal_notes: notes.unwrap_or(CellChange::Keep),
        conversion_only: conversion_only.flatten(),
    })
}

fn cell_change<T>(
    cell: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<CellChange<T>, String> {
    match cell {
        "" => Ok(CellChange::Keep),
        "-" => Ok(CellChange::Clear),
        cell => read(cell).map(CellChange::Set),
    }
}

fn number(cell: &str) -> Result<u32, String> {
    whole_number(cell).parse().map_err(|_| format!("`{}` is not an id", excerpt(cell)))
}

/// Spreadsheet programs write a whole number as `7.0` or `7.00`. Three zeros could be thousands.
fn whole_number(cell: &str) -> &str {
    cell.strip_suffix(".0").or_else(|| cell.strip_suffix(".00")).unwrap_or(cell)
}

fn optional_number(cell: &str) -> Result<Option<u32>, String> {
    if cell.is_empty() { Ok(None) } else { number(cell).map(Some) }
}

fn status(cell: &str) -> Result<CouponStatus, String> {
    cell.to_ascii_lowercase().parse().map_err(|error: super::words::UnknownWord| error.to_string())
}

fn note(cell: &str) -> Result<String, String> {
    let text = formula::unescape_formula(cell);
    text::note(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

fn take_bool<T: AsRef<str>>(
    problems: &mut Problems,
    cells: &Cells<T>,
    column: &str,
) -> Option<Option<bool>> {
    problems.take(column, parse_bool(cells.value(column)))
}

fn parse_bool(cell: &str) -> Result<Option<bool>, String> {
    match cell.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "true" | "1" | "yes" => Ok(Some(true)),
        "false" | "0" | "no" => Ok(Some(false)),
        _ => Err(format!("`{}` is neither true nor false", excerpt(cell))),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(named: &[(&str, &str)]) -> Cells<String> {
        let mut cells = Cells::<String>::default();
        for (name, cell) in named {
            cells.0[COLUMNS.iter().position(|known| known == name).unwrap()] = (*cell).into();
        }
        cells
    }

    fn wrong(mode: BulkMode, named: &[(&str, &str)]) -> Vec<String> {
        let errors = BulkRow::read(mode, &cells(named)).unwrap_err();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn a_row_to_add_and_a_json_object_are_the_same_code() {
        let row = [("offer_id", "1"), ("coupon_code", "WINTER25"), ("status", "Active")];
        let json =
            r#"{"coupon_code": "WINTER25", "network_offer_id": 1, "coupon_status": "active"}"#;
        let object: CouponCodeEdit = serde_json::from_str(json).unwrap();
        let expected = BulkRow::from(object.check().unwrap());
        assert_eq!(BulkRow::read(BulkMode::Add, &cells(&row)), Ok(expected));
    }

    #[test]
    fn every_wrong_column_is_named() {
        let all = COLUMNS.map(|column| (column, "?"));
        assert_eq!(
            wrong(BulkMode::Add, &all),
            [
                "offer_id",
                "affiliate_id",
                "status",
                "start_date",
                "end_date",
                "is_description_plain_text",
                "conversion_only",
                "coupon_code"
            ]
        );
        let mut cleared = COLUMNS.map(|column| (column, "-"));
        cleared[1].1 = "ABC";
        assert_eq!(
            wrong(BulkMode::Update, &cleared),
            [
                "coupon_code_id",
                "offer_id",
                "status",
                "is_description_plain_text",
                "conversion_only"
            ]
        );
    }

    #[test]
    fn a_placeholder_is_not_added_but_one_that_is_there_can_be_selected() {
        let row = [("offer_id", "1"), ("coupon_code", "null"), ("status", "active")];
        assert_eq!(wrong(BulkMode::Add, &row), ["coupon_code"]);
        let only = [row[0], ("coupon_code", "{VIP}"), row[2], ("conversion_only", "yes")];
        assert_eq!(wrong(BulkMode::Add, &only), ["coupon_code"]);
        let row = [("coupon_code", "{VIP}"), ("status", "paused")];
        assert!(BulkRow::read(BulkMode::Update, &cells(&row)).is_ok());
    }

    #[test]
    fn cells_as_spreadsheets_write_them_mean_the_same() {
        let plain = [
            ("offer_id", "1"),
            ("affiliate_id", "7"),
            ("coupon_code", "WINTER25"),
            ("status", "active"),
            ("end_date", "2026-11-30"),
        ];
        let typed = [
            ("offer_id", " 1.0"),
            ("affiliate_id", "7.00\u{a0}"),
            ("coupon_code", "\u{200b}WINTER25 "),
            ("status", " Active "),
            ("end_date", " 2026/11/30 00:00:00"),
            ("description", "  "),
        ];
        let read = |row: &[(&str, &str)]| BulkRow::read(BulkMode::Add, &cells(row)).unwrap();
        assert_eq!(read(&typed), read(&plain));
        for id in ["1,0", "1.000", "1.5", ".0", "1e0", "1."] {
            let row = [("offer_id", id), ("coupon_code", "ABC"), ("status", "active")];
            assert_eq!(wrong(BulkMode::Add, &row), ["offer_id"], "{id}");
        }
        let blank = [("coupon_code", "ABC"), ("description", " "), ("affiliate_id", " ")];
        let row = BulkRow::read(BulkMode::Update, &cells(&blank)).unwrap();
        assert_eq!((row.description, row.affiliate_id), (CellChange::Keep, CellChange::Keep));
    }

    #[test]
    fn the_example_of_a_template_is_known_until_its_code_is_changed() {
        let is_example = |row: &[(&str, &str)]| super::is_example(&cells(row));
        assert!(is_example(&[("coupon_code", EXAMPLE_CODE), ("status", "active")]));
        assert!(!is_example(&[("coupon_code", "EXAMPLE")]));
        let own = [("coupon_code", EXAMPLE_CODE), ("conversion_only", "yes")];
        assert!(!is_example(&own));
    }

    #[test]
    fn in_an_update_blank_keeps_and_a_dash_clears() {
        let row = [
            ("coupon_code", "ABC"),
            ("affiliate_id", "-"),
            ("start_date", "-"),
            ("end_date", "2026-01-31"),
            ("description", "'-"),
            ("internal_notes", "-"),
        ];
        let row = BulkRow::read(BulkMode::Update, &cells(&row)).unwrap();
        assert_eq!((row.offer_id, row.status), (None, None));
        assert_eq!((row.affiliate_id, row.start_date), (CellChange::Clear, CellChange::Clear));
        assert!(matches!(row.end_date, CellChange::Set(_)));
        assert_eq!(row.description, CellChange::Set("-".into()));
        assert_eq!(row.internal_notes, CellChange::Clear);
    }
}
