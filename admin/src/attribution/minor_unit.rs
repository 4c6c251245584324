//! The minor unit of each currency. Payout and revenue are rounded here and nowhere else.
//!
//! The list is that of ISO 4217 as of 2026. Half a unit is rounded away from zero. Metals, funds
//! and test codes have no minor unit, so their amounts keep six decimal places. An unlisted code
//! gets two places, like most currencies.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::catalog::Money;

/// Decimal places of amounts in a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinorUnit(u32);

const USUAL: u32 = 2;
/// Decimal places of `Money`.
const MOST: u32 = 6;

const WITHOUT_PLACES: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
    "VUV", "XAF", "XOF", "XPF",
];
const WITH_THREE: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
const WITH_FOUR: &[&str] = &["CLF", "UYW"];
const WITHOUT_UNIT: &[&str] =
    &["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"];

impl MinorUnit {
    /// `currency` is an ISO 4217 code in upper case.
    #[must_use]
    pub fn for_currency(currency: &str) -> MinorUnit {
        let table = [(WITHOUT_PLACES, 0), (WITH_THREE, 3), (WITH_FOUR, 4), (WITHOUT_UNIT, MOST)];
        let listed = table.into_iter().find(|(currencies, _)| currencies.contains(&currency));
        MinorUnit(listed.map_or(USUAL, |(_, places)| places))
    }

    /// Decimal places, for printing.
    #[must_use]
    pub fn places(self) -> u32 {
        self.0
    }

    /// Rounds to the nearest payable amount, half a unit away from zero.
    #[must_use]
    pub fn round(self, exact: Decimal) -> Money {
        let half_away = RoundingStrategy::MidpointAwayFromZero;
        Money::rounded(exact.round_dp_with_strategy(self.0, half_away))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_rounded_to_what_can_be_paid_in_their_currency() {
        #[rustfmt::skip]
        let cases = [
            ("USD", "3.3323334", "3.33"), ("EUR", "1.005", "1.01"), ("EUR", "1.0049999", "1"),
            ("EUR", "-1.005", "-1.01"), ("GBP", "0.005", "0.01"), ("CHF", "0.004999", "0"),
            ("JPY", "0.5", "1"), ("JPY", "1234.4999", "1234"), ("KRW", "99.5", "100"),
            ("ISK", "10.2", "10"), ("XOF", "0.49", "0"), ("UGX", "1.5", "2"),
            ("KWD", "1.0005", "1.001"), ("BHD", "1.00049", "1"), ("TND", "0.1234", "0.123"),
            ("CLF", "0.00005", "0.0001"), ("UYW", "1.23456", "1.2346"),
            ("XAU", "0.1234567", "0.123457"), ("XTS", "1.000001", "1.000001"),
            ("EURO", "1.005", "1.01"), ("", "2.345", "2.35"),
            ("USD", "999999999.999999", "999999999.999999"),
        ];
        for (currency, exact, rounded) in cases {
            let money = MinorUnit::for_currency(currency).round(exact.parse().unwrap());
            assert_eq!(money.to_string(), rounded, "{exact} {currency}");
        }
    }

    #[test]
    fn every_currency_of_the_list_stands_in_it_once() {
        let all = [WITHOUT_PLACES, WITH_THREE, WITH_FOUR, WITHOUT_UNIT].concat();
        for currency in &all {
            assert_eq!(all.iter().filter(|other| *other == currency).count(), 1, "{currency}");
            assert!(currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase()));
        }
    }

    proptest! {
        #[test]
        fn rounding_never_moves_an_amount_by_more_than_half_a_unit_and_keeps_the_order(
            one in -1_000_000_000_i64..1_000_000_000, other in -1_000_000_000_i64..1_000_000_000,
            currency in prop::sample::select(vec!["USD", "JPY", "KWD", "CLF", "XAU"]),
        ) {
            let unit = MinorUnit::for_currency(currency);
            let (one, other) = (Decimal::new(one, 7), Decimal::new(other, 7));
            let half = Decimal::new(5, unit.0 + 1);
            prop_assert!((unit.round(one).decimal() - one).abs() <= half);
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(unit.round(low).decimal() <= unit.round(high).decimal());
        }
    }
}
