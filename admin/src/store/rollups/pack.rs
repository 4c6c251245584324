//! The pack: counts of one hour or one day, sorted by coupon code.
//!
//! # Bytes, format version 3
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | magic `CPAK` |
//! | 4 | 1 | version |
//! | 5 | 1 | 1 if rows have a quarter of the hour, else 0 |
//! | 6 | 2 | zero |
//! | 8 | 4 | number of texts |
//! | 12 | 4 | number of kinds |
//! | 16 | 4 | number of rows |
//! | 20 | … | texts, kinds, rows |
//! | end − 4 | 4 | CRC-32C of all bytes before |
//!
//! Fixed numbers are little endian; all others are varints of base 128, least significant group
//! first. A **text** is its length and its UTF-8. A **kind** is shared by rows: offer, partner,
//! advertiser, further value, currency; the last two are 0 for none, otherwise the number of a
//! text, from 1. A **row** is
//!
//! - its coupon code id, minus the id of the previous row;
//! - the number of its kind from 0; in packs with quarters times 4 plus the quarter;
//! - a set of measures as bits, the first measure lowest;
//! - for each measure in the set its number, zigzag (0, −1, 1, −2 … as 0, 1, 2, 3 …): a count of 64
//!   bits, an amount of 128.
//!
//! Older versions are still read. Versions 1 and 2 have the same bytes without the last count; in
//! version 1 amounts had 64 bits, and there was no money of clicks.
//!
//! Codes ascend; rows of one code have no order, and no two of them have the same kind and quarter.
//! Zero measures are omitted, and so are rows without measures.
//!
//! This module does not know where packs are stored.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Ids, Measures};

const MAGIC: [u8; 4] = *b"CPAK";
const VERSION: u8 = 3;
/// Counts before version 3, which come before the amounts.
const OLD_COUNTS: usize = 11;
const OLDEST_VERSION: u8 = 1;
const HEADER_LEN: usize = 20;
const CRC_LEN: usize = 4;

/// Numbers of all measures, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) counts: [i64; Measures::COUNTS],
    pub(super) amounts: [i128; Measures::AMOUNTS],
}

impl Numbers {
    /// Adds other numbers times `sign`, which is 1 or −1. Sums stay in range; parts that cancel out
    /// would do so modulo the range, in any order.
    pub(super) fn add(&mut self, others: &Numbers, sign: i64) {
        for (sum, number) in self.counts.iter_mut().zip(&others.counts) {
            *sum = sum.wrapping_add(number.wrapping_mul(sign));
        }
        for (sum, number) in self.amounts.iter_mut().zip(&others.amounts) {
            *sum = sum.wrapping_add(number.wrapping_mul(sign.into()));
        }
    }
}

/// Reasons why bytes are not a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Written by a newer program.
    #[error("the rollups have version {got}; {VERSION} is known here: start the newer program")]
    Version {
        /// Version of the bytes.
        got: u8,
    },
    /// Any other damage.
    #[error(
        "the rollups are damaged ({what}): stop coupon-admin and run `coupon-admin rebuild-reports`"
    )]
    Damaged {
        /// Description of the damage.
        what: &'static str,
    },
}

fn damaged(what: &'static str) -> PackError {
    PackError::Damaged { what }
}

/// Fields shared by rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) offer: u32,
    pub(super) affiliate: u32,
    pub(super) advertiser: u32,
    /// The further value: 0 for none, otherwise the number of a text.
    pub(super) value: u32,
    pub(super) currency: u32,
}

impl Kind {
    pub(super) fn new(ids: Ids, value: u32, currency: u32) -> Kind {
        let Ids { offer, affiliate, advertiser, .. } = ids;
        Kind { offer, affiliate, advertiser, value, currency }
    }
}

/// Identity of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) code: u32,
    pub(super) kind: u32,
    pub(super) quarter: u8,
}

/// A parsed pack.
pub(super) struct Pack<'a> {
    /// Numbered from 1.
    pub(super) texts: Vec<&'a str>,
    pub(super) kinds: Vec<Kind>,
    pub(super) has_quarters: bool,
    /// Number of the counts that come before the amounts.
    counts: usize,
    count: u32,
    rows: &'a [u8],
}

