//! Single clicks from the archive: the newest, or the click with an id.

mod classify;
mod row;
mod search;

pub use row::{COLUMNS, RELATED_COLUMNS, ReportedClick, write_file};
pub use search::{ClickKind, ClickLookupError, ClickReader, ClickSearchError, FoundClicks};
