//! A level: the codes changed in one range of the store's change sequence.
//!
//! A level holds, for every code changed after `sequence_from` and up to `sequence_to`, either all
//! its rows or a tombstone, so that the newest level with a code has all current rows of that code.
//! The base is the level from sequence 0. A code that changed again after `sequence_to` may stand
//! in the level in its later state. Only an index with those later changes in newer levels may name
//! such a level, because there the newer levels count.
//!
//! # Bytes, format version 1
//!
//! Numbers are little endian. The file is the header, the fst section, zeros up to a multiple of
//! 16, and the record section; nothing follows.
//!
//! | offset | size | header field |
//! |---|---|---|
//! | 0 | 8 | magic `CPNLEVEL` |
//! | 8 | 2 | format version |
//! | 10 | 1 | fold version of the keys |
//! | 11 | 1 | zero |
//! | 12 | 4 | network id |
//! | 16 | 16 | lineage |
//! | 32 | 8 | `sequence_from`, exclusive |
//! | 40 | 8 | `sequence_to`, inclusive |
//! | 48 | 8 | required features, a bit each; an unknown one refuses the file |
//! | 56 | 8 | number of codes |
//! | 64 | 8 | number of records |
//! | 72 | 8 | length of the fst section, which begins at 256 |
//! | 80 | 48 | zero |
//! | 128 | 32 | BLAKE3 of the fst section |
//! | 160 | 32 | BLAKE3 of the record section |
//! | 192 | 32 | zero |
//! | 224 | 32 | BLAKE3 of the bytes before; also the file's name |
//!
//! The fst maps each folded code to the number of its first record. A record has 16 bytes:
//!
//! | offset | size | record field |
//! |---|---|---|
//! | 0 | 4 | coupon code id |
//! | 4 | 4 | partner id, 0 for none |
//! | 8 | 3 | offer id |
//! | 11 | 1 | flags: 1 last record of this code, 2 active, 4 tombstone (the rest of it is zero) |
//! | 12 | 2 | first day, 0 for none |
//! | 14 | 2 | last day, 65,535 for none |
//!
//! Records of one code ascend by coupon code id. Ids are never re-used.

mod merge;
mod walk;

use super::{HASH_LEN, Header, Lineage, SnapshotError};
use crate::civil_day::Day;
use crate::code::{FOLD_VERSION, FoldedCode};
use std::io::{self, Cursor, Read, Seek, Write};
use walk::PrefixTable;

pub use merge::LevelMerge;

/// Version of the level format.
pub const FORMAT_VERSION: u16 = 1;
/// Highest offer id a record can hold.
pub const MAX_OFFER_ID: u32 = (1 << 24) - 1;

const FILE: &str = "level file";
const MAGIC: &[u8; 8] = b"CPNLEVEL";
/// Length of the header in bytes.
pub const HEADER_LEN: usize = 256;
const RECORD_LEN: usize = 16;
/// Version of the fst's own format, as read by [`walk`].
const FST_VERSION: u64 = 3;
const FST_HASH_AT: usize = 128;
const RECORDS_HASH_AT: usize = 160;
const HEADER_HASH_AT: usize = HEADER_LEN - HASH_LEN;

const LAST: u8 = 1;
const ACTIVE: u8 = 2;
const TOMBSTONE: u8 = 4;

/// Store and range of changes of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelMeta {
    pub network_id: u32,
    /// The store's history.
    pub lineage: Lineage,
    /// The last change before the level; 0 for the base.
    pub sequence_from: u64,
    /// The last change in the level.
    pub sequence_to: u64,
}

/// One row of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRecord {
    /// Coupon code id.
    pub code_id: u32,
    /// Offer id, at most [`MAX_OFFER_ID`].
    pub offer_id: u32,
    /// Partner id, 0 for none.
    pub partner_id: u32,
    /// Whether the coupon code's status is active.
    pub active: bool,
    /// First valid day; [`Day::FIRST`] for always.
    pub first_day: Day,
    /// Last valid day; [`Day::LAST`] for ever.
    pub last_day: Day,
}

