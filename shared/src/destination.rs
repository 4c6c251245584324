//! Base destination URLs: parsed once when an offer is saved, expanded once for each click.
//!
//! A destination is an origin (scheme, host, port) followed by literal text and macros such as
//! `{sub1}`. Invariants, held by [`Destination::parse`] and checked again when a catalog is opened
//! ([`ArchivedDestination::check`]):
//!
//! - the scheme is `http` or `https`, and no macro stands in scheme, host or port, so that every
//!   expansion has the template's origin, whatever the visitor sent;
//! - literals are visible ASCII, and a macro's value is percent-encoded to unreserved characters,
//!   so that every expansion is one line of ASCII;
//! - expansion is one pass: a macro inside a value is text.
//!
//! The macros have the form `{name}`. Everflow's macros without a value in this service are
//! accepted and expand to nothing; the result of `parse` lists them. Other text in braces, or a
//! lone brace, is refused.

use rkyv::{Archive, Deserialize, Serialize};

use crate::transaction_id::TransactionId;

/// Longest macro value, in bytes before percent-encoding; the rest is cut off.
pub const MAX_VALUE_LEN: usize = 256;
/// Longest destination URL as written, in bytes.
pub const MAX_URL_LEN: usize = 2048;
/// Name of the query parameter that carries the transaction id to the advertiser's page.
pub const TRANSACTION_ID_PARAMETER: &str = "_ef_transaction_id";

/// A macro that expansion fills. The discriminants are part of the catalog format.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[rkyv(derive(Debug, Clone, Copy))]
#[repr(u8)]
pub enum Macro {
    /// `{transaction_id}`
    TransactionId = 1,
    /// `{coupon_code}`: as the visitor typed it.
    CouponCode = 2,
    /// `{offer_id}`
    OfferId = 3,
    /// `{affiliate_id}`
    AffiliateId = 4,
    /// `{advertiser_id}`
    AdvertiserId = 5,
    /// `{network_id}`
    NetworkId = 6,
    /// `{source_id}`
    SourceId = 7,
    /// `{sub1}`
    Sub1 = 8,
    /// `{sub2}`
    Sub2 = 9,
    /// `{sub3}`
    Sub3 = 10,
    /// `{sub4}`
    Sub4 = 11,
    /// `{sub5}`
    Sub5 = 12,
    /// `{uid}`
    Uid = 13,
    /// `{timestamp}`: Unix seconds of the click.
    Timestamp = 14,
    /// `{random}`: digits that differ from click to click.
    Random = 15,
    /// `{country}`
    Country = 16,
    /// `{region}`
    Region = 17,
    /// `{city}`
    City = 18,
    /// `{device_type}`
    DeviceType = 19,
    /// `{language}`: the first of the visitor's accepted languages.
    Language = 20,
    /// `{referer}`
    Referer = 21,
    // From here on as in the table of further values; newer than the macros before.
    /// `{sub6}`
    Sub6 = 22,
    /// `{sub7}`
    Sub7 = 23,
    /// `{sub8}`
    Sub8 = 24,
    /// `{sub9}`
    Sub9 = 25,
    /// `{sub10}`
    Sub10 = 26,
    /// `{adv1}`
    Adv1 = 27,
    /// `{adv2}`
    Adv2 = 28,
    /// `{adv3}`
    Adv3 = 29,
    /// `{adv4}`
    Adv4 = 30,
    /// `{adv5}`
    Adv5 = 31,
    /// `{adv6}`
    Adv6 = 32,
    /// `{adv7}`
    Adv7 = 33,
    /// `{adv8}`
    Adv8 = 34,
    /// `{adv9}`
    Adv9 = 35,
    /// `{adv10}`
    Adv10 = 36,
    /// `{fbclid}`
    Fbclid = 37,
    /// `{gclid}`
    Gclid = 38,
    /// `{ttclid}`
    Ttclid = 39,
    /// `{page_referer}`
    PageReferer = 40,
    /// `{offer_url_id}`: the offer's URL that the visit was sent to. Newer than the macros before.
    OfferUrlId = 41,
}

