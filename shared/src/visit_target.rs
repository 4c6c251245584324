//! Reads the target of a visit: the code in its path, its host and the parameters of its query,
//! without allocating and without failing on surplus input.
//!
//! Both programs read targets: the daemon to answer, the admin to explain.
//!
//! - A path is first read literally ([`code_from_path`]). A path without a valid code is read
//!   leniently ([`lenient_code_from_path`]): letters and digits may be percent-escaped, once, and
//!   punctuation that chat programs append to links is cut from the end. In every spelling a code
//!   is still 3 to 64 ASCII letters and digits, and a path may contain nothing else.
//! - A malformed query never fails a visit.
//! - A host is one valid name; the dot that may end it is cut.

use coupon_rules::text_match::Variable;

use crate::click::Tag;
use crate::code::MAX_LEN;
use crate::destination::UNRESERVED;
use crate::further_values::{self, FURTHER_VALUES};
use crate::transaction_id::TransactionId;

/// Longest host name with its port; a DNS name has at most 253 bytes.
const MAX_HOST_BYTES: usize = 260;
/// Longest value of a query parameter, after decoding; the rest is cut off.
const MAX_VALUE_BYTES: usize = 256;

/// The part of the path that may be a code: the text behind the first slash, less one slash at its
/// end. Folding decides whether it is a code.
pub fn code_from_path(path: &str) -> &[u8] {
    let code = path.as_bytes().strip_prefix(b"/").unwrap_or_default();
    code.strip_suffix(b"/").unwrap_or(code)
}

/// A code from a lenient spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LenientCode {
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl LenientCode {
    /// The letters and digits, in the visitor's case.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The letters and digits at the beginning of a path, plain or percent-escaped once, where only
/// [punctuation](is_appended) and at most one slash follow. `None` for any other path.
#[cold]
pub fn lenient_code_from_path(path: &str) -> Option<LenientCode> {
    let mut rest = path.as_bytes().strip_prefix(b"/")?;
    let mut code = LenientCode { bytes: [0; MAX_LEN], len: 0 };
    while let Some((byte, after)) = unescaped(rest)
        && byte.is_ascii_alphanumeric()
    {
        *code.bytes.get_mut(usize::from(code.len))? = byte;
        code.len += 1;
        rest = after;
    }
    let rest = without_appended(rest);
    let rest = without_appended(rest.strip_prefix(b"/").unwrap_or(rest));
    rest.is_empty().then_some(code)
}

/// Whether chat programs and people append this character to a link, because a sentence, a bracket
/// or a quotation ends there. Such characters stand behind a code or an offer id, never inside.
fn is_appended(c: char) -> bool {
    matches!(
        c,
        '.' | ',' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '>' | '\'' | '"'
            // Quotation marks that close, in any language, and the ellipsis.
            | '»' | '«' | '›' | '‹' | '’' | '‘' | '”' | '“' | '…'
            // The same for Chinese and Japanese.
            | '。' | '、' | '，' | '．' | '；' | '：' | '！' | '？'
            | '）' | '］' | '｝' | '」' | '』' | '】' | '》' | '〉'
    )
}

/// The rest behind leading punctuation, plain or percent-escaped.
fn without_appended(mut rest: &[u8]) -> &[u8] {
    while let Some((c, after)) = character(rest)
        && is_appended(c)
    {
        rest = after;
    }
    rest
}

/// The next character, each of its bytes plain or percent-escaped, and the rest.
fn character(rest: &[u8]) -> Option<(char, &[u8])> {
    let mut bytes = [0; 4];
    let mut after = rest;
    for at in 0..bytes.len() {
        (bytes[at], after) = unescaped(after)?;
        if let Ok(text) = std::str::from_utf8(&bytes[..=at]) {
            return text.chars().next().map(|c| (c, after));
        }
    }
    None
}

/// The next byte, plain or percent-escaped, and the rest.
fn unescaped(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest {
        [b'%', high, low, after @ ..] => Some((hex(*high)? << 4 | hex(*low)?, after)),
        [byte, after @ ..] => Some((*byte, after)),
        [] => None,
    }
}

/// A link that names a partner and an offer instead of a code: `/3/24/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartnerLink {
    pub partner_id: u32,
    pub offer_id: u32,
}

