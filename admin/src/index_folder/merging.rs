//! Merges levels of the folder into one, from their files alone.
//!
//! Whoever has the inputs gets the same bytes, so a merge needs no transfer: the control plane tells
//! the edges a [`MergeRecipe`], and each edge knows by the name whether its result is the right one.

use std::io;

use coupon_shared::snapshot::SnapshotError;
use coupon_shared::snapshot::level::{BuildError, Level, LevelMerge};
use coupon_shared::snapshot::manifest::{MAX_LEVELS, ObjectName};
use serde::{Deserialize, Serialize};

use super::mapped_file::MappedFile;
use super::{FinishedLevel, FolderError, IndexFolder};

/// The lowest priority: visitors and edits come first.
const NICENESS: i32 = 19;

/// How a level follows from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RecipeText", into = "RecipeText")]
pub(crate) struct MergeRecipe {
    pub(crate) level: ObjectName,
    /// The inputs, at most [`MAX_LEVELS`].
    pub(crate) newest_first: Vec<ObjectName>,
}

/// The names in hex digits.
#[derive(Serialize, Deserialize)]
struct RecipeText {
    level: String,
    newest_first: Vec<String>,
}

impl From<MergeRecipe> for RecipeText {
    fn from(MergeRecipe { level, newest_first }: MergeRecipe) -> RecipeText {
        let newest_first = newest_first.iter().map(ObjectName::to_string).collect();
        RecipeText { level: level.to_string(), newest_first }
    }
}

impl TryFrom<RecipeText> for MergeRecipe {
    type Error = &'static str;

    fn try_from(
        RecipeText { level, newest_first }: RecipeText,
    ) -> Result<MergeRecipe, &'static str> {
        let name = |text: &String| ObjectName::from_hex(text).ok_or("a level has no valid name");
        if newest_first.len() > MAX_LEVELS {
            return Err("an index does not have so many levels");
        }
        let newest_first = newest_first.iter().map(name).collect::<Result<_, _>>()?;
        Ok(MergeRecipe { level: name(&level)?, newest_first })
    }
}

/// Why levels are not merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot merge levels: {0}")]
    Build(#[from] BuildError),
    #[error("cannot merge levels: {0}")]
    Levels(#[from] SnapshotError),
    #[error("the merge was cancelled")]
    Cancelled,
}

impl IndexFolder {
    /// Merges neighbouring levels into a file without a final name. Stops when `is_wanted` is false.
    /// Memory does not grow with the codes.
    pub(crate) fn merge_levels(
        &self,
        newest_first: &[ObjectName],
        is_wanted: impl Fn() -> bool,
    ) -> Result<FinishedLevel, MergeError> {
        let levels = newest_first.iter().map(|name| self.mapped_level(name));
        let levels = levels.collect::<Result<Vec<_>, FolderError>>()?;
        let merge = LevelMerge::new(&levels)?;
        let mut merged = self.begin_level(merge.meta())?;
        merge.visit(|code, rows| match is_wanted() {
            true => Ok(merged.push(code, rows)?),
            false => Err(MergeError::Cancelled),
        })?;
        Ok(merged.finish()?)
    }

    /// Opens a level after checking its bytes.
    pub(super) fn mapped_level(&self, name: &ObjectName) -> Result<Level<MappedFile>, FolderError> {
        let (file, path) = (name.level_file(), self.path_of(&name.level_file()));
        let mapped = MappedFile::open(&path).map_err(FolderError::io("read", &path))?;
        let level = Level::open(mapped).map_err(|source| self.damaged(&file, source))?;
        self.check_name(&file, *level.name() == name.0)?;
        Ok(level)
    }
}

/// Starts work on a thread of the lowest priority.
///
/// # Errors
/// When the system starts no thread.
pub(crate) fn spawn_low_priority(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let run = move || {
        lower_priority();
        work();
    };
    std::thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

/// Lowers this thread's priority, if the system permits it.
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
        tracing::debug!(%error, "merge runs at normal priority");
    }
}
