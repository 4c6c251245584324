//! The block: consecutive click records of one stream, on the wire and on disk.
//!
//! # Bytes, format version 2
//!
//! Numbers are little endian. A block is the header, the main part, the personal part.
//!
//! | offset | size | header field |
//! |---|---|---|
//! | 0 | 4 | magic `CLKB` |
//! | 4 | 1 | block version |
//! | 5 | 1 | coding of both parts: 2 = indexed values ([`coding`]), 1 = LZ4 |
//! | 6 | 2 | node |
//! | 8 | 4 | incarnation |
//! | 12 | 1 | thread |
//! | 13 | 3 | zero |
//! | 16 | 8 | sequence of the first record |
//! | 24 | 4 | number of records, at least 1 |
//! | 28 | 4 | length of the main part decoded |
//! | 32 | 4 | length of the main part as stored |
//! | 36 | 4 | length of the personal part decoded |
//! | 40 | 4 | length of the personal part as stored |
//! | 44 | 4 | CRC-32C of the main part as stored |
//! | 48 | 4 | CRC-32C of the personal part as stored |
//! | 52 | 4 | zero |
//! | 56 | 8 | earliest millisecond of a transaction id |
//! | 64 | 8 | latest millisecond of a transaction id |
//! | 72 | 8 | earliest millisecond by the clock |
//! | 80 | 8 | latest millisecond by the clock |
//! | 88 | 4 | CRC-32C of the bytes before |
//! | 92 | 4 | zero |
//!
//! The personal part can be rewritten alone ([`Block::with_personal_fields`]): the main part stays
//! byte for byte, and of the header only the lengths and checksums that depend on it change.
//!
//! The main part decoded is the records one after the other, each with its length mended to what is
//! left after its personal fields were taken out. The personal part decoded has, for each record in
//! turn, the length (2) of its personal fields and the fields.
//!
//! Version 1 was the same with coding 1. It is read and rewritten for ever, because archives hold
//! it, but not written anew. A reader of version 1 alone refuses version 2 by its number.

mod coding;

use super::{
    Click, ClickError, FIRST_PERSONAL_TAG, StreamId, TAG_HEAD_LEN, Tag, check_tags, decode_address,
    split_tag, tags, truncate_address, u16_at, u32_at, u64_at,
};
use coding::{MainEncoder, ValueEncoder};

/// Version of the block format.
pub const BLOCK_VERSION: u8 = 2;
/// Length of a block's header.
pub const BLOCK_HEADER_LEN: usize = 96;
/// Longest part, decoded. A reader refuses more, so a damaged or hostile length cannot
/// make it allocate.
pub const MAX_PART_LEN: usize = 1 << 20;

/// Longest part as stored: both codings add at most a small share to bytes that do not repeat.
const MAX_STORED_LEN: usize = MAX_PART_LEN + MAX_PART_LEN / 64;

const MAGIC: [u8; 4] = *b"CLKB";
/// Version and coding.
const INDEXED_VALUES: [u8; 2] = [BLOCK_VERSION, 2];
const LZ4: [u8; 2] = [1, 1];
const HEADER_CRC_AT: usize = 88;

/// Collects records of one stream into a block.
pub struct BlockBuilder {
    stream: StreamId,
    first_sequence: u64,
    count: u32,
    main: MainEncoder,
    personal: ValueEncoder,
    decoded_main_len: usize,
    decoded_personal_len: usize,
    /// Tags of one record.
    main_tags: Vec<u8>,
    personal_tags: Vec<u8>,
    id_ms: (u64, u64),
    unix_ms: (u64, u64),
}

impl BlockBuilder {
    /// An empty block. Its first record gets `first_sequence`.
    pub fn new(stream: StreamId, first_sequence: u64) -> Self {
        Self {
            stream,
            first_sequence,
            count: 0,
            main: MainEncoder::new(),
            personal: ValueEncoder::new(),
            decoded_main_len: 0,
            decoded_personal_len: 0,
            main_tags: Vec::new(),
            personal_tags: Vec::new(),
            id_ms: (u64::MAX, 0),
            unix_ms: (u64::MAX, 0),
        }
    }