impl PartnerLink {
    /// Reads a path of two ids; `None` for any other path.
    #[cold]
    pub fn from_path(path: &str) -> Option<PartnerLink> {
        let path = path.strip_prefix('/')?;
        let (partner, offer) = path.strip_suffix('/').unwrap_or(path).split_once('/')?;
        let id = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().ok(),
            false => None,
        };
        Some(PartnerLink { partner_id: id(partner)?, offer_id: id(offer)? })
    }
}

/// A host name with optional port, in lower case.
#[derive(Clone, Copy)]
pub struct Host {
    bytes: [u8; MAX_HOST_BYTES],
    len: u16,
    name_len: u16,
}

impl Host {
    /// Parses a name with optional port; `None` where it is invalid. Cuts one dot at the end of the
    /// name, which marks a fully qualified name.
    pub fn parse(text: &[u8]) -> Option<Host> {
        if text.len() > MAX_HOST_BYTES {
            return None;
        }
        let written = match text.first()? {
            b'[' => address_len(text)?,
            _ => text.iter().take_while(|byte| UNRESERVED[usize::from(**byte)]).count(),
        };
        let (name, port) = text.split_at(written);
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() || name.ends_with(b".") {
            return None;
        }
        match port {
            [] => {}
            [b':', port @ ..] if port.iter().all(u8::is_ascii_digit) => {}
            _ => return None,
        }
        let len = name.len() + port.len();
        let (name_len, mut bytes) = (name.len() as u16, [0; MAX_HOST_BYTES]);
        bytes[..name.len()].copy_from_slice(name);
        bytes[name.len()..len].copy_from_slice(port);
        bytes[..len].make_ascii_lowercase();
        Some(Host { bytes, len: len as u16, name_len })
    }

    /// Name and port, in lower case.
    pub fn as_str(&self) -> &str {
        // Only ASCII passes `parse`, so this cannot fail.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Name and port as bytes, without a UTF-8 check.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The name alone, in lower case.
    pub fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.name_len)]
    }

    /// The name alone as text.
    pub fn name_str(&self) -> &str {
        &self.as_str()[..usize::from(self.name_len)]
    }
}

/// The length of an IPv6 address in brackets.
fn address_len(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|byte| *byte == b']')?;
    let address = std::str::from_utf8(&text[1..end]).ok()?;
    address.parse::<std::net::Ipv6Addr>().ok().map(|_| end + 1)
}

/// A query parameter of visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Parameter {
    /// `sub1`
    Sub1,
    /// `sub2`
    Sub2,
    /// `sub3`
    Sub3,
    /// `sub4`
    Sub4,
    /// `sub5`
    Sub5,
    /// `source_id`
    SourceId,
    /// `uid`
    Uid,
    /// `oid`
    Oid,
    /// `affid`: the partner of a click without a code.
    Affid,
    /// `__cc`: the code, where the path has none.
    Cc,
    /// `coupon_code`: the same as `__cc`, in the spelling that people use.
    CouponCode,
    /// `_ef_transaction_id`: the click that brought the visitor to the page.
    EfTransactionId,
}

impl Parameter {
    const COUNT: usize = 12;

    fn named(name: &[u8]) -> Option<Parameter> {
        Some(match name {
            b"sub1" => Parameter::Sub1,
            b"sub2" => Parameter::Sub2,
            b"sub3" => Parameter::Sub3,
            b"sub4" => Parameter::Sub4,
            b"sub5" => Parameter::Sub5,
            b"source_id" => Parameter::SourceId,
            b"uid" => Parameter::Uid,
            b"oid" => Parameter::Oid,
            b"affid" => Parameter::Affid,
            b"__cc" => Parameter::Cc,
            b"coupon_code" => Parameter::CouponCode,
            b"_ef_transaction_id" => Parameter::EfTransactionId,
            _ => return None,
        })
    }
}

/// The decoded values of a query's known parameters. Each thread keeps one and refills it for each
/// visit, so that a visit allocates nothing.
#[derive(Debug)]
pub struct Parameters {
    /// Those of [`Parameter`], then the [further values](FURTHER_VALUES).
    values: [[u8; MAX_VALUE_BYTES]; Parameters::COUNT],
    lens: [u16; Parameters::COUNT],
    has_further: bool,
}

impl Default for Parameters {
    fn default() -> Parameters {
        let (values, lens) = ([[0; _]; Parameters::COUNT], [0; Parameters::COUNT]);
        Parameters { values, lens, has_further: false }
    }
}

impl Parameters {
    const COUNT: usize = Parameter::COUNT + FURTHER_VALUES.len();

