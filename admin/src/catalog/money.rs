//! Amounts and percentages: decimal from the request to the store and back, never floating point.
//!
//! At most [`MAX_DIGITS`] digits, [`MAX_SCALE`] of them after the point. In JSON an amount may be a
//! number or a string; a number of that size survives a conversion to binary floating
//! point, as in many clients. The API answers a number, like Everflow.

use std::fmt;
use std::str::FromStr;

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::de::{self, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

const MAX_DIGITS: usize = 15;
const MAX_SCALE: u32 = 6;
/// The largest amount of a sale or a payment: 999,999,999.999999. Sums of them fit everywhere.
pub const LARGEST: Decimal = Decimal::from_parts(2_764_472_319, 232_830, 0, false, MAX_SCALE);

/// An amount of money, or a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Money(Decimal);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("`{0}` is not an amount; write it like 12.50")]
    NotDecimal(String),
    /// More digits than every reader keeps exactly.
    #[error(
        "`{0}` has too many digits; at most {MAX_DIGITS}, and {MAX_SCALE} after the point, are kept exactly"
    )]
    TooPrecise(String),
}

impl Money {
    /// Whether the amount is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0.is_sign_negative() && !self.0.is_zero()
    }

    #[must_use]
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Rounds to millionths, half away from zero, and limits the amount to ±[`LARGEST`].
    #[must_use]
    pub fn rounded(exact: Decimal) -> Money {
        let places = RoundingStrategy::MidpointAwayFromZero;
        let near = exact.round_dp_with_strategy(MAX_SCALE, places).clamp(-LARGEST, LARGEST);
        Money(near.normalize())
    }

    /// A sum or difference of amounts, which may be larger than [`LARGEST`].
    #[must_use]
    pub fn from_sum(sum: Decimal) -> Money {
        Money(sum.normalize())
    }

    #[must_use]
    pub fn from_whole(whole: u64) -> Money {
        Money(Decimal::from(whole))
    }

    /// The amount in millionths, as sums hold it; saturates.
    #[must_use]
    pub fn millionths(self) -> i64 {
        let million = Decimal::from(1_000_000);
        let whole = self.0.checked_mul(million).and_then(|product| product.trunc().to_i64());
        whole.unwrap_or(if self.is_negative() { i64::MIN } else { i64::MAX })
    }

    /// The amount of a sum in millionths.
    #[must_use]
    pub fn from_millionths(millionths: i64) -> Money {
        Money(Decimal::new(millionths, MAX_SCALE).normalize())
    }
}

impl utoipa::PartialSchema for Money {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Number, Type::String]))
            .minimum(Some(0))
            .maximum(Some(999_999_999.999_999))
            .pattern(Some(r"^[0-9]{1,9}(\.[0-9]{1,6})?$"))
            .description(Some(
                "A decimal of at most 15 digits, 6 of them after the point; answered as a number",
            ))
            .examples([12.5])
            .into()
    }
}

impl utoipa::ToSchema for Money {}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Money, MoneyError> {
        let shown = || text.chars().take(40).collect::<String>();
        let amount =
            Decimal::from_str_exact(text).map_err(|_| MoneyError::NotDecimal(shown()))?.normalize();
        let digits = amount.mantissa().unsigned_abs().to_string().len();
        if digits > MAX_DIGITS || amount.scale() > MAX_SCALE {
            return Err(MoneyError::TooPrecise(shown()));
        }
        Ok(Money(amount))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Money;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount such as 12.5 or \"12.50\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Money, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Money, E> {
        self.visit_str(&number.to_string())
    }

    // Up to 15 digits, the shortest text that parses to this number is the text that the client
    // sent.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Money, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_come_back_exactly_as_numbers_or_text() {
        for (json, answered) in [
            ("12.50", "12.5"),
            ("\"12.50\"", "12.5"),
            ("0.1", "0.1"),
            ("-3", "-3"),
            ("0", "0"),
            ("999999999.999999", "999999999.999999"),
            ("\"123456789012345\"", "123456789012345"),
        ] {
            let money: Money = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&money).unwrap(), answered);
            assert_eq!(money.to_string().parse(), Ok(money));
        }
    }

    #[test]
    fn what_cannot_be_kept_exactly_is_refused() {
        for json in [
            "0.1234567",
            "1234567890123456",
            "1e30",
            "\"1e3\"",
            "\"NaN\"",
            "\"\"",
            "\" 1\"",
            "true",
            "null",
            "[1]",
        ] {
            assert!(serde_json::from_str::<Money>(json).is_err(), "{json} was taken");
        }
    }

    proptest! {
        #[test]
        fn any_amount_that_is_kept_reads_back_from_text_and_from_a_number(
            millionths in -999_999_999_999_999_i64..=999_999_999_999_999
        ) {
            let money = Money::from_millionths(millionths);
            prop_assert_eq!(money.millionths(), millionths);
            prop_assert_eq!(money.to_string().parse(), Ok(money));
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
            let through_floating_point: f64 = json.parse().unwrap();
            let json = serde_json::to_string(&through_floating_point).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }

        #[test]
        fn any_text_is_refused_or_kept_exactly(text in "[-+0-9.eE_, ]{0,40}|\\PC{0,40}") {
            if let Ok(money) = text.parse::<Money>() {
                prop_assert_eq!(money.to_string().parse(), Ok(money));
                prop_assert_eq!(Decimal::from_str_exact(&text).unwrap(), money.decimal());
            }
        }
    }
}
