//! Restores the memory of a classifier from the archive, after a start or a failure.

use crate::archive::{Archive, ArchiveError};
use crate::classification::{Classifier, SESSION_HISTORY};
use crate::store::blocks::{self, BlockRow};
use crate::store::{Store, click_terms};

use super::ClickIngestError;

/// Feeds a new classifier the last visits before a frame in the store: as many as a class depends
/// on.
pub(super) async fn restore(
    mut classifier: Classifier,
    store: &Store,
    archive: &Archive,
    before: u64,
) -> Result<Classifier, ClickIngestError> {
    let blocks = store.read(move |c| blocks::last_with(c, before, SESSION_HISTORY.into())).await?;
    add_new_terms(&mut classifier, store).await?;
    let replay = move |archive: &Archive| {
        replay_blocks(&mut classifier, archive, &blocks)?;
        Ok(classifier)
    };
    Ok(archive.on_disk(replay).await?)
}

/// Adds the present offer terms to a classifier.
pub(super) async fn add_new_terms(
    classifier: &mut Classifier,
    store: &Store,
) -> Result<(), ClickIngestError> {
    let through = classifier.last_terms_id();
    classifier.add_revisions(store.read(move |c| click_terms::revisions_after(c, through)).await?);
    Ok(())
}

fn replay_blocks(
    classifier: &mut Classifier,
    archive: &Archive,
    blocks: &[BlockRow],
) -> Result<(), ArchiveError> {
    let mut archived = archive.block_reader();
    for block in blocks {
        let decoded = archived.read(block.archive_sequence)?;
        for click in decoded.clicks().skip(block.repeated()) {
            classifier.classify(&click);
        }
    }
    Ok(())
}
