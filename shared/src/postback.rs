//! Postbacks: how a conversion report travels from an advertiser through a daemon to the admin.
//!
//! A daemon gives each report an id, stores it in its **spool** (a framed log; a report's place is
//! its sequence) and hands it on: the admin sends a [`PollRequest`] and gets a [`Delivery`]. The
//! cursor of the request names, for each spool, the last sequence that is durably decided, which is
//! also the acknowledgement; its verdicts are the answers to waiting advertisers. The daemon
//! delivers everything behind the cursor again, so the admin takes each id once.
//!
//! Deliberately absent: any interpretation of the report. Query and body are stored as received,
//! because a signature may cover them, and because a report that is unreadable today must not be
//! lost.
//!
//! # Bytes (version 1, all numbers little endian)
//!
//! ```text
//! postback                              poll request
//!  0   4  length of the whole            0  4  magic "CPNQ"
//!  4   1  version, 1                     4  1  version, 1
//!  5   1  Channel                        5  3  zero
//!  6   1  1 for POST, 0 for GET          8  4  number of cursors
//!  7   1  zero                          12  4  number of verdicts
//!  8  16  id                            16  …  cursors: spool (16), last decided sequence (8)
//! 24   8  Unix milliseconds              …  …  verdicts
//! 32   2  node
//! 34   6  zero                          verdict
//! 40   …  fields: tag (1), length (4),   0  16  postback
//!         bytes; an empty one is left   16   1  VerdictStatus
//!         out, an unknown tag skipped   17   1  1 with a conversion id, else 0
//!                                       18   2  length of the transaction id
//! delivery                              20   2  length of the error
//!  0   4  magic "CPND"                  22   1  1: a miss, 2: a trusted sender
//!                                       23   1  zero
//!  4   1  version, 1                    24   4  error code
//!  5   3  zero                          28   …  conversion id (16, where there is one),
//!  8  16  spool                                 transaction id, error
//! 24   8  oldest sequence kept
//! 32   4  number of postbacks
//! 36   …  sequence (8), postback
//! ```
//!
//! Field tags: 1 host, 2 query, 3 body, 4 content type, 128 address (4 or 16 bytes, network order),
//! 129 user agent, 130 referer, 131 origin. Tags from 128 are personal.

use crate::click::{u16_at, u32_at, u64_at};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Version of all three formats.
pub const POSTBACK_VERSION: u8 = 1;
/// Longest accepted body.
pub const MAX_BODY_BYTES: usize = 64 << 10;
/// Codes that are read of a list.
pub const MAX_LISTED_CODES: usize = 16;

/// The parts of a text that may be a list of codes; some may be empty. Both programs read lists: the
/// daemon to recognise a sale, the admin to attribute it.
pub fn split_codes(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| matches!(c, ',' | ';' | '|' | '/' | '+') || c.is_whitespace())
}

/// Longest encoded postback: body, query and headers at their longest.
pub const MAX_POSTBACK_BYTES: usize = 128 << 10;
/// Most spools of a poll request.
pub const MAX_CURSORS: usize = 4096;
/// Most verdicts of a poll request.
pub const MAX_VERDICTS: usize = 16_384;
/// Longest poll request.
pub const MAX_POLL_REQUEST_BYTES: usize =
    POLL_HEAD + MAX_CURSORS * CURSOR_LEN + MAX_VERDICTS * MAX_VERDICT_BYTES;
/// Most postbacks of a delivery, so that their verdicts fit into one poll request.
pub const MAX_DELIVERED: usize = 4096;
/// Longest transaction id of a verdict; the rest is cut off.
pub const MAX_TRANSACTION_ID_BYTES: usize = 256;
/// Longest error sentence of a verdict; the rest is cut off.
pub const MAX_ERROR_BYTES: usize = 512;

const POSTBACK_HEAD: usize = 40;
const FIELD_HEAD: usize = 5;
const POLL_HEAD: usize = 16;
const CURSOR_LEN: usize = 24;
const VERDICT_HEAD: usize = 28;
const MAX_VERDICT_BYTES: usize = VERDICT_HEAD + 16 + MAX_TRANSACTION_ID_BYTES + MAX_ERROR_BYTES;
const DELIVERY_HEAD: usize = 36;
const POLL_MAGIC: &[u8; 4] = b"CPNQ";
const DELIVERY_MAGIC: &[u8; 4] = b"CPND";