/// The first and the last macro of the further values.
const FURTHER: (usize, usize) = (Macro::Sub6 as usize, Macro::PageReferer as usize);

impl Macro {
    /// The position of the value in [`crate::further_values::FURTHER_VALUES`].
    pub(crate) fn further_value(self) -> Option<usize> {
        let (first, last) = FURTHER;
        let position = (self as usize).checked_sub(first)?;
        (self as usize <= last).then_some(position)
    }
}

const FILLED: [(&str, Macro); 41] = [
    ("transaction_id", Macro::TransactionId),
    ("coupon_code", Macro::CouponCode),
    ("offer_id", Macro::OfferId),
    ("affiliate_id", Macro::AffiliateId),
    ("advertiser_id", Macro::AdvertiserId),
    ("network_id", Macro::NetworkId),
    ("source_id", Macro::SourceId),
    ("sub1", Macro::Sub1),
    ("sub2", Macro::Sub2),
    ("sub3", Macro::Sub3),
    ("sub4", Macro::Sub4),
    ("sub5", Macro::Sub5),
    ("uid", Macro::Uid),
    ("timestamp", Macro::Timestamp),
    ("random", Macro::Random),
    ("country", Macro::Country),
    ("region", Macro::Region),
    ("city", Macro::City),
    ("device_type", Macro::DeviceType),
    ("language", Macro::Language),
    ("referer", Macro::Referer),
    ("sub6", Macro::Sub6),
    ("sub7", Macro::Sub7),
    ("sub8", Macro::Sub8),
    ("sub9", Macro::Sub9),
    ("sub10", Macro::Sub10),
    ("adv1", Macro::Adv1),
    ("adv2", Macro::Adv2),
    ("adv3", Macro::Adv3),
    ("adv4", Macro::Adv4),
    ("adv5", Macro::Adv5),
    ("adv6", Macro::Adv6),
    ("adv7", Macro::Adv7),
    ("adv8", Macro::Adv8),
    ("adv9", Macro::Adv9),
    ("adv10", Macro::Adv10),
    ("fbclid", Macro::Fbclid),
    ("gclid", Macro::Gclid),
    ("ttclid", Macro::Ttclid),
    ("page_referer", Macro::PageReferer),
    ("offer_url_id", Macro::OfferUrlId),
];

/// Macros of Everflow's users that have no value here at the time of a click.
const LEFT_EMPTY: [&str; 27] = [
    "event_id",
    "event_name",
    "adv_event_id",
    "order_id",
    "unique_click",
    "impression_tracking_id",
    "sale_amount",
    "revenue",
    "creative_id",
    "payout_amount",
    "currency",
    "dma",
    "ip",
    "user_ip",
    "user_agent",
    "device_brand",
    "platform",
    "os_version",
    "browser",
    "isp",
    "carrier",
    "click_unix_timestamp",
    "idfa",
    "google_ad_id",
    "android_id",
    "offer_name",
    "affiliate_name",
];

/// Why a URL cannot be a destination. Each message names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Longer than [`MAX_URL_LEN`].
    #[error("the URL has {len} bytes; at most {MAX_URL_LEN} are possible")]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
    /// Not `http://` or `https://`.
    #[error("the URL must begin with http:// or https://")]
    Scheme,
    /// A brace in scheme, host or port.
    #[error(
        "macros may stand only in path, query and fragment, never in scheme, host or port (`{origin}`)"
    )]
    MacroInOrigin {
        /// The text before the path.
        origin: String,
    },
    /// Host or port is not valid, or a user name or password is given.
    #[error("`{origin}` is not a valid origin: {reason}")]
    Origin {
        /// The text before the path.
        origin: String,
        reason: String,
    },
    /// A control character or space.
    #[error(
        "the URL has a space or control character at byte {position}; write it percent-encoded"
    )]
    ControlCharacter {
        /// Offset in bytes.
        position: usize,
    },
    /// `{` without `}` or the other way round.
    #[error("unbalanced `{brace}` at byte {position}; a macro is written {{name}}")]
    Unbalanced {
        /// The brace.
        brace: char,
        /// Offset in bytes.
        position: usize,
    },
    /// Not a known macro.
    #[error("unknown macro {{{name}}}{}", .suggestion.map(|s| format!("; did you mean {{{s}}}?")).unwrap_or_default())]
    UnknownMacro {
        /// The name as written.
        name: String,
        /// A known macro with a similar name.
        suggestion: Option<&'static str>,
    },
}

