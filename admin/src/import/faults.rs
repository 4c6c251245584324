//! What is wrong with a file's rows: counted, the first of them kept, all of them written to a file
//! where one is wanted. So a file with a million wrong rows needs no more memory than one with ten.

use std::fs::File;
use std::path::Path;

/// One wrong cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where its row begins, from 1; the header is line 1.
    pub line: u64,
    /// The column's name.
    pub column: String,
    /// What is wrong, and how to mend it.
    pub reason: String,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Faults {
    first: Vec<Fault>,
    count: u64,
    file: Option<csv::Writer<File>>,
}

impl Faults {
    /// How many are kept to be shown.
    const SHOWN: usize = 20;
    /// How many of one kind that takes a whole table to find are looked for.
    pub(super) const AT_ONCE: usize = 100_000;

    /// Writes all of them to `path` as CSV, too.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn written_to(path: &Path) -> Result<Faults, csv::Error> {
        let mut file = csv::Writer::from_path(path)?;
        file.write_record(["line", "column", "reason"])?;
        Ok(Faults { file: Some(file), ..Faults::default() })
    }

    /// Nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first ones, by line.
    #[must_use]
    pub fn first(&self) -> &[Fault] {
        &self.first
    }

    pub(super) fn add(&mut self, fault: Fault) -> Result<(), csv::Error> {
        self.count += 1;
        if let Some(file) = &mut self.file {
            file.write_record([&fault.line.to_string(), &fault.column, &fault.reason])?;
        }
        let at = self.first.partition_point(|kept| kept.line <= fault.line);
        if at < Self::SHOWN {
            self.first.insert(at, fault);
            self.first.truncate(Self::SHOWN);
        }
        Ok(())
    }

    pub(super) fn extend(&mut self, faults: Vec<Fault>) -> Result<(), csv::Error> {
        faults.into_iter().try_for_each(|fault| self.add(fault))
    }

    pub(super) fn finish(&mut self) -> Result<(), csv::Error> {
        match &mut self.file {
            Some(file) => Ok(file.flush()?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_faults_by_line_are_kept_and_all_are_counted_and_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("errors.csv");
        let mut faults = Faults::written_to(&path).unwrap();
        for line in (2..102).rev() {
            faults.add(Fault { line, column: "status".into(), reason: "a, \"b\"".into() }).unwrap();
        }
        faults.finish().unwrap();
        assert_eq!(faults.count(), 100);
        let lines: Vec<u64> = faults.first().iter().map(|fault| fault.line).collect();
        assert_eq!(lines, (2..22).collect::<Vec<u64>>());
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(written.lines().count(), 101);
        assert!(written.lines().any(|line| line == r#"7,status,"a, ""b""""#), "{written}");
    }
}
