//! Payout to the partner and revenue of the network for a conversion.
//!
//! | payout | revenue | amount due |
//! |---|---|---|
//! | `cpa` | `rpa` | the amount |
//! | `cps` | `rps` | the percentage of the sale |
//! | `cpa_cps` | `rpa_rps` | both |
//! | `cpc`, `cpm` | `rpc`, `rpm` | nothing: clicks and impressions are paid, not conversions |
//! | `prv` | | the percentage of the revenue |
//! | | `prv` | the percentage of the sale, the advertiser's own revenue |
//!
//! All arithmetic is decimal. Payout and revenue are rounded once each, to the minor unit of their
//! currency; a share of the revenue is a share of the rounded revenue. A share of an unknown sale
//! amount is zero.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::minor_unit::MinorUnit;
use crate::catalog::{Money, PayoutRevenue, PayoutType, RevenueType};

/// The payout terms of a conversion, stored with the conversion because those of the offer may
/// change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutTerms {
    pub payout_type: PayoutType,
    /// Per conversion.
    pub payout_amount: Money,
    /// Percent.
    pub payout_percentage: Money,
    pub revenue_type: RevenueType,
    /// Per conversion.
    pub revenue_amount: Money,
    /// Percent.
    pub revenue_percentage: Money,
}

/// Payout and revenue of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payable {
    /// Paid to the partner.
    pub payout: Money,
    /// Paid to the network.
    pub revenue: Money,
}

impl From<&PayoutRevenue> for PayoutTerms {
    fn from(entry: &PayoutRevenue) -> PayoutTerms {
        PayoutTerms {
            payout_type: entry.payout_type,
            payout_amount: entry.payout_amount,
            payout_percentage: entry.payout_percentage,
            revenue_type: entry.revenue_type,
            revenue_amount: entry.revenue_amount,
            revenue_percentage: entry.revenue_percentage,
        }
    }
}

impl PayoutTerms {
    /// These terms with amounts that hold for this conversion alone.
    #[must_use]
    pub(super) fn with_fixed(self, payout: Option<Money>, revenue: Option<Money>) -> PayoutTerms {
        let mut terms = self;
        if let Some(amount) = payout {
            (terms.payout_type, terms.payout_amount) = (PayoutType::Cpa, amount);
        }
        if let Some(amount) = revenue {
            (terms.revenue_type, terms.revenue_amount) = (RevenueType::Rpa, amount);
        }
        terms
    }

    /// The amounts due for a sale, rounded to `unit`.
    #[must_use]
    pub fn payable(&self, sale: Money, unit: MinorUnit) -> Payable {
        let revenue = unit.round(self.revenue(sale.decimal()));
        let payout = unit.round(self.payout(sale.decimal(), revenue.decimal()));
        Payable { payout, revenue }
    }

    /// True if payout or revenue depends on the sale amount.
    #[must_use]
    pub fn needs_amount(&self) -> bool {
        let revenue_of = |sale| self.revenue(sale);
        let payout_of = |sale| self.payout(sale, revenue_of(sale));
        let (none, some) = (Decimal::ZERO, Decimal::ONE_HUNDRED);
        (revenue_of(none), payout_of(none)) != (revenue_of(some), payout_of(some))
    }

    fn revenue(&self, sale: Decimal) -> Decimal {
        let (fixed, share) =
            (self.revenue_amount.decimal(), percent_of(sale, self.revenue_percentage));
        match self.revenue_type {
            RevenueType::Rpa => fixed,
            RevenueType::Rps | RevenueType::Prv => share,
            RevenueType::RpaRps => fixed + share,
            RevenueType::Rpc | RevenueType::Rpm | RevenueType::Nothing => Decimal::ZERO,
        }
    }

    fn payout(&self, sale: Decimal, revenue: Decimal) -> Decimal {
        let (fixed, percentage) = (self.payout_amount.decimal(), self.payout_percentage);
        match self.payout_type {
            PayoutType::Cpa => fixed,
            PayoutType::Cps => percent_of(sale, percentage),
            PayoutType::CpaCps => fixed + percent_of(sale, percentage),
            PayoutType::Prv => percent_of(revenue, percentage),
            PayoutType::Cpc | PayoutType::Cpm | PayoutType::Nothing => Decimal::ZERO,
        }
    }
}