impl CodeRecord {
    fn encode(&self, last: bool) -> [u8; RECORD_LEN] {
        let flags = if last { LAST } else { 0 } | if self.active { ACTIVE } else { 0 };
        let mut bytes = [0; RECORD_LEN];
        bytes[0..4].copy_from_slice(&self.code_id.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.partner_id.to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.offer_id | u32::from(flags) << 24).to_le_bytes());
        bytes[12..14].copy_from_slice(&self.first_day.0.to_le_bytes());
        bytes[14..16].copy_from_slice(&self.last_day.0.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD_LEN]) -> (Self, u8) {
        let [a, b, c, d, e, f, g, h, o0, o1, o2, flags, f0, f1, l0, l1] = *bytes;
        let record = Self {
            code_id: u32::from_le_bytes([a, b, c, d]),
            partner_id: u32::from_le_bytes([e, f, g, h]),
            offer_id: u32::from_le_bytes([o0, o1, o2, 0]),
            active: flags & ACTIVE != 0,
            first_day: Day(u16::from_le_bytes([f0, f1])),
            last_day: Day(u16::from_le_bytes([l0, l1])),
        };
        (record, flags)
    }
}

const TOMBSTONE_RECORD: [u8; RECORD_LEN] = {
    let mut bytes = [0; RECORD_LEN];
    bytes[11] = LAST | TOMBSTONE;
    bytes
};

/// Why a code cannot be added to a level.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Codes must ascend, without repeats.
    #[error("code {code} is out of order: codes must ascend")]
    Order { code: FoldedCode },
    /// Rows of a code must ascend by id, with offer ids up to [`MAX_OFFER_ID`].
    #[error("the rows of code {code} must ascend by id and have offer ids up to {MAX_OFFER_ID}")]
    Rows { code: FoldedCode },
    /// The fst builder failed.
    #[error("cannot build the index: {0}")]
    Fst(fst::Error),
    /// The level could not be written.
    #[error("cannot write the level: {0}")]
    Write(#[from] io::Error),
}

impl From<fst::Error> for BuildError {
    fn from(error: fst::Error) -> BuildError {
        match error {
            // Its text would not tell which error.
            fst::Error::Io(error) => BuildError::Write(error),
            error => BuildError::Fst(error),
        }
    }
}

/// Builds a level from codes in ascending order, in bounded memory for any number of codes.
///
/// The growing fst goes to the level's file, behind space for the header. The records wait in a
/// second file, because their position is unknown until the fst is complete.
pub struct LevelBuilder<F: Write, R: Write> {
    meta: LevelMeta,
    fst: fst::MapBuilder<SectionWriter<F>>,
    records: SectionWriter<R>,
    codes: u64,
}

/// A written level.
pub struct WrittenLevel<F> {
    /// The hash by which a manifest names it.
    pub name: [u8; HASH_LEN],
    /// Number of codes, tombstones included.
    pub codes: u64,
    /// The file with its bytes.
    pub file: F,
}

impl LevelBuilder<Cursor<Vec<u8>>, Cursor<Vec<u8>>> {
    /// An empty level in memory.
    #[expect(clippy::unwrap_used, reason = "memory takes every byte")]
    pub fn new(meta: LevelMeta) -> Self {
        Self::streaming(meta, Cursor::default(), Cursor::default()).unwrap()
    }

    /// The bytes of the file.
    pub fn finish(self) -> Result<Vec<u8>, BuildError> {
        Ok(self.finish_stream()?.file.into_inner())
    }
}

impl<F: Write + Seek, R: Read + Write + Seek> LevelBuilder<F, R> {
    /// An empty level in `file`, with `records` as temporary storage. Both are empty and stand at
    /// their beginning.
    pub fn streaming(meta: LevelMeta, mut file: F, records: R) -> Result<Self, BuildError> {
        file.write_all(&[0; HEADER_LEN])?;
        let fst = fst::MapBuilder::new(SectionWriter::new(file))?;
        Ok(Self { meta, fst, records: SectionWriter::new(records), codes: 0 })
    }

    /// Adds a code with all its rows; without rows, as a tombstone.
    pub fn push(&mut self, code: &FoldedCode, rows: &[CodeRecord]) -> Result<(), BuildError> {
        let ascending = rows.windows(2).all(|pair| pair[0].code_id < pair[1].code_id);
        if !ascending || rows.iter().any(|row| row.offer_id > MAX_OFFER_ID) {
            return Err(BuildError::Rows { code: *code });
        }
        let first = self.records.len / RECORD_LEN as u64;
        self.fst.insert(code.as_bytes(), first).map_err(|error| match error {
            fst::Error::Fst(_) => BuildError::Order { code: *code },
            other => other.into(),
        })?;
        for (at, row) in rows.iter().enumerate() {
            self.records.write_all(&row.encode(at + 1 == rows.len()))?;
        }
        if rows.is_empty() {
            self.records.write_all(&TOMBSTONE_RECORD)?;
        }
        self.codes += 1;
        Ok(())
    }

