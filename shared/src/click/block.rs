//! The block: consecutive click records of one stream, on the wire and on disk.
//!
//! # Bytes, format version 1
//!
//! Numbers are little endian. A block is the header, the main part, the personal part.
//!
//! | offset | size | header field |
//! |---|---|---|
//! | 0 | 4 | magic `CLKB` |
//! | 4 | 1 | block version |
//! | 5 | 1 | compression of both parts: 1 = LZ4 block |
//! | 6 | 2 | node |
//! | 8 | 4 | incarnation |
//! | 12 | 1 | thread |
//! | 13 | 3 | zero |
//! | 16 | 8 | sequence of the first record |
//! | 24 | 4 | number of records, at least 1 |
//! | 28 | 4 | length of the main part before compression |
//! | 32 | 4 | length of the main part as stored |
//! | 36 | 4 | length of the personal part before compression |
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
//! The main part is the records one after the other, each with its length mended to what is left
//! after its personal fields were taken out. The personal part has, for each record in turn, the
//! length (2) of its personal fields and the fields.

use super::{
    Click, ClickError, FIRST_PERSONAL_TAG, StreamId, TAG_HEAD_LEN, Tag, check_tags, decode_address,
    split_tag, tags, truncate_address, u16_at, u32_at, u64_at,
};

/// Version of the block format.
pub const BLOCK_VERSION: u8 = 1;
/// Length of a block's header.
pub const BLOCK_HEADER_LEN: usize = 96;
/// Longest part before compression. A reader refuses more, so a damaged or hostile length cannot
/// make it allocate.
pub const MAX_PART_LEN: usize = 1 << 20;

const MAGIC: [u8; 4] = *b"CLKB";
const LZ4: u8 = 1;
const HEADER_CRC_AT: usize = 88;

