//! The click record and the block of records.
//!
//! A **record** describes one visit of a known code. The serving thread encodes it once; it is
//! never rewritten. All numbers are little endian.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | length of the whole record |
//! | 2 | 1 | record version, [`RECORD_VERSION`] |
//! | 3 | 1 | [`Reason`] |
//! | 4 | 1 | [`VisitKind`] |
//! | 5 | 1 | length of the code |
//! | 6 | 2 | zero |
//! | 8 | 16 | transaction id |
//! | 24 | 8 | Unix milliseconds by the clock |
//! | 32 | 8 | generation of the index that decided |
//! | 40 | 4 | coupon code id |
//! | 44 | 4 | offer id |
//! | 48 | 4 | partner id, 0 where the code had none |
//! | 52 | 4 | advertiser id |
//! | 56 | 4 | rule that decided, 0 for none |
//! | 60 | n | the code as typed |
//! | | | tagged fields: tag (1), length (2), bytes |
//!
//! A reader skips an unknown tag, so a field can be added without a new version. Tags from 128 are
//! **personal**.
//!
//! Followed links, and clicks reported by a page or a server, leave the same record; the kind tells
//! them apart. A link with offer and partner instead of a code leaves coupon code 0 and no code.
//! The kinds from 3 on are newer than 1 and 2: a reader without them refuses their block, so the
//! admin is upgraded before the daemons.
//!
//! A **block** holds the consecutive records of one [`StreamId`]. Records are split into a main
//! part and a personal part, each coded and checksummed (CRC-32C) on its own, so that erasing
//! personal data rewrites only the personal part. [`block`] specifies the bytes. Its version 2 is
//! another reason to upgrade the admin first: an older admin leaves the blocks with the daemon.

pub mod block;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::decision::{Detour, Reason};
use crate::transaction_id::TransactionId;

/// Version of the record format.
pub const RECORD_VERSION: u8 = 1;
/// Longest record in bytes: fixed fields, a code, and every tag of [`Tag::ALWAYS_FIT`] at its
/// longest.
pub const MAX_RECORD_LEN: usize = 4096;
/// Length of the fixed fields.
pub const HEAD_LEN: usize = 60;

/// Most click caps in one record. Usual are five: of the code, of the partner in all and on the
/// offer, of the offer and of its group.
pub const MAX_COUNTED_CAPS: usize = 8;

const TAG_HEAD_LEN: usize = 3;
const FIRST_PERSONAL_TAG: u8 = 128;

/// One ring's sequence space: the records of one serving thread in one run of one node's daemon,
/// numbered from 1 without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub node: u16,
    /// The run of the node's daemon; grows with each start.
    pub incarnation: u32,
    pub thread: u8,
}

/// The kind of a visit, as far as its request shows. The numbers are part of the record format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum VisitKind {
    /// A followed link.
    Click = 1,
    /// A fetch ahead of a possible click, by its own headers.
    Prefetch = 2,
    /// A click reported by a page. The answer is an id instead of a redirect.
    Sdk = 3,
    /// A view reported by a page. Counted apart: never a click.
    Impression = 4,
    /// A click reported by a server. Address and user agent are the server's and do not describe
    /// the visitor.
    Server = 5,
}

impl VisitKind {
    pub const ALL: [VisitKind; 5] =
        [Self::Click, Self::Prefetch, Self::Sdk, Self::Impression, Self::Server];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Stable name for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Prefetch => "prefetch",
            Self::Sdk => "sdk",
            Self::Impression => "impression",
            Self::Server => "server",
        }
    }
}