impl<'a> Pack<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Pack<'a>, PackError> {
        let (content, crc) =
            bytes.split_last_chunk::<CRC_LEN>().ok_or(damaged("a pack is too short"))?;
        if content.len() < HEADER_LEN || content[..4] != MAGIC {
            return Err(damaged("a pack has no header"));
        }
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return Err(damaged("the checksum of a pack differs"));
        }
        if !(OLDEST_VERSION..=VERSION).contains(&content[4]) {
            return Err(PackError::Version { got: content[4] });
        }
        let mut reader = Reader(&content[HEADER_LEN..]);
        let texts = (0..u32_at(content, 8)).map(|_| reader.text());
        let texts = texts.collect::<Option<Vec<_>>>().ok_or(damaged("a text of a pack"))?;
        let is_text = |number: u32| number as usize <= texts.len();
        let kinds = (0..u32_at(content, 12)).map(|_| reader.kind());
        let kinds = kinds.collect::<Option<Vec<_>>>().ok_or(damaged("a kind of a pack"))?;
        if !kinds.iter().all(|kind| is_text(kind.value) && is_text(kind.currency)) {
            return Err(damaged("a kind of a pack names no text"));
        }
        let counts = if content[4] < VERSION { OLD_COUNTS } else { Measures::COUNTS };
        let (has_quarters, count) = (content[5] == 1, u32_at(content, 16));
        Ok(Pack { texts, kinds, has_quarters, counts, count, rows: reader.0 })
    }

    /// The text with a number; empty for 0.
    pub(super) fn text(&self, number: u32) -> &'a str {
        let at = (number as usize).checked_sub(1);
        at.and_then(|at| self.texts.get(at)).copied().unwrap_or_default()
    }

    pub(super) fn rows(&self) -> Rows<'a> {
        Rows {
            reader: Reader(self.rows),
            counts: self.counts,
            left: self.count,
            code: 0,
            kinds: self.kinds.len() as u32,
            quarter_bits: if self.has_quarters { 2 } else { 0 },
        }
    }
}

/// Reads the rows of a pack. After each key its measures must be read or skipped.
pub(super) struct Rows<'a> {
    reader: Reader<'a>,
    counts: usize,
    left: u32,
    code: u32,
    kinds: u32,
    quarter_bits: u32,
}

