//! What a judge remembers, made again out of the archive after a start or a failure.

use crate::archive::{Archive, ArchiveError};
use crate::judgement::{Judge, MEMORY};
use crate::store::blocks::{self, BlockRow};
use crate::store::{Store, judging};

use super::IntakeError;

/// Shows a new judge the last visits before a frame that the store knows of: as many as a verdict
/// depends on.
pub(super) async fn shown(
    mut judge: Judge,
    store: &Store,
    archive: &Archive,
    before: u64,
) -> Result<Judge, IntakeError> {
    let blocks = store.read(move |c| blocks::last_with(c, before, MEMORY.into())).await?;
    learn(&mut judge, store).await?;
    let replay = move |archive: &Archive| {
        show(&mut judge, archive, &blocks)?;
        Ok(judge)
    };
    Ok(archive.on_disk(replay).await?)
}

/// Tells a judge what holds for the offers now.
pub(super) async fn learn(judge: &mut Judge, store: &Store) -> Result<(), IntakeError> {
    let through = judge.knows_terms_through();
    judge.learn(store.read(move |c| judging::revisions_after(c, through)).await?);
    Ok(())
}

fn show(judge: &mut Judge, archive: &Archive, blocks: &[BlockRow]) -> Result<(), ArchiveError> {
    let mut archived = archive.blocks();
    for block in blocks {
        let decoded = archived.read(block.archive_sequence)?;
        for click in decoded.clicks().skip(block.repeated()) {
            judge.judge(&click);
        }
    }
    Ok(())
}
