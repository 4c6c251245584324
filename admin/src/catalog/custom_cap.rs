//! Custom caps: limits for one partner on an offer, or for one coupon code.

use serde::{Deserialize, Serialize};

use super::caps::has_cap_fields;
use super::money::Money;
use super::problems::{FieldError, Problems};
use super::text;

/// A custom cap as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CustomCapEdit)]
#[serde(deny_unknown_fields)]
pub struct CustomCap {
    /// Shown in lists.
    #[schema(min_length = 1, max_length = 255, example = "Anna in December")]
    pub name: String,
    /// The offer; the offer of the code, if a code is named.
    #[schema(minimum = 1)]
    pub network_offer_id: u32,
    /// The partner; 0: the partner of the code.
    #[serde(default)]
    pub network_affiliate_id: u32,
    /// The coupon code whose clicks and conversions count; 0: all codes of the partner.
    #[serde(default)]
    pub network_coupon_code_id: u32,
    /// The cap only alerts.
    #[serde(default)]
    pub is_soft_cap: bool,
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

has_cap_fields!(CustomCap);

impl CustomCap {
    /// Checks the cap without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        if self.network_affiliate_id == 0 && self.network_coupon_code_id == 0 {
            let error = "a custom cap is one partner's, or one code's; the caps of all partners \
                         together are fields of the offer";
            problems.add("network_affiliate_id", error);
        }
        let limits = self.limits();
        if limits.limited().next().is_none() {
            problems.add("daily_conversion_cap", "the cap has no limit; set one of its fields");
        }
        limits.check(&mut problems);
        problems.finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wrong_fields(over: Value) -> Vec<String> {
        let mut base = json!({"name": "Anna", "network_offer_id": 1, "network_affiliate_id": 1,
            "daily_click_cap": 5});
        base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        let cap: CustomCap = serde_json::from_value(base).unwrap();
        cap.check().err().unwrap_or_default().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn a_cap_needs_a_partner_or_a_code_and_a_limit() {
        let none: [&str; 0] = [];
        assert_eq!(wrong_fields(json!({})), none);
        assert_eq!(wrong_fields(json!({"network_affiliate_id": 0})), ["network_affiliate_id"]);
        let code = json!({"network_affiliate_id": 0, "network_coupon_code_id": 7});
        assert_eq!(wrong_fields(code), none);
        assert_eq!(wrong_fields(json!({"daily_click_cap": 0})), ["daily_conversion_cap"]);
    }

    #[test]
    fn limits_have_bounds() {
        let largest = 1_000_000_000_000_u64;
        let none: [&str; 0] = [];
        assert_eq!(wrong_fields(json!({"weekly_click_cap": largest})), none);
        assert_eq!(wrong_fields(json!({"weekly_click_cap": largest + 1})), ["weekly_click_cap"]);
        assert_eq!(wrong_fields(json!({"weekly_click_cap": u64::MAX})), ["weekly_click_cap"]);
        assert_eq!(wrong_fields(json!({"global_payout_cap": "-0.01"})), ["global_payout_cap"]);
        let beyond = json!({"global_payout_cap": "1000000000000.01"});
        assert_eq!(wrong_fields(beyond), ["global_payout_cap"]);
        assert_eq!(wrong_fields(json!({"global_revenue_cap": 0.5})), none);
    }
}
