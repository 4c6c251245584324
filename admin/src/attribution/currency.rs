//! The currencies of a conversion: in which its sale counts, in which payout and revenue are paid,
//! and whether two reports speak of the same money.
//!
//! The sale is in the currency in which it was reported, else in the offer's. Fixed amounts are in
//! the offer's. A share is of the sale and so in the sale's currency; nothing is ever exchanged:
//!
//! | reported in | fixed part | shares | paid |
//! |---|---|---|---|
//! | the offer's | any | any | all, in it |
//! | another | none | any | the shares, in the sale's |
//! | another | some | any | the fixed part, in the offer's; the shares are for somebody to say |
//!
//! Terms that were set aside, because somebody edited what a conversion is worth, say nothing.

use super::minor_unit::MinorUnit;
use super::payout::{Payable, PayoutTerms};
use crate::catalog::Money;

/// The currencies of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currencies {
    /// Of the sale, as it was reported.
    pub sale: String,
    /// Of payout and revenue.
    pub paid: String,
}

impl Currencies {
    /// Of a sale with these terms.
    #[must_use]
    pub fn for_sale(terms: Option<&PayoutTerms>, reported: &str, of_offer: &str) -> Currencies {
        let is_paid_as_sold = terms.is_some_and(|terms| !has_fixed_part(terms, of_offer));
        let paid = if is_paid_as_sold { reported } else { of_offer };
        Currencies { sale: reported.to_owned(), paid: paid.to_owned() }
    }

    /// What a sale is worth.
    #[must_use]
    pub fn payable(&self, terms: &PayoutTerms, sale: Money) -> Payable {
        let known = if self.sale == self.paid { sale } else { Money::default() };
        terms.payable(known, MinorUnit::for_currency(&self.paid))
    }

    /// What is left unsaid of a sale: its share in a currency that it was not sold in.
    #[must_use]
    pub fn leaves_a_share_open(&self, terms: &PayoutTerms) -> bool {
        self.sale != self.paid && terms.needs_amount()
    }
}

fn has_fixed_part(terms: &PayoutTerms, currency: &str) -> bool {
    terms.payable(Money::default(), MinorUnit::for_currency(currency)) != Payable::default()
}

/// Whether a report names another currency than the one it is compared with. One that names none
/// means that one.
#[must_use]
pub fn is_other(named: Option<&str>, own: &str) -> bool {
    named.is_some_and(|named| named != own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(payout: (&str, &str, &str), revenue: (&str, &str, &str)) -> PayoutTerms {
        PayoutTerms {
            payout_type: payout.0.parse().unwrap(),
            payout_amount: payout.1.parse().unwrap(),
            payout_percentage: payout.2.parse().unwrap(),
            revenue_type: revenue.0.parse().unwrap(),
            revenue_amount: revenue.1.parse().unwrap(),
            revenue_percentage: revenue.2.parse().unwrap(),
        }
    }

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
            assert_eq!(currencies.leaves_a_share_open(terms), is_open, "{terms:?} {reported}");
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