    /// Copies the records behind the fst, and writes the header.
    pub fn finish_stream(self) -> Result<WrittenLevel<F>, BuildError> {
        let (mut file, fst) = self.fst.into_inner()?.finish()?;
        let (mut spooled, records) = self.records.finish()?;
        let gap = records_at(fst.len) - (HEADER_LEN as u64 + fst.len);
        file.write_all(&[0; RECORD_LEN][..gap as usize])?;
        spooled.rewind()?;
        io::copy(&mut spooled, &mut file)?;
        let header = header(&self.meta, self.codes, &fst, &records);
        file.rewind()?;
        file.write_all(&header)?;
        let mut name = [0; HASH_LEN];
        name.copy_from_slice(&header[HEADER_HASH_AT..]);
        Ok(WrittenLevel { name, codes: self.codes, file })
    }
}

/// Bytes that are written and hashed at once.
const CHUNK_LEN: usize = 64 * 1024;

/// Writes and hashes one section. Accepts every write completely, because the fst builder's own
/// checksum would count the rest of a partial write twice.
struct SectionWriter<W> {
    to: W,
    chunk: Vec<u8>,
    hasher: blake3::Hasher,
    len: u64,
}

/// Hash and length of a section.
struct SectionSum {
    hash: blake3::Hash,
    len: u64,
}

impl<W: Write> SectionWriter<W> {
    fn new(to: W) -> Self {
        Self { to, chunk: Vec::with_capacity(CHUNK_LEN), hasher: blake3::Hasher::new(), len: 0 }
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        self.hasher.update(&self.chunk);
        self.to.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<(W, SectionSum)> {
        self.write_chunk()?;
        Ok((self.to, SectionSum { hash: self.hasher.finalize(), len: self.len }))
    }
}

impl<W: Write> Write for SectionWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        self.len += bytes.len() as u64;
        if self.chunk.len() >= CHUNK_LEN {
            self.write_chunk()?;
        }
        Ok(bytes.len())
    }

    /// Does nothing: only [`SectionWriter::finish`] writes an incomplete chunk.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn header(
    meta: &LevelMeta,
    codes: u64,
    fst: &SectionSum,
    records: &SectionSum,
) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, MAGIC);
    put(8, &FORMAT_VERSION.to_le_bytes());
    put(10, &[FOLD_VERSION]);
    put(12, &meta.network_id.to_le_bytes());
    put(16, &meta.lineage.0);
    put(32, &meta.sequence_from.to_le_bytes());
    put(40, &meta.sequence_to.to_le_bytes());
    put(56, &codes.to_le_bytes());
    put(64, &(records.len / RECORD_LEN as u64).to_le_bytes());
    put(72, &fst.len.to_le_bytes());
    put(FST_HASH_AT, fst.hash.as_bytes());
    put(RECORDS_HASH_AT, records.hash.as_bytes());
    let hash = blake3::hash(&bytes[..HEADER_HASH_AT]);
    bytes[HEADER_HASH_AT..].copy_from_slice(hash.as_bytes());
    bytes
}

fn records_at(fst_len: u64) -> u64 {
    (HEADER_LEN as u64 + fst_len).next_multiple_of(RECORD_LEN as u64)
}

/// Position of a code in one level: the number of its first record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodePosition(u32);

/// A part of shared bytes.
#[derive(Clone)]
struct Section<D> {
    bytes: D,
    from: usize,
    to: usize,
}

impl<D: AsRef<[u8]>> AsRef<[u8]> for Section<D> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes.as_ref()[self.from..self.to]
    }
}

/// An opened level with verified hashes and verified fst.
#[derive(Clone)]
pub struct Level<D> {
    meta: LevelMeta,
    name: [u8; HASH_LEN],
    codes: u64,
    fst: fst::Map<Section<D>>,
    prefixes: PrefixTable,
    records: Section<D>,
}

