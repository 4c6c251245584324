//! From the records of a file to rows that are right by themselves, each with its line.
//!
//! A file is text, or a workbook. Headers stand in any order and case. The text is UTF-8, UTF-16 or Windows-1252; cells are
//! separated by commas, semicolons, tabs or `|`; lines end with LF or CRLF; a quoted cell may hold
//! line ends. Rows of blank cells, and the untouched example of a template, are left out. A wrong
//! cell is reported with its line and column, and the rows after it are read; so is a row with too
//! few or too many cells, which keeps them for mending. A file whose rows cannot be told apart is
//! refused as a whole: the rows behind that place would be lost without a word. So is a file in
//! another encoding.

use std::borrow::Cow;
use std::io::Read;

use super::header::{self, Header, SURPLUS_COLUMN};
use super::layout::Layout;
use super::read_error::ReadError;
use super::table::Table;
use super::wrong_row::{Row, WrongRow};
use crate::catalog::text::trim_invisible;
use crate::catalog::{
    BulkMode, BulkRow, COLUMNS, Cells, DateFormat, FieldError, folded_code, is_example,
    unescape_formula,
};

const MAX_CELL_BYTES: usize = 8 * 1024;

/// The rows of one file.
pub(super) struct Rows<R> {
    mode: BulkMode,
    date_format: Option<DateFormat>,
    table: Table<R>,
    header: Header,
    warnings: Vec<String>,
    is_any_cut: bool,
}

/// A row with its place in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileRow {
    /// The first line.
    pub(super) line: u64,
    /// Correct, or with its errors.
    pub(super) row: Row,
    /// Cells of columns without a field, with the column's position; without blank ones.
    pub(super) extra: Vec<(usize, String)>,
}

impl<R: Read> Rows<R> {
    pub(super) fn open(mode: BulkMode, layout: &Layout, file: R) -> Result<Rows<R>, ReadError> {
        let table = Table::open(layout, file)?;
        let line = table.header_line;
        let columns = header::columns(layout, &table.record, line)?;
        let header = Header::new(mode, layout, &columns, line)?;
        let warnings = table.warning.iter().cloned().chain(header::unknown_columns(&columns));
        let warnings = warnings.collect();
        let date_format = layout.date_format;
        Ok(Rows { mode, date_format, table, header, warnings, is_any_cut: false })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.table.bytes_read()
    }

    /// What was left out so far, in sentences.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Positions and names of the columns without a field. Complete after the last row.
    pub(super) fn extra_columns(&self) -> impl Iterator<Item = (usize, &str)> {
        let extra = self.header.extra.iter().map(|(position, name)| (*position, name.as_str()));
        extra.chain(self.is_any_cut.then_some((self.header.cells, SURPLUS_COLUMN)))
    }