/// Why an archived destination breaks an invariant of this module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamagedDestination {
    /// A piece ends before the previous piece or past the text.
    #[error("a piece ends at {end} of {len} bytes, out of order")]
    PieceOrder {
        /// Its end.
        end: usize,
        /// Length of all literals.
        len: usize,
    },
    /// A literal byte is not visible ASCII.
    #[error("literal byte {byte:#04x} is not visible ASCII")]
    LiteralByte {
        /// The byte.
        byte: u8,
    },
    /// The first literal does not hold a whole http origin and the slash after it.
    #[error("the text does not begin with an http origin and a path")]
    NoOrigin,
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
struct Piece {
    /// End of the literal in front of the macro, as an offset into all literals.
    literal_end: u32,
    filled_by: Macro,
}

/// A parsed destination URL.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// All literal text, concatenated.
    literals: String,
    pieces: Vec<Piece>,
}

/// The result of [`Destination::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedDestination {
    pub destination: Destination,
    /// Known macros without a value, once each, in order of appearance: worth a warning.
    pub left_empty: Vec<&'static str>,
}

impl Destination {
    /// Parses a URL with macros. Characters outside ASCII are percent-encoded.
    pub fn parse(url: &str) -> Result<ParsedDestination, DestinationError> {
        let (mut literals, mut pieces, mut left_empty) = (String::new(), Vec::new(), Vec::new());
        for part in split_url(url, known_macro_names())? {
            let name = match part {
                UrlPart::Literal(text) => {
                    literals.push_str(&text);
                    continue;
                }
                UrlPart::Macro(name) => name,
            };
            match FILLED.iter().find(|(filled, _)| *filled == name) {
                Some((_, filled_by)) => {
                    pieces.push(Piece { literal_end: literals.len() as u32, filled_by: *filled_by })
                }
                None if !left_empty.contains(&name) => left_empty.push(name),
                None => {}
            }
        }
        Ok(ParsedDestination { destination: Destination { literals, pieces }, left_empty })
    }

    /// Leaves macros empty that are newer than the last one that a daemon knows. Such a daemon would
    /// refuse the whole catalog.
    pub fn leave_newer_macros_empty(&mut self, last_known: Macro) {
        self.pieces.retain(|piece| piece.filled_by as u8 <= last_known as u8);
    }

    /// `url` with the transaction id as a further query parameter, for an offer that appends it. A
    /// URL with that parameter stays as it is.
    pub fn append_transaction_id(url: &str) -> String {
        if url.contains(TRANSACTION_ID_PARAMETER) {
            return url.to_owned();
        }
        let (before, fragment) = match url.find('#') {
            Some(at) => url.split_at(at),
            None => (url, ""),
        };
        let joint = if before.contains('?') { '&' } else { '?' };
        format!("{before}{joint}{TRANSACTION_ID_PARAMETER}={{transaction_id}}{fragment}")
    }
}

/// Names of all macros of destinations.
fn known_macro_names() -> impl Iterator<Item = &'static str> + Clone {
    FILLED.iter().map(|(known, _)| *known).chain(LEFT_EMPTY)
}

/// A part of a URL with macros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlPart {
    /// Visible ASCII. The first part is always a literal: the origin and the slash behind it.
    Literal(String),
    /// One of the known macros.
    Macro(&'static str),
}