impl<D: AsRef<[u8]> + Clone> Level<D> {
    /// Opens a level after checking every byte. Nobody else may change the memory of `bytes`.
    pub fn open(bytes: D) -> Result<Self, SnapshotError> {
        let all = bytes.as_ref();
        let header = Header::open(FILE, all, HEADER_LEN, MAGIC, FORMAT_VERSION)?;
        header.expect_version("fold version", header.bytes[10].into(), FOLD_VERSION.into())?;
        header.expect_version("required features", header.u64(48), 0)?;
        let (fst, records) = sections(&header, &bytes)?;
        header.check_hash("fst", fst.as_ref(), FST_HASH_AT)?;
        header.check_hash("records", records.as_ref(), RECORDS_HASH_AT)?;
        let gap = &all[fst.to..records.from];
        if gap.iter().any(|byte| *byte != 0) {
            return Err(header.content_error("bytes between the sections are not zero"));
        }
        let damaged = |error: fst::Error| header.content_error(error.to_string());
        let fst = fst::Map::new(fst).map_err(damaged)?;
        fst.as_fst().verify().map_err(damaged)?;
        header.expect_version("fst version", fst_version(fst.as_fst()), FST_VERSION)?;
        let level = Self {
            meta: meta(&header),
            name: header.array(HEADER_HASH_AT),
            codes: header.u64(56),
            prefixes: PrefixTable::build(fst.as_fst(), records.as_ref().len() / RECORD_LEN),
            fst,
            records,
        };
        level.check_counts(&header)?;
        Ok(level)
    }

    fn check_counts(&self, header: &Header<'_>) -> Result<(), SnapshotError> {
        let ends = self.records().iter().filter(|record| record[11] & LAST != 0).count() as u64;
        if self.codes != self.fst.len() as u64 || self.codes != ends {
            return Err(header.content_error(format!(
                "it says {} codes, has {} keys and {ends} runs of records",
                self.codes,
                self.fst.len()
            )));
        }
        Ok(())
    }

    /// Walks every entry: keys are folded codes, and each names the record behind the previous
    /// entry's last. A publisher checks this before it names a level; a daemon may rely on the
    /// hashes.
    pub fn check_entries(&self) -> Result<(), SnapshotError> {
        use fst::Streamer;
        let mut expected = 0;
        let mut entries = self.fst.stream();
        while let Some((key, first)) = entries.next() {
            let code = folded_key(key)?;
            if first != expected {
                return Err(damaged(format!("{code} names record {first}, not {expected}")));
            }
            expected += self.rows_from(first).len().max(1) as u64;
        }
        let records = self.records().len() as u64;
        if expected != records {
            return Err(damaged(format!("{records} records, of which {expected} are named")));
        }
        Ok(())
    }

    /// The rows of a code: `None` for a code that is not in the level, empty for a tombstone.
    pub fn lookup(&self, code: &FoldedCode) -> Option<CodeRows<'_>> {
        self.locate(code).map(|position| self.rows_at(position))
    }

    /// Position of a code in this level.
    #[inline]
    pub fn locate(&self, code: &FoldedCode) -> Option<CodePosition> {
        let first = self.prefixes.find(self.fst.as_fst().as_bytes(), code)?;
        // A level has at most one record per id, and ids have 32 bits.
        u32::try_from(first).ok().map(CodePosition)
    }

    /// The rows of the code at a position.
    #[inline]
    pub fn rows_at(&self, position: CodePosition) -> CodeRows<'_> {
        self.rows_from(position.0.into())
    }

    fn rows_from(&self, first: u64) -> CodeRows<'_> {
        let records = self.records();
        let from = usize::try_from(first).unwrap_or(usize::MAX).min(records.len());
        let run = &records[from..];
        let len = run.iter().position(|record| record[11] & LAST != 0).map_or(0, |at| at + 1);
        let tombstone = run.first().is_some_and(|record| record[11] & TOMBSTONE != 0);
        CodeRows { records: if tombstone { &[] } else { &run[..len] } }
    }

    fn records(&self) -> &[[u8; RECORD_LEN]] {
        self.records.as_ref().as_chunks().0
    }

    pub fn meta(&self) -> &LevelMeta {
        &self.meta
    }

    /// The hash by which a manifest names this level.
    pub fn name(&self) -> &[u8; HASH_LEN] {
        &self.name
    }

    /// Number of codes, tombstones included.
    pub fn codes(&self) -> u64 {
        self.codes
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.records.to
    }
}

fn damaged(reason: String) -> SnapshotError {
    SnapshotError::Content { file: FILE, reason }
}

