//! Reports as CSV files.
//!
//! Texts are quoted and neutralised against spreadsheets; numbers are plain.

use std::fs::File;
use std::io;

use super::column::{Column, Value};
use crate::csv_file::CsvWriter;

/// A CSV file that grows row by row.
pub(super) struct TableExport {
    out: CsvWriter<File>,
}

impl TableExport {
    /// Writes the header.
    pub(super) fn begin<'a>(
        file: File,
        header: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<TableExport> {
        let header: Vec<&str> = header.into_iter().collect();
        Ok(TableExport { out: CsvWriter::begin(file, &header)? })
    }

    pub(super) fn row<'a>(
        &mut self,
        values: impl IntoIterator<Item = Value<'a>>,
    ) -> io::Result<()> {
        for value in values {
            match value {
                Value::Text(text) => self.out.text(&text)?,
                Value::Unsigned(number) => self.out.number(number)?,
                Value::Integer(number) => self.out.number(number)?,
                Value::Flag(flag) => self.out.number(flag)?,
                Value::Amount(amount) => self.out.number(amount.text())?,
            }
        }
        self.out.end_row()
    }

    /// The complete file; its position is at the end.
    pub(super) fn finish(self) -> io::Result<File> {
        self.out.finish()
    }
}

/// A CSV file with one column for each [`Column`].
pub(super) struct ColumnExport<R: 'static> {
    columns: Vec<&'static Column<R>>,
    export: TableExport,
}

impl<R> ColumnExport<R> {
    pub(super) fn begin(
        file: File,
        columns: Vec<&'static Column<R>>,
    ) -> io::Result<ColumnExport<R>> {
        let export = TableExport::begin(file, columns.iter().map(|column| column.name))?;
        Ok(ColumnExport { columns, export })
    }

    pub(super) fn rows(&mut self, rows: &[R]) -> io::Result<()> {
        for row in rows {
            self.export.row(self.columns.iter().map(|column| column.value(row)))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<File> {
        self.export.finish()
    }
}
