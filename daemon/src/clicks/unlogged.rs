//! The number of unlogged clicks of each earlier run, stored when the run's rings are removed.
//!
//! A text file with a line for each ring that ever was full: node, incarnation, thread, count.
//! Setting a count again changes nothing, so that a removal can be repeated after a crash.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use coupon_shared::click::StreamId;

use crate::durable_file;

#[derive(Debug)]
pub(super) struct UnloggedLedger {
    path: PathBuf,
    counts: BTreeMap<StreamId, u64>,
}

impl UnloggedLedger {
    pub(super) fn open(data_dir: &Path) -> io::Result<UnloggedLedger> {
        let path = data_dir.join("unlogged");
        let text = durable_file::read(&path)?.unwrap_or_default();
        let counts = text.lines().map(parse_line).collect::<Option<_>>().ok_or_else(|| {
            let problem = "it is not a list of counts; restore it, or move it away and keep it";
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })?;
        Ok(UnloggedLedger { path, counts })
    }

    /// Durable when this returns.
    pub(super) fn set(&mut self, stream: StreamId, count: u64) -> io::Result<()> {
        if count == self.counts.get(&stream).copied().unwrap_or(0) {
            return Ok(());
        }
        let mut counts = self.counts.clone();
        counts.insert(stream, count);
        let lines = counts.iter().map(|(stream, count)| {
            format!("{} {} {} {count}\n", stream.node, stream.incarnation, stream.thread)
        });
        durable_file::replace(&self.path, lines.collect::<String>().as_bytes())?;
        self.counts = counts;
        Ok(())
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

fn parse_line(line: &str) -> Option<(StreamId, u64)> {
    let mut fields = line.split(' ');
    let stream = StreamId {
        node: fields.next()?.parse().ok()?,
        incarnation: fields.next()?.parse().ok()?,
        thread: fields.next()?.parse().ok()?,
    };
    let count = fields.next()?.parse().ok()?;
    fields.next().is_none().then_some((stream, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_runs_and_setting_one_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let stream = |incarnation| StreamId { node: 1, incarnation, thread: 2 };
        for _ in 0..2 {
            let mut ledger = UnloggedLedger::open(folder.path()).unwrap();
            ledger.set(stream(7), 40).unwrap();
            ledger.set(stream(8), 2).unwrap();
            ledger.set(stream(9), 0).unwrap();
            assert_eq!(ledger.total(), 42);
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unlogged");
        std::fs::write(&path, "1 7 2 forty\n").unwrap();
        UnloggedLedger::open(folder.path()).unwrap_err();
        assert!(path.exists());
    }
}