    /// Adds the record at the front of `bytes` and returns its length. A damaged record is refused
    /// and changes nothing.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, ClickError> {
        let (click, len) = Click::decode_but_tags(bytes)?;
        self.push_click(&click, len)?;
        Ok(len)
    }

    /// `len` is the length of the record, without `personal_tags`. Personal fields may stand among
    /// `main_tags`.
    fn push_click(&mut self, click: &Click<'_>, len: usize) -> Result<(), ClickError> {
        self.main_tags.clear();
        self.personal_tags.clear();
        let (mut personal_len, mut rest) = (0, click.main_tags);
        while let Some((field, after)) = split_tag(rest)? {
            if field[0] >= FIRST_PERSONAL_TAG {
                self.personal_tags.push(field[0]);
                personal_len += field.len();
            } else {
                self.main_tags.push(field[0]);
            }
            rest = after;
        }
        self.personal_tags.extend(tags(click.personal_tags).map(|(tag, _)| tag));
        self.main.begin_record(&click.head, click.code, &self.main_tags);
        self.personal.put_list(&self.personal_tags);
        for (tag, field) in tags(click.main_tags).chain(tags(click.personal_tags)) {
            let part =
                if tag >= FIRST_PERSONAL_TAG { &mut self.personal } else { &mut self.main.values };
            part.put(&field[TAG_HEAD_LEN..]);
        }
        self.decoded_main_len += len - personal_len;
        self.decoded_personal_len += 2 + personal_len + click.personal_tags.len();
        self.count += 1;
        widen(&mut self.id_ms, click.head.transaction_id.unix_ms());
        widen(&mut self.unix_ms, click.head.unix_ms);
        Ok(())
    }

    /// Adds all clicks of another block.
    pub(crate) fn push_all(&mut self, decoded: &DecodedBlock) -> Result<(), ClickError> {
        let mut cursor = RecordCursor { decoded, main_at: 0, personal_at: 0 };
        while cursor.main_at < decoded.main.len() {
            let from = cursor.main_at;
            let click = cursor.next_click()?;
            self.push_click(&click, cursor.main_at - from)?;
        }
        Ok(())
    }

    /// Number of records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Length of the block so far without its personal part.
    pub fn main_len(&self) -> usize {
        BLOCK_HEADER_LEN + self.main.values.len()
    }

    /// Length of the personal part so far, before compression.
    pub fn personal_len(&self) -> usize {
        self.personal.len()
    }

    /// Length of both parts so far, decoded.
    pub fn decoded_len(&self) -> usize {
        self.decoded_main_len + self.decoded_personal_len
    }

    /// The block's bytes; `None` for a block without records.
    pub fn finish(self) -> Option<Vec<u8>> {
        if self.count == 0 {
            return None;
        }
        let (main, personal) = (self.main.values.bytes(), self.personal.compress());
        Some([&self.header(main, &personal), main, &personal].concat())
    }

    fn header(&self, main: &[u8], personal: &[u8]) -> [u8; BLOCK_HEADER_LEN] {
        let mut bytes = [0; BLOCK_HEADER_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(4, &INDEXED_VALUES);
        put(6, &self.stream.node.to_le_bytes());
        put(8, &self.stream.incarnation.to_le_bytes());
        put(12, &[self.stream.thread]);
        put(16, &self.first_sequence.to_le_bytes());
        put(24, &self.count.to_le_bytes());
        put(28, &(self.decoded_main_len as u32).to_le_bytes());
        put(32, &(main.len() as u32).to_le_bytes());
        put(36, &(self.decoded_personal_len as u32).to_le_bytes());
        put(40, &(personal.len() as u32).to_le_bytes());
        put(44, &crc32c::crc32c(main).to_le_bytes());
        put(48, &crc32c::crc32c(personal).to_le_bytes());
        put(56, &self.id_ms.0.to_le_bytes());
        put(64, &self.id_ms.1.to_le_bytes());
        put(72, &self.unix_ms.0.to_le_bytes());
        put(80, &self.unix_ms.1.to_le_bytes());
        seal(&mut bytes);
        bytes
    }
}

fn seal(header: &mut [u8]) {
    let crc = crc32c::crc32c(&header[..HEADER_CRC_AT]);
    header[HEADER_CRC_AT..HEADER_CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// What happens to a record's personal fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalAction {
    Keep,
    /// Removes all personal fields, also unknown ones.
    Erase,
    /// Replaces the client's address by its network, and removes the visitor's key, from which the
    /// network's key could find the address.
    TruncateAddress,
}

impl PersonalAction {
    fn write(self, fields: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 2]);
        match self {
            PersonalAction::Keep => out.extend_from_slice(fields),
            PersonalAction::Erase => {}
            PersonalAction::TruncateAddress => {
                let kept = tags(fields).filter(|(tag, _)| *tag != Tag::VisitorKey as u8);
                kept.for_each(|(tag, field)| write_truncated(tag, field, out));
            }
        }
        put_len(out, at, 2);
    }
}

