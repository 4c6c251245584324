//! Turning the visits of all conversions into clicks, after another list of bots judged them.

use coupon_shared::transaction_id::TransactionId;

use super::clicks::{Clicks, LookUpError, PassedMs};
use crate::archive::Archive;
use crate::store::rollups::turn_into_click;
use crate::store::{Store, bot_list, conversions};

/// Conversions whose visits are looked for at once.
const AT_ONCE: usize = 500;

/// Turns the visits of the next conversions after one, and writes down how far that is.
pub(crate) async fn turn_visits(
    store: &Store,
    archive: &Archive,
    after: u32,
) -> Result<(), LookUpError> {
    let next = store.read(move |c| conversions::with_clicks(c, after, AT_ONCE)).await?;
    let through = next.last().map(|(number, _)| *number);
    let ids: Vec<TransactionId> = next.iter().filter_map(|(_, id)| id.parse().ok()).collect();
    let clicks = Clicks::look_up(store, archive, ids.clone(), PassedMs::default()).await?;
    let turned = store.write(move |tx| {
        for found in ids.iter().filter_map(|id| clicks.found(id)) {
            found.as_click(|click| turn_into_click(tx, click)).unwrap_or(Ok(false))?;
        }
        bot_list::turned_through(tx, through)
    });
    Ok(turned.await?)
}