/// A tagged field. The numbers are part of the record format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tag {
    /// `sub1`
    Sub1 = 1,
    /// `sub2`
    Sub2 = 2,
    /// `sub3`
    Sub3 = 3,
    /// `sub4`
    Sub4 = 4,
    /// `sub5`
    Sub5 = 5,
    /// `source_id`
    SourceId = 6,
    /// `uid`
    Uid = 7,
    /// The requested host.
    Host = 8,
    /// How the visit came to another offer than the one the code stands on: [`Detour::to_bytes`].
    Detour = 9,
    /// The ids of the click caps that the daemon counted the click against, 4 bytes each.
    CountedCaps = 12,
    /// `sub6`
    Sub6 = 13,
    /// `sub7`
    Sub7 = 14,
    /// `sub8`
    Sub8 = 15,
    /// `sub9`
    Sub9 = 16,
    /// `sub10`
    Sub10 = 17,
    /// `adv1`
    Adv1 = 18,
    /// `adv2`
    Adv2 = 19,
    /// `adv3`
    Adv3 = 20,
    /// `adv4`
    Adv4 = 21,
    /// `adv5`
    Adv5 = 22,
    /// `adv6`
    Adv6 = 23,
    /// `adv7`
    Adv7 = 24,
    /// `adv8`
    Adv8 = 25,
    /// `adv9`
    Adv9 = 26,
    /// `adv10`
    Adv10 = 27,
    /// The id of the offer's URL that the visit was sent to, 4 bytes. Absent where the visit went to
    /// the offer's destination.
    OfferUrl = 28,
    /// The client's address: 4 or 16 bytes, network order.
    Address = 128,
    /// `User-Agent`
    UserAgent = 129,
    /// `Referer`
    Referer = 130,
    /// `Accept-Language`
    Language = 131,
    /// The visitor's key ([`crate::visitor_key`]), 8 bytes. Only of offers whose rules ask for
    /// earlier visits.
    VisitorKey = 132,
    /// `fbclid`: Facebook's id of a click on an ad.
    Fbclid = 133,
    /// `gclid`: Google's id of a click on an ad.
    Gclid = 134,
    /// `ttclid`: TikTok's id of a click on an ad.
    Ttclid = 135,
    /// The page that led to the page with the script, as the script reports it.
    PageReferer = 136,
}

impl Tag {
    /// The tags with room in every record.
    pub const ALWAYS_FIT: [Tag; 16] = [
        Tag::Sub1,
        Tag::Sub2,
        Tag::Sub3,
        Tag::Sub4,
        Tag::Sub5,
        Tag::SourceId,
        Tag::Uid,
        Tag::Host,
        Tag::Detour,
        Tag::CountedCaps,
        Tag::OfferUrl,
        Tag::Address,
        Tag::UserAgent,
        Tag::Referer,
        Tag::Language,
        Tag::VisitorKey,
    ];

    /// The tags that a record has where there is room.
    pub const FURTHER: [Tag; 19] = [
        Tag::Sub6,
        Tag::Sub7,
        Tag::Sub8,
        Tag::Sub9,
        Tag::Sub10,
        Tag::Adv1,
        Tag::Adv2,
        Tag::Adv3,
        Tag::Adv4,
        Tag::Adv5,
        Tag::Adv6,
        Tag::Adv7,
        Tag::Adv8,
        Tag::Adv9,
        Tag::Adv10,
        Tag::Fbclid,
        Tag::Gclid,
        Tag::Ttclid,
        Tag::PageReferer,
    ];

    /// Every tag that this version writes.
    pub fn all() -> impl Iterator<Item = Tag> + Clone {
        Tag::ALWAYS_FIT.into_iter().chain(Tag::FURTHER)
    }

    /// Longest value in bytes; the rest is cut off.
    pub const fn max_len(self) -> usize {
        match self {
            Tag::OfferUrl => 4,
            Tag::VisitorKey => 8,
            Tag::Detour => Detour::LEN,
            Tag::Address => 16,
            Tag::CountedCaps => 4 * MAX_COUNTED_CAPS,
            Tag::Language => 128,
            Tag::UserAgent => 512,
            Tag::Referer => 1024,
            _ => 256,
        }
    }
}

const _: () = {
    let mut longest = HEAD_LEN + crate::code::MAX_LEN;
    let mut at = 0;
    while at < Tag::ALWAYS_FIT.len() {
        longest += TAG_HEAD_LEN + Tag::ALWAYS_FIT[at].max_len();
        at += 1;
    }
    assert!(longest <= MAX_RECORD_LEN);
};