/// Splits a URL with macros into its parts, for any set of known macros; the rules of this module
/// hold for all sets. The caller decides which macros have values.
pub fn split_url(
    url: &str,
    known: impl Iterator<Item = &'static str> + Clone,
) -> Result<Vec<UrlPart>, DestinationError> {
    if url.len() > MAX_URL_LEN {
        return Err(DestinationError::TooLong { len: url.len() });
    }
    if let Some(position) = url.bytes().position(|b| b <= b' ' || b == 0x7f) {
        return Err(DestinationError::ControlCharacter { position });
    }
    let (origin, text) = split_origin(url)?;
    let mut begin = normal_origin(origin)?;
    if !text.starts_with('/') {
        begin.push('/');
    }
    let mut parts = vec![UrlPart::Literal(begin)];
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let position = url.len() - rest.len() + at;
        let unbalanced = |brace| DestinationError::Unbalanced { brace, position };
        parts.push(literal(&rest[..at]));
        let inside = rest[at..].strip_prefix('{').ok_or(unbalanced('}'))?;
        let end = inside.find(['{', '}']).filter(|&end| inside[end..].starts_with('}'));
        let name = &inside[..end.ok_or(unbalanced('{'))?];
        parts.push(UrlPart::Macro(known_macro(name, known.clone())?));
        rest = &inside[name.len() + 1..];
    }
    parts.push(literal(rest));
    Ok(parts)
}

/// Splits before path, query or fragment.
fn split_origin(url: &str) -> Result<(&str, &str), DestinationError> {
    let scheme_len = ["http://", "https://"]
        .into_iter()
        .find(|scheme| {
            url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .map(str::len)
        .ok_or(DestinationError::Scheme)?;
    let end = url[scheme_len..].find(['/', '?', '#']).map_or(url.len(), |at| scheme_len + at);
    Ok(url.split_at(end))
}

fn normal_origin(origin: &str) -> Result<String, DestinationError> {
    let refuse = |reason: &str| DestinationError::Origin {
        origin: origin.to_owned(),
        reason: reason.to_owned(),
    };
    if origin.contains(['{', '}']) {
        return Err(DestinationError::MacroInOrigin { origin: origin.to_owned() });
    }
    // A URL parser ends the host at `\`; `split_origin` does not.
    if origin.contains(['\\', '@']) {
        return Err(refuse("user names, passwords and backslashes are not possible"));
    }
    let parsed = url::Url::parse(origin).map_err(|error| refuse(&error.to_string()))?;
    Ok(parsed.origin().ascii_serialization())
}

fn known_macro(
    name: &str,
    known: impl Iterator<Item = &'static str> + Clone,
) -> Result<&'static str, DestinationError> {
    known.clone().find(|known| *known == name).ok_or_else(|| DestinationError::UnknownMacro {
        name: name.to_owned(),
        suggestion: similar_macro(name, known),
    })
}

/// Keeps visible ASCII that a URL may contain, percent-encodes the rest.
fn literal(text: &str) -> UrlPart {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const ENCODED: &AsciiSet =
        &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'|');
    UrlPart::Literal(utf8_percent_encode(text, ENCODED).to_string())
}