fn write_truncated(tag: u8, field: &[u8], out: &mut Vec<u8>) {
    let value = &field[TAG_HEAD_LEN..];
    let network =
        (tag == Tag::Address as u8).then(|| decode_address(value)).flatten().map(truncate_address);
    out.extend_from_slice(&field[..TAG_HEAD_LEN]);
    match network {
        Some(std::net::IpAddr::V4(v4)) => out.extend_from_slice(&v4.octets()),
        Some(std::net::IpAddr::V6(v6)) => out.extend_from_slice(&v6.octets()),
        None => out.extend_from_slice(value),
    }
}

fn widen(range: &mut (u64, u64), ms: u64) {
    *range = (range.0.min(ms), range.1.max(ms));
}

/// Writes the number of bytes behind `at`, less `excluded`, at `at`.
fn put_len(part: &mut [u8], at: usize, excluded: usize) {
    let len = (part.len() - at - excluded) as u16;
    part[at..at + 2].copy_from_slice(&len.to_le_bytes());
}

/// A block with a valid header and valid checksums.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// Checks the block at the front of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ClickError> {
        let header = bytes.get(..BLOCK_HEADER_LEN).ok_or(ClickError::Truncated {
            part: "block",
            expected: BLOCK_HEADER_LEN,
            got: bytes.len(),
        })?;
        if header[..4] != MAGIC {
            return Err(ClickError::Magic { got: [header[0], header[1], header[2], header[3]] });
        }
        if !(1..=BLOCK_VERSION).contains(&header[4]) {
            let (got, known) = (header[4], BLOCK_VERSION);
            return Err(ClickError::Version { part: "block", got, known });
        }
        check_crc("block header", u32_at(header, HEADER_CRC_AT), &header[..HEADER_CRC_AT])?;
        let block = Self { bytes };
        block.check_fields()?;
        let expected = block.len();
        let bytes = bytes.get(..expected).ok_or(ClickError::Truncated {
            part: "block",
            expected,
            got: bytes.len(),
        })?;
        check_crc("main part", u32_at(bytes, 44), block.main())?;
        check_crc("personal part", u32_at(bytes, 48), block.personal())?;
        Ok(Self { bytes })
    }

    fn check_fields(&self) -> Result<(), ClickError> {
        let field = |field, got: u64| Err(ClickError::Field { field, got });
        if ![INDEXED_VALUES, LZ4].contains(&self.coding()) {
            return field("coding", self.bytes[5].into());
        }
        if self.count() == 0 || self.first_sequence().checked_add(self.count().into()).is_none() {
            return field("number of records", self.count().into());
        }
        let lengths = [28, 32, 36, 40].map(|at| u32_at(self.bytes, at) as usize);
        match lengths.into_iter().find(|len| *len > MAX_STORED_LEN) {
            Some(len) => field("part length", len as u64),
            None => Ok(()),
        }
    }

    /// Length of the whole block in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        BLOCK_HEADER_LEN + self.main_len() + u32_at(self.bytes, 40) as usize
    }

    /// The block's own bytes; excludes the bytes behind the block.
    pub fn as_bytes(&self) -> &'a [u8] {
        &self.bytes[..self.len()]
    }

    pub fn stream(&self) -> StreamId {
        StreamId {
            node: u16_at(self.bytes, 6).unwrap_or_default(),
            incarnation: u32_at(self.bytes, 8),
            thread: self.bytes[12],
        }
    }

    /// Sequence of the first record.
    pub fn first_sequence(&self) -> u64 {
        u64_at(self.bytes, 16)
    }

    /// Sequence of the last record.
    pub fn last_sequence(&self) -> u64 {
        self.first_sequence() + u64::from(self.count()) - 1
    }

    /// Number of records.
    pub fn count(&self) -> u32 {
        u32_at(self.bytes, 24)
    }

    /// Earliest and latest millisecond of its transaction ids.
    pub fn id_ms(&self) -> (u64, u64) {
        (u64_at(self.bytes, 56), u64_at(self.bytes, 64))
    }

    /// Earliest and latest millisecond by the node's clock.
    pub fn unix_ms(&self) -> (u64, u64) {
        (u64_at(self.bytes, 72), u64_at(self.bytes, 80))
    }

    /// Length of both parts, decoded.
    pub(crate) fn decoded_len(&self) -> usize {
        [28, 36].map(|at| u32_at(self.bytes, at) as usize).iter().sum()
    }

    /// Whether a block of the same clicks would be coded alike today.
    pub(crate) fn is_of_present_version(&self) -> bool {
        self.coding() == INDEXED_VALUES
    }

    fn coding(&self) -> [u8; 2] {
        [self.bytes[4], self.bytes[5]]
    }

    fn main_len(&self) -> usize {
        u32_at(self.bytes, 32) as usize
    }

    fn main(&self) -> &'a [u8] {
        self.bytes.get(BLOCK_HEADER_LEN..BLOCK_HEADER_LEN + self.main_len()).unwrap_or_default()
    }

    fn personal(&self) -> &'a [u8] {
        self.bytes.get(BLOCK_HEADER_LEN + self.main_len()..self.len()).unwrap_or_default()
    }

    /// This block with the personal fields as chosen for each click; `None` where nothing changes.
    /// The main part stays byte for byte.
    pub fn with_personal_fields(
        &self,
        mut choose: impl FnMut(&Click<'_>) -> PersonalAction,
    ) -> Result<Option<Vec<u8>>, ClickError> {
        let decoded = self.decode()?;
        let mut personal = Vec::with_capacity(decoded.personal.len());
        for click in decoded.clicks() {
            choose(&click).write(click.personal_tags, &mut personal);
        }
        let is_changed = personal != decoded.personal;
        Ok(is_changed.then(|| self.with_personal_part(&personal)))
    }

    fn with_personal_part(&self, personal: &[u8]) -> Vec<u8> {
        let stored = match self.coding() {
            LZ4 => lz4_flex::block::compress(personal),
            _ => coding::encode_personal(personal),
        };
        let mut block = self.bytes[..BLOCK_HEADER_LEN + self.main_len()].to_vec();
        let mut put = |at: usize, field: u32| {
            block[at..at + 4].copy_from_slice(&field.to_le_bytes());
        };
        put(36, personal.len() as u32);
        put(40, stored.len() as u32);
        put(48, crc32c::crc32c(&stored));
        seal(&mut block[..BLOCK_HEADER_LEN]);
        block.extend_from_slice(&stored);
        block
    }

    /// Decodes the block and checks every record.
    pub fn decode(&self) -> Result<DecodedBlock, ClickError> {
        let decoded = self.decode_parts()?;
        let mut cursor = RecordCursor { decoded: &decoded, main_at: 0, personal_at: 0 };
        for _ in 0..self.count() {
            cursor.next_click()?;
        }
        let (main_at, personal_at) = (cursor.main_at, cursor.personal_at);
        if main_at != decoded.main.len() || personal_at != decoded.personal.len() {
            return Err(ClickError::Field { field: "number of records", got: self.count().into() });
        }
        Ok(decoded)
    }

    fn decode_parts(&self) -> Result<DecodedBlock, ClickError> {
        let [main_len, personal_len] = [28, 36].map(|at| u32_at(self.bytes, at) as usize);
        let (main, personal) = match self.coding() {
            LZ4 => (
                coding::decompress(self.main(), main_len),
                coding::decompress(self.personal(), personal_len),
            ),
            _ => (
                coding::decode_main(self.main(), self.count(), main_len),
                coding::decode_personal(self.personal(), self.count(), personal_len),
            ),
        };
        let main = main.ok_or(ClickError::Coding { part: "main part" })?;
        let personal = personal.ok_or(ClickError::Coding { part: "personal part" })?;
        Ok(DecodedBlock { main, personal })
    }
}

