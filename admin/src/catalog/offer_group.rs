//! Offer groups: offers of one advertiser with common caps.

use serde::{Deserialize, Serialize};

use super::caps::has_cap_fields;
use super::money::Money;
use super::problems::{FieldError, Problems};
use super::text;
use super::words::words;

words! {
    /// The status of an offer group.
    OfferGroupStatus {
        /// The caps of the group hold.
        Active = "active",
        /// The caps of the group do not hold.
        Inactive = "inactive",
    }
}

/// An offer group as edited. Its caps are hard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OfferGroupEdit)]
#[serde(deny_unknown_fields)]
pub struct OfferGroup {
    /// Shown in lists.
    #[schema(min_length = 1, max_length = 255, example = "Winter")]
    pub name: String,
    /// The advertiser of all offers of the group.
    #[schema(minimum = 1)]
    pub network_advertiser_id: u32,
    /// Whether the caps hold.
    #[serde(default = "active")]
    pub offer_group_status: OfferGroupStatus,
    /// Most base conversions of a day; 0: no limit.
    #[serde(default)]
    pub daily_conversion_cap: u64,
    /// Most base conversions of a week; 0: no limit.
    #[serde(default)]
    pub weekly_conversion_cap: u64,
    /// Most base conversions of a month; 0: no limit.
    #[serde(default)]
    pub monthly_conversion_cap: u64,
    /// Most base conversions of all time; 0: no limit.
    #[serde(default)]
    pub global_conversion_cap: u64,
    /// Most payout of a day; 0: no limit.
    #[serde(default)]
    pub daily_payout_cap: Money,
    /// Most payout of a week; 0: no limit.
    #[serde(default)]
    pub weekly_payout_cap: Money,
    /// Most payout of a month; 0: no limit.
    #[serde(default)]
    pub monthly_payout_cap: Money,
    /// Most payout of all time; 0: no limit.
    #[serde(default)]
    pub global_payout_cap: Money,
    /// Most revenue of a day; 0: no limit.
    #[serde(default)]
    pub daily_revenue_cap: Money,
    /// Most revenue of a week; 0: no limit.
    #[serde(default)]
    pub weekly_revenue_cap: Money,
    /// Most revenue of a month; 0: no limit.
    #[serde(default)]
    pub monthly_revenue_cap: Money,
    /// Most revenue of all time; 0: no limit.
    #[serde(default)]
    pub global_revenue_cap: Money,
    /// Most unique clicks of a day; 0: no limit.
    #[serde(default)]
    pub daily_click_cap: u64,
    /// Most unique clicks of a week; 0: no limit.
    #[serde(default)]
    pub weekly_click_cap: u64,
    /// Most unique clicks of a month; 0: no limit.
    #[serde(default)]
    pub monthly_click_cap: u64,
    /// Most unique clicks of all time; 0: no limit.
    #[serde(default)]
    pub global_click_cap: u64,
}

has_cap_fields!(OfferGroup);

fn active() -> OfferGroupStatus {
    OfferGroupStatus::Active
}

impl OfferGroup {
    /// Checks the group without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        self.limits().check(&mut problems);
        problems.finish()
    }
}
