//! What single clicks count as, and what they are worth.
//!
//! Whether a click is a duplicate is not kept with it. It follows from the visits shortly before, so
//! where that decides whether a click is paid, those are judged again, in the order of the archive.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use coupon_shared::transaction_id::TransactionId;
use rusqlite::Connection;

use super::search::Source;
use crate::api::error::ApiError;
use crate::api::reports::click_row::ClickRow;
use crate::archive::{Archive, ArchiveError};
use crate::classification::bot_list::BotList;
use crate::classification::{Classifier, DUPLICATE_WINDOW_MS, VisitClass, class_without_history};
use crate::store::blocks::{self, BlockRow};
use crate::store::click_terms::{self, TermsHistory};
use crate::store::{StoreError, conversions};

/// Blocks whose places are read at once.
const BLOCKS_AT_ONCE: usize = 2_048;

/// Says of clicks what they count as and what held for them.
pub(super) async fn classify(
    from: &Source,
    bots: Arc<BotList>,
    clicks: Vec<ClickRow>,
) -> Result<Vec<ClickRow>, ApiError> {
    let known = from.store.read(move |connection| {
        let mut clicks = clicks;
        let terms = classify_alone(connection, &mut clicks)?;
        let around = blocks_around(connection, &clicks)?;
        Ok::<_, StoreError>((clicks, terms, around))
    });
    let (mut clicks, terms, around) = known.await?;
    if around.is_empty() {
        return Ok(clicks);
    }
    let paid: HashSet<TransactionId> =
        clicks.iter().filter(|click| may_be_paid(click)).map(|c| c.head.transaction_id).collect();
    let classifier = Classifier::with_terms(bots, terms);
    let classes =
        from.archive.on_disk(move |archive| compare(archive, classifier, &around, &paid)).await?;
    for click in &mut clicks {
        if let Some(class) = classes.get(&click.head.transaction_id) {
            click.class = *class;
        }
    }
    Ok(clicks)
}

/// What can be said of each without the visits before it; answers what holds for their offers.
fn classify_alone(
    connection: &Connection,
    clicks: &mut [ClickRow],
) -> Result<TermsHistory, StoreError> {
    let offers: BTreeSet<u32> = clicks.iter().map(|click| click.head.offer_id).collect();
    let terms = click_terms::history_of_offers(connection, offers)?;
    for click in clicks {
        let id = &click.head.transaction_id;
        let is_converted =
            click.class == VisitClass::Bot && conversions::was_converted(connection, id)?;
        click.class = class_without_history(&click.head, click.agent, is_converted);
        click.terms = Some(terms.at_click(&click.head).clone());
    }
    Ok(terms)
}

/// Whether it is paid unless it is a duplicate.
fn may_be_paid(click: &ClickRow) -> bool {
    let is_offers = click.terms.as_ref().is_some_and(|terms| terms.pay.is_some());
    click.class == VisitClass::Unique && is_offers
}

/// The blocks that may hold visits which clicks that may be paid repeat, in the archive's order.
fn blocks_around(
    connection: &Connection,
    clicks: &[ClickRow],
) -> Result<Vec<BlockRow>, StoreError> {
    let paid = clicks.iter().filter(|click| may_be_paid(click));
    let mut found = BTreeMap::new();
    for span in spans(paid.map(|click| click.head.unix_ms)) {
        let mut after: Option<BlockRow> = None;
        loop {
            let page = blocks::latest_between(connection, span, after.as_ref(), BLOCKS_AT_ONCE)?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            found.extend(page.into_iter().map(|block| (block.archive_sequence, block)));
        }
    }
    Ok(found.into_values().collect())
}

/// The times within which a visit may be repeated, those that overlap joined.
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

fn compare(
    archive: &Archive,
    mut classifier: Classifier,
    blocks: &[BlockRow],
    wanted: &HashSet<TransactionId>,
) -> Result<HashMap<TransactionId, VisitClass>, ArchiveError> {
    let (mut archived, mut classes) = (archive.block_reader(), HashMap::new());
    for block in blocks {
        let decoded = archived.read(block.archive_sequence)?;
        for click in decoded.clicks().skip(block.repeated()) {
            let classification = classifier.classify(&click);
            if wanted.contains(&click.head.transaction_id) {
                classes.insert(click.head.transaction_id, classification.class);
            }
        }
    }
    Ok(classes)
}