    /// Returns the next row, valid or not; `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<FileRow>, ReadError> {
        loop {
            let Some(line) = self.table.next_record()? else { return Ok(None) };
            let (cells, unreadable) = self.cells(line)?;
            if is_example(&cells) {
                self.warnings
                    .push(format!("line {line}: the example of the template was left out"));
                continue;
            }
            let row = self.check(cells, unreadable);
            let extra = self.extra_cells(line)?;
            self.is_any_cut |= extra.iter().any(|(position, _)| *position == self.header.cells);
            return Ok(Some(FileRow { line, row, extra }));
        }
    }

    /// The cells of the fields, as far as they can be read, and the errors of the others.
    fn cells(&self, line: u64) -> Result<(Cells<Cow<'_, str>>, Vec<FieldError>), ReadError> {
        let mut cells = Cells([const { Cow::Borrowed("") }; COLUMNS.len()]);
        let mut unreadable = Vec::from_iter(self.shape_error());
        let places = self.header.places.iter().zip(&self.header.values.0);
        for ((cell, (place, value)), column) in cells.0.iter_mut().zip(places).zip(COLUMNS) {
            let text = match place {
                Some(place) => readable(self.text(*place, line)?),
                None => Ok(value.as_str()),
            };
            let mut note = |error| unreadable.push(FieldError { field: column.into(), error });
            match text.map(|text| (text, self.in_one_form(column, text))) {
                Ok((_, Ok(text))) => *cell = text,
                Ok((text, Err(error))) => {
                    *cell = text.into();
                    note(error);
                }
                Err(error) => note(error),
            }
        }
        Ok((cells, unreadable))
    }

    /// Days with the year first, if the file has another form.
    fn in_one_form<'t>(&self, column: &str, text: &'t str) -> Result<Cow<'t, str>, String> {
        match self.date_format {
            Some(format) if matches!(column, "start_date" | "end_date") => {
                match trim_invisible(text) {
                    "-" | "" => Ok(text.into()),
                    day => match format.parse(day) {
                        Ok(day) => Ok(day.map(|day| day.to_string()).unwrap_or_default().into()),
                        Err(error) => Err(error.to_string()),
                    },
                }
            }
            _ => Ok(text.into()),
        }
    }

    /// A cell of the present row; blank behind the last one.
    fn text(&self, place: usize, line: u64) -> Result<&str, ReadError> {
        let bytes = self.table.record.get(place).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| ReadError::NotUtf8 { line })
    }

    /// The error of a row whose cells may belong to other columns.
    fn shape_error(&self) -> Option<FieldError> {
        let (record, header) = (&self.table.record, &self.header);
        let is_blank = |cell: &[u8]| cell.trim_ascii().is_empty();
        let error = |error| Some(FieldError { field: String::new(), error });
        if record.iter().skip(header.cells).any(|cell| !is_blank(cell))
            || record.len() < header.least_cells
        {
            return error(format!("has {} cells; the header has {}", record.len(), header.cells));
        }
        let surplus = record.get(header.surplus?)?;
        if is_blank(surplus) {
            return None;
        }
        error(format!(
            "has more cells than its header; bring those in {SURPLUS_COLUMN} to their columns"
        ))
    }

    fn extra_cells(&self, line: u64) -> Result<Vec<(usize, String)>, ReadError> {
        let mut extra = Vec::new();
        for (position, _) in &self.header.extra {
            let text = self.text(*position, line)?;
            if !text.trim().is_empty() {
                extra.push((*position, shortened(text)));
            }
        }
        let mut surplus = Vec::new();
        for place in self.header.cells..self.table.record.len() {
            surplus.push(self.text(place, line)?);
        }
        if surplus.iter().any(|text| !text.trim().is_empty()) {
            extra.push((self.header.cells, shortened(&surplus.join(", "))));
        }
        Ok(extra)
    }

    fn check(&self, cells: Cells<Cow<'_, str>>, unreadable: Vec<FieldError>) -> Row {
        if unreadable.is_empty() {
            return BulkRow::read(self.mode, &cells)
                .or_else(|own| wrong(folded(self.mode, &cells), cells, unreadable, own));
        }
        // The other cells are checked when all are readable. The code of a row whose cells may be
        // shifted says nothing about the other rows with it.
        let is_whole = unreadable.iter().all(|error| !error.field.is_empty());
        let folded = if is_whole { folded(self.mode, &cells) } else { None };
        wrong(folded, cells, unreadable, Vec::new())
    }
}

fn folded(mode: BulkMode, cells: &Cells<Cow<'_, str>>) -> Option<String> {
    folded_code(mode, cells).map(|folded| folded.as_str().to_owned())
}

fn wrong(
    folded: Option<String>,
    cells: Cells<Cow<'_, str>>,
    unreadable: Vec<FieldError>,
    own: Vec<FieldError>,
) -> Row {
    Err(Box::new(WrongRow { folded, cells: Cells(cells.0.map(Cow::into_owned)), unreadable, own }))
}

/// The text of a cell with a field.
fn readable(text: &str) -> Result<&str, String> {
    if text.contains('\0') {
        return Err("contains a NUL character; remove it".into());
    }
    let bytes = unescape_formula(text).len();
    if bytes > MAX_CELL_BYTES {
        return Err(format!("has {bytes} bytes; at most {MAX_CELL_BYTES} fit"));
    }
    Ok(text)
}

