//! Classifies the archive again, by another bot list, newer rules of the program or a new database
//! of places, while clicks arrive and reports are read.
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
use crate::classification::bot_list::BotList;
use crate::classification::visit_place::place_sources;
use crate::classification::{Classifier, VisitPlace};
use crate::conversions::recount_with_places;
use crate::store::blocks::{self, BlockRow};
use crate::store::bot_list::{self, PendingWork};
use crate::store::rollups::Rollups;
use crate::store::{Store, WriteTx};

/// Blocks per step.
const STEP_BLOCKS: usize = if cfg!(test) { 3 } else { 1_000 };

#[derive(Default)]
pub(super) struct Reclassifier {
    /// Classifier that has seen exactly the frames before the next one.
    classifier: Option<Classifier>,
    /// As the store knows them; `None` after a start.
    place_sources: Option<String>,
}

impl Reclassifier {
    /// Does a part of the work; returns whether more is left.
    pub(super) async fn step(&mut self, counter: &ClickCounter) -> Result<bool, ClickIngestError> {
        let (store, archive) = (counter.store(), counter.archive());
        self.record_place_sources(store, archive).await?;
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

    /// Tells the store when databases of places came or went.
    async fn record_place_sources(
        &mut self,
        store: &Store,
        archive: &Archive,
    ) -> Result<(), ClickIngestError> {
        let sources = place_sources(&archive.databases());
        if self.place_sources.as_ref() != Some(&sources) {
            let wanted = sources.clone();
            store.write(move |tx| bot_list::set_place_sources(tx, &wanted)).await?;
            self.place_sources = Some(sources);
        }
        Ok(())
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
            let databases = archive.databases();
            let finish = move |tx: &WriteTx<'_>| {
                if bot_list::is_judging_other_places(tx)? {
                    recount_with_places(tx, &databases)?;
                }
                bot_list::put_in_force(tx)
            };
            store.write(finish).await?;
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
    let databases = archive.databases();
    for row in rows {
        let decoded = archived.read(row.archive_sequence)?;
        for click in decoded.clicks().skip(row.repeated()) {
            let classification = classifier.classify(&click);
            let place = VisitPlace::find(click.head.kind, click.address(), &databases);
            rollups.count(&click, &classification, &place);
        }
    }
    Ok((classifier, rollups))
}