// CRC-32C detects torn and rotten blocks, which is all that is needed: the files have one writer,
// and the processor computes it in hardware.
fn check_crc(part: &'static str, expected: u32, bytes: &[u8]) -> Result<(), ClickError> {
    let got = crc32c::crc32c(bytes);
    if got == expected { Ok(()) } else { Err(ClickError::Checksum { part, expected, got }) }
}

/// A decoded block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedBlock {
    main: Vec<u8>,
    personal: Vec<u8>,
}

impl DecodedBlock {
    /// The clicks in the order of their sequences.
    pub fn clicks(&self) -> impl Iterator<Item = Click<'_>> {
        let mut cursor = RecordCursor { decoded: self, main_at: 0, personal_at: 0 };
        // `Block::decode` has decoded every record before, so an error cannot occur here.
        std::iter::from_fn(move || {
            (cursor.main_at < self.main.len()).then(|| cursor.next_click().ok()).flatten()
        })
    }
}

/// Position of the next record in both parts.
struct RecordCursor<'a> {
    decoded: &'a DecodedBlock,
    main_at: usize,
    personal_at: usize,
}

impl<'a> RecordCursor<'a> {
    fn next_click(&mut self) -> Result<Click<'a>, ClickError> {
        let (click, len) = Click::decode(&self.decoded.main[self.main_at..])?;
        let personal = &self.decoded.personal[self.personal_at..];
        let got = personal.len();
        let truncated = |expected| ClickError::Truncated { part: "personal part", expected, got };
        let personal_len = usize::from(u16_at(personal, 0).ok_or(truncated(2))?);
        let personal_tags = personal.get(2..2 + personal_len).ok_or(truncated(2 + personal_len))?;
        check_tags(personal_tags)?;
        self.main_at += len;
        self.personal_at += 2 + personal_len;
        Ok(Click { personal_tags, ..click })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample_head;
    use super::super::{ClickHead, MAX_RECORD_LEN, Tag, VisitKind, encode_click};
    use super::*;
    use crate::decision::Reason;
    use crate::transaction_id::TransactionId;
    use proptest::prelude::*;