/// The network of an address: the first 24 bits of an IPv4 address, also of a mapped one, and the
/// first 48 bits of an IPv6 address. A network stands for some hundred visitors or more.
pub fn truncate_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) & (!0 << 8))),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(_) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & (!0 << 8))),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & (!0 << 80))),
        },
    }
}

/// The fixed fields of a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickHead {
    pub transaction_id: TransactionId,
    /// Time of the visit by the node's clock.
    pub unix_ms: u64,
    /// Generation of the index that decided.
    pub generation: u64,
    /// Coupon code, 0 where the catalog had no such row.
    pub code_id: u32,
    /// Offer of the decision, 0 for none.
    pub offer_id: u32,
    /// Owner of the code at that time, 0 for none.
    pub partner_id: u32,
    /// Advertiser of the offer, 0 for none.
    pub advertiser_id: u32,
    /// Why the visit was, or was not, redirected.
    pub reason: Reason,
    pub kind: VisitKind,
    /// Rule that decided, 0 for none.
    pub rule: u32,
}

/// Why bytes are not a record or a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClickError {
    /// Fewer bytes than the format needs.
    #[error("the {part} ends after {got} bytes; {expected} are needed")]
    Truncated { part: &'static str, expected: usize, got: usize },
    /// Not a block.
    #[error("this is no click block (it begins with {got:02x?})")]
    Magic {
        /// First bytes.
        got: [u8; 4],
    },
    /// Written by a newer version, or damaged.
    #[error("{part} version {got} is not known here (known: {known}); upgrade the reader")]
    Version {
        /// Record or block.
        part: &'static str,
        got: u8,
        known: u8,
    },
    /// A checksum differs.
    #[error("the checksum of the {part} is {got:#010x}, not {expected:#010x}: it is damaged")]
    Checksum {
        part: &'static str,
        /// As stored.
        expected: u32,
        /// As computed.
        got: u32,
    },
    /// A field has a value outside the format.
    #[error("{field} holds {got}, which no writer writes: it is damaged")]
    Field { field: &'static str, got: u64 },
    /// A part does not decode.
    #[error("the {part} does not decode: it is damaged")]
    Coding { part: &'static str },
}

/// Encodes a click at the front of `out`, which has at least [`MAX_RECORD_LEN`] bytes, and returns
/// the length of the record. Cuts values at [`Tag::max_len`] and the code at its longest. The tags
/// of [`Tag::ALWAYS_FIT`] come first; see [`append_fitting`] for others.
pub fn encode_click(head: &ClickHead, code: &[u8], tags: &[(Tag, &[u8])], out: &mut [u8]) -> usize {
    let code = &code[..code.len().min(crate::code::MAX_LEN)];
    out[2] = RECORD_VERSION;
    out[3] = head.reason as u8;
    out[4] = head.kind as u8;
    out[5] = code.len() as u8;
    out[6..8].fill(0);
    out[8..24].copy_from_slice(&head.transaction_id.0);
    out[24..32].copy_from_slice(&head.unix_ms.to_le_bytes());
    out[32..40].copy_from_slice(&head.generation.to_le_bytes());
    out[40..44].copy_from_slice(&head.code_id.to_le_bytes());
    out[44..48].copy_from_slice(&head.offer_id.to_le_bytes());
    out[48..52].copy_from_slice(&head.partner_id.to_le_bytes());
    out[52..56].copy_from_slice(&head.advertiser_id.to_le_bytes());
    out[56..60].copy_from_slice(&head.rule.to_le_bytes());
    let at = HEAD_LEN + code.len();
    out[HEAD_LEN..at].copy_from_slice(code);
    append_fitting(out, at, tags.iter().copied())
}

/// Adds tags to the record of `len` bytes at the front of `out`, and returns its new length. Leaves
/// out a value without room: links and pages may give more than a record holds, and half an id of
/// an ad network is worth nothing.
#[inline]
pub fn append_fitting<'a>(
    out: &mut [u8],
    mut len: usize,
    tags: impl Iterator<Item = (Tag, &'a [u8])>,
) -> usize {
    let room = &mut out[..MAX_RECORD_LEN];
    for (tag, value) in tags {
        let value = &value[..value.len().min(tag.max_len())];
        let end = len + TAG_HEAD_LEN + value.len();
        let Some(field) = room.get_mut(len..end) else { continue };
        field[0] = tag as u8;
        field[1..TAG_HEAD_LEN].copy_from_slice(&(value.len() as u16).to_le_bytes());
        field[TAG_HEAD_LEN..].copy_from_slice(value);
        len = end;
    }
    room[..2].copy_from_slice(&(len as u16).to_le_bytes());
    len
}

/// A decoded click, borrowing from its record or block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Click<'a> {
    pub head: ClickHead,
    /// The code as typed.
    pub code: &'a [u8],
    main_tags: &'a [u8],
    personal_tags: &'a [u8],
}

impl<'a> Click<'a> {
    /// Decodes the record at the front of `bytes`, and returns its length.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), ClickError> {
        let (click, len) = Self::decode_but_tags(bytes)?;
        check_tags(click.main_tags)?;
        Ok((click, len))
    }

    /// The same, for a caller who checks the tags.
    fn decode_but_tags(bytes: &'a [u8]) -> Result<(Self, usize), ClickError> {
        let truncated =
            |expected| ClickError::Truncated { part: "record", expected, got: bytes.len() };
        let len = usize::from(u16_at(bytes, 0).ok_or(truncated(HEAD_LEN))?);
        let record = bytes.get(..len).ok_or(truncated(len))?;
        if len < HEAD_LEN {
            return Err(ClickError::Field { field: "record length", got: len as u64 });
        }
        let head = decode_head(record)?;
        let tags_at = HEAD_LEN + usize::from(record[5]);
        let code = record.get(HEAD_LEN..tags_at).ok_or(truncated(tags_at))?;
        let main_tags = &record[tags_at..];
        Ok((Self { head, code, main_tags, personal_tags: &[] }, len))
    }

    pub fn tag(&self, tag: Tag) -> Option<&'a [u8]> {
        tags(self.main_tags)
            .chain(tags(self.personal_tags))
            .find(|(number, _)| *number == tag as u8)
            .map(|(_, field)| &field[TAG_HEAD_LEN..])
    }

    /// A tagged field as text, empty where absent; bytes that are not UTF-8 are replaced.
    pub fn text(&self, tag: Tag) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.tag(tag).unwrap_or_default())
    }

    /// How the visit came to another offer than the one the code stands on.
    pub fn detour(&self) -> Option<Detour> {
        Detour::from_bytes(self.tag(Tag::Detour)?.try_into().ok()?)
    }

    /// The offer's URL that the visit was sent to; 0 for the offer's destination.
    pub fn offer_url_id(&self) -> u32 {
        let bytes = self.tag(Tag::OfferUrl).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    /// The client's address; `None` where it was not recorded or was erased.
    pub fn address(&self) -> Option<IpAddr> {
        decode_address(self.tag(Tag::Address)?)
    }

    /// Whether any personal field was recorded and not erased.
    pub fn is_personal(&self) -> bool {
        !self.personal_tags.is_empty()
    }
}

