//! The random id of each run on a data folder, in the file `run-ids`.
//!
//! An incarnation does not occur twice on one data folder, but a copy of the folder counts on from
//! the same number. Two runs that began in one second then number their clicks alike, and only the
//! run id tells the clicks of one from repetitions of the other. The id of a run is durable before
//! the run has a ring, so after a crash there is no click without it. Runs from before run ids have
//! none.
//!
//! # Format
//!
//! For each run a line of 44 bytes: incarnation (10 digits), space, run id (32 hex digits). Empty
//! lines fill the file up to a multiple of 4,096 bytes: on a full disk a run is noted in this room.
//! A line that a power cut tore is no run's: the run had no click yet.

use std::io;
use std::path::{Path, PathBuf};

use coupon_shared::feed::RunIds;
use coupon_shared::node_identity::RunId;

use super::incarnation::{IdentityError, io_error};
use crate::durable_file;

/// Most noted runs. Of a coupond that fails every 5 s, the clicks of the last 22 hours keep their
/// run ids.
const MAX_RUNS: usize = 16_384;
const GROWTH_BYTES: usize = 4_096;

/// The noted runs of a data folder.
#[derive(Debug)]
pub(super) struct NotedRuns {
    path: PathBuf,
    runs: RunIds,
}

impl NotedRuns {
    pub(super) fn read(data_dir: &Path) -> Result<NotedRuns, IdentityError> {
        let path = data_dir.join("run-ids");
        let text = durable_file::read(&path).map_err(io_error(&path))?.unwrap_or_default();
        let lines = || text.lines().filter(|line| !line.is_empty());
        let runs: RunIds = lines().filter_map(parse_line).collect();
        if runs.len() < lines().count() {
            let (path, lines) = (path.display(), lines().count() - runs.len());
            tracing::warn!(%path, lines, "lines are not those of runs, and passed over");
        }
        Ok(NotedRuns { path, runs })
    }

    /// Takes over runs that the folder does not know: it was set back to a backup from before them.
    /// They are noted with the present run.
    pub(super) fn take_over(&mut self, runs: RunIds) {
        for (incarnation, run) in runs {
            self.runs.entry(incarnation).or_insert(run);
        }
    }

    /// The least incarnation that no noted run has.
    pub(super) fn next_incarnation(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(newest, _)| u64::from(*newest) + 1)
    }

    /// Gives the present run an id, which is durable when this returns. `None` if the disk is full:
    /// that must not keep the run from starting.
    pub(super) fn begin_run(&mut self, incarnation: u32) -> Result<Option<RunId>, IdentityError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)
            .map_err(|error| io_error(&self.path)(io::Error::other(error.to_string())))?;
        let mut runs = self.runs.clone();
        runs.insert(incarnation, RunId(id));
        while runs.len() > MAX_RUNS {
            runs.pop_first();
        }
        match durable_file::replace_sectors(&self.path, file_contents(&runs).as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "run id not noted: this run goes without");
                return Ok(None);
            }
            Err(error) => return Err(io_error(&self.path)(error)),
        }
        self.runs = runs;
        Ok(Some(RunId(id)))
    }

    pub(super) fn into_runs(self) -> RunIds {
        self.runs
    }
}

fn parse_line(line: &str) -> Option<(u32, RunId)> {
    let (incarnation, run) = line.split_once(' ')?;
    Some((incarnation.parse().ok().filter(|_| incarnation.len() == 10)?, run.parse().ok()?))
}

fn file_contents(runs: &RunIds) -> String {
    let lines = runs.iter().map(|(incarnation, run)| format!("{incarnation:010} {run}\n"));
    let mut contents: String = lines.collect();
    let room = contents.len().next_multiple_of(GROWTH_BYTES) - contents.len();
    contents.push_str(&"\n".repeat(room));
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(folder: &Path) -> NotedRuns {
        NotedRuns::read(folder).unwrap()
    }

    #[test]
    fn each_run_has_an_id_of_its_own_that_later_runs_know() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(noted(folder.path()).next_incarnation(), 0, "a folder from before run ids");
        let begin = |incarnation| noted(folder.path()).begin_run(incarnation).unwrap().unwrap();
        let [first, second] = [1_763_000_000, 1_763_000_007].map(begin);
        assert_ne!(first, second);
        let runs = noted(folder.path());
        assert_eq!(runs.next_incarnation(), 1_763_000_008);
        let expected = RunIds::from([(1_763_000_000, first), (1_763_000_007, second)]);
        assert_eq!(runs.into_runs(), expected);
    }

    #[test]
    fn the_oldest_runs_are_forgotten_beyond_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let many = |from: u32| (from..).map(|at| (at, RunId([7; 16]))).take(MAX_RUNS).collect();
        std::fs::write(folder.path().join("run-ids"), file_contents(&many(5))).unwrap();
        noted(folder.path()).begin_run(u32::MAX).unwrap().unwrap();
        let runs = noted(folder.path());
        assert_eq!((runs.runs.len(), runs.runs.first_key_value().unwrap().0), (MAX_RUNS, &6));
        assert_eq!(runs.next_incarnation(), 1 << 32);
    }

    /// All states that a crash can leave while the file is written over in place, sector by sector.
    #[test]
    fn a_torn_line_costs_no_other_run_its_id() {
        let folder = tempfile::tempdir().unwrap();
        for incarnation in 100..124 {
            noted(folder.path()).begin_run(incarnation).unwrap();
        }
        let path = folder.path().join("run-ids");
        let (before, old) = (noted(folder.path()).into_runs(), std::fs::read(&path).unwrap());
        noted(folder.path()).begin_run(124).unwrap();
        let (after, new) = (noted(folder.path()).into_runs(), std::fs::read(&path).unwrap());
        assert_eq!((old.len(), new.len()), (GROWTH_BYTES, GROWTH_BYTES));
        for cut in 0..=new.len() {
            for torn in [[&new[..cut], &old[cut..]].concat(), [&old[..cut], &new[cut..]].concat()] {
                std::fs::write(&path, torn).unwrap();
                let found = noted(folder.path()).into_runs();
                assert!(found == before || found == after, "{cut}: {found:?}");
            }
        }
    }
}