/// The id of a postback, and of the conversion made from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PostbackId(pub [u8; 16]);

impl PostbackId {
    /// An id in the layout of a UUID version 7: the time, and 74 of the given bits.
    pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
        id[6..].copy_from_slice(&random);
        id[6] = 0x70 | id[6] & 0x0F;
        id[8] = 0x80 | id[8] & 0x3F;
        Self(id)
    }

    /// Unix milliseconds of its receipt.
    pub fn unix_ms(&self) -> u64 {
        (u128::from_be_bytes(self.0) >> 80) as u64
    }
}

/// The random name of a spool. A spool that was lost or restored to an earlier state gets another
/// name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpoolId(pub [u8; 16]);

/// The text is not 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 lower-case hexadecimal digits")]
pub struct ParseIdError;

macro_rules! hex_text {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($id))
            }
        }

        impl FromStr for $id {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self).ok_or(ParseIdError)
            }
        }
    };
}

hex_text!(PostbackId);
hex_text!(SpoolId);

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_id = text.len() == 32 && text.bytes().all(is_digit);
    let number = is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    number.map(u128::to_be_bytes)
}

/// How a postback arrived. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Channel {
    /// From an advertiser's server: `/?nid=…`.
    Server = 1,
    /// From the script on an advertiser's page: `/sdk/conversion`.
    Sdk = 2,
}

impl Channel {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Server, Self::Sdk].into_iter().find(|channel| *channel as u8 == number)
    }

    /// Stable name for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Sdk => "sdk",
        }
    }
}

