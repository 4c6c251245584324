//! Money as integers of millionths, with the sums that a conversion needs.

/// Millionths of a currency's main unit.
pub(crate) type Micros = i128;
pub(crate) const ONE: Micros = 1_000_000;

/// Parses a decimal with or without an exponent; `None` if invalid.
pub(crate) fn parse(text: &str) -> Option<Micros> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, number),
    };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{places}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let shift = 6 + exponent - i32::try_from(places.len()).ok()?;
    let value: Micros = all.parse().ok()?;
    let scale = 10_i128.pow(shift.unsigned_abs());
    Some(sign * if shift < 0 { value / scale } else { value * scale })
}

/// Integer quotient, rounded half away from zero.
pub(crate) fn divide(number: i128, by: i128) -> i128 {
    let half = by / 2;
    (number + if number < 0 { -half } else { half }) / by
}

/// Minor unit of a currency, in millionths.
pub(crate) fn minor_unit(currency: &str) -> Micros {
    match currency {
        "JPY" => ONE,
        "KWD" => 1_000,
        _ => 10_000,
    }
}

/// Payout and revenue terms; amounts and percentages in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) payout: (&'static str, Micros, Micros),
    pub(crate) revenue: (&'static str, Micros, Micros),
}

impl Terms {
    pub(crate) const NONE: Terms = Terms { payout: ("cpa", 0, 0), revenue: ("rpa", 0, 0) };

    /// Payout and revenue of a sale in a currency, each rounded once.
    pub(crate) fn worth(&self, sale: Micros, currency: &str) -> (Micros, Micros) {
        // In hundred-millionths of millionths, so rounding happens only at the end.
        let exact = |(kind, amount, percentage): (&str, Micros, Micros)| {
            let (fixed, share) = (amount * 100 * ONE, sale * percentage);
            match kind {
                "cpa" | "rpa" => fixed,
                "cps" | "rps" => share,
                "cpa_cps" | "rpa_rps" => fixed + share,
                _ => 0,
            }
        };
        let round = |exact: i128| {
            let unit = minor_unit(currency);
            divide(exact, unit * 100 * ONE) * unit
        };
        (round(exact(self.payout)), round(exact(self.revenue)))
    }

    /// Unrounded payout and revenue of valid clicks, in thousandths of millionths.
    pub(crate) fn of_clicks(&self, clicks: i128) -> (i128, i128) {
        let exact = |(kind, amount, _): (&str, Micros, Micros)| match kind {
            "cpc" | "rpc" => amount * 1_000 * clicks,
            "cpm" | "rpm" => amount * clicks,
            _ => 0,
        };
        (exact(self.payout), exact(self.revenue))
    }

    pub(crate) fn has_no_fixed_part(&self, currency: &str) -> bool {
        self.worth(0, currency) == (0, 0)
    }
}

#[test]
fn decimals_are_read_and_rounded_half_away_from_zero() {
    assert_eq!(parse("1e2"), Some(100 * ONE));
    assert_eq!(parse("-0.000001"), Some(-1));
    assert_eq!(parse("1,5"), None);
    assert_eq!([divide(5, 10), divide(-5, 10), divide(4, 10)], [1, -1, 0]);
    let terms = Terms { payout: ("cps", 0, 3_333_000), revenue: ("rps", 0, 6_667_000) };
    assert_eq!(terms.worth(99_980_000, "EUR"), (3_330_000, 6_670_000));
}
