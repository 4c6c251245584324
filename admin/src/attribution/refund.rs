//! Deducts a refund (a negative amount) from an order.
//!
//! The sale amount decreases, never below zero; an excess is noted and ignored. Shares of the sale
//! are recomputed under the terms of the conversion. Fixed amounts stay until the sale amount is
//! zero; then payout and revenue are zero. So any refund cancels an order without an amount.
//!
//! The refunds of an order may arrive in any sequence: the final amounts are the same, and the
//! changes in the history add up to them.
//!
//! Anyone can send a refund, so only a sender with proof gets an immediate deduction: one that
//! passed a trust rule of the advertiser or names the order's own click. All other refunds wait for
//! a person's decision.

use rust_decimal::Decimal;

use super::currency::Currencies;
use super::error_code::ErrorCode;
use super::payout::{Payable, PayoutTerms};
use super::rank::Rank;
use crate::catalog::Money;

/// How long a refund waits for its order.
pub const WAITS_FOR_ORDER_MS: u64 = 30 * 24 * 3_600_000;

/// The largest amount that counts without a person's approval, in the currency's main unit.
const LARGEST_AUTOMATIC: Decimal = Decimal::from_parts(10_000_000, 0, 0, false, 0);

/// Whether an amount needs a person's approval.
#[must_use]
pub fn is_large(amount: Money) -> bool {
    amount.decimal().abs() > LARGEST_AUTOMATIC
}

/// A refund, compared with its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundRequest {
    /// Negative.
    pub amount: Money,
    pub rank: Rank,
    /// The refund names the click of the order.
    pub names_its_click: bool,
    /// The refund has another currency than the order.
    pub is_in_other_currency: bool,
}

impl RefundRequest {
    /// Why a person has to decide; `None` for an immediate deduction.
    #[must_use]
    pub fn reason_to_hold(&self) -> Option<ErrorCode> {
        if self.is_in_other_currency {
            Some(ErrorCode::OtherCurrency)
        } else if is_large(self.amount) {
            Some(ErrorCode::LargeAmount)
        } else if self.rank < Rank::Trusted && !self.names_its_click {
            Some(ErrorCode::UnprovedRefund)
        } else {
            None
        }
    }
}

/// The amounts of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrderAmounts {
    pub sale: Money,
    pub payable: Payable,
}

/// The effect of a refund on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundEffect {
    pub after: OrderAmounts,
    /// The difference to the amounts before; zero or negative in each part. The history records it.
    pub change: OrderAmounts,
    /// The refund exceeded the remaining sale amount.
    pub is_beyond: bool,
}

/// Deducts `amount`, which is negative. Without terms (a person edited payout or revenue) payout
/// and revenue stay until the sale amount is zero.
#[must_use]
pub fn take_back(
    before: &OrderAmounts,
    amount: Money,
    terms: Option<&PayoutTerms>,
    currencies: &Currencies,
) -> RefundEffect {
    let left = before.sale.decimal() + amount.decimal().min(Decimal::ZERO);
    let sale = Money::rounded(left.max(Decimal::ZERO));
    let payable = if sale.decimal().is_zero() {
        Payable::default()
    } else {
        let anew = |terms| at_most(before.payable, currencies.payable(terms, sale));
        terms.map_or(before.payable, anew)
    };
    let after = OrderAmounts { sale, payable };
    RefundEffect { after, change: difference(before, &after), is_beyond: left < Decimal::ZERO }
}

/// A refund must not raise an amount, for instance of an order whose payout is still zero.
fn at_most(before: Payable, anew: Payable) -> Payable {
    let less = |a: Money, b: Money| if b.decimal() < a.decimal() { b } else { a };
    Payable {
        payout: less(before.payout, anew.payout),
        revenue: less(before.revenue, anew.revenue),
    }
}