    /// The parameter that a rule compares; `None` if the variable is no parameter.
    #[must_use]
    pub fn variable(&self, variable: Variable) -> Option<&[u8]> {
        let parameter = match variable {
            Variable::Sub1 => Parameter::Sub1,
            Variable::Sub2 => Parameter::Sub2,
            Variable::Sub3 => Parameter::Sub3,
            Variable::Sub4 => Parameter::Sub4,
            Variable::Sub5 => Parameter::Sub5,
            Variable::SourceId => Parameter::SourceId,
            _ => return None,
        };
        Some(self.get(parameter))
    }

    /// Reads the known parameters of a query. The first of several with one name counts.
    pub fn read(&mut self, query: Option<&str>) {
        self.lens = [0; Parameters::COUNT];
        self.has_further = false;
        let pairs = query.unwrap_or_default().as_bytes().split(|byte| *byte == b'&');
        for pair in pairs {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let Some((name, value)) = equals.map(|at| (&pair[..at], &pair[at + 1..])) else {
                continue;
            };
            if let Some(at) = position(name)
                && self.lens[at] == 0
            {
                self.lens[at] = decode(value, &mut self.values[at]) as u16;
                self.has_further |= at >= Parameter::COUNT;
            }
        }
    }

    /// A parameter's value; empty where the query has none.
    pub fn get(&self, parameter: Parameter) -> &[u8] {
        self.value(parameter as usize)
    }

    /// The value at a position of [`FURTHER_VALUES`]; empty where the query has none.
    pub fn further(&self, at: usize) -> &[u8] {
        self.value(Parameter::COUNT + at)
    }

    /// The further values of the query as fields of a click record.
    #[inline]
    pub fn further_tags(&self) -> impl Iterator<Item = (Tag, &[u8])> {
        // Most visits have none.
        let read = if self.has_further { &FURTHER_VALUES[..] } else { &[] };
        let tags = read.iter().enumerate().map(|(at, value)| (value.tag, self.further(at)));
        tags.filter(|(_, value)| !value.is_empty())
    }

    fn value(&self, at: usize) -> &[u8] {
        &self.values[at][..usize::from(self.lens[at])]
    }

    /// The requested offer. `None` where the value is not a number, for example a name or an
    /// unfilled macro. A number too large becomes the id of an offer that does not exist.
    pub fn offer_id(&self) -> Option<u32> {
        self.id(Parameter::Oid)
    }

    /// The named partner, read like [`Parameters::offer_id`].
    pub fn partner_id(&self) -> Option<u32> {
        self.id(Parameter::Affid)
    }

    /// The requested URL of the offer. `None` where the value is not a number: partners may send ids
    /// of their own.
    pub fn offer_url_id(&self) -> Option<u32> {
        self.id(Parameter::Uid)
    }

    /// The code, where the path has none; empty without one. Surrounding blanks are cut.
    pub fn code(&self) -> &[u8] {
        match self.get(Parameter::Cc).trim_ascii() {
            b"" => self.get(Parameter::CouponCode).trim_ascii(),
            code => code,
        }
    }

    /// The click that brought the visitor, as the page's URL named it; `None` where the value is no
    /// id.
    pub fn transaction_id(&self) -> Option<TransactionId> {
        let text = std::str::from_utf8(self.get(Parameter::EfTransactionId)).ok()?;
        text.trim().parse().ok()
    }

    fn id(&self, parameter: Parameter) -> Option<u32> {
        let value = self.get(parameter);
        if value.is_empty() { None } else { number(value) }
    }
}

/// The position of a parameter among the values of [`Parameters`].
fn position(name: &[u8]) -> Option<usize> {
    let usual = Parameter::named(name).map(|parameter| parameter as usize);
    usual.or_else(|| Some(Parameter::COUNT + further_values::position(name)?))
}

/// A number, less surrounding blanks and [punctuation](is_appended) at its end, which chat programs
/// append to the whole link. `None` where it is no number; `u32::MAX` for any larger one.
fn number(value: &[u8]) -> Option<u32> {
    let value = value.trim_ascii();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_number = digits > 0 && is_appended_only(&value[digits..]);
    is_number.then(|| {
        let text = std::str::from_utf8(&value[..digits]).unwrap_or_default();
        text.parse().unwrap_or(u32::MAX)
    })
}

fn is_appended_only(decoded: &[u8]) -> bool {
    decoded.is_empty()
        || std::str::from_utf8(decoded).is_ok_and(|text| text.chars().all(is_appended))
}