fn decode_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

impl ClickError {
    /// Whether the bytes are of a version that only a newer program reads.
    pub fn is_of_newer_program(&self) -> bool {
        matches!(self, ClickError::Version { got, known, .. } if got > known)
    }
}

fn decode_head(record: &[u8]) -> Result<ClickHead, ClickError> {
    if record[2] != RECORD_VERSION {
        return Err(ClickError::Version { part: "record", got: record[2], known: RECORD_VERSION });
    }
    let damaged = |field, got: u8| ClickError::Field { field, got: u64::from(got) };
    let mut transaction_id = [0; 16];
    transaction_id.copy_from_slice(&record[8..24]);
    Ok(ClickHead {
        transaction_id: TransactionId(transaction_id),
        unix_ms: u64_at(record, 24),
        generation: u64_at(record, 32),
        code_id: u32_at(record, 40),
        offer_id: u32_at(record, 44),
        partner_id: u32_at(record, 48),
        advertiser_id: u32_at(record, 52),
        reason: Reason::from_number(record[3]).ok_or(damaged("reason", record[3]))?,
        kind: VisitKind::from_number(record[4]).ok_or(damaged("kind", record[4]))?,
        rule: u32_at(record, 56),
    })
}

/// Splits a list of tagged fields into (tag, whole field), stopping at a damaged one.
fn tags(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (field, after) = split_tag(rest).ok()??;
        rest = after;
        Some((field[0], field))
    })
}

