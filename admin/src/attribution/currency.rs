//! The currencies of a conversion: the currency of its sale, and that of payout and revenue.
//!
//! The sale has the reported currency, or the offer's without a report. Fixed amounts have the
//! offer's currency. A share of the sale has the currency of the sale; amounts are never converted:
//!
//! | reported in | fixed part | shares | paid |
//! |---|---|---|---|
//! | the offer's | any | any | all, in it |
//! | another | none | any | the shares, in the sale's |
//! | another | some | any | the fixed part, in the offer's; a person decides on the shares |
//!
//! Without terms, because a person edited payout or revenue, the offer's currency is paid.

use super::minor_unit::MinorUnit;
use super::payout::{Payable, PayoutTerms};
use crate::catalog::Money;

/// The currencies of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currencies {
    /// The currency of the sale, as reported.
    pub sale: String,
    /// The currency of payout and revenue.
    pub paid: String,
}

impl Currencies {
    #[must_use]
    pub fn for_sale(terms: Option<&PayoutTerms>, reported: &str, of_offer: &str) -> Currencies {
        let has_shares_only = terms.is_some_and(|terms| !has_fixed_part(terms, of_offer));
        let paid = if has_shares_only { reported } else { of_offer };
        Currencies { sale: reported.to_owned(), paid: paid.to_owned() }
    }

    #[must_use]
    pub fn payable(&self, terms: &PayoutTerms, sale: Money) -> Payable {
        let known = if self.sale == self.paid { sale } else { Money::default() };
        terms.payable(known, MinorUnit::for_currency(&self.paid))
    }

    /// True where a share is due but the sale has another currency than the payout.
    #[must_use]
    pub fn has_unknown_share(&self, terms: &PayoutTerms) -> bool {
        self.sale != self.paid && terms.needs_amount()
    }
}

fn has_fixed_part(terms: &PayoutTerms, currency: &str) -> bool {
    terms.payable(Money::default(), MinorUnit::for_currency(currency)) != Payable::default()
}

/// Whether a postback names another currency than `own`. A postback without a currency means `own`.
#[must_use]
pub fn is_other(named: Option<&str>, own: &str) -> bool {
    named.is_some_and(|named| named != own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::sample::terms;

    #[test]
    fn sales_count_as_reported_and_fixed_amounts_are_paid_as_the_offer_says() {
        let fixed = terms(("cpa", "2.5", "10"), ("rpa", "3", "20"));
        let shares = terms(("cps", "2.5", "10"), ("rps", "3", "20"));
        let both = terms(("cpa_cps", "2.5", "10"), ("rpa_rps", "3", "20"));
        let mixed = terms(("cpa", "2.5", "10"), ("rps", "3", "20"));
        let of_revenue = terms(("prv", "0", "50"), ("rps", "0", "20"));
        let clicks = terms(("cpc", "2.5", "10"), ("rpc", "3", "20"));
        #[rustfmt::skip]
        let cases = [
            (&fixed, "USD", "USD", "USD 2.5 3", false),
            (&shares, "USD", "USD", "USD 10 20", false),
            (&both, "USD", "USD", "USD 12.5 23", false),
            (&fixed, "EUR", "USD", "USD 2.5 3", false),
            (&shares, "EUR", "USD", "EUR 10 20", false),
            (&both, "EUR", "USD", "USD 2.5 3", true),
            (&mixed, "EUR", "USD", "USD 2.5 0", true),
            (&of_revenue, "EUR", "USD", "EUR 10 20", false),
            (&clicks, "EUR", "USD", "EUR 0 0", false),
            (&fixed, "EUR", "JPY", "JPY 3 3", false),
        ];
        for (terms, reported, of_offer, wanted, is_open) in cases {
            let currencies = Currencies::for_sale(Some(terms), reported, of_offer);
            let payable = currencies.payable(terms, "100".parse().unwrap());
            let shown = format!("{} {} {}", currencies.paid, payable.payout, payable.revenue);
            assert_eq!(shown, wanted, "{terms:?} {reported} on {of_offer}");
            assert_eq!(currencies.sale, reported);
            assert_eq!(currencies.has_unknown_share(terms), is_open, "{terms:?} {reported}");
        }
        assert_eq!(Currencies::for_sale(None, "EUR", "USD").paid, "USD");
    }

    #[test]
    fn who_names_no_currency_means_the_orders_own() {
        for (named, own, wanted) in [
            (None, "USD", false),
            (Some("USD"), "USD", false),
            (Some("EUR"), "USD", true),
            (Some("USD"), "EUR", true),
        ] {
            assert_eq!(is_other(named, own), wanted, "{named:?} {own}");
        }
    }
}
