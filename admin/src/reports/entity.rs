//! Clicks and conversions counted by breakdowns.
//!
//! A report is counted in three steps: the query is checked as a whole ([`query`]), the rollups are
//! counted into groups ([`tally`]), and the groups are sorted and cut to a page ([`table`]).

mod breakdown;
mod measures;
mod query;
mod table;
mod tally;

use super::view::Viewer;
use crate::store::ReadTx;
use crate::store::settings;

pub use breakdown::Breakdown;
pub use measures::{CURRENCY, MEASURES, Sums};
pub use query::{EntityError, EntityExtent, EntityQuery};
pub use table::{BreakdownValue, EntityRow, EntityTable};

/// Counts what the query asks for and the viewer may see.
///
/// # Errors
/// When the query is wrong or would give too many rows, or the store cannot be read.
pub fn count(
    connection: &ReadTx<'_>,
    viewer: Viewer,
    query: &EntityQuery,
    extent: EntityExtent,
) -> Result<EntityTable, EntityError> {
    let settings = settings::read(connection)?.settings;
    let checked = query.check(&settings.time_zone, viewer.view()).map_err(EntityError::Invalid)?;
    let tally = tally::count(connection, &checked, viewer, settings.currency)?;
    Ok(EntityTable::build(connection, checked, tally, extent)?)
}