type FieldAndRest<'a> = (&'a [u8], &'a [u8]);

fn split_tag(bytes: &[u8]) -> Result<Option<FieldAndRest<'_>>, ClickError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let truncated =
        |expected| ClickError::Truncated { part: "tagged field", expected, got: bytes.len() };
    let value_len = usize::from(u16_at(bytes, 1).ok_or(truncated(TAG_HEAD_LEN))?);
    let len = TAG_HEAD_LEN + value_len;
    bytes.split_at_checked(len).map(Some).ok_or(truncated(len))
}

fn check_tags(mut bytes: &[u8]) -> Result<(), ClickError> {
    while let Some((_, rest)) = split_tag(bytes)? {
        bytes = rest;
    }
    Ok(())
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Reads a number from bytes known to be long enough.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// Reads a number from bytes known to be long enough.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn sample_head() -> ClickHead {
        ClickHead {
            transaction_id: TransactionId([0xAB; 16]),
            unix_ms: 1_763_000_000_123,
            generation: 42,
            code_id: 7,
            offer_id: 16,
            partner_id: 2,
            advertiser_id: 3,
            reason: Reason::Redirected,
            kind: VisitKind::Click,
            rule: 0,
        }
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let mut out = [0; MAX_RECORD_LEN];
        let tags: [(Tag, &[u8]); 3] =
            [(Tag::Sub1, b"a"), (Tag::Address, &[192, 0, 2, 1]), (Tag::UserAgent, b"curl/8")];
        let len = encode_click(&sample_head(), b"WiNtEr25", &tags, &mut out);
        let (click, read) = Click::decode(&out).unwrap();
        assert_eq!(read, len);
        assert_eq!(click.head, sample_head());
        assert_eq!(click.code, b"WiNtEr25");
        assert_eq!(click.text(Tag::Sub1), "a");
        assert_eq!(click.text(Tag::UserAgent), "curl/8");
        assert_eq!(click.address(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(click.tag(Tag::Referer), None);
    }

    #[test]
    fn a_truncated_address_is_its_network() {
        for (whole, network) in [
            ("203.0.113.77", "203.0.113.0"),
            ("::ffff:203.0.113.77", "::ffff:203.0.113.0"),
            ("2001:db8:12:3456:789a::1", "2001:db8:12::"),
        ] {
            let network: IpAddr = network.parse().unwrap();
            assert_eq!(truncate_address(whole.parse().unwrap()), network);
            assert_eq!(truncate_address(network), network);
        }
    }

    #[test]
    fn every_kind_reads_back_and_an_unknown_one_is_refused() {
        let mut out = [0; MAX_RECORD_LEN];
        for kind in VisitKind::ALL {
            encode_click(&ClickHead { kind, ..sample_head() }, b"abc", &[], &mut out);
            assert_eq!(Click::decode(&out).unwrap().0.head.kind, kind);
        }
        out[4] = 6;
        assert_eq!(Click::decode(&out), Err(ClickError::Field { field: "kind", got: 6 }));
    }

    #[test]
    fn the_longest_values_fit_and_longer_ones_are_cut() {
        let long = [b'x'; 5000];
        let tags: Vec<_> = Tag::all().map(|tag| (tag, &long[..])).collect();
        let mut out = [0; MAX_RECORD_LEN];
        encode_click(&sample_head(), &long, &tags, &mut out);
        let (click, _) = Click::decode(&out).unwrap();
        for tag in Tag::ALWAYS_FIT {
            assert_eq!(click.tag(tag).map(<[u8]>::len), Some(tag.max_len()));
        }
    }

    #[test]
    fn a_value_without_room_is_left_out_whole_and_a_shorter_one_after_it_is_kept() {
        let long = [b'x'; 5000];
        let mut tags: Vec<_> = Tag::ALWAYS_FIT.map(|tag| (tag, &long[..])).into();
        tags.extend([(Tag::Gclid, &long[..]), (Tag::Fbclid, b"short")]);
        let mut out = [0; MAX_RECORD_LEN];
        let len = encode_click(&sample_head(), &long, &tags, &mut out);
        assert!(len <= MAX_RECORD_LEN);
        let (click, _) = Click::decode(&out).unwrap();
        assert_eq!((click.tag(Tag::Gclid), click.tag(Tag::Fbclid)), (None, Some(&b"short"[..])));
    }

    #[test]
    fn every_tag_has_a_number_of_its_own() {
        let numbers: std::collections::BTreeSet<u8> = Tag::all().map(|tag| tag as u8).collect();
        assert_eq!(numbers.len(), Tag::all().count());
    }

    #[test]
    fn a_field_with_a_tag_of_the_future_is_skipped() {
        let mut out = [0; MAX_RECORD_LEN];
        let len =
            encode_click(&sample_head(), b"abc", &[(Tag::Sub1, b"1"), (Tag::Uid, b"u")], &mut out);
        out[HEAD_LEN + 3] = 99;
        let (click, _) = Click::decode(&out[..len]).unwrap();
        assert_eq!((click.tag(Tag::Sub1), click.tag(Tag::Uid)), (None, Some(&b"u"[..])));
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Click::decode(&bytes);
        }

        #[test]
        fn any_record_reads_back_cut_at_its_bounds(
            code in proptest::collection::vec(any::<u8>(), 0..80),
            values in proptest::collection::vec(
                (proptest::sample::select(Tag::all().collect::<Vec<_>>()), proptest::collection::vec(any::<u8>(), 0..600)),
                0..10,
            ),
            ids in any::<[u32; 5]>(),
            times in any::<[u64; 2]>(),
            reason in proptest::sample::select(&Reason::ALL[..]),
            kind in proptest::sample::select(&VisitKind::ALL[..]),
        ) {
            let head = ClickHead {
                transaction_id: TransactionId([ids[0] as u8; 16]),
                unix_ms: times[0],
                generation: times[1],
                code_id: ids[0],
                offer_id: ids[1],
                partner_id: ids[2],
                advertiser_id: ids[3],
                reason,
                kind,
                rule: ids[4],
            };
            let mut distinct = Vec::<(Tag, &[u8])>::new();
            for (tag, value) in &values {
                if distinct.iter().all(|(known, _)| known != tag) {
                    distinct.push((*tag, value));
                }
            }
            let mut out = [0; MAX_RECORD_LEN];
            let len = encode_click(&head, &code, &distinct, &mut out);
            let (click, read) = Click::decode(&out[..len]).unwrap();
            prop_assert_eq!((click.head, read), (head, len));
            prop_assert_eq!(click.code, &code[..code.len().min(crate::code::MAX_LEN)]);
            for (tag, value) in distinct {
                prop_assert_eq!(click.tag(tag), Some(&value[..value.len().min(tag.max_len())]));
            }
        }

        #[test]
        fn every_truncation_of_a_record_is_refused(cut in 0usize..70) {
            let mut out = [0; MAX_RECORD_LEN];
            let len = encode_click(&sample_head(), b"abc", &[(Tag::Sub1, b"abcdef")], &mut out);
            prop_assert!(Click::decode(&out[..cut.min(len - 1)]).is_err());
        }
    }
}