fn similar_macro(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    known
        .map(|known| (edit_distance(plain(known).as_bytes(), plain(name).as_bytes()), known))
        .filter(|(distance, known)| *distance <= 2 && *distance * 3 <= known.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A source of macro values.
pub trait MacroValues {
    /// Pushes the value of `which` into `sink`; pushes nothing for an empty value.
    fn push_value(&self, which: Macro, sink: &mut MacroSink<'_>);
}

/// Characters without need for percent-encoding (RFC 3986, 2.3); host names consist of these alone.
pub(crate) const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    (table[b'-' as usize], table[b'.' as usize]) = (true, true);
    (table[b'_' as usize], table[b'~' as usize]) = (true, true);
    table
};

/// Receives the value of one macro. Percent-encodes to unreserved characters and cuts at
/// [`MAX_VALUE_LEN`] bytes.
pub struct MacroSink<'a> {
    out: &'a mut Vec<u8>,
    room: usize,
}

impl<'a> MacroSink<'a> {
    /// Appends to the content of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> MacroSink<'a> {
        MacroSink { out, room: MAX_VALUE_LEN }
    }

    /// Appends a part of the value.
    pub fn push(&mut self, value: &[u8]) {
        let value = self.cut(value);
        // Most values need no escape at all, so they are copied in one piece.
        if value.iter().fold(true, |plain, byte| plain & UNRESERVED[usize::from(*byte)]) {
            self.out.extend_from_slice(value);
        } else {
            self.push_escaped(value);
        }
    }

    /// Appends the digits of a transaction id.
    pub fn push_transaction_id(&mut self, id: &TransactionId) {
        let digits = id.to_hex();
        let digits = self.cut(&digits);
        self.out.extend_from_slice(digits);
    }

    /// Takes room for as much of the value as fits, without cutting a UTF-8 character in two.
    fn cut<'v>(&mut self, value: &'v [u8]) -> &'v [u8] {
        if value.len() <= self.room {
            self.room -= value.len();
            return value;
        }
        let mut end = self.room;
        while end > 0 && value[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        self.room = 0;
        &value[..end]
    }

    fn push_escaped(&mut self, value: &[u8]) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let hex = |nibble: u8| HEX[usize::from(nibble)];
        for &byte in value {
            if UNRESERVED[usize::from(byte)] {
                self.out.push(byte);
            } else {
                self.out.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }

    /// Appends a number in decimal digits.
    pub fn push_number(&mut self, number: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let digits = self.cut(&digits[at..]);
        self.out.extend_from_slice(digits);
    }
}

impl ArchivedDestination {
    /// Appends the URL for one click to `out`.
    pub fn expand(&self, values: &impl MacroValues, out: &mut Vec<u8>) {
        let literals = self.literals.as_bytes();
        let mut from = 0;
        for piece in self.pieces.iter() {
            let end = piece.literal_end.to_native() as usize;
            out.extend_from_slice(&literals[from..end]);
            values.push_value(piece.filled_by.into(), &mut MacroSink::new(out));
            from = end;
        }
        out.extend_from_slice(&literals[from..]);
    }

    /// Scheme, host and port of every expansion.
    pub fn origin(&self) -> &str {
        let text = self.literals.as_str();
        &text[..origin_len(text).unwrap_or(0)]
    }

    pub fn has_macros(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Checks the invariants of this module again, because the bytes come from a file.
    pub fn check(&self) -> Result<(), DamagedDestination> {
        let text = self.literals.as_str();
        if let Some(byte) = text.bytes().find(|byte| !byte.is_ascii_graphic()) {
            return Err(DamagedDestination::LiteralByte { byte });
        }
        let mut from = origin_len(text).ok_or(DamagedDestination::NoOrigin)? + 1;
        for piece in self.pieces.iter() {
            let end = piece.literal_end.to_native() as usize;
            if end < from || end > text.len() {
                return Err(DamagedDestination::PieceOrder { end, len: text.len() });
            }
            from = end;
        }
        Ok(())
    }
}

impl From<ArchivedMacro> for Macro {
    fn from(archived: ArchivedMacro) -> Self {
        FILLED[archived as usize - 1].1
    }
}

/// Length of `scheme://host:port`; `None` unless a path follows.
fn origin_len(text: &str) -> Option<usize> {
    let scheme_len = ["http://", "https://"].into_iter().find(|s| text.starts_with(s))?.len();
    let host_len = text[scheme_len..].find('/').filter(|len| *len > 0)?;
    Some(scheme_len + host_len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Hostile<'a>(&'a [u8]);

    impl MacroValues for Hostile<'_> {
        fn push_value(&self, _: Macro, sink: &mut MacroSink<'_>) {
            sink.push(self.0);
        }
    }

    fn expand(url: &str, value: &[u8]) -> String {
        expand_with(url, &Hostile(value))
    }