/// Why bytes are no postback, poll request or delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostbackError {
    /// The length is not the one that the content asks for.
    #[error("a {part} of {got} bytes is cut, or has bytes too many")]
    Length { part: &'static str, got: usize },
    /// Wrong magic or version: from a newer program, or something else altogether.
    #[error("this is no {part} of version {POSTBACK_VERSION}: run the same release on both sides")]
    Version { part: &'static str },
    /// A field has a value outside the format.
    #[error("there is no {field} {got}")]
    Field { field: &'static str, got: u64 },
    /// A list is longer than one message may hold.
    #[error("{got} {what} are more than the {max} of one message")]
    TooMany { what: &'static str, got: usize, max: usize },
}

/// A conversion report, as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postback<'a> {
    pub id: PostbackId,
    /// Time of receipt by the daemon's clock.
    pub unix_ms: u64,
    /// The node that received it.
    pub node: u16,
    pub channel: Channel,
    /// Whether the method was `POST`, not `GET`.
    pub is_post: bool,
    /// The sender's address; behind trusted proxies, the client's.
    pub address: IpAddr,
    /// The requested host.
    pub host: &'a [u8],
    /// The query as received, without `?`.
    pub query: &'a [u8],
    /// The body as received.
    pub body: &'a [u8],
    /// `Content-Type`
    pub content_type: &'a [u8],
    /// `User-Agent`
    pub user_agent: &'a [u8],
    /// `Referer`
    pub referer: &'a [u8],
    /// `Origin`
    pub origin: &'a [u8],
}

const HOST: u8 = 1;
const QUERY: u8 = 2;
const BODY: u8 = 3;
const CONTENT_TYPE: u8 = 4;
const ADDRESS: u8 = 128;
const USER_AGENT: u8 = 129;
const REFERER: u8 = 130;
const ORIGIN: u8 = 131;

/// Longest header value; the rest is cut off. Query and body are never cut: the receiver refuses
/// longer ones.
const MAX_HEADER_BYTES: usize = 2048;

impl<'a> Postback<'a> {
    /// The encoded postback. Header values are cut at 2,048 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; POSTBACK_HEAD];
        bytes[4..7].copy_from_slice(&[
            POSTBACK_VERSION,
            self.channel as u8,
            u8::from(self.is_post),
        ]);
        bytes[8..24].copy_from_slice(&self.id.0);
        bytes[24..32].copy_from_slice(&self.unix_ms.to_le_bytes());
        bytes[32..34].copy_from_slice(&self.node.to_le_bytes());
        match self.address {
            IpAddr::V4(address) => push_field(&mut bytes, ADDRESS, &address.octets()),
            IpAddr::V6(address) => push_field(&mut bytes, ADDRESS, &address.octets()),
        }
        push_field(&mut bytes, QUERY, self.query);
        push_field(&mut bytes, BODY, self.body);
        for (tag, value) in [
            (HOST, self.host),
            (CONTENT_TYPE, self.content_type),
            (USER_AGENT, self.user_agent),
            (REFERER, self.referer),
            (ORIGIN, self.origin),
        ] {
            push_field(&mut bytes, tag, &value[..value.len().min(MAX_HEADER_BYTES)]);
        }
        let len = bytes.len() as u32;
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    /// Decodes exactly one postback.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, PostbackError> {
        let (postback, rest) = Self::split(bytes)?;
        if rest.is_empty() { Ok(postback) } else { Err(cut("postback", bytes)) }
    }

    /// Decodes the postback at the front, and returns the rest.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PostbackError> {
        let head = bytes.get(..POSTBACK_HEAD).ok_or(cut("postback", bytes))?;
        let record = bytes.split_at_checked(u32_at(head, 0) as usize);
        let (record, rest) = record.ok_or(cut("postback", bytes))?;
        if head[4] != POSTBACK_VERSION {
            return Err(PostbackError::Version { part: "postback" });
        }
        let fields = record.get(POSTBACK_HEAD..).ok_or(cut("postback", record))?;
        let (mut postback, mut address) = (Self::decode_head(head)?, None);
        let mut fields = fields;
        while !fields.is_empty() {
            let (tag, value, after) = split_field(fields)?;
            postback.set_field(tag, value, &mut address)?;
            fields = after;
        }
        postback.address = address.ok_or(PostbackError::Field { field: "address", got: 0 })?;
        Ok((postback, rest))
    }

    fn decode_head(head: &[u8]) -> Result<Self, PostbackError> {
        let unknown = |field, got: u8| PostbackError::Field { field, got: got.into() };
        Ok(Self {
            id: PostbackId(sixteen(head, 8)),
            unix_ms: u64_at(head, 24),
            node: u16_at(head, 32).unwrap_or_default(),
            channel: Channel::from_number(head[5]).ok_or(unknown("channel", head[5]))?,
            is_post: read_bool(head[6]).ok_or(unknown("method", head[6]))?,
            address: IpAddr::from([0; 4]),
            host: b"",
            query: b"",
            body: b"",
            content_type: b"",
            user_agent: b"",
            referer: b"",
            origin: b"",
        })
    }

    fn set_field(
        &mut self,
        tag: u8,
        value: &'a [u8],
        address: &mut Option<IpAddr>,
    ) -> Result<(), PostbackError> {
        match tag {
            HOST => self.host = value,
            QUERY => self.query = value,
            BODY => self.body = value,
            CONTENT_TYPE => self.content_type = value,
            USER_AGENT => self.user_agent = value,
            REFERER => self.referer = value,
            ORIGIN => self.origin = value,
            ADDRESS => *address = Some(read_address(value)?),
            _ => {}
        }
        Ok(())
    }
}

fn read_address(value: &[u8]) -> Result<IpAddr, PostbackError> {
    let v4 = <[u8; 4]>::try_from(value).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(value).ok().map(IpAddr::from))
        .ok_or(PostbackError::Length { part: "address", got: value.len() })
}

fn push_field(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        bytes.push(tag);
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value);
    }
}

/// Tag and value of the field at the front, and the rest.
fn split_field(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), PostbackError> {
    let head = bytes.get(..FIELD_HEAD).ok_or(cut("field", bytes))?;
    let rest = &bytes[FIELD_HEAD..];
    let split = rest.split_at_checked(u32_at(head, 1) as usize);
    split.map(|(value, rest)| (head[0], value, rest)).ok_or(cut("field", bytes))
}

