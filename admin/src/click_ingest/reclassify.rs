//! Classifies the archive again, by another bot list or newer rules of the program, while clicks
//! arrive and reports are read.
//!
//! It processes the counted frames in order, a bounded number at a time, and counts them beside the
//! present counts; `store::bot_list` describes the end. Each step is one transaction with its
//! position, so a crash costs at most a step. The ingest task does the steps between two batches,
//! so nothing is counted during a step.

use std::sync::Arc;

use super::batch::check_terms;
use super::click_counter::ClickCounter;
use super::converted_visits::reclassify_next_converted_visits;
use super::{ClickIngestError, replay};
use crate::archive::{Archive, ArchiveError};
use crate::classification::Classifier;
use crate::classification::bot_list::BotList;
use crate::store::blocks::{self, BlockRow};
use crate::store::bot_list::{self, PendingWork};
use crate::store::rollups::Rollups;

/// Blocks per step.
const STEP_BLOCKS: usize = if cfg!(test) { 3 } else { 1_000 };

#[derive(Default)]
pub(super) struct Reclassifier {
    /// Classifier that has seen exactly the frames before the next one.
    classifier: Option<Classifier>,
}

impl Reclassifier {
    /// Does a part of the work; returns whether more is left.
    pub(super) async fn step(&mut self, counter: &ClickCounter) -> Result<bool, ClickIngestError> {
        let (store, archive) = (counter.store(), counter.archive());
        match store.read(bot_list::pending_work).await? {
            PendingWork::UpToDate => return Ok(false),
            PendingWork::Start => {
                self.classifier = None;
                store.write(bot_list::start_classifying).await?;
            }
            PendingWork::Classify(bots, from) => self.classify_from(counter, bots, from).await?,
            PendingWork::MarkConverted(after) => {
                reclassify_next_converted_visits(store, archive, after).await?
            }
        }
        Ok(true)
    }

    async fn classify_from(
        &mut self,
        counter: &ClickCounter,
        bots: Arc<BotList>,
        from: u64,
    ) -> Result<(), ClickIngestError> {
        let (store, archive) = (counter.store(), counter.archive());
        let rows = store.read(move |c| blocks::from(c, from, STEP_BLOCKS)).await?;
        let Some(next) = rows.last().map(|row| row.archive_sequence + 1) else {
            self.classifier = None;
            store.write(bot_list::put_in_force).await?;
            counter.reset_classifier();
            return Ok(());
        };
        let mut classifier = match self.classifier.take() {
            Some(classifier) => classifier,
            None => replay::restore(Classifier::new(bots), store, archive, from).await?,
        };
        replay::add_new_terms(&mut classifier, store).await?;
        let last_click_ms = rows.iter().map(|row| row.unix_ms.1).max();
        let count = move |archive: &Archive| count(archive, classifier, &rows);
        let (classifier, rollups) = archive.on_disk(count).await?;
        let terms_through = classifier.last_terms_id();
        store
            .write(move |tx| {
                check_terms(tx, terms_through, last_click_ms)?;
                rollups.apply(tx)?;
                Ok::<_, ClickIngestError>(bot_list::set_next_frame(tx, next)?)
            })
            .await?;
        self.classifier = Some(classifier);
        Ok(())
    }
}

fn count(
    archive: &Archive,
    mut classifier: Classifier,
    rows: &[BlockRow],
) -> Result<(Classifier, Rollups), ArchiveError> {
    let (mut archived, mut rollups) = (archive.block_reader(), Rollups::judged_again());
    for row in rows {
        let decoded = archived.read(row.archive_sequence)?;
        for click in decoded.clicks().skip(row.repeated()) {
            let classification = classifier.classify(&click);
            rollups.count(&click, &classification);
        }
    }
    Ok((classifier, rollups))
}