/// Percent-decodes as forms do (`+` is a space); an incomplete escape stays as it is.
fn decode(value: &[u8], into: &mut [u8; MAX_VALUE_BYTES]) -> usize {
    let mut rest = value;
    let mut len = 0;
    while let (Some((&first, after)), true) = (rest.split_first(), len < into.len()) {
        (into[len], rest) = match (first, after) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', &rest[1..]),
            },
            (b'+', after) => (b' ', after),
            (byte, after) => (byte, after),
        };
        len += 1;
    }
    len
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(query: &str) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.read(Some(query));
        parameters
    }

    #[test]
    fn a_partner_link_is_two_ids() {
        let read = |path| PartnerLink::from_path(path).map(|link| (link.partner_id, link.offer_id));
        for path in ["/3/24", "/3/24/"] {
            assert_eq!(read(path), Some((3, 24)), "{path}");
        }
        for path in ["/3", "/3/", "/3/24/1", "/3//24", "/a/24", "/3/+4", "/3/4294967296", "3/24"] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn a_code_has_one_slash_before_it_and_may_have_one_behind_it() {
        assert_eq!(code_from_path("/ABC"), b"ABC");
        assert_eq!(code_from_path("/ABC/"), b"ABC");
        assert_eq!(code_from_path("/ABC//"), b"ABC/");
        assert_eq!(code_from_path("//ABC"), b"/ABC");
        assert_eq!(code_from_path("/%41BC"), b"%41BC");
        assert_eq!(code_from_path("/"), b"");
        assert_eq!(code_from_path("*"), b"");
    }

    fn lenient(path: &str) -> Option<String> {
        lenient_code_from_path(path)
            .map(|code| String::from_utf8(code.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn escaped_letters_and_digits_are_read_once() {
        assert_eq!(lenient("/%61bC").as_deref(), Some("abC"));
        assert_eq!(lenient("/%57%49nter2%35/").as_deref(), Some("WInter25"));
        for path in ["/%2561bc", "/a%2Dbc", "/a%20bc", "/%zzbc", "/ab%6", "/ab%", "/%C3%A9bc"] {
            assert_eq!(lenient(path), None, "{path}");
        }
    }

    #[test]
    fn punctuation_behind_a_link_is_cut_and_none_within_it() {
        for end in [
            ".",
            ",",
            ");",
            "!?",
            "'",
            "\"",
            "}",
            "]",
            ":",
            ">",
            "\u{bb}",
            "%C2%BB",
            "\u{201d}.",
            "%E2%80%9D",
            "%2E",
            "%2c%22",
            "/.",
            "./",
            ")/.",
            "/%29",
            "\u{3002}",
            "\u{2026}",
            "",
        ] {
            assert_eq!(lenient(&format!("/abc{end}")).as_deref(), Some("abc"), "{end}");
        }
        for path in [
            "/.abc",
            "/a.bc",
            "/abc.d",
            "/abc//",
            "/abc.//",
            "/abc/./.",
            "/abc/d",
            "//abc",
            "/abc%2F",
            "/abc-",
            "/abc(",
            "/abc%00",
            "/abc%C2",
            "/abc%BB",
            "/abc\u{212a}",
            "abc.",
            "*",
        ] {
            assert_eq!(lenient(path), None, "{path}");
        }
    }

    #[test]
    fn among_all_unicode_scalars_only_letters_and_digits_are_part_of_a_code_in_any_spelling() {
        for place in 0..4 {
            let (mut letters, mut appended) = (0, 0);
            for scalar in (0..=0x10_FFFF).filter_map(char::from_u32).filter(|c| *c != '%') {
                let plain = scalar.to_string();
                let escaped: String = plain.bytes().map(|byte| format!("%{byte:02X}")).collect();
                for spelling in [plain, escaped] {
                    let mut path = String::from("/xyz");
                    path.insert_str(place + 1, &spelling);
                    match lenient_code_from_path(&path) {
                        Some(code) if code.as_bytes().len() == 4 => letters += 1,
                        // A lone slash is the link's own.
                        Some(_) if spelling != "/" => appended += 1,
                        Some(_) | None => {}
                    }
                }
            }
            assert_eq!(letters, 2 * 62, "at position {place}");
            assert_eq!(appended, if place == 3 { 2 * 37 } else { 0 }, "at position {place}");
        }
    }

    #[test]
    fn known_parameters_are_decoded_and_others_ignored() {
        let read = read("utm=1&sub1=a%20b+c&sub2=%zz%4&sub3=1&sub3=2&source_id=%C3%A9&&uid&oid=17");
        assert_eq!(read.get(Parameter::Sub1), b"a b c");
        assert_eq!(read.get(Parameter::Sub2), b"%zz%4");
        assert_eq!(read.get(Parameter::Sub3), b"1");
        assert_eq!(read.get(Parameter::Sub4), b"");
        assert_eq!(read.get(Parameter::SourceId), "é".as_bytes());
        assert_eq!(read.get(Parameter::Uid), b"");
        assert_eq!(read.offer_id(), Some(17));
    }

    #[test]
    fn values_are_cut_at_256_bytes_and_do_not_outlive_their_visit() {
        let mut parameters = read(&format!("sub1={}", "%41".repeat(300)));
        assert_eq!(parameters.get(Parameter::Sub1), [b'A'; 256]);
        parameters.read(None);
        assert_eq!(parameters.get(Parameter::Sub1), b"");
    }

    #[test]
    fn further_values_are_fields_of_the_click_in_the_order_of_their_table() {
        let mut parameters = read("__rf=https%3A%2F%2Fa.example%2F&gclid=G&sub6=six&sub7=&adv10=x");
        let tags: Vec<(Tag, &[u8])> = parameters.further_tags().collect();
        let page = &b"https://a.example/"[..];
        let expected = [
            (Tag::Sub6, &b"six"[..]),
            (Tag::Adv10, b"x"),
            (Tag::Gclid, b"G"),
            (Tag::PageReferer, page),
        ];
        assert_eq!(tags, expected);
        parameters.read(Some("sub1=a"));
        assert_eq!(parameters.further_tags().count(), 0);
        assert_eq!(parameters.further(0), b"");
    }

    #[test]
    fn a_code_beside_the_path_is_taken_from_either_name_without_the_blanks_around_it() {
        assert_eq!(read("__cc=%20WINTER25+&coupon_code=other").code(), b"WINTER25");
        assert_eq!(read("__cc=&coupon_code=Winter25").code(), b"Winter25");
        assert_eq!(read("__cc=a%20b").code(), b"a b");
        assert_eq!(read("oid=1&affid=13").code(), b"");
        assert_eq!(read("oid=1&affid=13").partner_id(), Some(13));
    }

    #[test]
    fn a_page_tells_the_click_that_brought_its_visitor() {
        let id = "019a7afd1e7b70008050c04d6e9b9dd2";
        let told = |query: &str| read(query).transaction_id().map(|id| id.to_string());
        assert_eq!(told(&format!("_ef_transaction_id={id}")), Some(id.into()));
        for query in ["", "_ef_transaction_id=", "_ef_transaction_id={transaction_id}"] {
            assert_eq!(told(query), None, "{query}");
        }
    }

    #[test]
    fn an_offer_that_is_no_number_counts_as_none() {
        for none in ["", "x", "{oid}", "%7Boid%7D", "[oid]", "-1", "1x", "1%001", "1.5", "null"] {
            assert_eq!(read(&format!("oid={none}")).offer_id(), None, "{none}");
            assert_eq!(read(&format!("affid={none}")).partner_id(), None, "{none}");
        }
        assert_eq!(read("oid=99999999999").offer_id(), Some(u32::MAX));
    }

    #[test]
    fn punctuation_behind_an_offer_id_is_not_part_of_it() {
        for seventeen in ["17.", "+17", "17%29", "17,%20", "%2017", "17%C2%BB", "17!?", "0017"] {
            assert_eq!(read(&format!("oid={seventeen}")).offer_id(), Some(17), "{seventeen}");
        }
    }

    #[test]
    fn one_dot_at_the_end_of_a_hosts_name_is_cut() {
        let host = |text: &str| Host::parse(text.as_bytes()).map(|host| host.as_str().to_owned());
        assert_eq!(host("Go.Example.com.").as_deref(), Some("go.example.com"));
        assert_eq!(host("go.example.com.:8080").as_deref(), Some("go.example.com:8080"));
        assert_eq!(Host::parse(b"a.:1").unwrap().name(), b"a");
        for none in [".", "..", "a..", "a..:80", ".:80", "[::1]."] {
            assert_eq!(host(none), None, "{none}");
        }
    }

    const NAMES: [&str; 15] = [
        "sub1",
        "sub2",
        "sub3",
        "sub4",
        "sub5",
        "source_id",
        "uid",
        "oid",
        "affid",
        "__cc",
        "coupon_code",
        "_ef_transaction_id",
        "sub10",
        "gclid",
        "__rf",
    ];

    /// The first value under a name that says anything, by another decoder.
    fn decoded(query: &str, name: &str) -> Vec<u8> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| {
            let spaced = value.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).take(MAX_VALUE_BYTES).collect()
        });
        values.into_iter().find(|value: &Vec<u8>| !value.is_empty()).unwrap_or_default()
    }

    fn any_query() -> impl Strategy<Value = String> {
        let name =
            prop_oneof![proptest::sample::select(&NAMES[..]).prop_map(str::to_owned), "\\PC{0,9}"];
        let value = prop_oneof!["\\PC{0,30}", "[a-f0-9%+]{0,30}", "(%[0-9a-fA-F]{2}|x){250,260}"];
        let pair = (name, "=?", value).prop_map(|(name, equals, value)| name + &equals + &value);
        proptest::collection::vec(pair, 0..8).prop_map(|pairs| pairs.join("&"))
    }

    proptest! {
        #[test]
        fn any_query_is_read_as_another_decoder_reads_it(queries in proptest::collection::vec(any_query(), 1..4)) {
            let mut parameters = Parameters::default();
            for query in queries {
                parameters.read(Some(&query));
                for name in NAMES {
                    let value = parameters.value(position(name.as_bytes()).unwrap());
                    prop_assert_eq!(value, decoded(&query, name), "{}", name);
                }
                let _ = (parameters.offer_id(), parameters.partner_id(), parameters.transaction_id());
                prop_assert_eq!(parameters.code(), parameters.code().trim_ascii());
            }
        }

        #[test]
        fn a_host_of_any_bytes_is_refused_or_one_name_that_reads_back(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300).boxed(),
                "[A-Za-z0-9.~_-]{0,20}(:[0-9]{0,6})?|\\[[0-9a-f:.]{0,40}\\](:[0-9]{0,6})?"
                    .prop_map(String::into_bytes).boxed(),
            ],
        ) {
            if let Some(host) = Host::parse(&bytes) {
                let text = String::from_utf8(bytes.to_ascii_lowercase()).unwrap();
                let dotless = text.replacen(".:", ":", 1);
                let dotless = dotless.strip_suffix('.').unwrap_or(&dotless);
                prop_assert_eq!(host.as_str(), dotless);
                prop_assert!(!host.name().is_empty() && host.as_bytes().starts_with(host.name()));
                prop_assert!(host.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\@?#%".contains(&byte)));
                let again = Host::parse(host.as_str().as_bytes()).unwrap();
                prop_assert_eq!((again.as_str(), again.name()), (host.as_str(), host.name()));
            }
        }

        #[test]
        fn a_code_that_reads_plainly_reads_leniently_as_the_same(path in "/[0-9A-Za-z]{3,64}/?") {
            let lenient = lenient_code_from_path(&path).unwrap();
            prop_assert_eq!(lenient.as_bytes(), code_from_path(&path));
        }

        #[test]
        fn any_path_is_read_leniently_as_another_decoder_reads_it(
            path in "/([a-c0-2]|%6[1-9]|%3[0-9]|%[0-9a-fA-F]{2}|[.,!)/%]|\\PC){0,12}"
        ) {
            let decoded = percent_encoding::percent_decode_str(&path).collect::<Vec<u8>>();
            if let Some(code) = lenient_code_from_path(&path) {
                let begins = decoded[1..].starts_with(code.as_bytes());
                prop_assert!(begins && code.as_bytes().iter().all(u8::is_ascii_alphanumeric));
                let end = String::from_utf8(decoded[1 + code.as_bytes().len()..].to_vec()).unwrap();
                prop_assert!(end.chars().all(|c| is_appended(c) || c == '/'));
                prop_assert!(end.matches('/').count() <= 1);
            }
        }

        #[test]
        fn what_is_taken_for_a_code_is_cut_out_of_the_path_as_it_stands(path in "/?\\PC{0,80}") {
            let code = code_from_path(&path);
            let allowed = [format!("/{0}", String::from_utf8_lossy(code)), format!("/{0}/", String::from_utf8_lossy(code))];
            prop_assert!(code.is_empty() || allowed.contains(&path), "{}", path);
        }
    }
}
