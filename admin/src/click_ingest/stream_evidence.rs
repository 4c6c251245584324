//! Evidence of the data folder that gave the archived clicks of a stream without an owner: a daemon
//! that still gives the same clicks under the same numbers has this folder. coupond keeps
//! acknowledged clicks for 30 days by default.

use coupon_shared::click::Click;
use coupon_shared::click::block::{Block, DecodedBlock};

use super::ClickIngestError;
use super::click_counter::ClickCounter;
use crate::archive::{Archive, ArchiveError};
use crate::store::ReadTx;
use crate::store::blocks::{self, BlockRow};

/// Most archived blocks that are compared with one of the daemon.
const MAX_COMPARED: usize = 16;

/// Whether a block holds archived clicks, and differs from none of them.
pub(super) async fn repeats_archived(
    counter: &ClickCounter,
    block: &Block<'_>,
) -> Result<bool, ClickIngestError> {
    // A block that cannot be read is refused later, and proves nothing.
    let Ok(given) = block.decode() else { return Ok(false) };
    let (stream, first) = (block.stream(), block.first_sequence());
    let sequences = first..=block.last_sequence();
    let read = move |connection: &ReadTx<'_>| {
        blocks::overlapping(connection, stream, sequences, MAX_COMPARED)
    };
    let rows = counter.store().read(read).await?;
    let compare = move |archive: &Archive| repeats(archive, &rows, first, &given);
    Ok(counter.archive().on_disk(compare).await?)
}

fn repeats(
    archive: &Archive,
    rows: &[BlockRow],
    first: u64,
    given: &DecodedBlock,
) -> Result<bool, ArchiveError> {
    let given: Vec<Click<'_>> = given.clicks().collect();
    let (mut archived, mut compared) = (archive.block_reader(), 0);
    for row in rows {
        let block = archived.read(row.archive_sequence)?;
        for (sequence, click) in (row.first_sequence..).zip(block.clicks()) {
            let at = sequence.checked_sub(first).and_then(|at| usize::try_from(at).ok());
            let Some(given) = at.and_then(|at| given.get(at)) else { continue };
            if !is_same(&click, given) {
                return Ok(false);
            }
            compared += 1;
        }
    }
    Ok(compared > 0)
}

/// Two runs can make one transaction id, in one millisecond; an erasure removes the address.
fn is_same(archived: &Click<'_>, given: &Click<'_>) -> bool {
    let is_erased = archived.address().is_none();
    let is_same_visitor = is_erased || archived.address() == given.address();
    archived.head == given.head && archived.code == given.code && is_same_visitor
}
