//! Turning the visits that conversions came from into clicks: of conversions that a person approved,
//! and of all of them after the visits were counted anew.

use coupon_shared::transaction_id::TransactionId;

use crate::archive::Archive;
use crate::click_lookup::{ClickLookup, LookUpError, PassedMs};
use crate::store::conversions::{self, ConversionId};
use crate::store::rollups::turn_into_click;
use crate::store::{Store, StoreError, WriteTx, bot_list};

/// Visits that are looked for at once.
const AT_ONCE: usize = 500;

/// Turns the next visits after a place, and writes down how far that is.
pub(crate) async fn turn_visits(
    store: &Store,
    archive: &Archive,
    after: u64,
) -> Result<(), LookUpError> {
    let next = store.read(move |c| conversions::converted_visits(c, after, AT_ONCE)).await?;
    let through = next.last().map_or(after, |(place, _)| *place);
    let ids: Vec<TransactionId> = next.into_iter().map(|(_, id)| id).collect();
    let tell = move |tx: &WriteTx<'_>| {
        // Asked here once more: one may have come since they were read.
        let is_last = conversions::converted_visits(tx, through, 1)?.is_empty();
        bot_list::set_converted_through(tx, Some(through).filter(|_| !is_last))
    };
    turn(store, archive, ids, tell).await
}

/// Turns the visits of conversions that were approved, so that reports say so at once. Where that
/// fails, or the program dies before, they are turned when clicks are taken in.
pub(crate) async fn turn_visits_of(
    store: &Store,
    archive: &Archive,
    of: Vec<ConversionId>,
) -> Result<(), LookUpError> {
    let visits = store.read(move |connection| {
        let mut visits = Vec::new();
        for id in of {
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
        turn(store, archive, ids.to_vec(), |_| Ok(())).await?;
    }
    Ok(())
}

async fn turn(
    store: &Store,
    archive: &Archive,
    ids: Vec<TransactionId>,
    then: impl FnOnce(&WriteTx<'_>) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), LookUpError> {
    let clicks = ClickLookup::look_up(store, archive, ids.clone(), PassedMs::default()).await?;
    let turned = store.write(move |tx| {
        for found in ids.iter().filter_map(|id| clicks.found(id)) {
            found.as_click(|click| turn_into_click(tx, click)).unwrap_or(Ok(false))?;
        }
        then(tx)
    });
    Ok(turned.await?)
}