/// The code of a key.
fn folded_key(key: &[u8]) -> Result<FoldedCode, SnapshotError> {
    let folded = FoldedCode::fold(key).ok().filter(|code| code.as_bytes() == key);
    folded.ok_or_else(|| damaged(format!("key {key:?} is not folded")))
}

/// The version in the first eight bytes of an fst.
fn fst_version<D: AsRef<[u8]>>(fst: &fst::raw::Fst<D>) -> u64 {
    fst.as_bytes().first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
}

fn meta(header: &Header<'_>) -> LevelMeta {
    LevelMeta {
        network_id: header.u32(12),
        lineage: Lineage(header.array(16)),
        sequence_from: header.u64(32),
        sequence_to: header.u64(40),
    }
}

/// Length of the file with this header. A reader reads no more, even of a file that grew.
pub fn file_len(header: &[u8]) -> Result<u64, SnapshotError> {
    let header = Header::open(FILE, header, HEADER_LEN, MAGIC, FORMAT_VERSION)?;
    Ok(section_bounds(&header)?.2 as u64)
}

/// End of the fst, and beginning and end of the records.
fn section_bounds(header: &Header<'_>) -> Result<(usize, usize, usize), SnapshotError> {
    let bounds = || {
        let fst_len = usize::try_from(header.u64(72)).ok()?;
        let fst_to = HEADER_LEN.checked_add(fst_len)?;
        let records_from = fst_to.checked_next_multiple_of(RECORD_LEN)?;
        let records_len = usize::try_from(header.u64(64)).ok()?.checked_mul(RECORD_LEN)?;
        Some((fst_to, records_from, records_from.checked_add(records_len)?))
    };
    bounds().ok_or_else(|| header.content_error("its lengths are impossible"))
}

fn sections<D: AsRef<[u8]> + Clone>(
    header: &Header<'_>,
    bytes: &D,
) -> Result<(Section<D>, Section<D>), SnapshotError> {
    let got = bytes.as_ref().len() as u64;
    let (fst_to, from, to) = section_bounds(header)?;
    if to as u64 != got {
        return Err(SnapshotError::Length { file: FILE, expected: to as u64, got });
    }
    let fst = Section { bytes: bytes.clone(), from: HEADER_LEN, to: fst_to };
    Ok((fst, Section { bytes: bytes.clone(), from, to }))
}

/// All rows of a code, by ascending coupon code id; empty for a deleted code.
#[derive(Debug, Clone, Copy)]
pub struct CodeRows<'a> {
    records: &'a [[u8; RECORD_LEN]],
}

