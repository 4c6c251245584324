//! Why a file cannot be read as a table of coupon codes.

use std::path::PathBuf;

use super::workbook::WorkbookError;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The text is not UTF-8.
    #[error(
        "line {line}: the text is not UTF-8; if the file is in Windows-1252, say encoding=windows-1252, \
         else save it as \"CSV UTF-8\""
    )]
    NotUtf8 {
        /// First line of the row.
        line: u64,
    },
    /// The file is a workbook of an old format, or encrypted.
    #[error(
        "line 1: the file is an old Excel workbook (XLS), or one with a password; open it in the program that \
         made it and save it without a password as XLSX or as \"CSV UTF-8\""
    )]
    OldWorkbook,
    /// The workbook cannot be read.
    #[error(transparent)]
    Workbook(#[from] WorkbookError),
    /// Lines end with CR alone, as on an old Macintosh.
    #[error(
        "line 1: the lines end with CR alone; save the file with lines that end with LF or CRLF"
    )]
    OnlyCr,
    /// Rows cannot be read under the header.
    #[error("line {line}: {problem}")]
    Header {
        /// First line of the header.
        line: u64,
        /// The first reason.
        problem: HeaderProblem,
    },
    /// The file ends within quotes.
    #[error("line {line}: a quote is opened in this row and never closed")]
    OpenQuote {
        /// First line of the row.
        line: u64,
    },
    /// A row is too long, or reading failed.
    #[error("line {line}: {source}")]
    Broken {
        /// First line of the row.
        line: u64,
        /// The cause.
        source: std::io::Error,
    },
}

/// Why rows cannot be read under a header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderProblem {
    /// Required columns are missing.
    #[error("there is no column {}; these must be there: {needed}", missing.join(", "))]
    Missing {
        /// The missing columns.
        missing: Vec<&'static str>,
        /// All required columns.
        needed: String,
    },
    /// An update has no column to set.
    #[error("coupon_code only selects; at least one more column must say what to set")]
    NothingToSet,
    /// The request names a column that the file does not have.
    #[error("the file has no column `{0}`, which the request names")]
    NoSuchColumn(String),
    /// The request gives a value for all rows to a field that has a column.
    #[error(
        "the file has a column for {0}; leave out the value for all rows, or ignore the column"
    )]
    ColumnAndValue(&'static str),
    /// A column occurs twice.
    #[error("the column {0} stands there twice")]
    Twice(&'static str),
}