    fn expand_with(url: &str, values: &impl MacroValues) -> String {
        let destination = Destination::parse(url).unwrap().destination;
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&destination).unwrap();
        let archived = rkyv::access::<ArchivedDestination, rkyv::rancor::Error>(&bytes).unwrap();
        archived.check().unwrap();
        let mut out = Vec::new();
        archived.expand(values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn macros_are_filled_in_and_their_values_percent_encoded() {
        assert_eq!(
            expand("https://shop.example/w?s={sub1}&t={transaction_id}#x{uid}", b"a b&c=/?"),
            "https://shop.example/w?s=a%20b%26c%3D%2F%3F&t=a%20b%26c%3D%2F%3F#xa%20b%26c%3D%2F%3F"
        );
    }

    #[test]
    fn every_macro_stands_at_the_place_of_its_discriminant() {
        for (at, (_, filled_by)) in FILLED.iter().enumerate() {
            assert_eq!(*filled_by as usize, at + 1);
        }
    }

    #[test]
    fn every_further_value_has_a_macro_of_its_name() {
        let further =
            FILLED.iter().filter_map(|(name, which)| Some((which.further_value()?, *name)));
        let names = crate::further_values::FURTHER_VALUES.map(|value| value.name);
        assert!(further.eq(names.into_iter().enumerate()));
    }

    #[test]
    fn further_values_are_left_empty_for_a_daemon_that_does_not_know_them() {
        let url = "https://s.example/?a={sub6}&b={sub5}&c={page_referer}#{gclid}";
        let mut older = Destination::parse(url).unwrap().destination;
        older.leave_newer_macros_empty(Macro::Referer);
        let bare = Destination::parse("https://s.example/?a=&b={sub5}&c=#").unwrap().destination;
        assert_eq!(older, bare);
    }

    #[test]
    fn a_macro_inside_a_value_is_text() {
        assert_eq!(expand("https://s.example/{sub1}", b"{sub2}"), "https://s.example/%7Bsub2%7D");
    }

    #[test]
    fn values_are_cut_at_256_bytes_and_not_inside_a_character() {
        assert_eq!(expand("http://s.example/{sub1}", &[b'a'; 300]).len(), 17 + 256);
        let long = "a".repeat(255) + "é";
        assert_eq!(expand("http://s.example/{sub1}", long.as_bytes()).len(), 17 + 255);
    }

    #[test]
    fn the_parts_of_a_value_share_its_bound() {
        struct ManyParts;
        impl MacroValues for ManyParts {
            fn push_value(&self, _: Macro, sink: &mut MacroSink<'_>) {
                sink.push_number(1234567890);
                sink.push_transaction_id(&TransactionId([0xF0; 16]));
                sink.push(&[b'a'; 202]);
                sink.push_transaction_id(&TransactionId([0xF0; 16]));
                sink.push_number(7);
            }
        }
        let expanded = expand_with("http://s.example/{sub1}", &ManyParts);
        let value = format!("1234567890{}{}{}", "f0".repeat(16), "a".repeat(202), "f0".repeat(6));
        assert_eq!(expanded, format!("http://s.example/{value}"));
    }

    #[test]
    fn known_macros_without_a_value_are_left_empty_and_reported_once() {
        let parsed = Destination::parse("https://s.example/?a={idfa}&b={idfa}&c={ip}").unwrap();
        assert_eq!(parsed.left_empty, ["idfa", "ip"]);
        assert_eq!(expand("https://s.example/?a={idfa}&b=", b"x"), "https://s.example/?a=&b=");
    }

    #[test]
    fn a_misspelt_macro_is_refused_with_the_right_name() {
        let error = Destination::parse("https://s.example/?t={transactionid}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown macro {transactionid}; did you mean {transaction_id}?"
        );
        assert!(matches!(
            Destination::parse("https://s.example/{Sub1}"),
            Err(DestinationError::UnknownMacro { suggestion: Some("sub1"), .. })
        ));
    }

    #[test]
    fn unbalanced_braces_are_refused_with_their_place() {
        for (url, brace, position) in [
            ("https://s.example/{sub1", '{', 18),
            ("https://s.example/sub1}", '}', 22),
            ("https://s.example/{{sub1}}", '{', 18),
        ] {
            assert_eq!(
                Destination::parse(url),
                Err(DestinationError::Unbalanced { brace, position }),
                "{url}"
            );
        }
    }

    #[test]
    fn no_macro_and_no_credentials_can_stand_in_the_origin() {
        for url in ["https://{sub1}.example/", "https://s.example:{sub1}/", "https://{sub1}"] {
            assert!(
                matches!(Destination::parse(url), Err(DestinationError::MacroInOrigin { .. })),
                "{url}"
            );
        }
        for url in ["https://a:b@s.example/", "https://s.example\\@evil.example/", "https://"] {
            assert!(
                matches!(Destination::parse(url), Err(DestinationError::Origin { .. })),
                "{url}"
            );
        }
        for url in ["javascript:alert(1)", "//s.example/", "ftp://s.example/", "s.example"] {
            assert_eq!(Destination::parse(url), Err(DestinationError::Scheme), "{url}");
        }
    }

    #[test]
    fn a_bare_origin_gets_a_path_and_other_text_becomes_ascii() {
        assert_eq!(expand("HTTPS://Shop.Example:443?a=1", b""), "https://shop.example/?a=1");
        assert_eq!(
            expand("https://bücher.example/ä|", b""),
            "https://xn--bcher-kva.example/%C3%A4%7C"
        );
    }

    #[test]
    fn the_transaction_id_is_appended_before_the_fragment() {
        let append = Destination::append_transaction_id;
        assert_eq!(
            append("https://s.example/a#b"),
            "https://s.example/a?_ef_transaction_id={transaction_id}#b"
        );
        assert_eq!(
            append("https://s.example/?a=1"),
            "https://s.example/?a=1&_ef_transaction_id={transaction_id}"
        );
        let named = "https://s.example/?_ef_transaction_id={transaction_id}";
        assert_eq!(append(named), named);
    }

    proptest! {
        #[test]
        fn whatever_the_visitor_sends_the_origin_stays_and_the_line_is_ascii(
            value in proptest::collection::vec(any::<u8>(), 0..600)
        ) {
            let url = expand("https://shop.example:8443/{sub1}?a={sub2}#{uid}", &value);
            prop_assert!(url.starts_with("https://shop.example:8443/"));
            prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()));
            let parsed = url::Url::parse(&url).unwrap();
            prop_assert_eq!(parsed.origin().ascii_serialization(), "https://shop.example:8443");
        }

