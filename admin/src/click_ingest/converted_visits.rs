//! Reclassifies the visits that led to conversions as clicks: after a person approved conversions,
//! and for all conversions after the visits were classified anew.

use std::sync::Arc;

use coupon_shared::transaction_id::TransactionId;

use crate::archive::Archive;
use crate::click_lookup::{ClickLookup, LookUpError};
use crate::store::conversions::{self, ConversionId};
use crate::store::rollups::turn_into_click;
use crate::store::{Store, StoreError, WriteTx, bot_list};

/// Visits that are looked up at once.
const AT_ONCE: usize = 500;

/// Reclassifies the next visits after a conversion's number, and stores how far the work is.
pub(crate) async fn reclassify_next_converted_visits(
    store: &Store,
    archive: &Archive,
    after: u64,
) -> Result<(), LookUpError> {
    let next = store.read(move |c| conversions::converted_visits(c, after, AT_ONCE)).await?;
    let through = next.last().map_or(after, |(place, _)| *place);
    let ids: Vec<TransactionId> = next.into_iter().map(|(_, id)| id).collect();
    let store_progress = move |tx: &WriteTx<'_>| {
        // Read within the transaction: a conversion may have come since the first read.
        let is_last = conversions::converted_visits(tx, through, 1)?.is_empty();
        bot_list::set_converted_through(tx, Some(through).filter(|_| !is_last))
    };
    reclassify(store, archive, ids, store_progress).await
}

/// Reclassifies the visits of conversions that were approved, so that reports change at once. After
/// a failure or a crash, click ingest does it later.
pub(crate) async fn reclassify_converted_visits(
    store: &Store,
    archive: &Archive,
    approved: Vec<ConversionId>,
) -> Result<(), LookUpError> {
    let visits = store.read(move |connection| {
        let mut visits = Vec::new();
        for id in approved {
            let id = conversions::get(connection, id)?.map(|row| row.conversion.transaction_id);
            let id: Option<TransactionId> = id.and_then(|id| id.parse().ok());
            if let Some(id) = id
                && conversions::was_converted(connection, &id)?
            {
                visits.push(id);
            }
        }
        Ok::<_, StoreError>(visits)
    });
    for ids in visits.await?.chunks(AT_ONCE) {
        reclassify(store, archive, ids.to_vec(), |_| Ok(())).await?;
    }
    Ok(())
}

/// Calls `then` in the transaction that reclassifies.
async fn reclassify(
    store: &Store,
    archive: &Archive,
    ids: Vec<TransactionId>,
    then: impl FnOnce(&WriteTx<'_>) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), LookUpError> {
    let clicks = ClickLookup::look_up(store, archive, ids.clone(), Arc::default()).await?;
    let write = store.write(move |tx| {
        for found in ids.iter().filter_map(|id| clicks.found(id)) {
            found
                .as_click(|click| turn_into_click(tx, click, &found.place))
                .unwrap_or(Ok(false))?;
        }
        then(tx)
    });
    Ok(write.await?)
}
