//! The rules of what is edited: pure, without SQL or HTTP.
//!
//! Each object is one type with the fields of the outside contract, under their names there. Its
//! `check` says everything that is wrong with it by itself; what depends on other rows (references,
//! uniqueness, who owns a code) is judged by `edit`, on the state the whole request leaves.
//!
//! The API and the command line's CSV go through the same functions, so a row cannot be right in
//! one and wrong in the other.

use std::fmt;

pub(crate) mod words;

mod advertiser;
mod affiliate;
mod bulk_row;
mod coupon_code;
mod day;
mod description;
mod domain;
mod formula;
mod generation;
mod id;
mod money;
mod offer;
mod own_hosts;
mod pixel;
pub(crate) mod placeholder;
mod postback_url;
mod row_code;
mod settings;
pub(crate) mod text;
mod tracking_link;
mod web_address;
mod web_host;

pub use advertiser::{Advertiser, AttributionMethod, AttributionPriority};
pub use affiliate::Affiliate;
pub use bulk_row::{BulkMode, BulkRow, COLUMNS, CellChange, Cells, folded_code};
pub use coupon_code::{CheckedCode, CouponCodeEdit, CouponStatus};
pub use day::{DayError, parse as parse_day, published_day};
pub use description::sanitized_description;
pub use domain::{TrackingDomain, parse_base_url, without_port};
pub use formula::{escape_formula, unescape_formula};
pub use generation::{CheckedGeneration, Generation, Pattern};
pub use money::{LARGEST as LARGEST_AMOUNT, Money};
pub use offer::{
    Offer, OfferStatus, PayoutRevenue, PayoutType, RevenueType, SessionDefinition, Visibility,
    empty_macro_warnings,
};
pub use own_hosts::{OwnHosts, OwnTrackingDomain};
pub use pixel::{DeliveryMethod, DeliveryState, Pixel, PixelLevel, PixelStatus, PixelType};
pub use postback_url::{PostbackMacro, PostbackUrl, PostbackUrlError};
pub use row_code::{FoldedKey, RowCode};
pub use settings::{CodeLeakGuard, LeakAction, Settings, today};
pub use tracking_link::{LinkFacts, LinkState, TrackingLink, tracking_link};
pub use web_address::{WebAddress, may_be_code_path};
pub use words::{AccountStatus, PartnerVisibility, UnknownWord, WordSet};

/// One thing that is wrong with one field; the message says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field's path, such as `payout_revenue[1].payout_amount`.
    pub field: String,
    /// What is wrong.
    pub error: String,
}

/// Collects what is wrong, so that all of it is reported at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<FieldError>);

impl Problems {
    /// Notes that `field` is wrong.
    pub fn add(&mut self, field: impl Into<String>, error: impl fmt::Display) {
        self.0.push(FieldError { field: field.into(), error: error.to_string() });
    }

    /// Notes the error of a rule and goes on; `None` then.
    pub fn take<T, E: fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// Notes what is wrong with a part of the object, under the part's path.
    pub fn add_nested(&mut self, path: &str, inner: Vec<FieldError>) {
        self.0.extend(
            inner.into_iter().map(|e| FieldError { field: format!("{path}.{}", e.field), ..e }),
        );
    }

    /// `Ok` when nothing is wrong.
    ///
    /// # Errors
    /// Everything that was noted.
    pub fn finish(self) -> Result<(), Vec<FieldError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
