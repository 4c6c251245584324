//! Single conversions from the store, the newest first, and one conversion with its history.

mod row;
mod search;

pub use row::{COLUMNS, RELATED_COLUMNS, ReportedConversion, complete};
pub use search::{
    ConversionExtent, ConversionLookupError, ConversionQuery, ConversionSearch,
    ConversionSearchError, FoundConversions, find, of_click,
};