/// The beginning of a text that nothing reads but people.
fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_CELL_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use csv::{QuoteStyle, WriterBuilder};
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{CellChange, Encoding};
    use crate::import::preview;
    use crate::import::read_error::HeaderProblem;
    use csv::Terminator;

    fn read(file: &[u8]) -> Result<Vec<(u64, Row)>, ReadError> {
        Ok(read_all(&Layout::default(), file)?.0)
    }

    /// All rows with their lines, and the warnings.
    type FileContents = (Vec<(u64, Row)>, Vec<String>);

    fn read_all(layout: &Layout, file: &[u8]) -> Result<FileContents, ReadError> {
        let mut rows = Rows::open(BulkMode::Add, layout, file)?;
        let mut read = Vec::new();
        while let Some(FileRow { line, row, .. }) = rows.next_row()? {
            read.push((line, row));
        }
        Ok((read, rows.warnings().to_vec()))
    }

    /// Line and code of each row; all must be right.
    fn codes(file: &[u8]) -> Vec<(u64, String)> {
        read(file).unwrap().into_iter().map(|(line, row)| (line, row.unwrap().code)).collect()
    }

    /// Line and column of each wrong cell.
    fn faults(file: &[u8]) -> Vec<(u64, String)> {
        let wrong =
            read(file).unwrap().into_iter().filter_map(|(line, row)| Some((line, row.err()?)));
        let faults = wrong.flat_map(|(line, row)| {
            row.unreadable.into_iter().chain(row.own).map(move |fault| (line, fault.field))
        });
        faults.collect()
    }

    const HEADER: &str = "offer_id,affiliate_id,coupon_code,status\n";

    #[test]
    fn headers_stand_in_any_order_and_case_with_bom_and_crlf() {
        let file = b"\xef\xbb\xbfSTATUS,Coupon_Code, offer_id ,AFFILIATE_ID,Notes\r\nactive,SPRING,7,,hello\r\nInactive,SUMMER,7,3,\r\n";
        let rows: Vec<_> =
            read(file).unwrap().into_iter().map(|(line, row)| (line, row.unwrap())).collect();
        assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
        let first = &rows[0].1;
        assert_eq!(
            (first.offer_id, &first.affiliate_id, &first.internal_notes),
            (Some(7), &CellChange::Clear, &CellChange::Set("hello".into()))
        );
        assert_eq!(rows[1].1.affiliate_id, CellChange::Set(3));
    }

    #[test]
    fn a_file_of_another_kind_is_named() {
        let long = format!("{}{}", HEADER.replace('\n', "\r"), "1,,AAA,active\r".repeat(30_000));
        let cases: [(&[u8], &str); 5] = [
            (b"PK\x03\x04\x14\0\x06\0\x08\0,\n", "cannot be read as an Excel workbook (XLSX)"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "XLS"),
            (b"offer_id,affiliate_id,coupon_code,status\r1,,AAA,active\r", "CR alone"),
            (long.as_bytes(), "CR alone"),
            (b"\xff\xfeo\0f", "ends within a character"),
        ];
        for (file, expected) in cases {
            let error = read(file).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn separators_and_utf16_of_spreadsheet_programs_are_understood() {
        let table = "offer_id,affiliate_id,coupon_code,status,notes\r\n\
                     1,,AAA,active,\"two\r\nlines\"\r\n1,,BBB,active,Grüße 😀\r\n";
        for separator in [",", ";", "\t", "|"] {
            let text = table.replace(',', separator);
            let units = || "\u{feff}".encode_utf16().chain(text.encode_utf16());
            let files = [
                text.clone().into_bytes(),
                units().flat_map(u16::to_le_bytes).collect(),
                units().flat_map(u16::to_be_bytes).collect(),
            ];
            for file in files {
                let rows = read(&file).unwrap();
                let rows: Vec<_> =
                    rows.into_iter().map(|(line, row)| (line, row.unwrap())).collect();
                let lines: Vec<_> = rows.iter().map(|(line, row)| (*line, &*row.code)).collect();
                assert_eq!(lines, [(2, "AAA"), (4, "BBB")], "{separator:?}");
                let notes = CellChange::Set("Grüße 😀".to_owned());
                assert_eq!(rows[1].1.internal_notes, notes, "{separator:?}");
            }
        }
        let with_commas = "offer_id;affiliate_id;coupon_code;status;notes\n1;;AAA;active;a, b\n";
        let (_, row) = read(with_commas.as_bytes()).unwrap().remove(0);
        assert_eq!(row.unwrap().internal_notes, CellChange::Set("a, b".into()));
    }

    #[test]
    fn invisible_characters_around_a_columns_name_are_nothing() {
        let file = HEADER.replace("coupon_code", "\u{200b}coupon_code\u{feff}") + "1,,AAA,active\n";
        assert_eq!(codes(file.as_bytes()), [(2, "AAA".into())]);
    }

    #[test]
    fn quoted_line_ends_and_blank_lines_keep_the_count_of_lines() {
        let file = "offer_id,affiliate_id,coupon_code,status,description\n1,,AAA,active,\"two\nlines, \"\"quoted\"\"\"\n\n\n1,,BBB,active,\n";
        assert_eq!(codes(file.as_bytes()), [(2, "AAA".into()), (6, "BBB".into())]);
    }

    #[test]
    fn the_last_line_needs_no_end() {
        for end in ["", "\n", "\r\n", "\r"] {
            assert_eq!(
                codes(format!("{HEADER}1,,AAA,active{end}").as_bytes()),
                [(2, "AAA".into())],
                "{end:?}"
            );
        }
    }

    #[test]
    fn lines_are_counted_over_the_edges_of_buffers() {
        let mut file = HEADER.replace('\n', "\r\n");
        for number in 2..20_000 {
            file.push_str(&format!("1,,CODE{number},active\r\n"));
        }
        for (line, code) in codes(file.as_bytes()) {
            assert_eq!(code, format!("CODE{line}"));
        }
    }

    #[test]
    fn a_lone_cr_ends_no_line() {
        assert_eq!(
            faults(format!("{HEADER}1,,AAA,active\r1,,BBB,active\n").as_bytes()),
            [(2, String::new())]
        );
    }

    #[test]
    fn a_wrong_cell_is_named_by_line_and_column_and_the_rest_is_read() {
        let big = "x".repeat(MAX_CELL_BYTES + 1);
        let file = format!(
            "{HEADER}1,,AAA,active\n1,,A A,active\nx,,BBB,gone\n1,,CCC\n1,,D\0D,active\n1,,{big},active\n1,,EEE,active\n"
        );
        let expected = [
            (3, "coupon_code"),
            (4, "offer_id"),
            (4, "status"),
            (5, ""),
            (6, "coupon_code"),
            (7, "coupon_code"),
        ];
        let found = faults(file.as_bytes());
        assert_eq!(
            found.iter().map(|(line, column)| (*line, column.as_str())).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn a_file_that_is_not_utf8_is_refused_with_its_line_and_the_remedy() {
        let mut file = format!("{HEADER}1,,AAA,active\n1,,").into_bytes();
        file.extend(b"M\xfcnchen,active\n");
        let error = read(&file).unwrap_err().to_string();
        assert!(
            error.starts_with("line 3: ") && error.contains("encoding=windows-1252"),
            "{error}"
        );
        let layout = Layout { encoding: Some(Encoding::Windows1252), ..Layout::default() };
        let mut rows =
            Rows::open(BulkMode::Update, &layout, b"coupon_code,notes\nA1A,\x80 5\n".as_slice());
        let row = rows.as_mut().unwrap().next_row().unwrap().unwrap().row;
        assert_eq!(row.unwrap().internal_notes, CellChange::Set("€ 5".into()));
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_swallow_the_file() {
        let mut file = format!("{HEADER}1,,AAA,active\n1,,\"BBB,active\n").into_bytes();
        let open = |file: &[u8]| read(file).unwrap_err().to_string();
        assert!(open(&file).starts_with("line 3: a quote is opened"), "{}", open(&file));
        file.extend(b"1,,CCC,active\n".repeat(100_000));
        let error = open(&file);
        assert!(error.starts_with("line 3: ") && error.contains("quote"), "{error}");
        let last = format!("{HEADER}1,,AAA,active\n1,,BBB,\"");
        assert!(open(last.as_bytes()).starts_with("line 3: "), "{}", open(last.as_bytes()));
    }

    #[test]
    fn a_row_that_looks_like_the_mark_of_the_end_is_a_row() {
        assert_eq!(faults(format!("{HEADER}end\n").as_bytes()), [(2, String::new())]);
        assert_eq!(faults(format!("{HEADER}end").as_bytes()), [(2, String::new())]);
        assert_eq!(codes(HEADER.as_bytes()), []);
        assert_eq!(codes(HEADER.trim_end().as_bytes()), []);
    }

    #[test]
    fn an_update_needs_a_code_and_something_to_set() {
        let open = |header: &str| {
            Rows::open(BulkMode::Update, &Layout::default(), header.as_bytes()).map(drop)
        };
        let problem = |header: &str| match open(header) {
            Err(ReadError::Header { line: 1, problem }) => problem,
            other => panic!("{other:?}"),
        };
        assert!(matches!(problem("status\n"), HeaderProblem::Missing { .. }));
        assert!(matches!(problem("coupon_code\n"), HeaderProblem::NothingToSet));
        assert!(matches!(problem("coupon_code,coupon_code_id\n"), HeaderProblem::NothingToSet));
        assert!(open("coupon_code,Notes\n").is_ok());
    }

    #[test]
    fn headers_that_cannot_be_used_are_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "Missing"),
            (b"offer_id,coupon_code,status\n", "Missing { missing: [\"affiliate_id\"]"),
            (b"offer_id,affiliate_id,coupon_code,status,Status\n", "Twice(\"status\")"),
            (b"offer_id;affiliate_id;coupon_code;colour\n", "Missing { missing: [\"status\"]"),
            (b"\xffffer_id,affiliate_id", "NotUtf8"),
            (b"offer_id,affiliate_id,coupon_code,status,internal_notes,notes\n", "Twice"),
        ];
        for (file, expected) in cases {
            let error = format!("{:?}", read(file).unwrap_err());
            let error = error.strip_prefix("Header { line: 1, problem: ").unwrap_or(&error);
            assert!(error.starts_with(expected), "{error} instead of {expected}");
        }
    }

    #[test]
    fn errors_of_a_header_name_its_line() {
        let lines = |file: &[u8]| {
            let preview = preview(BulkMode::Add, &Layout::default(), file);
            let shown =
                preview.map_or_else(|error| error.to_string(), |found| found.problems.concat());
            let refusal = read(file).unwrap_err().to_string();
            assert_eq!(shown, refusal);
            refusal.split(':').next().unwrap().to_owned()
        };
        assert_eq!(lines(b"sep=;\r\noffer_id;affiliate_id;coupon_code\r\n"), "line 2");
        assert_eq!(lines(b"sep=;\noffer_id;affiliate_id;coupon_code;status;Status\n"), "line 2");
        assert_eq!(lines(b"sep=;\n\xffffer_id;affiliate_id\n"), "line 2");
        assert_eq!(lines(b"\n\noffer_id,\"affiliate\nid\",coupon_code\n1,,AAA\n"), "line 3");
        assert_eq!(lines(b"offer_id,affiliate_id,coupon_code"), "line 1");
    }

    #[test]
    fn a_line_that_names_the_separator_counts_as_a_line() {
        let file = "\u{feff}sep=;\r\noffer_id;affiliate_id;coupon_code;status\r\n1;;AAA;active\r\n";
        assert_eq!(codes(file.as_bytes()), [(3, "AAA".into())]);
        let open = file.replace("AAA", "\"AAA");
        assert!(read(open.as_bytes()).unwrap_err().to_string().starts_with("line 3: a quote"));
    }

    #[test]
    fn names_of_people_are_columns_and_the_documented_name_comes_first() {
        let file = "Offer ID,Partner,Code,STATUS,Start Date\n1,,AAA,active,2026/11/30\n";
        assert_eq!(codes(file.as_bytes()), [(2, "AAA".into())]);
        let both = "Code,offer_id,affiliate_id,coupon_code,status\nno code,1,,AAA,active\n";
        let (rows, warnings) = read_all(&Layout::default(), both.as_bytes()).unwrap();
        assert_eq!(rows[0].1.as_ref().unwrap().code, "AAA");
        assert!(warnings.len() == 1 && warnings[0].starts_with("`Code`: "), "{warnings:?}");
        let twice = "Code,Coupon,offer_id,affiliate_id,status\n";
        let refusal = read(twice.as_bytes()).unwrap_err().to_string();
        assert_eq!(refusal, "line 1: the column coupon_code stands there twice");
    }

    #[test]
    fn what_is_left_out_is_named_and_columns_of_our_own_files_are_not() {
        let file = "offer_id,affiliate_id,coupon_code,status,errors,Colour,,Size,surplus_cells\n\
                    1,,AAA,active,wrong,red,x,9,\n1,2,EXAMPLE - write your codes below,active\n";
        let (rows, warnings) = read_all(&Layout::default(), file.as_bytes()).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("`Colour`, column 7 (without a name), `Size`: no field"));
        assert!(warnings[1].starts_with("line 3: the example"), "{warnings:?}");
    }

    #[test]
    fn days_are_read_in_the_form_that_is_said() {
        let file = format!(
            "{},end_date\n1,,AAA,active, 30/11/2026\n1,,BBB,active,11/30/2026\n\
                            1,,CCC,active,2026-11-30\n",
            HEADER.trim_end()
        );
        assert_eq!(faults(file.as_bytes()), [(2, "end_date".into()), (3, "end_date".into())]);
        let layout = Layout { date_format: "dd/mm/yyyy".parse().ok(), ..Layout::default() };
        let (rows, _) = read_all(&layout, file.as_bytes()).unwrap();
        let day = CellChange::Set(jiff::civil::date(2026, 11, 30));
        assert_eq!(rows[0].1.as_ref().unwrap().end_date, day);
        assert_eq!(rows[2].1.as_ref().unwrap().end_date, day);
        let wrong = rows[1].1.as_ref().unwrap_err();
        assert_eq!(wrong.unreadable[0].error, "`11/30/2026` is not a day in the form dd/mm/yyyy");
        assert_eq!(wrong.cells.cell("end_date"), "11/30/2026");
    }

    #[test]
    fn a_row_with_too_few_or_too_many_cells_keeps_them_and_shifts_no_other() {
        let file = format!(
            "{}1,,AAA\n1,,BBB,active,x,,y\n1,,CCC,active\n",
            HEADER.replace('\n', ",Size\n")
        );
        let mut rows = Rows::open(BulkMode::Add, &Layout::default(), file.as_bytes()).unwrap();
        let mut next = || rows.next_row().unwrap().unwrap();
        let (short, long, right) = (next(), next(), next());
        let wrong = short.row.unwrap_err();
        assert_eq!((wrong.cells.cell("offer_id"), wrong.cells.cell("coupon_code")), ("1", "AAA"));
        assert_eq!(wrong.unreadable[0].error, "has 3 cells; the header has 5");
        assert_eq!(long.row.unwrap_err().cells.cell("status"), "active");
        assert_eq!(long.extra, [(4, "x".into()), (5, ", y".into())]);
        assert!(right.row.is_ok());
        assert_eq!(rows.extra_columns().collect::<Vec<_>>(), [(4, "Size"), (5, SURPLUS_COLUMN)]);
        let again = format!("{}1,,BBB,active,y\n", HEADER.replace('\n', ",surplus_cells\n"));
        assert_eq!(faults(again.as_bytes()), [(2, String::new())]);
    }

    /// How programs differ in writing the same table.
    #[derive(Debug, Clone)]
    struct Dialect {
        has_mark: bool,
        is_crlf: bool,
        is_all_quoted: bool,
        order: Vec<usize>,
    }

    const COLUMNS_WRITTEN: [&str; 5] =
        ["Offer_ID", "affiliate_id", "COUPON_CODE", "status", "notes"];

    fn any_dialect() -> impl Strategy<Value = Dialect> {
        let order = Just((0..COLUMNS_WRITTEN.len()).collect::<Vec<_>>()).prop_shuffle();
        (any::<[bool; 3]>(), order).prop_map(|([has_mark, is_crlf, is_all_quoted], order)| {
            Dialect { has_mark, is_crlf, is_all_quoted, order }
        })
    }

    fn written(dialect: &Dialect, rows: &[[String; 5]]) -> Vec<u8> {
        let terminator = if dialect.is_crlf { Terminator::CRLF } else { Terminator::Any(b'\n') };
        let quotes = if dialect.is_all_quoted { QuoteStyle::Always } else { QuoteStyle::Necessary };
        let start = if dialect.has_mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        let mut writer =
            WriterBuilder::new().terminator(terminator).quote_style(quotes).from_writer(start);
        writer.write_record(dialect.order.iter().map(|at| COLUMNS_WRITTEN[*at])).unwrap();
        for row in rows {
            writer.write_record(dialect.order.iter().map(|at| &row[*at])).unwrap();
        }
        writer.into_inner().unwrap()
    }

    proptest! {
        #[test]
        fn any_table_reads_the_same_in_every_dialect(
            cells in proptest::collection::vec(
                ("[0-9A-Za-z]{3,64}", "[\"',;\r\n=+@\t -]{0,6}[^\0]{0,20}[\"',;\r\n]{0,4}"), 0..8),
            dialect in any_dialect(),
        ) {
            let rows: Vec<[String; 5]> = cells.iter().map(|(code, notes)| {
                ["7".into(), String::new(), code.clone(), "active".into(), notes.clone()]
            }).collect();
            let file = written(&dialect, &rows);
            let mut read = Rows::open(BulkMode::Add, &Layout::default(), &file[..]).unwrap();
            let place = |column: &str| {
                let at = COLUMNS_WRITTEN.iter().position(|written| written.eq_ignore_ascii_case(column));
                dialect.order.iter().position(|written| Some(*written) == at).unwrap()
            };
            for (code, notes) in &cells {
                prop_assert!(read.next_row().unwrap().is_some());
                prop_assert_eq!(read.table.record.len(), COLUMNS_WRITTEN.len());
                prop_assert_eq!(&read.table.record[place("coupon_code")], code.as_bytes());
                let found = &read.table.record[place("notes")];
                prop_assert_eq!(String::from_utf8_lossy(found), notes.as_str());
            }
            prop_assert!(read.next_row().unwrap().is_none());
        }

        #[test]
        fn a_file_of_any_bytes_is_read_to_its_end_or_refused(
            header in proptest::sample::select(vec!["", HEADER, "\u{feff}coupon_code,status\r\n"]),
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b",\"\r\n1aA"[..])], 0..400),
            mode in proptest::sample::select(vec![BulkMode::Add, BulkMode::Update]),
        ) {
            let file = [header.as_bytes(), &bytes].concat();
            let Ok(mut rows) = Rows::open(mode, &Layout::default(), &file[..]) else { return Ok(()) };
            let mut last_line = 0;
            while let Ok(Some(FileRow { line, .. })) = rows.next_row() {
                prop_assert!(line > last_line, "line {} after {}", line, last_line);
                last_line = line;
            }
            prop_assert!(last_line <= 1 + file.iter().filter(|byte| **byte == b'\n').count() as u64);
            prop_assert!(rows.bytes_read() <= file.len() as u64);
        }
    }
}