/// The decision on a postback. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum VerdictStatus {
    /// Stored, not decided yet.
    Queued = 0,
    /// Counts.
    Approved = 1,
    /// Waits for a person to decide.
    Pending = 2,
    /// Understood, but does not count.
    Rejected = 3,
    /// Unreadable, or without anything that it could count for.
    Invalid = 4,
}

impl VerdictStatus {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Queued, Self::Approved, Self::Pending, Self::Rejected, Self::Invalid]
            .into_iter()
            .find(|status| *status as u8 == number)
    }

    /// Stable name, as answered to advertisers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Approved => "approved",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
            Self::Invalid => "invalid",
        }
    }
}

/// The admin's decision on one postback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub postback: PostbackId,
    pub status: VerdictStatus,
    /// The conversion made from the postback, or the repeated one.
    pub conversion_id: Option<PostbackId>,
    /// The click of the attribution; empty for none.
    pub transaction_id: String,
    /// 0 for no error.
    pub error_code: u32,
    /// A sentence for the advertiser; empty for no error.
    pub error: String,
    /// Whether the answer shows, to a sender that passed no trust rule, that a named code, click,
    /// offer or partner cannot be used.
    pub is_miss: bool,
    /// Whether the sender passed the trust rules of an advertiser with trust rules.
    pub is_trusted: bool,
}

/// Bits of a verdict's byte 22. Readers before these bits ignored that byte, and writers left it
/// zero.
const MISS: u8 = 1;
const TRUSTED: u8 = 2;