/// Both factors have at most 15 digits, so a decimal holds the product to more than 6 places.
fn percent_of(whole: Decimal, percentage: Money) -> Decimal {
    whole * percentage.decimal() / Decimal::ONE_HUNDRED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::sample::terms;

    #[test]
    fn each_kind_of_payout_and_revenue_is_reckoned() {
        #[rustfmt::skip]
        let cases = [
            (("cpa", "2.5", "10"), ("rpa", "3", "20"), "100", "2.5", "3"),
            (("cps", "2.5", "10"), ("rps", "3", "20"), "100", "10", "20"),
            (("cpa_cps", "2.5", "10"), ("rpa_rps", "3", "20"), "100", "12.5", "23"),
            (("cpc", "2.5", "10"), ("rpc", "3", "20"), "100", "0", "0"),
            (("cpm", "2.5", "10"), ("rpm", "3", "20"), "100", "0", "0"),
            (("null_value", "2.5", "10"), ("blank", "3", "20"), "100", "0", "0"),
            (("prv", "2.5", "50"), ("rpa", "3", "20"), "100", "1.5", "3"),
            (("prv", "2.5", "50"), ("rps", "3", "20"), "100", "10", "20"),
            (("prv", "2.5", "50"), ("prv", "3", "20"), "100", "10", "20"),
            (("cps", "0", "10"), ("rps", "0", "20"), "0", "0", "0"),
            (("cps", "0", "3.333"), ("rps", "0", "33.333333"), "99.98", "3.33", "33.33"),
            (("cps", "0", "12.5"), ("rps", "0", "33.333333"), "19.99", "2.5", "6.66"),
            (("cps", "0", "50"), ("rps", "0", "49"), "0.01", "0.01", "0"),
            (("cpa", "2.505", "0"), ("rpa_rps", "0.004", "1"), "0.1", "2.51", "0.01"),
            // A share of the revenue is one of what the network gets.
            (("prv", "0", "50"), ("rpa", "3.333", "0"), "100", "1.67", "3.33"),
            (("prv", "0", "50"), ("rpa", "0.004", "0"), "100", "0", "0"),
            (("cps", "0", "100"), ("rps", "0", "0.000001"), "999999999.994999", "999999999.99", "10"),
        ];
        for (payout, revenue, sale, paid, earned) in cases {
            let payable = terms(payout, revenue)
                .payable(sale.parse().unwrap(), MinorUnit::for_currency("USD"));
            assert_eq!(
                (payable.payout.to_string(), payable.revenue.to_string()),
                (paid.into(), earned.into()),
                "{payout:?} {revenue:?} {sale}"
            );
        }
    }

    #[test]
    fn what_is_paid_has_the_places_of_its_currency() {
        let terms = terms(("cpa_cps", "2.5", "3.333"), ("rps", "0", "8"));
        for (currency, paid, earned) in
            [("USD", "5.83", "8"), ("JPY", "6", "8"), ("KWD", "5.832", "7.998")]
        {
            let payable =
                terms.payable("99.98".parse().unwrap(), MinorUnit::for_currency(currency));
            let shown = (payable.payout.to_string(), payable.revenue.to_string());
            assert_eq!(shown, (paid.into(), earned.into()), "{currency}");
        }
    }

    #[test]
    fn only_shares_of_the_sale_need_its_amount() {
        assert!(!terms(("cpa", "1", "10"), ("rpa", "1", "10")).needs_amount());
        assert!(terms(("cps", "1", "10"), ("rpa", "1", "10")).needs_amount());
        assert!(terms(("cpa", "1", "0"), ("rpa_rps", "1", "10")).needs_amount());
        assert!(!terms(("cps", "1", "0"), ("rps", "1", "0")).needs_amount());
    }

    #[test]
    fn terms_are_kept_as_json() {
        let terms = terms(("cpa_cps", "2.5", "10"), ("rps", "0", "12.345678"));
        let json = serde_json::to_string(&terms).unwrap();
        assert_eq!(serde_json::from_str::<PayoutTerms>(&json).unwrap(), terms);
    }
}
