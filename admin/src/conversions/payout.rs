//! What a conversion is worth, to the partner and to the network.
//!
//! | payout | revenue | worth |
//! |---|---|---|
//! | `cpa` | `rpa` | the amount |
//! | `cps` | `rps` | the percentage of the sale |
//! | `cpa_cps` | `rpa_rps` | both |
//! | `cpc`, `cpm` | `rpc`, `rpm` | nothing: clicks and impressions are paid, not conversions |
//! | `prv` | | the percentage of the revenue |
//! | | `prv` | the percentage of the sale, which is the advertiser's own revenue |
//!
//! Decimal throughout. A share is rounded once, to 6 places, half away from zero; nothing is rounded
//! to a currency's own places, which is for who pays. A share of a sale whose amount is not known is
//! nothing.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::catalog::{Money, PayoutRevenue, PayoutType, RevenueType};

/// The terms under which a conversion was made; kept with it, because the offer's may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What the partner is paid for.
    pub payout_type: PayoutType,
    /// Per conversion.
    pub payout_amount: Money,
    /// In percent.
    pub payout_percentage: Money,
    /// What the advertiser pays for.
    pub revenue_type: RevenueType,
    /// Per conversion.
    pub revenue_amount: Money,
    /// In percent.
    pub revenue_percentage: Money,
}

/// What a conversion is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worth {
    /// To the partner.
    pub payout: Money,
    /// To the network.
    pub revenue: Money,
}

impl From<&PayoutRevenue> for Terms {
    fn from(entry: &PayoutRevenue) -> Terms {
        Terms {
            payout_type: entry.payout_type,
            payout_amount: entry.payout_amount,
            payout_percentage: entry.payout_percentage,
            revenue_type: entry.revenue_type,
            revenue_amount: entry.revenue_amount,
            revenue_percentage: entry.revenue_percentage,
        }
    }
}

impl Terms {
    /// What a conversion with this sale is worth.
    #[must_use]
    pub fn worth(&self, sale: Money) -> Worth {
        let revenue = self.revenue(sale.decimal());
        let payout = self.payout(sale.decimal(), revenue.decimal());
        Worth { payout, revenue }
    }

    /// Without the amount of the sale it is worth less.
    #[must_use]
    pub fn needs_amount(&self) -> bool {
        let (none, some) =
            (self.worth(Money::default()), self.worth(Money::rounded(Decimal::ONE_HUNDRED)));
        none != some
    }

    fn revenue(&self, sale: Decimal) -> Money {
        let (fixed, share) = (self.revenue_amount.decimal(), of(sale, self.revenue_percentage));
        Money::rounded(match self.revenue_type {
            RevenueType::Rpa => fixed,
            RevenueType::Rps | RevenueType::Prv => share,
            RevenueType::RpaRps => fixed + share,
            RevenueType::Rpc | RevenueType::Rpm => Decimal::ZERO,
        })
    }

    fn payout(&self, sale: Decimal, revenue: Decimal) -> Money {
        let (fixed, percentage) = (self.payout_amount.decimal(), self.payout_percentage);
        Money::rounded(match self.payout_type {
            PayoutType::Cpa => fixed,
            PayoutType::Cps => of(sale, percentage),
            PayoutType::CpaCps => fixed + of(sale, percentage),
            PayoutType::Prv => of(revenue, percentage),
            PayoutType::Cpc | PayoutType::Cpm => Decimal::ZERO,
        })
    }
}

/// At most 15 digits by at most 15: a product that a decimal holds to more than 6 places.
fn of(whole: Decimal, percentage: Money) -> Decimal {
    whole * percentage.decimal() / Decimal::ONE_HUNDRED
}
