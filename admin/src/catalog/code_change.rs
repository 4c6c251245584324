//! One change for many coupon codes: new values for some of their fields.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::coupon_code::{CouponCodeEdit, CouponStatus};
use super::day;
use super::problems::FieldError;

/// A day, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OptionalDay(#[serde(with = "day")] pub Option<Date>);

/// New values; absent fields keep theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CodeChange {
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon_status: Option<CouponStatus>,
    /// The offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_offer_id: Option<u32>,
    /// The partner; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_affiliate_id: Option<u32>,
    /// The first valid day; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub start_date: Option<OptionalDay>,
    /// The last valid day; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub end_date: Option<OptionalDay>,
}

impl CodeChange {
    /// Whether the change names no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == CodeChange::default()
    }

    /// Checks the values beside each other.
    ///
    /// # Errors
    /// When the last day is before the first.
    pub fn check(&self) -> Result<(), FieldError> {
        let day = |day: Option<OptionalDay>| day.and_then(|OptionalDay(day)| day);
        match day(self.start_date).zip(day(self.end_date)) {
            Some((start, end)) if start > end => {
                Err(FieldError { field: "end_date".into(), error: "is before start_date".into() })
            }
            _ => Ok(()),
        }
    }

    /// The code after the change.
    #[must_use]
    pub fn applied(&self, mut code: CouponCodeEdit) -> CouponCodeEdit {
        code.coupon_status = self.coupon_status.unwrap_or(code.coupon_status);
        code.network_offer_id = self.network_offer_id.unwrap_or(code.network_offer_id);
        if let Some(id) = self.network_affiliate_id {
            code.network_affiliate_id = Some(id).filter(|id| *id != 0);
        }
        if let Some(OptionalDay(day)) = self.start_date {
            code.start_date = day;
        }
        if let Some(OptionalDay(day)) = self.end_date {
            code.end_date = day;
        }
        code
    }
}