impl<'a> CodeRows<'a> {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the code was deleted.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = CodeRecord> + use<'a> {
        self.records.iter().map(|bytes| CodeRecord::decode(bytes).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn meta() -> LevelMeta {
        LevelMeta { network_id: 1, lineage: Lineage([9; 16]), sequence_from: 0, sequence_to: 5 }
    }

    fn row(code_id: u32) -> CodeRecord {
        CodeRecord {
            code_id,
            offer_id: MAX_OFFER_ID,
            partner_id: u32::MAX,
            active: code_id.is_multiple_of(2),
            first_day: Day(3),
            last_day: Day::LAST,
        }
    }

    fn fold(code: &str) -> FoldedCode {
        FoldedCode::fold(code.as_bytes()).unwrap()
    }

    fn build(codes: &BTreeMap<String, Vec<u32>>) -> Vec<u8> {
        let mut builder = LevelBuilder::new(meta());
        for (code, ids) in codes {
            let rows: Vec<_> = ids.iter().copied().map(row).collect();
            builder.push(&fold(code), &rows).unwrap();
        }
        builder.finish().unwrap()
    }

    fn sample() -> Vec<u8> {
        build(&BTreeMap::from([
            ("insta1".into(), vec![1]),
            ("thebestdeal2012".into(), vec![4, 5, 9]),
            ("winter25".into(), vec![]),
        ]))
    }

    #[test]
    fn a_code_has_its_rows_a_deleted_one_none_and_an_unknown_one_is_not_there() {
        let level = Level::open(sample()).unwrap();
        level.check_entries().unwrap();
        let ids =
            |code: &str| level.lookup(&fold(code)).map(|rows| rows.iter().collect::<Vec<_>>());
        assert_eq!(ids("INSTA1"), Some(vec![row(1)]));
        assert_eq!(ids("TheBestDeal2012"), Some(vec![row(4), row(5), row(9)]));
        assert_eq!(ids("winter25"), Some(vec![]));
        assert_eq!(ids("winter2"), None);
        assert_eq!(*level.meta(), meta());
    }

    #[test]
    fn an_empty_level_opens() {
        let level = Level::open(build(&BTreeMap::new())).unwrap();
        level.check_entries().unwrap();
        assert!(level.lookup(&fold("abc")).is_none());
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_is_opened() {
        let good = sample();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Level::open(bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(Level::open(good[..len].to_vec()).is_err(), "cut to {len}");
        }
        let mut longer = good;
        longer.push(0);
        assert!(matches!(Level::open(longer), Err(SnapshotError::Length { .. })));
    }

    #[test]
    fn a_file_of_another_version_is_refused_with_both_versions() {
        let mut newer = sample();
        newer[8] = 2;
        assert_eq!(
            Level::open(newer).err(),
            Some(SnapshotError::Version { file: FILE, what: "format version", got: 2, known: 1 })
        );
    }

    #[test]
    fn codes_out_of_order_and_impossible_rows_are_refused() {
        let mut builder = LevelBuilder::new(meta());
        builder.push(&fold("bbb"), &[]).unwrap();
        assert!(matches!(builder.push(&fold("aaa"), &[]), Err(BuildError::Order { .. })));
        assert!(matches!(
            builder.push(&fold("ccc"), &[row(2), row(1)]),
            Err(BuildError::Rows { .. })
        ));
        let large = CodeRecord { offer_id: MAX_OFFER_ID + 1, ..row(1) };
        assert!(matches!(builder.push(&fold("ccc"), &[large]), Err(BuildError::Rows { .. })));
    }

    /// A file with right hashes, whatever its sections hold.
    fn file_of(codes: u64, fst: &[u8], records: &[u8]) -> Vec<u8> {
        let sum = |bytes: &[u8]| SectionSum { hash: blake3::hash(bytes), len: bytes.len() as u64 };
        let mut file = header(&meta(), codes, &sum(fst), &sum(records)).to_vec();
        file.extend_from_slice(fst);
        file.resize(records_at(fst.len() as u64) as usize, 0);
        file.extend_from_slice(records);
        file
    }

    proptest! {
        #[test]
        fn any_codes_read_back(
            codes in proptest::collection::btree_map(
                "[0-9a-z]{3,64}", proptest::collection::btree_set(1u32.., 0..4), 0..40)
        ) {
            let codes: BTreeMap<String, Vec<u32>> =
                codes.into_iter().map(|(code, ids)| (code, ids.into_iter().collect())).collect();
            let level = Level::open(build(&codes)).unwrap();
            level.check_entries().unwrap();
            for (code, ids) in &codes {
                let rows: Vec<_> = level.lookup(&fold(code)).unwrap().iter().collect();
                prop_assert_eq!(rows, ids.iter().copied().map(row).collect::<Vec<_>>());
            }
        }

        #[test]
        fn records_changed_under_right_hashes_never_panic_and_are_found_by_the_walk(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in 0..3_usize,
        ) {
            let good = sample();
            let level = Level::open(good.clone()).unwrap();
            let fst = good[HEADER_LEN..level.fst.as_fst().as_bytes().len() + HEADER_LEN].to_vec();
            let mut records = good[level.records.from..].to_vec();
            records.truncate(records.len() - cut * RECORD_LEN);
            for (at, to) in &changes {
                *at.get_mut(&mut records) = *to;
            }
            if let Ok(changed) = Level::open(file_of(level.codes, &fst, &records)) {
                let walked = changed.check_entries();
                for code in ["insta1", "thebestdeal2012", "winter25", "nobody"] {
                    let rows = changed.lookup(&fold(code)).map(|rows| rows.iter().count());
                    prop_assert!(walked.is_err() || rows.is_some() == (code != "nobody"));
                }
            }
        }

        #[test]
        fn opening_any_bytes_never_panics(
            fst in proptest::collection::vec(any::<u8>(), 0..80),
            records in proptest::collection::vec(any::<u8>(), 0..80),
            cut in any::<prop::sample::Index>(),
        ) {
            let file = file_of(1, &fst, &records);
            let _ = Level::open(file.clone());
            let cut = &file[..cut.index(file.len())];
            prop_assert!(Level::open(cut).is_err());
            let _ = file_len(cut);
        }
    }
}