fn difference(before: &OrderAmounts, after: &OrderAmounts) -> OrderAmounts {
    let minus = |a: Money, b: Money| Money::rounded(a.decimal() - b.decimal());
    let payable = Payable {
        payout: minus(after.payable.payout, before.payable.payout),
        revenue: minus(after.payable.revenue, before.payable.revenue),
    };
    OrderAmounts { sale: minus(after.sale, before.sale), payable }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{PayoutType, RevenueType};

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn terms(payout_type: PayoutType, revenue_type: RevenueType) -> PayoutTerms {
        PayoutTerms {
            payout_type,
            payout_amount: money("2.5"),
            payout_percentage: money("10"),
            revenue_type,
            revenue_amount: money("3"),
            revenue_percentage: money("15"),
        }
    }

    fn dollars() -> Currencies {
        Currencies { sale: "USD".into(), paid: "USD".into() }
    }

    fn take_back(
        before: &OrderAmounts,
        amount: Money,
        terms: Option<&PayoutTerms>,
    ) -> RefundEffect {
        super::take_back(before, amount, terms, &dollars())
    }

    fn order(terms: &PayoutTerms, sale: Money) -> OrderAmounts {
        OrderAmounts { sale, payable: dollars().payable(terms, sale) }
    }

    fn amounts_text(state: &OrderAmounts) -> [String; 3] {
        [state.sale, state.payable.payout, state.payable.revenue].map(|money| money.to_string())
    }

    #[test]
    fn shares_go_down_with_the_sale_and_fixed_amounts_stay_until_nothing_is_left() {
        let terms = terms(PayoutType::CpaCps, RevenueType::Rpa);
        let before = order(&terms, money("100"));
        assert_eq!(amounts_text(&before), ["100", "12.5", "3"]);
        let part = take_back(&before, money("-40"), Some(&terms));
        assert_eq!(amounts_text(&part.after), ["60", "8.5", "3"]);
        assert_eq!(amounts_text(&part.change), ["-40", "-4", "0"]);
        let rest = take_back(&part.after, money("-60"), Some(&terms));
        assert_eq!(
            (amounts_text(&rest.after), rest.is_beyond),
            (["0", "0", "0"].map(String::from), false)
        );
    }

    #[test]
    fn shares_are_rounded_anew_and_what_was_sold_in_another_currency_keeps_its_fixed_part() {
        let shares = terms(PayoutType::Cps, RevenueType::Rps);
        let before = order(&shares, money("99.99"));
        assert_eq!(amounts_text(&before), ["99.99", "10", "15"]);
        let part = take_back(&before, money("-33.33"), Some(&shares));
        assert_eq!(amounts_text(&part.after), ["66.66", "6.67", "10"]);
        let fixed = terms(PayoutType::Cpa, RevenueType::Rpa);
        let euros = Currencies { sale: "EUR".into(), paid: "USD".into() };
        let sale = money("100");
        let before = OrderAmounts { sale, payable: euros.payable(&fixed, sale) };
        let part = super::take_back(&before, money("-40"), Some(&fixed), &euros);
        assert_eq!(amounts_text(&part.after), ["60", "2.5", "3"]);
    }

    #[test]
    fn only_who_proves_that_the_order_is_his_takes_back_at_once() {
        use Rank::{Click, Code, Trusted};
        #[rustfmt::skip]
        let cases = [
            // (amount, rank, names its click, other currency)
            ("-10", Trusted, false, false, None),
            ("-10", Click, true, false, None),
            ("-10", Code, true, false, None),
            ("-10", Click, false, false, Some(ErrorCode::UnprovedRefund)),
            ("-10", Code, false, false, Some(ErrorCode::UnprovedRefund)),
            ("-10", Trusted, true, true, Some(ErrorCode::OtherCurrency)),
            ("-10000000", Trusted, true, false, None),
            ("-10000000.01", Trusted, true, false, Some(ErrorCode::LargeAmount)),
        ];
        for (amount, rank, names_its_click, is_in_other_currency, wanted) in cases {
            let amount = money(amount);
            let asked = RefundRequest { amount, rank, names_its_click, is_in_other_currency };
            assert_eq!(asked.reason_to_hold(), wanted, "{asked:?}");
        }
    }

    #[test]
    fn nothing_goes_below_zero() {
        let terms = terms(PayoutType::Cps, RevenueType::Rps);
        let refund = take_back(&order(&terms, money("10")), money("-10.01"), Some(&terms));
        assert_eq!(
            (amounts_text(&refund.after), refund.is_beyond),
            (["0", "0", "0"].map(String::from), true)
        );
        assert_eq!(amounts_text(&refund.change), ["-10", "-1", "-1.5"]);
    }

    #[test]
    fn what_somebody_fixed_by_hand_stays_until_nothing_is_left() {
        let payable = Payable { payout: money("50"), revenue: money("60") };
        let before = OrderAmounts { sale: money("100"), payable };
        let part = take_back(&before, money("-40"), None);
        assert_eq!(amounts_text(&part.after), ["60", "50", "60"]);
        assert_eq!(
            amounts_text(&take_back(&part.after, money("-60"), None).after),
            ["0", "0", "0"]
        );
    }

    #[test]
    fn a_refund_adds_nothing_to_an_order_that_was_worth_nothing_as_yet() {
        let terms = terms(PayoutType::Cps, RevenueType::Rps);
        let before = OrderAmounts { sale: money("100"), payable: Payable::default() };
        assert_eq!(
            amounts_text(&take_back(&before, money("-40"), Some(&terms)).after),
            ["60", "0", "0"]
        );
    }

    fn any_terms() -> impl Strategy<Value = PayoutTerms> {
        let payouts = prop::sample::select(vec![
            PayoutType::Cpa,
            PayoutType::Cps,
            PayoutType::CpaCps,
            PayoutType::Prv,
            PayoutType::Cpc,
        ]);
        let revenues = prop::sample::select(vec![
            RevenueType::Rpa,
            RevenueType::Rps,
            RevenueType::RpaRps,
            RevenueType::Prv,
        ]);
        (payouts, revenues).prop_map(|(payout_type, revenue_type)| terms(payout_type, revenue_type))
    }

    fn apply(before: OrderAmounts, refunds: &[i64], terms: &PayoutTerms) -> Vec<RefundEffect> {
        let mut state = before;
        refunds
            .iter()
            .map(|amount| {
                let refund = take_back(&state, Money::from_millionths(-amount), Some(terms));
                state = refund.after;
                refund
            })
            .collect()
    }

    proptest! {
        #[test]
        fn the_history_adds_up_to_the_state_and_never_below_zero(
            terms in any_terms(),
            sale in 0..2_000_000_000_i64,
            refunds in prop::collection::vec(0..1_000_000_000_i64, 1..8),
        ) {
            let before = order(&terms, Money::from_millionths(sale));
            let applied = apply(before, &refunds, &terms);
            let parts = |state: &OrderAmounts| [state.sale, state.payable.payout, state.payable.revenue].map(Money::millionths);
            let mut sum = parts(&before);
            for refund in &applied {
                let change = parts(&refund.change);
                (0..3).for_each(|part| sum[part] += change[part]);
                prop_assert_eq!(sum, parts(&refund.after));
                prop_assert!(sum.iter().all(|part| *part >= 0));
                prop_assert!(change.iter().all(|part| *part <= 0));
            }
        }

        #[test]
        fn refunds_may_come_in_any_order(
            terms in any_terms(),
            sale in 0..2_000_000_000_i64,
            refunds in prop::collection::vec(0..1_000_000_000_i64, 1..8),
            turn in 0..8_usize,
        ) {
            let before = order(&terms, Money::from_millionths(sale));
            let last = |refunds: &[i64]| apply(before, refunds, &terms).last().map(|refund| refund.after);
            let mut turned = refunds.clone();
            turned.rotate_left(turn % refunds.len());
            let reversed: Vec<i64> = refunds.iter().rev().copied().collect();
            prop_assert_eq!(last(&refunds), last(&turned));
            prop_assert_eq!(last(&refunds), last(&reversed));
        }
    }
}