        #[test]
        fn parsing_any_text_never_panics(url in "(https?://)?\\PC{0,40}") {
            let _ = Destination::parse(&url);
        }

        #[test]
        fn whatever_stands_in_a_destination_and_its_values_its_origin_stays(
            (origin, normal) in proptest::sample::select(&[
                ("https://shop.example", "https://shop.example"),
                ("HTTP://Shop.Example:80", "http://shop.example"),
                ("https://b\u{fc}cher.example:8443", "https://xn--bcher-kva.example:8443"),
                ("http://[2001:DB8::1]:81", "http://[2001:db8::1]:81"),
                ("http://0x7f.1", "http://127.0.0.1"),
            ][..]),
            rest in proptest::collection::vec(
                prop_oneof![
                    "[/?#]{0,3}\\PC{0,12}",
                    "[/.@:;\\\\?#%&=]{0,8}",
                    proptest::sample::select(&FILLED[..]).prop_map(|(name, _)| format!("{{{name}}}")),
                    proptest::sample::select(&LEFT_EMPTY[..]).prop_map(|name| format!("{{{name}}}")),
                ],
                0..8,
            ),
            value in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let url = format!("{origin}/{}", rest.concat());
            let is_known = Destination::parse(&url).is_ok();
            prop_assume!(is_known);
            let expanded = expand(&url, &value);
            prop_assert!(expanded.bytes().all(|byte| byte.is_ascii_graphic()), "{}", expanded);
            let parsed = url::Url::parse(&expanded).unwrap();
            prop_assert_eq!(parsed.origin().ascii_serialization(), normal);
            prop_assert!(parsed.username().is_empty() && parsed.password().is_none());
            // What was read is written the same way again.
            let again = Destination::append_transaction_id(&url);
            prop_assert!(again.len() > MAX_URL_LEN || Destination::parse(&again).is_ok());
        }
    }
}