/// Collects records of one stream into a block.
pub struct BlockBuilder {
    stream: StreamId,
    first_sequence: u64,
    count: u32,
    main: Vec<u8>,
    personal: Vec<u8>,
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
            main: Vec::new(),
            personal: Vec::new(),
            id_ms: (u64::MAX, 0),
            unix_ms: (u64::MAX, 0),
        }
    }

    /// Adds the record at the front of `bytes` and returns its length. A damaged record is refused
    /// and changes nothing.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, ClickError> {
        let (click, len) = Click::decode(bytes)?;
        let (main_at, personal_at) = (self.main.len(), self.personal.len());
        self.main.extend_from_slice(&bytes[..len - click.main_tags.len()]);
        self.personal.extend_from_slice(&[0; 2]);
        let mut rest = click.main_tags;
        while let Some((field, after)) = split_tag(rest)? {
            let part =
                if field[0] >= FIRST_PERSONAL_TAG { &mut self.personal } else { &mut self.main };
            part.extend_from_slice(field);
            rest = after;
        }
        put_len(&mut self.main, main_at, 0);
        put_len(&mut self.personal, personal_at, 2);
        self.count += 1;
        widen(&mut self.id_ms, click.head.transaction_id.unix_ms());
        widen(&mut self.unix_ms, click.head.unix_ms);
        Ok(len)
    }

    /// Number of records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far, before compression.
    pub fn raw_len(&self) -> usize {
        self.main.len() + self.personal.len()
    }

    /// The block's bytes; `None` for a block without records.
    pub fn finish(self) -> Option<Vec<u8>> {
        if self.count == 0 {
            return None;
        }
        // LZ4 because blocks are packed and read on the way of every click: it decompresses at
        // several GB/s, and records of one stream repeat enough to shrink well.
        let main = lz4_flex::block::compress(&self.main);
        let personal = lz4_flex::block::compress(&self.personal);
        let mut block = Vec::with_capacity(BLOCK_HEADER_LEN + main.len() + personal.len());
        block.extend_from_slice(&self.header(&main, &personal));
        block.extend_from_slice(&main);
        block.extend_from_slice(&personal);
        Some(block)
    }

    fn header(&self, main: &[u8], personal: &[u8]) -> [u8; BLOCK_HEADER_LEN] {
        let mut bytes = [0; BLOCK_HEADER_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(4, &[BLOCK_VERSION, LZ4]);
        put(6, &self.stream.node.to_le_bytes());
        put(8, &self.stream.incarnation.to_le_bytes());
        put(12, &[self.stream.thread]);
        put(16, &self.first_sequence.to_le_bytes());
        put(24, &self.count.to_le_bytes());
        put(28, &(self.main.len() as u32).to_le_bytes());
        put(32, &(main.len() as u32).to_le_bytes());
        put(36, &(self.personal.len() as u32).to_le_bytes());
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
    /// Replaces the client's address by its network.
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
                tags(fields).for_each(|(tag, field)| write_truncated(tag, field, out));
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
        if header[4] != BLOCK_VERSION {
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
        if self.bytes[5] != LZ4 {
            return field("compression", self.bytes[5].into());
        }
        if self.count() == 0 || self.first_sequence().checked_add(self.count().into()).is_none() {
            return field("number of records", self.count().into());
        }
        let lengths = [28, 32, 36, 40].map(|at| u32_at(self.bytes, at) as usize);
        // LZ4 adds at most a small share to incompressible bytes.
        match lengths.into_iter().find(|len| *len > MAX_PART_LEN + MAX_PART_LEN / 64) {
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
        let stored = lz4_flex::block::compress(personal);
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

    /// Decompresses the block and checks every record.
    pub fn decode(&self) -> Result<DecodedBlock, ClickError> {
        let main = decompress("main part", self.main(), u32_at(self.bytes, 28))?;
        let personal = decompress("personal part", self.personal(), u32_at(self.bytes, 36))?;
        let decoded = DecodedBlock { main, personal };
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
}

// CRC-32C detects torn and rotten blocks, which is all that is needed: the files have one writer,
// and the processor computes it in hardware.
fn check_crc(part: &'static str, expected: u32, bytes: &[u8]) -> Result<(), ClickError> {
    let got = crc32c::crc32c(bytes);
    if got == expected { Ok(()) } else { Err(ClickError::Checksum { part, expected, got }) }
}

fn decompress(part: &'static str, stored: &[u8], raw_len: u32) -> Result<Vec<u8>, ClickError> {
    lz4_flex::block::decompress(stored, raw_len as usize)
        .ok()
        .filter(|raw| raw.len() == raw_len as usize)
        .ok_or(ClickError::Compression { part })
}

/// A decompressed block.
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
    use super::super::{ClickHead, MAX_RECORD_LEN, Tag, encode_click};
    use super::*;
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

    #[test]
    fn a_block_reads_back_as_its_records() {
        let bytes = sample();
        let block = Block::parse(&bytes).unwrap();
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
        let good = sample();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
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
    fn an_erased_record_keeps_all_but_its_personal_fields() {
        let mut tagged = record(2, &[(Tag::Sub1, b"a"), (Tag::Language, b"de"), (Tag::Uid, b"u")]);
        let unknown_personal = tagged.windows(5).position(|w| w[3..] == *b"de").unwrap();
        tagged[unknown_personal] = 250;
        let mut builder = BlockBuilder::new(STREAM, 41);
        builder.push(&record(1, &[(Tag::UserAgent, b"curl/8")])).unwrap();
        builder.push(&tagged).unwrap();
        let bytes = builder.finish().unwrap();
        let block = Block::parse(&bytes).unwrap();
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
    }

    fn any_tags() -> impl Strategy<Value = Vec<(Tag, Vec<u8>)>> {
        let address = prop_oneof![
            any::<[u8; 4]>().prop_map(|v4| v4.to_vec()),
            any::<[u8; 16]>().prop_map(|v6| v6.to_vec()),
            proptest::collection::vec(any::<u8>(), 0..16),
        ];
        let text = || proptest::collection::vec(any::<u8>(), 0..100);
        (address, text(), text(), text()).prop_map(|(address, agent, sub1, referer)| {
            let tags = [Tag::Address, Tag::UserAgent, Tag::Sub1, Tag::Referer];
            tags.into_iter().zip([address, agent, sub1, referer]).collect()
        })
    }

    proptest! {
        #[test]
        fn rewriting_the_personal_part_changes_what_was_chosen_and_nothing_else(
            records in proptest::collection::vec(
                (any_tags(), prop_oneof![
                    Just(PersonalAction::Keep), Just(PersonalAction::Erase), Just(PersonalAction::TruncateAddress)
                ]), 1..20),
        ) {
            let mut builder = BlockBuilder::new(STREAM, 41);
            for (id, (tags, _)) in (0..).zip(&records) {
                let tags: Vec<_> = tags.iter().map(|(tag, value)| (*tag, &value[..])).collect();
                builder.push(&record(id, &tags)).unwrap();
            }
            let bytes = builder.finish().unwrap();
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
                        prop_assert_eq!(now.tag(Tag::UserAgent), was.tag(Tag::UserAgent));
                        prop_assert_eq!(now.tag(Tag::Referer), was.tag(Tag::Referer));
                    }
                }
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
        ) {
            let mut bytes = sample();
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
