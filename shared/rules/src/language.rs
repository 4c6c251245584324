//! The visitor's language, by the header `Accept-Language`.

/// Bytes of the header that are read.
pub const MAX_HEADER_BYTES: usize = 512;

/// Language tag with the highest weight, the first on a tie, as in the header. `None` if the header
/// is empty, names no language, or prefers `*`.
#[must_use]
pub fn preferred(accept_language: &[u8]) -> Option<&[u8]> {
    let mut preferred: Option<(u16, &[u8])> = None;
    for range in whole_ranges(accept_language).split(|byte| *byte == b',') {
        let Some((weight, tag)) = language_range(range) else { continue };
        // Most ranges weigh less, and their tags need no check.
        let is_heavier = weight > preferred.map_or(0, |(highest, _)| highest);
        if is_heavier && (tag == b"*" || is_tag(tag)) {
            preferred = Some((weight, tag));
        }
    }
    preferred.map(|(_, tag)| tag).filter(|tag| *tag != b"*")
}

/// Whether a visitor's tag is the wanted language or a narrower one, without case: `de-AT` is `de`,
/// `pt-PT` is not `pt-BR`.
#[must_use]
pub fn matches(tag: &[u8], wanted: &[u8]) -> bool {
    let is_equal =
        |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || is_separator(*a) && is_separator(*b);
    !wanted.is_empty()
        && tag.len() >= wanted.len()
        && tag.iter().zip(wanted).all(is_equal)
        && tag.get(wanted.len()).is_none_or(|next| is_separator(*next))
}

/// The header up to the bound, without a range that the bound cuts.
fn whole_ranges(header: &[u8]) -> &[u8] {
    let Some(read) = header.get(..MAX_HEADER_BYTES) else { return header };
    if header.get(MAX_HEADER_BYTES).is_none_or(|next| *next == b',') {
        return read;
    }
    let last_comma = read.iter().rposition(|byte| *byte == b',');
    &read[..last_comma.unwrap_or_default()]
}

/// Weight in thousandths, and unchecked tag. `None` for a malformed weight.
fn language_range(range: &[u8]) -> Option<(u16, &[u8])> {
    let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let tag = parts.next()?;
    let mut weight = 1000;
    for parameter in parts {
        if let [b'q' | b'Q', value @ ..] = parameter {
            weight = thousandths(value.trim_ascii_start().strip_prefix(b"=")?.trim_ascii())?;
        }
    }
    Some((weight, tag))
}

/// Subtags of one to eight letters or digits; the first has letters only.
fn is_tag(tag: &[u8]) -> bool {
    let mut subtags = tag.split(|byte| is_separator(*byte));
    let has_length = |subtag: &[u8]| (1..=8).contains(&subtag.len());
    let language = subtags.next().unwrap_or_default();
    has_length(language)
        && language.iter().all(u8::is_ascii_alphabetic)
        && subtags.all(|subtag| has_length(subtag) && subtag.iter().all(u8::is_ascii_alphanumeric))
}

/// Some apps write `de_AT`.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'_')
}

/// Parses a weight from 0 to 1, with at most three digits behind the point.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, digits) = match value {
        [b'1'] => (1000, &[][..]),
        [b'0'] => (0, &[][..]),
        [b'1', b'.', digits @ ..] => (1000, digits),
        [b'0', b'.', digits @ ..] => (0, digits),
        _ => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let scaled = digits.iter().chain(std::iter::repeat(&b'0')).take(3);
    let fraction = scaled.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Some(whole + fraction).filter(|weight| *weight <= 1000)
}

#[cfg(test)]
mod tests;
