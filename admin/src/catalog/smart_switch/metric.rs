//! Metrics of a value's traffic, and conditions on them.

use serde::{Deserialize, Serialize};

use super::super::words::words;

/// Digits behind the point of a condition's value.
const MAX_DECIMALS: usize = 6;
const MILLION: u128 = 1_000_000;
/// No traffic has a larger quotient.
const LARGEST: u128 = 1_000_000_000;

words! {
    /// A metric of the traffic of one value. Shares are in percent.
    SmartSwitchMetric {
        /// Conversions in percent of valid clicks.
        Cvr = "cvr",
        /// Conversions without a click, in percent of conversions.
        ClicklessShare = "clickless_share",
        /// Conversions of the last hour, as a multiple of the average hour of two weeks before.
        Spike = "spike",
        /// Conversions within 5 seconds of their click, in percent of conversions with a click.
        CtitUnder5s = "ctit_under_5s",
        /// Rejected conversions, in percent of approved, pending and rejected ones.
        RejectedRate = "rejected_rate",
        /// Visits of bots, in percent of all visits.
        BotRate = "bot_rate",
        /// Duplicate clicks, in percent of all visits.
        DuplicateRate = "duplicate_rate",
        /// Refused visits, in percent of all visits.
        InvalidRate = "invalid_rate",
        /// Visits from the most frequent address, in percent of visits with an address.
        TopIpShare = "top_ip_share",
        /// Different addresses, as a fraction of visits with an address: 1 where all differ.
        DistinctIpRatio = "distinct_ip_ratio",
        /// Visits from data centres, in percent of visits with an address.
        DatacenterShare = "datacenter_share",
        /// Visits through a proxy, a VPN or Tor, in percent of visits with an address.
        ProxyShare = "proxy_share",
        /// Visits that the offer refused for their place, in percent of these and accepted ones.
        GeoMismatch = "geo_mismatch",
        /// Visits whose browser asks for a language that few people of the country set, in percent
        /// of visits with a language and a known country.
        LanguageMismatch = "language_mismatch",
    }
}

impl SmartSwitchMetric {
    /// The largest value of a metric that is a part of a whole.
    #[must_use]
    pub fn whole(self) -> Option<u128> {
        match self {
            SmartSwitchMetric::Cvr | SmartSwitchMetric::Spike => None,
            SmartSwitchMetric::DistinctIpRatio => Some(1),
            _ => Some(100),
        }
    }

    /// Whether the metric is measured in the click archive.
    #[must_use]
    pub fn is_archived(self) -> bool {
        matches!(
            self,
            SmartSwitchMetric::TopIpShare
                | SmartSwitchMetric::DistinctIpRatio
                | SmartSwitchMetric::DatacenterShare
                | SmartSwitchMetric::ProxyShare
                | SmartSwitchMetric::GeoMismatch
                | SmartSwitchMetric::LanguageMismatch
        )
    }
}

words! {
    /// The comparison of a metric with a condition's value.
    ConditionOperator {
        /// The metric is below the value.
        LessThan = "lt",
        /// The metric is the value or below.
        AtMost = "lte",
        /// The metric is above the value.
        GreaterThan = "gt",
        /// The metric is the value or above.
        AtLeast = "gte",
    }
}

/// A condition on a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SmartSwitchCondition {
    /// The metric.
    pub metric: SmartSwitchMetric,
    /// The comparison.
    pub operator: ConditionOperator,
    /// A decimal: percent; for `spike` a multiple, for `distinct_ip_ratio` a fraction.
    #[schema(pattern = "^[0-9]+(\\.[0-9]{1,6})?$", example = "0.2")]
    pub value: String,
}

/// Reasons for refusing a condition's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionValueError {
    /// The text is no decimal.
    #[error(
        "`{0}` is not a decimal of at most {MAX_DECIMALS} digits behind the point; write it like 0.2"
    )]
    NotADecimal(String),
    /// A share above the whole.
    #[error("{metric} is a part of a whole, so at most {whole}")]
    AboveWhole {
        /// The metric.
        metric: &'static str,
        /// Its largest value.
        whole: u128,
    },
    /// A quotient above all possible ones.
    #[error("must be at most {LARGEST}")]
    TooLarge,
}

impl SmartSwitchCondition {
    /// Checks the value.
    ///
    /// # Errors
    /// When it is no decimal, or out of bounds.
    pub fn check(&self) -> Result<(), ConditionValueError> {
        let refused = || ConditionValueError::NotADecimal(self.value.chars().take(40).collect());
        let millionths = self.millionths().ok_or_else(refused)?;
        if let Some(whole) = self.metric.whole().filter(|whole| millionths > whole * MILLION) {
            return Err(ConditionValueError::AboveWhole { metric: self.metric.as_str(), whole });
        }
        if millionths > LARGEST * MILLION { Err(ConditionValueError::TooLarge) } else { Ok(()) }
    }

    /// Whether the condition holds for the quotient of two numbers; never for a division by 0.
    #[must_use]
    pub fn holds(&self, numerator: u128, denominator: u128) -> bool {
        let Some(millionths) = self.millionths().filter(|_| denominator > 0) else { return false };
        let measured = numerator.saturating_mul(MILLION);
        let bound = millionths.saturating_mul(denominator);
        match self.operator {
            ConditionOperator::LessThan => measured < bound,
            ConditionOperator::AtMost => measured <= bound,
            ConditionOperator::GreaterThan => measured > bound,
            ConditionOperator::AtLeast => measured >= bound,
        }
    }

    fn millionths(&self) -> Option<u128> {
        let (whole, decimals) = match self.value.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (self.value.as_str(), ""),
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = !whole.is_empty() && whole.len() <= 18 && decimals.len() <= MAX_DECIMALS;
        if !fits || !is_number(whole) || !is_number(decimals) {
            return None;
        }
        let decimals = format!("{decimals:0<MAX_DECIMALS$}");
        Some(whole.parse::<u128>().ok()? * MILLION + decimals.parse::<u128>().ok()?)
    }
}
