//! What a negative amount takes back from an order.
//!
//! The sale's amount goes down, never below zero: what is asked for beyond it is noted, not taken.
//! Shares of the sale are reckoned anew under the terms the conversion was made under; fixed amounts
//! stay until nothing of the sale is left, and then payout and revenue are nothing. So an order whose
//! amount was never told is cancelled by any refund.
//!
//! Refunds of one order may come in any order: the last state is the same. What the history adds up
//! to is the state.

use rust_decimal::Decimal;

use super::payout::{Terms, Worth};
use crate::catalog::Money;

/// An order as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The amount of the sale.
    pub sale: Money,
    /// What it is worth.
    pub worth: Worth,
}

/// What a refund does to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refund {
    /// The order after it.
    pub after: State,
    /// What that is more than before: nothing or less in each part. This is what the history keeps.
    pub change: State,
    /// More was asked back than was left.
    pub is_beyond: bool,
}

/// Takes `amount`, below zero, from an order. Without terms (they were set aside when somebody
/// edited what it is worth) payout and revenue stay until nothing of the sale is left.
#[must_use]
pub fn take_back(before: &State, amount: Money, terms: Option<&Terms>) -> Refund {
    let left = before.sale.decimal() + amount.decimal().min(Decimal::ZERO);
    let sale = Money::rounded(left.max(Decimal::ZERO));
    let worth = if sale.decimal().is_zero() {
        Worth::default()
    } else {
        terms.map_or(before.worth, |terms| at_most(before.worth, terms.worth(sale)))
    };
    let after = State { sale, worth };
    Refund { after, change: difference(before, &after), is_beyond: left < Decimal::ZERO }
}

/// A refund never makes an order worth more, such as one that was worth nothing as yet.
fn at_most(before: Worth, anew: Worth) -> Worth {
    let less = |a: Money, b: Money| if b.decimal() < a.decimal() { b } else { a };
    Worth { payout: less(before.payout, anew.payout), revenue: less(before.revenue, anew.revenue) }
}

fn difference(before: &State, after: &State) -> State {
    let minus = |a: Money, b: Money| Money::rounded(a.decimal() - b.decimal());
    let worth = Worth {
        payout: minus(after.worth.payout, before.worth.payout),
        revenue: minus(after.worth.revenue, before.worth.revenue),
    };
    State { sale: minus(after.sale, before.sale), worth }
}
