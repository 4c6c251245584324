//! Payout and revenue of a valid click, by the offer's default entry.
//!
//! | payout | revenue | value |
//! |---|---|---|
//! | `cpc` | `rpc` | the amount |
//! | `cpm` | `rpm` | a thousandth of the amount |
//! | `prv` | | the percentage of the click's revenue |
//! | other | other | nothing: conversions are paid, not clicks |
//!
//! In billionths of the currency, so a thousandth of the smallest amount is exact. A percentage is
//! rounded once, to a billionth, half away from zero.

use std::sync::Arc;

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::catalog::{LARGEST_AMOUNT, PayoutRevenue, PayoutType, RevenueType};

const BILLION: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// Payout and revenue of a valid click.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickPay {
    /// Payout, in billionths.
    pub payout: i64,
    /// Revenue, in billionths.
    pub revenue: i64,
    /// Currency of both.
    pub currency: Arc<str>,
}

/// Payout and revenue of one click, in billionths.
#[must_use]
pub fn amounts_per_click(entry: &PayoutRevenue) -> (i64, i64) {
    let revenue = match entry.revenue_type {
        RevenueType::Rpc => entry.revenue_amount.decimal(),
        RevenueType::Rpm => entry.revenue_amount.decimal() / Decimal::ONE_THOUSAND,
        RevenueType::Rpa
        | RevenueType::Rps
        | RevenueType::RpaRps
        | RevenueType::Prv
        | RevenueType::Nothing => Decimal::ZERO,
    };
    let revenue = revenue.min(LARGEST_AMOUNT);
    let payout = match entry.payout_type {
        PayoutType::Cpc => entry.payout_amount.decimal(),
        PayoutType::Cpm => entry.payout_amount.decimal() / Decimal::ONE_THOUSAND,
        PayoutType::Prv => revenue * entry.payout_percentage.decimal() / Decimal::ONE_HUNDRED,
        PayoutType::Cpa | PayoutType::Cps | PayoutType::CpaCps | PayoutType::Nothing => {
            Decimal::ZERO
        }
    };
    (billionths(payout), billionths(revenue))
}

/// At most those of [`LARGEST_AMOUNT`], which are below 10^18.
fn billionths(exact: Decimal) -> i64 {
    let near = exact.min(LARGEST_AMOUNT) * BILLION;
    near.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_payout_and_revenue_has_its_worth_of_a_click() {
        #[rustfmt::skip]
        let cases = [
            ("cpc", "0.25", "0", "rpc", "0.4", 250_000_000, 400_000_000),
            ("cpm", "0.25", "0", "rpm", "0.4", 250_000, 400_000),
            ("cpm", "0.000001", "0", "rpm", "0.000001", 1, 1),
            ("cpa", "0.25", "10", "rpa", "0.4", 0, 0),
            ("cps", "0.25", "10", "rps", "0.4", 0, 0),
            ("cpa_cps", "0.25", "10", "rpa_rps", "0.4", 0, 0),
            ("cpc", "0.25", "10", "rps", "0.4", 250_000_000, 0),
            ("cpa", "0.25", "10", "rpm", "0.4", 0, 400_000),
            ("prv", "0.25", "50", "rpc", "0.4", 200_000_000, 400_000_000),
            ("prv", "0.25", "50", "rpm", "0.000001", 1, 1),
            ("prv", "0.25", "49", "rpm", "0.000001", 0, 1),
            ("prv", "0.25", "50", "rpa", "0.4", 0, 0),
            ("cpc", "123456789012345", "0", "rpc", "999999999.999999", 999_999_999_999_999_000, 999_999_999_999_999_000),
        ];
        for (payout_type, payout, share, revenue_type, revenue, paid, earned) in cases {
            let entry: PayoutRevenue = serde_json::from_value(json!({
                "payout_type": payout_type, "payout_amount": payout, "payout_percentage": share,
                "revenue_type": revenue_type, "revenue_amount": revenue, "is_default": true,
            }))
            .unwrap();
            assert_eq!(amounts_per_click(&entry), (paid, earned), "{payout_type} {revenue_type}");
        }
    }
}