    const STREAM: StreamId = StreamId { node: 3, incarnation: 99, thread: 2 };

    fn record(code_id: u32, tags: &[(Tag, &[u8])]) -> Vec<u8> {
        let mut out = vec![0; MAX_RECORD_LEN];
        let head = ClickHead { code_id, unix_ms: 1000 + u64::from(code_id), ..sample_head() };
        let len = encode_click(&head, b"WiNtEr25", tags, &mut out);
        out.truncate(len);
        out
    }

    fn sample() -> Vec<u8> {
        let mut builder = BlockBuilder::new(STREAM, 41);
        builder.push(&record(1, &[(Tag::Sub1, b"a"), (Tag::UserAgent, b"curl/8")])).unwrap();
        builder.push(&record(2, &[])).unwrap();
        builder.push(&record(3, &[(Tag::Address, &[192, 0, 2, 1]), (Tag::Uid, b"u")])).unwrap();
        builder.finish().unwrap()
    }

    /// The block as version 1 coded it.
    fn as_version_1(block: &[u8]) -> Vec<u8> {
        let decoded = Block::parse(block).unwrap().decode().unwrap();
        let mut header = block[..BLOCK_HEADER_LEN].to_vec();
        header[4..6].copy_from_slice(&LZ4);
        let parts = [decoded.main, decoded.personal].map(|part| lz4_flex::block::compress(&part));
        for (part, (len_at, crc_at)) in parts.iter().zip([(32, 44), (40, 48)]) {
            header[len_at..len_at + 4].copy_from_slice(&(part.len() as u32).to_le_bytes());
            header[crc_at..crc_at + 4].copy_from_slice(&crc32c::crc32c(part).to_le_bytes());
        }
        seal(&mut header);
        [header, parts.concat()].concat()
    }

    fn samples() -> [Vec<u8>; 2] {
        [as_version_1(&sample()), sample()]
    }

    #[test]
    fn a_block_reads_back_as_its_records_in_both_versions() {
        samples().iter().zip(1..).for_each(|(bytes, version)| reads_back(bytes, version));
    }

