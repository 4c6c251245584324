//! The list of coupon codes, which bulk changes and exports filter in the same way.

use crate::api::request::ListSpec;
use crate::store::coupon_codes::{LIST_FILTERS, SEARCH};

pub(crate) const LIST: ListSpec = ListSpec {
    filters: LIST_FILTERS,
    relationships: &["offer", "affiliate"],
    search: Some(SEARCH),
    is_whole_by_default: false,
    has_cursors: true,
};
