//! The list of coupon codes, which bulk changes and exports filter in the same way.

use crate::api::request::ListSpec;
use crate::store::coupon_codes::LIST_FILTERS;
use crate::store::rows::{Compared, Filterable};

pub(crate) const LIST: ListSpec = ListSpec {
    filters: LIST_FILTERS,
    relationships: &["offer", "affiliate"],
    search: Some(Filterable { field: "coupon_code", column: "folded", kind: Compared::Code }),
    is_whole_by_default: false,
};
