//! The coding of a block's two parts in format version 2.
//!
//! A number is written in groups of seven bits, the lowest first; the high bit of a byte says that
//! another follows. A signed number is zigzag-coded before. A **value** is a number, and for a new
//! value its bytes: an even number is twice the length of the bytes behind it, an odd one is twice
//! the index of an earlier value of the same part, plus 1. Values of at least [`MIN_INDEXED_LEN`]
//! bytes and lists with any tag have an index, counted from 0 in the order of their bytes.
//!
//! The **main part** has for each record:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | which of the fields marked by a bit follow; the other ones are as said in the last column |
//! | signed number | milliseconds by the clock, less those of the record before |
//! | 4 | the last four bytes of the transaction id |
//! | signed number | bit 0: milliseconds of the transaction id, less those by the clock; else 0 |
//! | 2 | bit 1: bytes 6 and 7 of the id; else one more than in the record before if the id has the same milliseconds, and 0x7000 if it has others |
//! | 4 | bit 2: bytes 8 to 11 of the id; else as before |
//! | number | bit 3: generation; else as before |
//! | 2 | bit 4: reason and kind; else as before |
//! | value | coupon code id, offer id, partner id, advertiser id and rule (numbers); the code |
//! | value | the list of tags, a byte each |
//! | values | the field of each tag |
//!
//! Before the first record, every field is 0.
//!
//! The **personal part** has for each record the value of its list of tags, and the value of each
//! tag's field; all of that is compressed (LZ4) behind its length (4 bytes, little endian).
//!
//! So a host, a code or a user agent that comes again in a block takes a byte or two, and LZ4 reads
//! each user agent once. For clicks with user agents as various as those of phones, LZ4 alone
//! (version 1) takes 1.5 times the instructions and makes blocks a third longer. Indexes without
//! LZ4 take half the instructions, but make blocks 2.5 times as long: a new user agent is like
//! earlier ones and rarely equal.

use super::super::{ClickHead, HEAD_LEN, RECORD_VERSION, TAG_HEAD_LEN, TransactionId, tags};
use super::MAX_STORED_LEN;

/// Shorter values have no index: they are nearly as short as the index.
const MIN_INDEXED_LEN: usize = 5;
/// Slots of the encoder's table. A value that loses its slot to another is written anew when it
/// comes again.
const SLOTS: usize = 512;

const OTHER_ID_TIME: u8 = 1;
const OTHER_COUNTER: u8 = 2;
const OTHER_ORIGIN: u8 = 4;
const OTHER_GENERATION: u8 = 8;
const OTHER_OUTCOME: u8 = 16;
const ALL_BITS: u8 = 31;

/// Bytes 6 and 7 of the first id in a millisecond.
const FIRST_COUNTER: u16 = 0x7000;

/// Writes a main part.
pub(super) struct MainEncoder {
    /// After [`MainEncoder::begin_record`] takes the fields of the record's tags.
    pub(super) values: ValueEncoder,
    before: Repeatable,
    code_value: Vec<u8>,
}

impl MainEncoder {
    pub(super) fn new() -> Self {
        let (before, code_value) = Default::default();
        Self { values: ValueEncoder::new(), before, code_value }
    }

    /// Writes a record up to the fields of its tags.
    pub(super) fn begin_record(&mut self, head: &ClickHead, code: &[u8], tags: &[u8]) {
        self.put_head(head);
        self.code_value.clear();
        for id in [head.code_id, head.offer_id, head.partner_id, head.advertiser_id, head.rule] {
            push_number(&mut self.code_value, id.into());
        }
        self.code_value.extend_from_slice(code);
        self.values.put(&self.code_value);
        self.values.put_list(tags);
    }

    fn put_head(&mut self, head: &ClickHead) {
        let [_, _, _, _, _, _, c0, c1, o0, o1, o2, o3, m0, m1, m2, m3] = head.transaction_id.0;
        let now = Repeatable {
            unix_ms: head.unix_ms,
            id_ms: head.transaction_id.unix_ms(),
            counter: u16::from_be_bytes([c0, c1]),
            origin: [o0, o1, o2, o3],
            generation: head.generation,
            outcome: [head.reason as u8, head.kind as u8],
        };
        let (before, out) = (&self.before, &mut self.values.bytes);
        let bits = now.bits_unlike(before);
        let later_ms = zigzag(now.unix_ms.wrapping_sub(before.unix_ms));
        match later_ms {
            // One write for the usual case.
            0..0x80 => out.extend_from_slice(&[bits, later_ms as u8, m0, m1, m2, m3]),
            _ => {
                out.push(bits);
                push_number(out, later_ms);
                out.extend_from_slice(&[m0, m1, m2, m3]);
            }
        }
        if bits != 0 {
            now.put_unlike(bits, out);
        }
        self.before = now;
    }
}

