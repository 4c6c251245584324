//! Reports as files of rows.
//!
//! Texts are neutralised against spreadsheets; numbers are plain.

use std::io;

use super::column::{Column, Value};
use crate::table_file::{CellWriter, TableFile, TableWriter};

/// A file that grows row by row.
pub(super) struct TableExport {
    out: TableWriter,
}

impl TableExport {
    /// Writes the header.
    pub(super) fn begin<'a>(
        mut out: TableWriter,
        header: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<TableExport> {
        out.header(header)?;
        Ok(TableExport { out })
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

    pub(super) fn finish(self) -> io::Result<TableFile> {
        self.out.finish()
    }
}

/// A file with one column for each [`Column`].
pub(super) struct ColumnExport<R: 'static> {
    columns: Vec<&'static Column<R>>,
    export: TableExport,
}

impl<R> ColumnExport<R> {
    pub(super) fn begin(
        out: TableWriter,
        columns: Vec<&'static Column<R>>,
    ) -> io::Result<ColumnExport<R>> {
        let export = TableExport::begin(out, columns.iter().map(|column| column.name))?;
        Ok(ColumnExport { columns, export })
    }

    pub(super) fn rows(&mut self, rows: &[R]) -> io::Result<()> {
        for row in rows {
            self.export.row(self.columns.iter().map(|column| column.value(row)))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<TableFile> {
        self.export.finish()
    }
}
