//! Reads a stored conversion in the terms of attribution.

use crate::attribution::currency::Currencies;
use crate::attribution::payout::{Payable, PayoutTerms};
use crate::attribution::rank::ExistingConversion;
use crate::catalog::Money;
use crate::store::conversions::Conversion;

impl Conversion {
    /// The terms at creation; `None` without terms, or after a person edited payout or revenue.
    pub(super) fn read_terms(&self) -> Option<PayoutTerms> {
        serde_json::from_str(&self.terms).ok()
    }

    pub(super) fn currencies(&self) -> Currencies {
        Currencies { sale: self.sale_currency.clone(), paid: self.currency.clone() }
    }

    pub(super) fn payable(&self) -> Payable {
        Payable { payout: self.payout, revenue: self.revenue }
    }

    /// True while a conversion that was reported without an amount has its original payout and
    /// revenue.
    pub(super) fn is_unedited(&self) -> bool {
        let zero = Money::default();
        let original = self.read_terms().map(|terms| self.currencies().payable(&terms, zero));
        self.amount.is_none()
            && self.sale_amount == zero
            && original.unwrap_or_default() == self.payable()
    }
}

impl From<&Conversion> for ExistingConversion {
    fn from(conversion: &Conversion) -> ExistingConversion {
        let Conversion { evidence_rank: rank, status, error_code, .. } = *conversion;
        ExistingConversion { rank, status, error_code }
    }
}
