//! Decimal numbers of reports: money and ratios.
//!
//! Sums are exact, in billionths, because a thousandth of an amount is counted for a click that is
//! paid by the thousand. An [`Amount`] is rounded to [`SCALE`] places, half away from zero.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::catalog::Money;

/// Digits after the point, of money and of ratios.
const SCALE: u32 = 6;

/// A decimal number, or null where currencies would be mixed. Null sorts before every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(Option<Decimal>);

impl Amount {
    /// The rounded amount of an exact sum in billionths; `None` becomes null.
    pub(super) fn from_billionths(sum: Option<i128>) -> Amount {
        Amount(sum.map(|sum| rounded(decimal_from_billionths(sum))))
    }

    /// `part / whole`; 0 where `whole` is 0, null where `part` is `None`.
    pub(super) fn ratio(part: Option<Decimal>, whole: Decimal) -> Amount {
        Amount(part.map(|part| rounded(part.checked_div(whole).unwrap_or_default())))
    }

    /// The number as text; empty for null.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.map(|number| number.to_string()).unwrap_or_default()
    }
}

fn rounded(exact: Decimal) -> Decimal {
    exact.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointAwayFromZero).normalize()
}

/// Exact up to 79 quintillion. Larger sums lose the last three places, which are not shown anyway.
pub(super) fn decimal_from_billionths(billionths: i128) -> Decimal {
    Decimal::try_from_i128_with_scale(billionths, 9)
        .or_else(|_| Decimal::try_from_i128_with_scale(billionths / 1_000, 6))
        .unwrap_or(if billionths < 0 { Decimal::MIN } else { Decimal::MAX })
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A raw JSON number: a float would not hold all digits.
        let text = self.0.map_or_else(|| "null".into(), |number| number.to_string());
        RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl From<Option<Money>> for Amount {
    fn from(money: Option<Money>) -> Amount {
        Amount(money.map(Money::decimal))
    }
}

impl From<Money> for Amount {
    fn from(money: Money) -> Amount {
        Amount(Some(money.decimal()))
    }
}

impl From<i64> for Amount {
    fn from(count: i64) -> Amount {
        Amount(Some(count.into()))
    }
}
