//! Single conversions from the store: the newest, or the conversion with an id and its history.

mod row;
mod search;

pub use row::{COLUMNS, RELATED_COLUMNS, ReportedConversion, complete};
pub use search::{
    ConversionExtent, ConversionLookupError, ConversionQuery, ConversionSearch,
    ConversionSearchError, FoundConversions, find, find_visible, of_click,
};