/// Fields of a record that the next record may repeat.
#[derive(Default)]
struct Repeatable {
    unix_ms: u64,
    id_ms: u64,
    counter: u16,
    origin: [u8; 4],
    generation: u64,
    /// Reason and kind.
    outcome: [u8; 2],
}

impl Repeatable {
    fn next_counter(&self, id_ms: u64) -> u16 {
        if id_ms == self.id_ms { self.counter.wrapping_add(1) } else { FIRST_COUNTER }
    }
    fn bits_unlike(&self, before: &Repeatable) -> u8 {
        let bit = |is_unlike: bool, bit: u8| if is_unlike { bit } else { 0 };
        bit(self.id_ms != self.unix_ms, OTHER_ID_TIME)
            | bit(self.counter != before.next_counter(self.id_ms), OTHER_COUNTER)
            | bit(self.origin != before.origin, OTHER_ORIGIN)
            | bit(self.generation != before.generation, OTHER_GENERATION)
            | bit(self.outcome != before.outcome, OTHER_OUTCOME)
    }

    fn put_unlike(&self, bits: u8, out: &mut Vec<u8>) {
        if bits & OTHER_ID_TIME != 0 {
            push_number(out, zigzag(self.id_ms.wrapping_sub(self.unix_ms)));
        }
        if bits & OTHER_COUNTER != 0 {
            out.extend_from_slice(&self.counter.to_be_bytes());
        }
        if bits & OTHER_ORIGIN != 0 {
            out.extend_from_slice(&self.origin);
        }
        if bits & OTHER_GENERATION != 0 {
            push_number(out, self.generation);
        }
        if bits & OTHER_OUTCOME != 0 {
            out.extend_from_slice(&self.outcome);
        }
    }

    /// Reads the fields that stand before a record's code, and returns the record's id.
    fn read_next(&mut self, part: &mut ValueReader<'_>) -> Option<TransactionId> {
        let [bits] = part.array()?;
        if bits & !ALL_BITS != 0 {
            return None;
        }
        let has = |bit| bits & bit != 0;
        self.unix_ms = self.unix_ms.wrapping_add(part.signed()?);
        let mac: [u8; 4] = part.array()?;
        let id_ms = match has(OTHER_ID_TIME) {
            true => self.unix_ms.wrapping_add(part.signed()?),
            false => self.unix_ms,
        };
        self.counter = match has(OTHER_COUNTER) {
            true => u16::from_be_bytes(part.array()?),
            false => self.next_counter(id_ms),
        };
        self.id_ms = id_ms;
        if has(OTHER_ORIGIN) {
            self.origin = part.array()?;
        }
        if has(OTHER_GENERATION) {
            self.generation = part.number()?;
        }
        if has(OTHER_OUTCOME) {
            self.outcome = part.array()?;
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(id_ms << 16 | u64::from(self.counter)).to_be_bytes());
        id[8..12].copy_from_slice(&self.origin);
        id[12..].copy_from_slice(&mac);
        Some(TransactionId(id))
    }
}

/// Writes values, and indexes of values that came before.
pub(super) struct ValueEncoder {
    bytes: Vec<u8>,
    /// Position and length of the indexed values.
    indexed: Vec<(u32, u32)>,
    /// By hash, the index plus 1 of a value; 0 for none.
    slots: [u16; SLOTS],
}