    fn reads_back(bytes: &[u8], version: u8) {
        assert_eq!(bytes[4], version);
        let block = Block::parse(bytes).unwrap();
        assert_eq!(block.stream(), STREAM);
        assert_eq!((block.first_sequence(), block.last_sequence(), block.count()), (41, 43, 3));
        assert_eq!(block.unix_ms(), (1001, 1003));
        assert_eq!(block.as_bytes(), bytes);
        let decoded = block.decode().unwrap();
        let clicks: Vec<_> = decoded.clicks().collect();
        assert_eq!(clicks.iter().map(|c| c.head.code_id).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(clicks[0].text(Tag::Sub1), "a");
        assert_eq!(clicks[0].text(Tag::UserAgent), "curl/8");
        assert_eq!(clicks[1].tag(Tag::UserAgent), None);
        assert_eq!(clicks[2].address(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(clicks[2].text(Tag::Uid), "u");
    }

    #[test]
    fn personal_fields_stand_in_a_part_of_their_own() {
        let bytes = sample();
        let decoded = Block::parse(&bytes).unwrap().decode().unwrap();
        let contains = |part: &[u8], needle: &[u8]| part.windows(needle.len()).any(|w| w == needle);
        assert!(!contains(&decoded.main, b"curl/8"));
        assert!(contains(&decoded.personal, b"curl/8"));
    }

    #[test]
    fn an_empty_block_is_nothing() {
        assert_eq!(BlockBuilder::new(STREAM, 1).finish(), None);
    }

    #[test]
    fn a_damaged_record_is_refused_and_changes_nothing() {
        let mut builder = BlockBuilder::new(STREAM, 1);
        builder.push(&record(1, &[])).unwrap();
        let mut bad = record(2, &[(Tag::Sub1, b"abc")]);
        bad[2] = 9;
        assert!(builder.push(&bad).is_err());
        builder.push(&record(3, &[])).unwrap();
        let bytes = builder.finish().unwrap();
        let decoded = Block::parse(&bytes).unwrap().decode().unwrap();
        assert_eq!(decoded.clicks().map(|c| c.head.code_id).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_is_read() {
        samples().iter().for_each(|good| refuses_damage(good));
    }

    fn refuses_damage(good: &[u8]) {
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let read = Block::parse(&bad).and_then(|block| block.decode());
            // The four spare bytes behind the header's checksum mean nothing.
            let spare = (92..96).contains(&(bit / 8));
            assert_eq!(read.is_ok(), spare, "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(Block::parse(&good[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn a_version_of_the_future_is_refused_by_its_number() {
        let mut bytes = sample();
        bytes[4] = BLOCK_VERSION + 1;
        seal(&mut bytes[..BLOCK_HEADER_LEN]);
        let refused = Block::parse(&bytes).unwrap_err();
        assert_eq!(refused, ClickError::Version { part: "block", got: 3, known: 2 });
        for (version, coding) in [(1, 2), (2, 1), (2, 0), (2, 3)] {
            bytes[4..6].copy_from_slice(&[version, coding]);
            seal(&mut bytes[..BLOCK_HEADER_LEN]);
            let got = u64::from(coding);
            let refused = ClickError::Field { field: "coding", got };
            assert_eq!(Block::parse(&bytes).unwrap_err(), refused);
        }
    }

    #[test]
    fn a_builder_knows_the_lengths_of_its_block() {
        let mut builder = BlockBuilder::new(STREAM, 41);
        for id in 0..50 {
            let agent = format!("Browser/{}", id % 7);
            builder.push(&record(id, &[(Tag::UserAgent, agent.as_bytes())])).unwrap();
        }
        let (main_len, personal_len) = (builder.main_len(), builder.personal_len());
        let decoded_len = builder.decoded_len();
        let bytes = builder.finish().unwrap();
        let block = Block::parse(&bytes).unwrap();
        let decoded = block.decode().unwrap();
        assert_eq!(BLOCK_HEADER_LEN + block.main().len(), main_len);
        assert_eq!(block.personal()[..4], (personal_len as u32).to_le_bytes());
        assert_eq!(decoded.main.len() + decoded.personal.len(), decoded_len);
    }

    #[test]
    fn an_erased_record_keeps_all_but_its_personal_fields() {
        let mut tagged = record(2, &[(Tag::Sub1, b"a"), (Tag::Language, b"de"), (Tag::Uid, b"u")]);
        let unknown_personal = tagged.windows(5).position(|w| w[3..] == *b"de").unwrap();
        tagged[unknown_personal] = 250;
        let mut builder = BlockBuilder::new(STREAM, 41);
        builder.push(&record(1, &[(Tag::UserAgent, b"curl/8")])).unwrap();
        builder.push(&tagged).unwrap();
        let bytes = builder.finish().unwrap();
        [as_version_1(&bytes), bytes].iter().for_each(|bytes| erases_only_record_2(bytes));
    }

    fn erases_only_record_2(bytes: &[u8]) {
        let block = Block::parse(bytes).unwrap();
        let erase = |click: &Click<'_>| match click.head.code_id {
            2 => PersonalAction::Erase,
            _ => PersonalAction::Keep,
        };
        let erased = block.with_personal_fields(erase).unwrap().unwrap();
        let decoded = Block::parse(&erased).unwrap().decode().unwrap();
        let clicks: Vec<_> = decoded.clicks().collect();
        assert_eq!(
            (clicks[0].text(Tag::UserAgent).as_ref(), clicks[0].is_personal()),
            ("curl/8", true)
        );
        assert_eq!((clicks[1].text(Tag::Sub1), clicks[1].text(Tag::Uid)), ("a".into(), "u".into()));
        assert!(!clicks[1].is_personal());
        assert!(!decoded.personal.windows(2).any(|w| w == b"de"));
        assert_eq!(erased[4], bytes[4], "the version stays");
    }

    fn any_tags() -> impl Strategy<Value = Vec<(Tag, Vec<u8>)>> {
        let address = prop_oneof![
            any::<[u8; 4]>().prop_map(|v4| v4.to_vec()),
            any::<[u8; 16]>().prop_map(|v6| v6.to_vec()),
            proptest::collection::vec(any::<u8>(), 0..16),
        ];
        let text = || proptest::collection::vec(any::<u8>(), 0..100);
        let key = any::<[u8; 8]>().prop_map(Vec::from);
        (address, text(), text(), text(), key).prop_map(|(address, agent, sub1, referer, key)| {
            let tags = [Tag::Address, Tag::UserAgent, Tag::Sub1, Tag::VisitorKey, Tag::Referer];
            tags.into_iter().zip([address, agent, sub1, key, referer]).collect()
        })
    }

    /// Times and ids that repeat and jump.
    fn any_head() -> impl Strategy<Value = ClickHead> {
        let time = || prop_oneof![4 => 1000..1003u64, 1 => any::<u64>()];
        let number = || prop_oneof![4 => 0..3u32, 1 => any::<u32>()];
        let byte = prop_oneof![9 => Just(0), 1 => any::<u8>()];
        let id = proptest::array::uniform16(byte).prop_map(TransactionId);
        let kind = proptest::sample::select(VisitKind::ALL.to_vec());
        let numbers = proptest::array::uniform5(number());
        (id, time(), time(), kind, numbers).prop_map(|(id, unix_ms, generation, kind, numbers)| {
            let [code_id, offer_id, partner_id, advertiser_id, rule] = numbers;
            let (transaction_id, reason) = (id, Reason::ALL[rule as usize % Reason::ALL.len()]);
            ClickHead {
                transaction_id,
                unix_ms,
                generation,
                code_id,
                offer_id,
                partner_id,
                advertiser_id,
                reason,
                kind,
                rule,
            }
        })
    }

    /// Records with tags of the past and of the future, in any order, and values that repeat.
    fn any_record() -> impl Strategy<Value = Vec<u8>> {
        let known = vec![vec![], b"a".to_vec(), b"abcd".to_vec(), b"abcde".to_vec()];
        let known = proptest::sample::select(known);
        let value = prop_oneof![3 => known, 1 => proptest::collection::vec(any::<u8>(), 0..300)];
        let tag = proptest::sample::select(vec![1, 8, 128, 129]);
        let tag = prop_oneof![3 => tag, 1 => any::<u8>()];
        let fields = proptest::collection::vec((tag, value.clone()), 0..6);
        (any_head(), value, fields).prop_map(|(head, code, fields)| {
            let mut record = vec![0; MAX_RECORD_LEN];
            let len = encode_click(&head, &code, &[], &mut record);
            record.truncate(len);
            for (tag, value) in fields {
                record.push(tag);
                record.extend_from_slice(&(value.len() as u16).to_le_bytes());
                record.extend_from_slice(&value);
            }
            put_len(&mut record, 0, 0);
            record
        })
    }

    proptest! {
        #[test]
        fn rewriting_the_personal_part_changes_what_was_chosen_and_nothing_else(
            records in proptest::collection::vec(
                (any_tags(), prop_oneof![
                    Just(PersonalAction::Keep), Just(PersonalAction::Erase), Just(PersonalAction::TruncateAddress)
                ]), 1..20),
            is_version_1 in any::<bool>(),
        ) {
            let mut builder = BlockBuilder::new(STREAM, 41);
            for (id, (tags, _)) in (0..).zip(&records) {
                let tags: Vec<_> = tags.iter().map(|(tag, value)| (*tag, &value[..])).collect();
                builder.push(&record(id, &tags)).unwrap();
            }
            let bytes = builder.finish().unwrap();
            let bytes = if is_version_1 { as_version_1(&bytes) } else { bytes };
            let old = Block::parse(&bytes).unwrap();
            let choose = |click: &Click<'_>| records[click.head.code_id as usize].1;
            let new = old.with_personal_fields(choose).unwrap();
            let bytes = new.as_deref().unwrap_or(&bytes);
            let block = Block::parse(bytes).unwrap();
            prop_assert_eq!(block.len(), bytes.len());
            prop_assert_eq!(block.main(), old.main());
            let untouched = |block: &Block<'_>| {
                let header = &block.bytes[..HEADER_CRC_AT];
                [&header[..36], &header[44..48], &header[52..]].concat()
            };
            prop_assert_eq!(untouched(&block), untouched(&old));
            prop_assert_eq!(block.with_personal_fields(choose).unwrap(), None, "a second time changes nothing");

            let (before, after) = (old.decode().unwrap(), block.decode().unwrap());
            for ((was, now), (_, chosen)) in before.clicks().zip(after.clicks()).zip(&records) {
                prop_assert_eq!((was.head, was.code, was.main_tags), (now.head, now.code, now.main_tags));
                match chosen {
                    PersonalAction::Keep => prop_assert_eq!(now, was),
                    PersonalAction::Erase => prop_assert!(!now.is_personal()),
                    PersonalAction::TruncateAddress => {
                        prop_assert_eq!(now.address(), was.address().map(truncate_address));
                        prop_assert_eq!(now.tag(Tag::VisitorKey), None);
                        prop_assert_eq!(now.tag(Tag::UserAgent), was.tag(Tag::UserAgent));
                        prop_assert_eq!(now.tag(Tag::Referer), was.tag(Tag::Referer));
                    }
                }
            }
        }

        #[test]
        fn any_records_read_back_in_both_versions(
            records in proptest::collection::vec(any_record(), 1..40),
        ) {
            let mut builder = BlockBuilder::new(STREAM, 41);
            for record in &records {
                prop_assert_eq!(builder.push(record), Ok(record.len()));
            }
            let bytes = builder.finish().unwrap();
            let block = Block::parse(&bytes).unwrap();
            let decoded = block.decode().unwrap();
            let old = as_version_1(&bytes);
            prop_assert_eq!(&Block::parse(&old).unwrap().decode().unwrap(), &decoded);
            prop_assert_eq!(decoded.clicks().count(), records.len());
            for (record, read) in records.iter().zip(decoded.clicks()) {
                let (written, _) = Click::decode(record).unwrap();
                prop_assert_eq!((read.head, read.code), (written.head, written.code));
                let is_personal = |(tag, _): &(u8, &[u8])| *tag >= FIRST_PERSONAL_TAG;
                let (personal, main): (Vec<_>, Vec<_>) = tags(written.main_tags).partition(is_personal);
                prop_assert_eq!(tags(read.main_tags).collect::<Vec<_>>(), main);
                prop_assert_eq!(tags(read.personal_tags).collect::<Vec<_>>(), personal);
            }
        }

        #[test]
        fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = bytes;
            if bytes.len() > 8 {
                bytes[..4].copy_from_slice(&MAGIC);
            }
            if let Ok(block) = Block::parse(&bytes) {
                let _ = block.decode();
            }
        }

        #[test]
        fn no_change_under_right_checksums_panics_or_yields_more_than_it_says(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            mut bytes in proptest::sample::select(samples().to_vec()),
        ) {
            for (at, to) in &changes {
                *at.get_mut(&mut bytes) = *to;
            }
            let main_to = BLOCK_HEADER_LEN.saturating_add(u32_at(&bytes, 32) as usize).min(bytes.len());
            for (at, part) in [(44, BLOCK_HEADER_LEN..main_to), (48, main_to..bytes.len())] {
                let crc = crc32c::crc32c(&bytes[part]);
                bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
            }
            seal(&mut bytes[..BLOCK_HEADER_LEN]);
            if let Ok(block) = Block::parse(&bytes)
                && let Ok(decoded) = block.decode()
            {
                prop_assert_eq!(decoded.clicks().count(), block.count() as usize);
                prop_assert!(decoded.main.len() <= MAX_PART_LEN + MAX_PART_LEN / 64);
                block.with_personal_fields(|_| PersonalAction::TruncateAddress).unwrap();
            }
        }
    }
}