impl Rows<'_> {
    /// Key of the next row; its kind is one of the pack's.
    #[inline]
    pub(super) fn next_key(&mut self) -> Result<Option<Key>, PackError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let delta = self.reader.number().ok_or(damaged("a pack ends early"))?;
        let kind = self.reader.number().ok_or(damaged("a pack ends early"))?;
        self.code = self.code.wrapping_add(delta as u32);
        let quarter = (kind & ((1 << self.quarter_bits) - 1)) as u8;
        let kind = (kind >> self.quarter_bits) as u32;
        if kind >= self.kinds {
            return Err(damaged("a row is of no kind"));
        }
        Ok(Some(Key { code: self.code, kind, quarter }))
    }

    /// Adds the measures of the row, times `sign`.
    #[inline]
    pub(super) fn add_to(&mut self, sums: &mut Numbers, sign: i64) -> Result<(), PackError> {
        let mut set = self.set()?;
        while set != 0 {
            let measure = set.trailing_zeros() as usize;
            if let Some(sum) = sums.counts[..self.counts].get_mut(measure) {
                let number = self.reader.number().ok_or(damaged("a pack ends early"))?;
                *sum = sum.wrapping_add(unzigzag(number).wrapping_mul(sign));
            } else {
                let number = self.reader.amount().ok_or(damaged("a pack ends early"))?;
                let sum = sums.amounts.get_mut(measure - self.counts);
                let sum = sum.ok_or(damaged("a row has a measure that is not known"))?;
                *sum = sum.wrapping_add(number.wrapping_mul(sign.into()));
            }
            set &= set - 1;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn skip(&mut self) -> Result<(), PackError> {
        for _ in 0..self.set()?.count_ones() {
            self.reader.amount().ok_or(damaged("a pack ends early"))?;
        }
        Ok(())
    }

    #[inline]
    fn set(&mut self) -> Result<u64, PackError> {
        self.reader.number().ok_or(damaged("a pack ends early"))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        if first < 0x80 { Some(first.into()) } else { self.long_number(first) }
    }

    fn long_number(&mut self, first: u8) -> Option<u64> {
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn amount(&mut self) -> Option<i128> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((number >> 1) as i128 ^ -((number & 1) as i128));
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn kind(&mut self) -> Option<Kind> {
        let mut number = || u32::try_from(self.number()?).ok();
        Some(Kind {
            offer: number()?,
            affiliate: number()?,
            advertiser: number()?,
            value: number()?,
            currency: number()?,
        })
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Amounts and counts have the same encoding.
fn put_zigzag(bytes: &mut Vec<u8>, number: i128) {
    let mut number = ((number << 1) ^ (number >> 127)) as u128;
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// Writes a pack. Kinds and texts are numbered in order of arrival.
pub(super) struct PackBuilder {
    has_quarters: bool,
    texts: HashMap<Box<str>, u32, RandomState>,
    text_bytes: Vec<u8>,
    kinds: HashMap<Kind, u32, RandomState>,
    kind_bytes: Vec<u8>,
    rows: Vec<u8>,
    count: u32,
    last_code: u32,
}

impl PackBuilder {
    pub(super) fn new(has_quarters: bool) -> PackBuilder {
        PackBuilder {
            has_quarters,
            texts: HashMap::default(),
            text_bytes: Vec::new(),
            kinds: HashMap::default(),
            kind_bytes: Vec::new(),
            rows: Vec::new(),
            count: 0,
            last_code: 0,
        }
    }

    /// Number of a text.
    pub(super) fn text(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32 + 1;
        self.texts.insert(text.into(), number);
        put(&mut self.text_bytes, text.len() as u64);
        self.text_bytes.extend_from_slice(text.as_bytes());
        number
    }

    /// Number of a kind, whose texts have numbers in this pack.
    pub(super) fn kind(&mut self, kind: Kind) -> u32 {
        let next = self.kinds.len() as u32;
        *self.kinds.entry(kind).or_insert_with(|| {
            let Kind { offer, affiliate, advertiser, value, currency } = kind;
            for number in [offer, affiliate, advertiser, value, currency] {
                put(&mut self.kind_bytes, number.into());
            }
            next
        })
    }

    /// Adds a row. Codes must ascend.
    pub(super) fn row(&mut self, key: Key, numbers: &Numbers) {
        let amounts = numbers.amounts.iter().copied();
        let numbers = numbers.counts.iter().map(|count| i128::from(*count)).chain(amounts);
        let mut set = 0_u64;
        for (measure, number) in numbers.clone().enumerate() {
            set |= u64::from(number != 0) << measure;
        }
        if set == 0 {
            return;
        }
        put(&mut self.rows, key.code.wrapping_sub(self.last_code).into());
        let quarters = |kind: u64| if self.has_quarters { kind << 2 } else { kind };
        let quarter = if self.has_quarters { key.quarter } else { 0 };
        put(&mut self.rows, quarters(key.kind.into()) | u64::from(quarter));
        put(&mut self.rows, set);
        for number in numbers.filter(|number| *number != 0) {
            put_zigzag(&mut self.rows, number);
        }
        (self.last_code, self.count) = (key.code, self.count + 1);
    }

    /// Bytes of the pack; `None` without counts.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        if self.count == 0 {
            return None;
        }
        let len = self.text_bytes.len() + self.kind_bytes.len() + self.rows.len();
        let mut bytes = Vec::with_capacity(HEADER_LEN + len + CRC_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, self.has_quarters.into(), 0, 0]);
        for count in [self.texts.len() as u32, self.kinds.len() as u32, self.count] {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        for part in [self.text_bytes, self.kind_bytes, self.rows] {
            bytes.extend_from_slice(&part);
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        Some(bytes)
    }
}

/// Merges packs of one hour, or of one day.
pub(super) fn merge(packs: &[Pack<'_>]) -> Result<Option<Vec<u8>>, PackError> {
    let mut builder = PackBuilder::new(packs.iter().any(|pack| pack.has_quarters));
    let mut inputs = Vec::new();
    for pack in packs {
        let kinds: Vec<u32> =
            pack.kinds.iter().map(|kind| renumber(&mut builder, pack, *kind)).collect();
        let mut rows = pack.rows();
        let next = rows.next_key()?;
        inputs.push(Input { kinds, rows, next });
    }
    let mut of_code: Vec<(Key, Numbers)> = Vec::new();
    while let Some(code) = inputs.iter().filter_map(|input| Some(input.next?.code)).min() {
        for input in &mut inputs {
            input.take_code(code, &mut of_code)?;
        }
        of_code.sort_unstable_by_key(|(key, _)| *key);
        for rows in of_code.chunk_by(|one, other| one.0 == other.0) {
            builder.row(rows[0].0, &sum(rows));
        }
        of_code.clear();
    }
    Ok(builder.finish())
}

fn sum(rows: &[(Key, Numbers)]) -> Numbers {
    let mut sum = Numbers::default();
    rows.iter().for_each(|(_, numbers)| sum.add(numbers, 1));
    sum
}

fn renumber(builder: &mut PackBuilder, pack: &Pack<'_>, kind: Kind) -> u32 {
    let value = builder.text(pack.text(kind.value));
    let currency = builder.text(pack.text(kind.currency));
    builder.kind(Kind { value, currency, ..kind })
}

struct Input<'a> {
    /// Maps the kind numbers of a pack to the merged pack's.
    kinds: Vec<u32>,
    rows: Rows<'a>,
    next: Option<Key>,
}

impl Input<'_> {
    fn take_code(&mut self, code: u32, into: &mut Vec<(Key, Numbers)>) -> Result<(), PackError> {
        while let Some(key) = self.next.filter(|key| key.code == code) {
            let mut numbers = Numbers::default();
            self.rows.add_to(&mut numbers, 1)?;
            let kind = self.kinds.get(key.kind as usize).copied().unwrap_or_default();
            into.push((Key { kind, ..key }, numbers));
            self.next = self.rows.next_key()?;
        }
        Ok(())
    }
}