impl ValueEncoder {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(4096), indexed: Vec::new(), slots: [0; SLOTS] }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The values as a personal part.
    pub(super) fn compress(&self) -> Vec<u8> {
        let len = (self.bytes.len() as u32).to_le_bytes();
        [&len[..], &lz4_flex::block::compress(&self.bytes)].concat()
    }

    #[inline]
    pub(super) fn put(&mut self, value: &[u8]) {
        if value.len() < MIN_INDEXED_LEN { self.put_new(value) } else { self.put_indexed(value) }
    }

    /// Writes a list of tags, which has an index however short it is.
    #[inline]
    pub(super) fn put_list(&mut self, tags: &[u8]) {
        if tags.is_empty() { self.put_new(tags) } else { self.put_indexed(tags) }
    }

    fn put_indexed(&mut self, value: &[u8]) {
        let slot = (hash(value) >> (u64::BITS - SLOTS.ilog2())) as usize;
        if let Some(index) = self.index_if_equal(self.slots[slot], value) {
            return push_number(&mut self.bytes, index << 1 | 1);
        }
        self.put_new(value);
        let at = self.bytes.len() - value.len();
        self.indexed.push((at as u32, value.len() as u32));
        // Later values of so long a part are not found again.
        self.slots[slot] = u16::try_from(self.indexed.len()).unwrap_or(0);
    }

    #[inline]
    fn put_new(&mut self, value: &[u8]) {
        push_number(&mut self.bytes, (value.len() as u64) << 1);
        self.bytes.extend_from_slice(value);
    }

    #[inline]
    fn index_if_equal(&self, index_plus_1: u16, value: &[u8]) -> Option<u64> {
        let index = index_plus_1.checked_sub(1)?;
        let (at, len) = *self.indexed.get(usize::from(index))?;
        let earlier = self.bytes.get(at as usize..at as usize + len as usize)?;
        (earlier == value).then_some(index.into())
    }
}

/// Spreads values over the slots. A visitor who makes values collide makes only blocks longer.
fn hash(value: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = value.as_chunks();
    let mut hash = value.len() as u64;
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let rest = match value.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    mix(hash, rest)
}

fn zigzag(number: u64) -> u64 {
    let sign = (number as i64 >> 63) as u64;
    number << 1 ^ sign
}

#[inline]
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a part.
struct ValueReader<'a> {
    rest: &'a [u8],
    indexed: Vec<&'a [u8]>,
}

impl<'a> ValueReader<'a> {
    fn new(part: &'a [u8]) -> Self {
        Self { rest: part, indexed: Vec::new() }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<u64> {
        let number = self.number()?;
        Some(number >> 1 ^ (number & 1).wrapping_neg())
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        self.value_indexed_from(MIN_INDEXED_LEN)
    }

    fn list(&mut self) -> Option<&'a [u8]> {
        self.value_indexed_from(1)
    }

    fn value_indexed_from(&mut self, min_len: usize) -> Option<&'a [u8]> {
        let number = self.number()?;
        let half = usize::try_from(number >> 1).ok()?;
        if number & 1 == 1 {
            return self.indexed.get(half).copied();
        }
        let (value, rest) = self.rest.split_at_checked(half)?;
        self.rest = rest;
        if value.len() >= min_len {
            self.indexed.push(value);
        }
        Some(value)
    }

    /// Reads a list of tags and their values, and appends the tagged fields; refuses to make `out`
    /// longer than `max_len`.
    fn tagged_fields(&mut self, out: &mut Vec<u8>, max_len: usize) -> Option<()> {
        for tag in self.list()? {
            let value = self.value()?;
            if out.len() + TAG_HEAD_LEN + value.len() > max_len {
                return None;
            }
            out.push(*tag);
            out.extend_from_slice(&u16::try_from(value.len()).ok()?.to_le_bytes());
            out.extend_from_slice(value);
        }
        Some(())
    }
}

/// Codes a personal part, given as [`decode_personal`] returns it.
pub(super) fn encode_personal(decoded: &[u8]) -> Vec<u8> {
    let (mut encoder, mut list, mut rest) = (ValueEncoder::new(), Vec::new(), decoded);
    while let Some((len, after)) = rest.split_first_chunk() {
        let (fields, after) = after.split_at(usize::from(u16::from_le_bytes(*len)));
        list.clear();
        list.extend(tags(fields).map(|(tag, _)| tag));
        encoder.put_list(&list);
        tags(fields).for_each(|(_, field)| encoder.put(&field[TAG_HEAD_LEN..]));
        rest = after;
    }
    encoder.compress()
}

/// Decodes a main part into records without personal fields; `None` for a damaged part. `len` is
/// the length of all records.
pub(super) fn decode_main(part: &[u8], records: u32, len: usize) -> Option<Vec<u8>> {
    let (mut part, mut before) = (ValueReader::new(part), Repeatable::default());
    let mut out = Vec::with_capacity(len);
    for _ in 0..records {
        let at = out.len();
        let id = before.read_next(&mut part)?;
        let mut code = ValueReader::new(part.value()?);
        let mut head = [0; HEAD_LEN];
        head[2] = RECORD_VERSION;
        head[3..5].copy_from_slice(&before.outcome);
        head[8..24].copy_from_slice(&id.0);
        head[24..32].copy_from_slice(&before.unix_ms.to_le_bytes());
        head[32..40].copy_from_slice(&before.generation.to_le_bytes());
        for field in head[40..].as_chunks_mut::<4>().0 {
            *field = u32::try_from(code.number()?).ok()?.to_le_bytes();
        }
        head[5] = u8::try_from(code.rest.len()).ok()?;
        if at + HEAD_LEN + code.rest.len() > len {
            return None;
        }
        out.extend_from_slice(&head);
        out.extend_from_slice(code.rest);
        part.tagged_fields(&mut out, len)?;
        write_len(&mut out, at, 0)?;
    }
    (part.rest.is_empty() && out.len() == len).then_some(out)
}

