//! Amounts as senders write them. A notation that could mean two amounts is refused, not guessed.

use rust_decimal::Decimal;

use crate::catalog::LARGEST_AMOUNT;

/// Signs in front of or behind an amount, with the currency where the sign has only one.
const SIGNS: [(&str, Option<&str>); 3] = [("$", None), ("€", Some("EUR")), ("£", Some("GBP"))];
/// Digits between two group marks.
const GROUP: usize = 3;

/// An amount, and how it was written.
pub(super) struct ReadAmount {
    pub(super) exact: Decimal,
    /// Sent in another notation than plain digits with an optional decimal point.
    pub(super) is_rewritten: bool,
}

/// Reads an amount. A JSON number may have an exponent, since programs write `1e2` for 100.
pub(super) fn read(text: &str, is_json_number: bool) -> Option<ReadAmount> {
    if is_json_number && text.contains(['e', 'E']) {
        let exact = Decimal::from_scientific(text).ok().filter(is_in_range)?;
        return Some(ReadAmount { exact, is_rewritten: false });
    }
    if let Some(exact) = parse_plain(text) {
        return Some(ReadAmount { exact, is_rewritten: false });
    }
    let exact = parse_plain(&plain(without_sign(text).0)?)?;
    Some(ReadAmount { exact, is_rewritten: true })
}

/// The currency that a sign at the amount names.
pub(super) fn currency(text: &str) -> Option<&'static str> {
    without_sign(text).1
}

fn is_in_range(amount: &Decimal) -> bool {
    amount.abs() <= LARGEST_AMOUNT
}

fn without_sign(text: &str) -> (&str, Option<&'static str>) {
    for (sign, currency) in SIGNS {
        if let Some(rest) = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign)) {
            return (rest.trim(), currency);
        }
    }
    (text, None)
}

/// Rewrites groups of three digits and a decimal comma. `1,234` stays unread: it may be 1234 or
/// 1.234.
fn plain(text: &str) -> Option<String> {
    let (minus, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, places) = split_places(digits)?;
    let whole = ungrouped(whole)?;
    match places {
        Some("") => None,
        Some(places) => Some(format!("{minus}{whole}.{places}")),
        None => Some(format!("{minus}{whole}")),
    }
}

/// The digits before and behind the decimal mark.
fn split_places(digits: &str) -> Option<(&str, Option<&str>)> {
    let marks = |mark| digits.matches(mark).count();
    let (points, commas) = (marks('.'), marks(','));
    let last = digits.rfind(['.', ',']);
    let split = |at: usize| (&digits[..at], Some(&digits[at + 1..]));
    match (points, commas, last) {
        (0, 0, _) => Some((digits, None)),
        // The mark that stands once, behind the other, is the decimal mark.
        (1, 1.., Some(at)) if digits[at..].starts_with('.') => Some(split(at)),
        (1.., 1, Some(at)) if digits[at..].starts_with(',') => Some(split(at)),
        // Repeated marks separate groups.
        (2.., 0, _) | (0, 2.., _) => Some((digits, None)),
        (1, 0, Some(at)) => Some(split(at)),
        // Two places of a currency; three digits could be a group.
        (0, 1, Some(at)) if digits.len() - at == 3 => Some(split(at)),
        _ => None,
    }
}

/// The digits without group marks, all of one kind and each before three digits.
fn ungrouped(whole: &str) -> Option<String> {
    let is_mark = |c: char| matches!(c, '.' | ',' | '\'' | '’' | ' ' | '\u{a0}' | '\u{202f}');
    let Some(mark) = whole.chars().find(|c| is_mark(*c)) else { return Some(whole.to_owned()) };
    let mut groups = whole.split(mark);
    let first = groups.next()?;
    let are_whole = groups.all(|group| group.len() == GROUP);
    let are_digits = whole.chars().all(|c| c == mark || c.is_ascii_digit());
    ((1..=GROUP).contains(&first.len()) && are_whole && are_digits).then(|| whole.replace(mark, ""))
}

/// Accepts digits with an optional minus and decimal point.
fn parse_plain(text: &str) -> Option<Decimal> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !are_digits(whole) || !are_digits(places) {
        return None;
    }
    // A decimal cannot hold all places; those cut here are far behind the rounding place.
    let kept = &text[..text.len() - places.len().saturating_sub(12).min(text.len())];
    kept.parse::<Decimal>().ok().filter(is_in_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Option<String> {
        read(text, false).map(|read| read.exact.to_string())
    }

    #[test]
    fn unambiguous_notations_are_read() {
        for (text, expected) in [
            ("1299.00", "1299.00"),
            ("-5", "-5"),
            ("1.234", "1.234"),
            ("1,234.50", "1234.50"),
            ("1.234,50", "1234.50"),
            ("1,234,567", "1234567"),
            ("1.234.567", "1234567"),
            ("12,345,678.9", "12345678.9"),
            ("12,50", "12.50"),
            ("$12.50", "12.50"),
            ("12,50 €", "12.50"),
            ("$-1,234.50", "-1234.50"),
            ("1 234,50", "1234.50"),
            ("1'234.50", "1234.50"),
            ("1\u{a0}234\u{a0}567,89", "1234567.89"),
        ] {
            assert_eq!(read_text(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn ambiguous_and_broken_notations_are_refused() {
        for text in [
            "1,234",
            "1,5",
            "1,23,456.00",
            "12,34.50",
            "1.234,567.8",
            "1,234.567,8",
            ",50",
            "1,234.",
            "¥100",
            "$",
            "$$5",
            "1e2",
            "12 50",
            "1'2",
            "1234,567.00",
            "",
            "-",
            "abc",
            "1 234 56",
            "10000000000000",
            "-$1",
        ] {
            assert_eq!(read_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_sign_names_the_currency_where_it_has_only_one() {
        for (text, expected) in
            [("€5", Some("EUR")), ("5 £", Some("GBP")), ("$5", None), ("5", None)]
        {
            assert_eq!(currency(text), expected);
        }
    }
}