impl Verdict {
    fn push_to(&self, bytes: &mut Vec<u8>) {
        let transaction_id = cut_text(&self.transaction_id, MAX_TRANSACTION_ID_BYTES);
        let error = cut_text(&self.error, MAX_ERROR_BYTES);
        bytes.extend_from_slice(&self.postback.0);
        bytes.extend_from_slice(&[self.status as u8, u8::from(self.conversion_id.is_some())]);
        bytes.extend_from_slice(&(transaction_id.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(error.len() as u16).to_le_bytes());
        let flags = (u8::from(self.is_miss) * MISS) | (u8::from(self.is_trusted) * TRUSTED);
        bytes.extend_from_slice(&[flags, 0]);
        bytes.extend_from_slice(&self.error_code.to_le_bytes());
        bytes.extend_from_slice(self.conversion_id.as_ref().map_or(&[][..], |id| &id.0));
        bytes.extend_from_slice(transaction_id.as_bytes());
        bytes.extend_from_slice(error.as_bytes());
    }

    /// Decodes the verdict at the front, and returns the rest.
    fn split(bytes: &[u8]) -> Result<(Self, &[u8]), PostbackError> {
        let unknown = |field, got: u8| PostbackError::Field { field, got: got.into() };
        let head = bytes.get(..VERDICT_HEAD).ok_or(cut("verdict", bytes))?;
        let has_conversion = read_bool(head[17]).ok_or(unknown("conversion", head[17]))?;
        let length = |at| usize::from(u16_at(head, at).unwrap_or_default());
        let rest = &bytes[VERDICT_HEAD..];
        let conversion = rest.split_at_checked(if has_conversion { 16 } else { 0 });
        let (conversion, rest) = conversion.ok_or(cut("verdict", bytes))?;
        let (transaction_id, rest) = split_text(rest, length(18), MAX_TRANSACTION_ID_BYTES)?;
        let (error, rest) = split_text(rest, length(20), MAX_ERROR_BYTES)?;
        let verdict = Self {
            postback: PostbackId(sixteen(head, 0)),
            status: VerdictStatus::from_number(head[16]).ok_or(unknown("status", head[16]))?,
            conversion_id: has_conversion.then(|| PostbackId(sixteen(conversion, 0))),
            transaction_id,
            error_code: u32_at(head, 24),
            error,
            is_miss: head[22] & MISS != 0,
            is_trusted: head[22] & TRUSTED != 0,
        };
        Ok((verdict, rest))
    }
}

fn cut_text(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn split_text(bytes: &[u8], len: usize, max: usize) -> Result<(String, &[u8]), PostbackError> {
    let (text, rest) = bytes.split_at_checked(len).ok_or(cut("text", bytes))?;
    match std::str::from_utf8(text) {
        Ok(text) if len <= max => Ok((text.to_owned(), rest)),
        _ => Err(PostbackError::Length { part: "text", got: len }),
    }
}

/// The admin's request to a daemon: for all postbacks behind its cursors, with the verdicts on
/// earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollRequest {
    /// For each known spool, the sequence up to which everything is durably decided.
    pub cursors: Vec<(SpoolId, u64)>,
    /// Verdicts on postbacks of earlier deliveries. A lost verdict does no harm: its advertiser is
    /// answered `queued`.
    pub verdicts: Vec<Verdict>,
}

impl PollRequest {
    /// The encoded request. Entries beyond [`MAX_CURSORS`] and [`MAX_VERDICTS`] are left out.
    pub fn encode(&self) -> Vec<u8> {
        let cursors = &self.cursors[..self.cursors.len().min(MAX_CURSORS)];
        let verdicts = &self.verdicts[..self.verdicts.len().min(MAX_VERDICTS)];
        let mut bytes = Vec::with_capacity(POLL_HEAD + cursors.len() * CURSOR_LEN);
        bytes.extend_from_slice(POLL_MAGIC);
        bytes.extend_from_slice(&[POSTBACK_VERSION, 0, 0, 0]);
        bytes.extend_from_slice(&(cursors.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(verdicts.len() as u32).to_le_bytes());
        for (spool, sequence) in cursors {
            bytes.extend_from_slice(&spool.0);
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        verdicts.iter().for_each(|verdict| verdict.push_to(&mut bytes));
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, PostbackError> {
        let head = bytes.get(..POLL_HEAD).ok_or(cut("poll request", bytes))?;
        check_version(head, POLL_MAGIC, "poll request")?;
        let cursors = bounded(u32_at(head, 8), "cursors", MAX_CURSORS)?;
        let verdicts = bounded(u32_at(head, 12), "verdicts", MAX_VERDICTS)?;
        let split = bytes[POLL_HEAD..].split_at_checked(cursors * CURSOR_LEN);
        let (cursors, mut rest) = split.ok_or(cut("poll request", bytes))?;
        let cursors = cursors.chunks_exact(CURSOR_LEN);
        let cursors = cursors.map(|cursor| (SpoolId(sixteen(cursor, 0)), u64_at(cursor, 16)));
        let mut request = Self { cursors: cursors.collect(), verdicts: Vec::new() };
        for _ in 0..verdicts {
            let (verdict, after) = Verdict::split(rest)?;
            request.verdicts.push(verdict);
            rest = after;
        }
        if rest.is_empty() { Ok(request) } else { Err(cut("poll request", bytes)) }
    }
}

/// A daemon's answer: the postbacks behind the cursor, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'a> {
    pub spool: SpoolId,
    /// The oldest sequence in the spool; one more than the last for an empty spool.
    pub oldest: u64,
    /// Postbacks with their sequences.
    pub postbacks: Vec<(u64, Postback<'a>)>,
}

impl<'a> Delivery<'a> {
    /// The encoded delivery.
    pub fn encode(&self) -> Vec<u8> {
        let mut builder = DeliveryBuilder::new(self.spool, self.oldest);
        for (sequence, postback) in &self.postbacks {
            builder.push(*sequence, &postback.encode());
        }
        builder.finish()
    }

    /// Decodes a delivery with all its postbacks.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, PostbackError> {
        let (spool, oldest, postbacks) = decode_delivery(bytes, Postback::split)?;
        Ok(Self { spool, oldest, postbacks })
    }
}

/// A delivery with undecoded postbacks, so that an unreadable one does not hide the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecodedDelivery<'a> {
    pub spool: SpoolId,
    /// The oldest sequence in the spool; one more than the last for an empty spool.
    pub oldest: u64,
    /// The bytes of each postback with its sequence.
    pub postbacks: Vec<(u64, &'a [u8])>,
}

impl<'a> UndecodedDelivery<'a> {
    /// Splits a delivery into its postbacks.
    pub fn split(bytes: &'a [u8]) -> Result<Self, PostbackError> {
        let (spool, oldest, postbacks) = decode_delivery(bytes, split_record)?;
        Ok(Self { spool, oldest, postbacks })
    }
}

type DeliveryParts<T> = (SpoolId, u64, Vec<(u64, T)>);

/// Spool, oldest sequence and postbacks of a delivery. `split` takes one postback off the front of
/// its argument and returns the rest.
fn decode_delivery<'a, T>(
    bytes: &'a [u8],
    split: impl Fn(&'a [u8]) -> Result<(T, &'a [u8]), PostbackError>,
) -> Result<DeliveryParts<T>, PostbackError> {
    let head = bytes.get(..DELIVERY_HEAD).ok_or(cut("delivery", bytes))?;
    check_version(head, DELIVERY_MAGIC, "delivery")?;
    let count = bounded(u32_at(head, 32), "postbacks", MAX_DELIVERED)?;
    let (mut postbacks, mut rest) = (Vec::new(), &bytes[DELIVERY_HEAD..]);
    for _ in 0..count {
        let (sequence, record) = rest.split_at_checked(8).ok_or(cut("delivery", bytes))?;
        let (postback, after) = split(record)?;
        postbacks.push((u64_at(sequence, 0), postback));
        rest = after;
    }
    let parts = (SpoolId(sixteen(head, 8)), u64_at(head, 24), postbacks);
    if rest.is_empty() { Ok(parts) } else { Err(cut("delivery", bytes)) }
}

/// The bytes of the postback at the front, and the rest.
fn split_record(bytes: &[u8]) -> Result<(&[u8], &[u8]), PostbackError> {
    let len = bytes.get(..4).map(|len| u32_at(len, 0) as usize);
    let len = len.filter(|len| *len >= POSTBACK_HEAD).ok_or(cut("postback", bytes))?;
    bytes.split_at_checked(len).ok_or(cut("postback", bytes))
}

/// Assembles a delivery from encoded postbacks.
#[derive(Debug)]
pub struct DeliveryBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl DeliveryBuilder {
    /// A delivery without postbacks.
    pub fn new(spool: SpoolId, oldest: u64) -> Self {
        let mut bytes = Vec::with_capacity(DELIVERY_HEAD);
        bytes.extend_from_slice(DELIVERY_MAGIC);
        bytes.extend_from_slice(&[POSTBACK_VERSION, 0, 0, 0]);
        bytes.extend_from_slice(&spool.0);
        bytes.extend_from_slice(&oldest.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes, count: 0 }
    }