/// Decodes a personal part into the length and the tagged fields of each record; `None` for a
/// damaged part. `len` is the length of the result.
pub(super) fn decode_personal(part: &[u8], records: u32, len: usize) -> Option<Vec<u8>> {
    let (values_len, compressed) = part.split_first_chunk()?;
    let values_len = u32::from_le_bytes(*values_len) as usize;
    let values = decompress(compressed, values_len)?;
    let mut part = ValueReader::new(&values);
    let mut out = Vec::with_capacity(len);
    for _ in 0..records {
        let at = out.len();
        if at + 2 > len {
            return None;
        }
        out.extend_from_slice(&[0; 2]);
        part.tagged_fields(&mut out, len)?;
        write_len(&mut out, at, 2)?;
    }
    (part.rest.is_empty() && out.len() == len).then_some(out)
}

/// Decompresses LZ4; `None` for damaged bytes. `len` is the length of the result.
pub(super) fn decompress(compressed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > MAX_STORED_LEN {
        return None;
    }
    lz4_flex::block::decompress(compressed, len).ok().filter(|bytes| bytes.len() == len)
}

/// Writes the number of bytes behind `at`, less `excluded`, at `at`.
fn write_len(out: &mut [u8], at: usize, excluded: usize) -> Option<()> {
    let len = u16::try_from(out.len() - at - excluded).ok()?;
    out[at..at + 2].copy_from_slice(&len.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The personal parts of records with one field each.
    fn personal(fields: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u8>, u32) {
        let (mut decoded, mut records) = (Vec::new(), 0);
        for field in fields {
            let len = field.len() as u16;
            decoded.extend_from_slice(&(len + TAG_HEAD_LEN as u16).to_le_bytes());
            decoded.push(129);
            decoded.extend_from_slice(&len.to_le_bytes());
            decoded.extend_from_slice(&field);
            records += 1;
        }
        (decoded, records)
    }

    #[test]
    fn a_field_that_comes_again_takes_two_bytes() {
        let mut encoder = ValueEncoder::new();
        for _ in 0..100 {
            encoder.put_list(&[129]);
            encoder.put(&[b'x'; 400]);
        }
        assert_eq!(encoder.len(), 2 + 402 + 99 * 2);
    }

    #[test]
    fn more_values_than_have_an_index_in_the_table_read_back() {
        let fields = (0..70_000_u32).chain(60_000..66_000);
        let (decoded, records) = personal(fields.map(|n| format!("{n:05}").into_bytes()));
        let part = encode_personal(&decoded);
        assert!(decode_personal(&part, records, decoded.len()) == Some(decoded));
    }

    #[test]
    fn a_part_is_never_decoded_to_more_than_its_length() {
        let (decoded, records) = personal(std::iter::repeat_n(vec![b'x'; 400], 100));
        let part = encode_personal(&decoded);
        for len in [0, 1, 2, 405, decoded.len() - 1, decoded.len() + 1] {
            assert_eq!(decode_personal(&part, records, len), None, "{len}");
            assert_eq!(decode_main(&part, records, len), None, "{len}");
        }
        for cut in 0..part.len() {
            assert_eq!(decode_personal(&part[..cut], records, decoded.len()), None, "{cut}");
        }
        let huge = [&u32::MAX.to_le_bytes(), &part[4..]].concat();
        assert_eq!(decode_personal(&huge, records, decoded.len()), None);
        assert_eq!(decode_personal(&part, records + 1, decoded.len()), None);
        assert_eq!(decode_personal(&part, records - 1, decoded.len()), None);
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_never_panics_or_exceeds_the_length(
            part in proptest::collection::vec(prop_oneof![0..8u8, any::<u8>()], 0..200),
            records in 0..50u32,
            len in 0..5000usize,
        ) {
            for decoded in [decode_main(&part, records, len), decode_personal(&part, records, len)] {
                prop_assert!(decoded.is_none_or(|decoded| decoded.len() == len));
            }
        }
    }
}
