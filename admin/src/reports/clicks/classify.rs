//! Classifies single clicks, and reads the terms of their offers.
//!
//! The archive does not store whether a click is a duplicate: the visits shortly before decide. For
//! clicks that may be duplicates, this module reads the blocks of those visits and classifies all
//! visits again, in the order of the archive.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use coupon_shared::transaction_id::TransactionId;

use super::row::ArchivedClick;
use crate::archive::{Archive, ArchiveError};
use crate::classification::bot_list::BotList;
use crate::classification::click_terms::TermsHistory;
use crate::classification::{Classifier, DUPLICATE_WINDOW_MS, VisitClass, class_without_history};
use crate::store::blocks::{self, BlockRow};
use crate::store::click_terms;
use crate::store::{ReadTx, Store, StoreError, conversions};

/// Blocks whose positions are read in one query.
const BLOCKS_PER_QUERY: usize = 2_048;

/// Sets class and terms of the clicks.
pub(super) async fn classify_clicks<E>(
    store: &Store,
    archive: &Archive,
    bots: Arc<BotList>,
    clicks: Vec<ArchivedClick>,
) -> Result<Vec<ArchivedClick>, E>
where
    E: From<StoreError> + From<ArchiveError> + Send + 'static,
{
    let read = store.read(move |connection| {
        let mut clicks = clicks;
        let terms = classify_alone(connection, &mut clicks)?;
        let around = blocks_around(connection, &clicks)?;
        Ok::<_, StoreError>((clicks, terms, around))
    });
    let (mut clicks, terms, around) = read.await?;
    if around.is_empty() {
        return Ok(clicks);
    }
    let wanted: HashSet<TransactionId> = clicks
        .iter()
        .filter(|click| may_be_duplicate(click))
        .map(|click| click.head.transaction_id)
        .collect();
    let classifier = Classifier::with_terms(bots, terms);
    let classes = archive
        .on_disk(move |archive| classify_blocks(archive, classifier, &around, &wanted))
        .await?;
    for click in &mut clicks {
        if let Some(class) = classes.get(&click.head.transaction_id) {
            click.class = *class;
        }
    }
    Ok(clicks)
}

/// Classifies each click without the visits before it. Returns the terms of the offers.
fn classify_alone(
    connection: &ReadTx<'_>,
    clicks: &mut [ArchivedClick],
) -> Result<TermsHistory, StoreError> {
    let offers: BTreeSet<u32> = clicks.iter().map(|click| click.head.offer_id).collect();
    let terms = click_terms::history_of_offers(connection, offers)?;
    for click in clicks {
        let id = &click.head.transaction_id;
        let is_converted =
            click.class == VisitClass::Bot && conversions::was_converted(connection, id)?;
        click.class = class_without_history(&click.head, click.identified.is_bot, is_converted);
        click.terms = Some(terms.at_click(&click.head).clone());
    }
    Ok(terms)
}

/// Whether earlier visits decide about the click.
fn may_be_duplicate(click: &ArchivedClick) -> bool {
    click.class == VisitClass::Unique
}

/// The blocks with possible earlier visits of the clicks, in the archive's order.
fn blocks_around(
    connection: &ReadTx<'_>,
    clicks: &[ArchivedClick],
) -> Result<Vec<BlockRow>, StoreError> {
    let undecided = clicks.iter().filter(|click| may_be_duplicate(click));
    let mut found = BTreeMap::new();
    for span in spans(undecided.map(|click| click.head.unix_ms)) {
        let mut after: Option<BlockRow> = None;
        loop {
            let page = blocks::latest_between(connection, span, after.as_ref(), BLOCKS_PER_QUERY)?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            found.extend(page.into_iter().map(|block| (block.archive_sequence, block)));
        }
    }
    Ok(found.into_values().collect())
}

/// The periods in Unix milliseconds in which a repeated visit counts as a duplicate; overlapping
/// periods are joined.
fn spans(times: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for unix_ms in times.collect::<BTreeSet<_>>() {
        let (from, to) =
            (unix_ms.saturating_sub(DUPLICATE_WINDOW_MS), unix_ms + DUPLICATE_WINDOW_MS);
        match spans.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => spans.push((from, to)),
        }
    }
    spans
}

/// Classifies all visits of the blocks, and returns the classes of `wanted`.
fn classify_blocks(
    archive: &Archive,
    mut classifier: Classifier,
    blocks: &[BlockRow],
    wanted: &HashSet<TransactionId>,
) -> Result<HashMap<TransactionId, VisitClass>, ArchiveError> {
    let (mut archived, mut classes) = (archive.block_reader(), HashMap::new());
    for block in blocks {
        let decoded = archived.read(block.archive_sequence)?;
        for click in decoded.clicks().skip(block.repeated()) {
            // Also for visits that are not wanted: they make later ones duplicates.
            let classification = classifier.classify(&click);
            if wanted.contains(&click.head.transaction_id) {
                classes.insert(click.head.transaction_id, classification.class);
            }
        }
    }
    Ok(classes)
}