    /// Adds an encoded postback.
    pub fn push(&mut self, sequence: u64, postback: &[u8]) {
        self.bytes.extend_from_slice(&sequence.to_le_bytes());
        self.bytes.extend_from_slice(postback);
        self.count += 1;
    }

    /// Number of postbacks.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[32..DELIVERY_HEAD].copy_from_slice(&self.count.to_le_bytes());
        self.bytes
    }
}

fn check_version(head: &[u8], magic: &[u8; 4], part: &'static str) -> Result<(), PostbackError> {
    let is_ours = &head[..4] == magic && head[4] == POSTBACK_VERSION;
    if is_ours { Ok(()) } else { Err(PostbackError::Version { part }) }
}

fn bounded(got: u32, what: &'static str, max: usize) -> Result<usize, PostbackError> {
    let got = got as usize;
    if got <= max { Ok(got) } else { Err(PostbackError::TooMany { what, got, max }) }
}

fn read_bool(number: u8) -> Option<bool> {
    (number <= 1).then_some(number == 1)
}

/// Reads an id from bytes known to be long enough.
fn sixteen(bytes: &[u8], at: usize) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[at..at + 16]);
    id
}

fn cut(part: &'static str, bytes: &[u8]) -> PostbackError {
    PostbackError::Length { part, got: bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPOOL: SpoolId = SpoolId([5; 16]);

    fn sample() -> Postback<'static> {
        Postback {
            id: PostbackId::new(1_763_000_000_123, [0xFF; 10]),
            unix_ms: 1_763_000_000_123,
            node: 3,
            channel: Channel::Sdk,
            is_post: true,
            address: IpAddr::from([192, 0, 2, 1]),
            host: b"go.example.com",
            query: b"nid=1&coupon_code=%FF\xFF",
            body: b"amount=1",
            content_type: b"application/x-www-form-urlencoded",
            user_agent: b"",
            referer: b"https://shop.example/",
            origin: b"https://shop.example",
        }
    }

    fn verdict() -> Verdict {
        Verdict {
            postback: sample().id,
            status: VerdictStatus::Rejected,
            conversion_id: Some(PostbackId([7; 16])),
            transaction_id: "ab".into(),
            error_code: 1013,
            error: "Schlüssel".into(),
            is_miss: false,
            is_trusted: false,
        }
    }

    fn poll_request() -> PollRequest {
        let bare = Verdict {
            conversion_id: None,
            transaction_id: String::new(),
            error: String::new(),
            ..verdict()
        };
        PollRequest {
            cursors: vec![(SPOOL, 9), (SpoolId([6; 16]), 0)],
            verdicts: vec![verdict(), bare],
        }
    }

    #[test]
    fn an_id_tells_its_time_and_is_a_version_7_uuid_of_32_lower_case_digits() {
        let id = PostbackId::new(1_763_000_000_123, [0xFF; 10]);
        assert_eq!(id.to_string(), "019a7afd1e7b7fffbfffffffffffffff");
        assert_eq!((id.unix_ms(), id.to_string().parse()), (1_763_000_000_123, Ok(id)));
        for text in ["", "019A7AFD1E7B7FFFBFFFFFFFFFFFFFFF", &"+".repeat(32), &"a".repeat(31)] {
            assert_eq!(text.parse::<PostbackId>(), Err(ParseIdError), "{text}");
        }
    }

    #[test]
    fn a_postback_reads_back_as_written() {
        let v6 = Postback { address: "2001:db8::1".parse().unwrap(), body: b"", ..sample() };
        for postback in [sample(), v6] {
            assert_eq!(Postback::decode(&postback.encode()), Ok(postback));
        }
    }

    #[test]
    fn the_longest_postback_stays_below_the_bound_and_keeps_query_and_body() {
        let long = vec![b'x'; MAX_BODY_BYTES];
        let postback = Postback {
            host: &long,
            query: &long[..8192],
            body: &long,
            content_type: &long,
            user_agent: &long,
            referer: &long,
            origin: &long,
            ..sample()
        };
        let bytes = postback.encode();
        assert!(bytes.len() <= MAX_POSTBACK_BYTES);
        let read = Postback::decode(&bytes).unwrap();
        assert_eq!((read.query.len(), read.body.len()), (8192, MAX_BODY_BYTES));
        assert_eq!(read.user_agent.len(), MAX_HEADER_BYTES);
    }

    #[test]
    fn a_field_with_a_tag_of_the_future_is_skipped() {
        let mut bytes = sample().encode();
        push_field(&mut bytes, 99, b"new");
        let len = bytes.len() as u32;
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        assert_eq!(Postback::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn a_newer_version_is_named_as_such() {
        let mut bytes = sample().encode();
        bytes[4] = 2;
        assert_eq!(Postback::decode(&bytes), Err(PostbackError::Version { part: "postback" }));
    }

    #[test]
    fn a_question_reads_back_and_long_texts_are_cut_between_characters() {
        assert_eq!(PollRequest::decode(&poll_request().encode()), Ok(poll_request()));
        let long = Verdict { error: "é".repeat(1000), ..verdict() };
        let asked = PollRequest { cursors: vec![], verdicts: vec![long] };
        let read = PollRequest::decode(&asked.encode()).unwrap();
        assert_eq!(read.verdicts[0].error, "é".repeat(MAX_ERROR_BYTES / 2));
    }

    #[test]
    fn a_verdict_says_whether_it_is_a_miss_and_its_sender_trusted_where_zeros_stood_before() {
        for (is_miss, is_trusted, byte) in
            [(false, false, 0), (true, false, 1), (false, true, 2), (true, true, 3)]
        {
            let verdict = Verdict { is_miss, is_trusted, ..verdict() };
            let bytes = PollRequest { cursors: vec![], verdicts: vec![verdict.clone()] }.encode();
            assert_eq!(bytes[POLL_HEAD + 22..POLL_HEAD + 24], [byte, 0]);
            assert_eq!(PollRequest::decode(&bytes).unwrap().verdicts, [verdict]);
        }
    }

    #[test]
    fn the_longest_question_is_as_long_as_promised() {
        let long =
            Verdict { transaction_id: "x".repeat(1000), error: "x".repeat(1000), ..verdict() };
        let asked = PollRequest {
            cursors: vec![(SPOOL, 1); MAX_CURSORS + 1],
            verdicts: vec![long; MAX_VERDICTS + 1],
        };
        let bytes = asked.encode();
        assert_eq!(bytes.len(), MAX_POLL_REQUEST_BYTES);
        assert_eq!(PollRequest::decode(&bytes).unwrap().verdicts.len(), MAX_VERDICTS);
    }

    #[test]
    fn a_delivery_reads_back() {
        for postbacks in [vec![], vec![(7, sample()), (8, sample())]] {
            let delivery = Delivery { spool: SPOOL, oldest: 3, postbacks };
            assert_eq!(Delivery::decode(&delivery.encode()), Ok(delivery));
        }
    }

    #[test]
    fn a_postback_that_cannot_be_read_does_not_hide_the_others() {
        let mut newer = sample().encode();
        newer[4] = 2;
        let mut builder = DeliveryBuilder::new(SPOOL, 3);
        builder.push(7, &newer);
        builder.push(8, &sample().encode());
        let bytes = builder.finish();
        let split = UndecodedDelivery::split(&bytes).unwrap();
        assert_eq!((split.spool, split.oldest), (SPOOL, 3));
        assert_eq!(split.postbacks, [(7, &newer[..]), (8, &sample().encode()[..])]);
        for cut in 0..bytes.len() {
            UndecodedDelivery::split(&bytes[..cut]).unwrap_err();
        }
    }

    #[test]
    fn every_truncation_and_every_surplus_byte_is_refused() {
        let delivery = Delivery { spool: SPOOL, oldest: 3, postbacks: vec![(7, sample())] };
        let [postback, delivery] = [sample().encode(), delivery.encode()];
        let request = poll_request().encode();
        for cut in 0..delivery.len() {
            Delivery::decode(&delivery[..cut]).unwrap_err();
            let _ = Postback::decode(&postback[..cut.min(postback.len() - 1)]).unwrap_err();
            let _ = PollRequest::decode(&request[..cut.min(request.len() - 1)]).unwrap_err();
        }
        Postback::decode(&[&postback[..], b"x"].concat()).unwrap_err();
        Delivery::decode(&[&delivery[..], b"x"].concat()).unwrap_err();
        PollRequest::decode(&[&request[..], b"x"].concat()).unwrap_err();
    }

    proptest! {
        #[test]
        fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Postback::decode(&bytes);
            for (magic, count_at) in [(POLL_MAGIC, 8), (DELIVERY_MAGIC, 32)] {
                let mut bytes = bytes.clone();
                if bytes.len() >= 40 {
                    bytes[..4].copy_from_slice(magic);
                    bytes[4] = POSTBACK_VERSION;
                    bytes[count_at + 1..count_at + 4].fill(0);
                }
                let _ = PollRequest::decode(&bytes);
                let _ = Delivery::decode(&bytes);
            }
        }

        #[test]
        fn a_changed_byte_never_panics(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let delivery = Delivery { spool: SPOOL, oldest: 3, postbacks: vec![(7, sample())] };
            for mut bytes in [delivery.encode(), poll_request().encode()] {
                let at = at.index(bytes.len());
                bytes[at] = to;
                let _ = Delivery::decode(&bytes);
                let _ = PollRequest::decode(&bytes);
            }
        }

        #[test]
        fn any_values_read_back(
            unix_ms in 0u64..1 << 48,
            node: u16,
            is_post: bool,
            query in proptest::collection::vec(any::<u8>(), 0..200),
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let postback =
                Postback { unix_ms, node, is_post, query: &query, body: &body, ..sample() };
            let bytes = postback.encode();
            prop_assert_eq!(Postback::decode(&bytes), Ok(postback));
        }
    }
}
