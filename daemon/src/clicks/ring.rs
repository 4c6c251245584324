//! The click ring: a serving thread writes clicks into it, and they survive `kill -9` in it.
//!
//! A ring is a file in the runtime folder (in memory), mapped shared. The serving thread encodes a
//! record straight into the mapping: no system call, no allocation, no lock, and no waiting for the
//! reader. The kernel owns the mapped pages, so they outlive the process.
//!
//! ```text
//! constants, 64 bytes               words, each pair on a cache line of its own
//!  0  8  magic "cpnring\0"          128  head       136  sequence of the last record
//!  8  4  format version, 1          256  tail       264  sequence of the last durable record
//! 12  4  incarnation                384  records not taken because the ring was full
//! 16 16  store id
//! 32  8  capacity                   frame, at a multiple of 8, from byte 4096 on
//! 40  2  node                        0  4  length of the record
//! 42  1  thread                      4  4  "REC1", or "SKIP": go on at the ring's start
//! 43  1  zero                        8  8  sequence, from 1 without gaps
//! 44 16  run id, or zero            16  …  record, filled up to a multiple of 8
//! 60  4  CRC-32C of bytes 0..60
//! ```
//!
//! A frame is complete before the head moves past it, so a process killed at any instruction leaves
//! whole frames only. The tail moves when records are durable in the click WAL. The writer counts a
//! record that does not fit and does not wait: logged + unlogged = all, at any instant.
//!
//! The store id is the data folder's. A ring of another store is set aside: importing it would mix
//! two stores, deleting it would lose clicks. The run id is in the ring for a data folder that was set
//! back to a backup from before the run: the clicks in the ring still come from there.
//!
//! Deliberately absent: checksums over records. Memory that survives a process is not torn; damage
//! by another program shows in a frame's mark, sequence or record.

mod mapping;
#[cfg(test)]
mod model;
mod orphaned;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use coupon_shared::click::{MAX_RECORD_LEN, StreamId};
use coupon_shared::node_identity::RunId;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use mapping::{ALIGNMENT, BadPositions, CONSTANTS_BYTES, Consumer, Mapping, Producer, Word};

pub(super) use orphaned::{OrphanedRing, find_orphaned_rings, is_used, read_run_ids, set_aside};

/// A random number that identifies a data folder.
pub(super) type StoreId = [u8; 16];

const MAGIC: [u8; 8] = *b"cpnring\0";
const FORMAT_VERSION: u32 = 1;
const NO_RUN: [u8; 16] = [0; 16];
pub(super) const MIN_CAPACITY: usize = 64 << 10;
const FRAME_HEADER_BYTES: usize = 16;
const RECORD_MARK: u32 = u32::from_le_bytes(*b"REC1");
const SKIP_MARK: u32 = u32::from_le_bytes(*b"SKIP");
/// The longest frame. A slot of this length is reserved before the record's length is known.
const SLOT_BYTES: usize = (FRAME_HEADER_BYTES + MAX_RECORD_LEN).next_multiple_of(ALIGNMENT);

/// The result of recording a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an unlogged click must be visible somewhere"]
pub enum Recorded {
    /// The click is in the ring and survives the process from now on.
    Logged,
    /// The ring was full; the click was counted.
    Unlogged,
}

/// Errors that make a ring unreadable from some point on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RingDamage {
    /// Head and tail contradict each other.
    #[error("{0}")]
    Positions(String),
    /// No frame begins where a frame must begin.
    #[error("no frame begins where sequence {sequence} is expected")]
    Frame { sequence: u64 },
    /// A frame is out of order.
    #[error("sequence {found} follows {before}")]
    Sequence { before: u64, found: u64 },
}

impl From<BadPositions> for RingDamage {
    fn from(bad: BadPositions) -> RingDamage {
        RingDamage::Positions(bad.to_string())
    }
}

/// The constants of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    store: StoreId,
    stream: StreamId,
    /// `None` in a ring from before run ids.
    run: Option<RunId>,
}

/// The writing end, used by the serving thread.
#[derive(Debug)]
pub struct RingWriter {
    producer: Producer,
    sequence: u64,
    unlogged: u64,
    stream: StreamId,
    _alive: Arc<()>,
}

/// The reading end, used by the click-log thread.
#[derive(Debug)]
pub(super) struct RingReader {
    consumer: Consumer,
    /// The sequence of the last frame read, and of the last one released; 0 before the first.
    read: u64,
    released: u64,
    /// Length of the frame that `record` returns.
    lent: usize,
    stream: StreamId,
    path: PathBuf,
    writer: Weak<()>,
}

/// Counters of one ring, readable from any thread.
#[derive(Debug, Clone)]
pub(super) struct RingGauge(Arc<Mapping>);

/// Creates the ring of a serving thread in the runtime folder.
pub(super) fn create(
    runtime_dir: &Path,
    store: StoreId,
    stream: StreamId,
    run: Option<RunId>,
    capacity: usize,
) -> io::Result<(RingWriter, RingReader)> {
    let capacity = capacity.max(MIN_CAPACITY).next_power_of_two();
    let path = runtime_dir.join(orphaned::file_name(stream));
    let unfinished = path.with_extension("new");
    let constants = encode_constants(Identity { store, stream, run }, capacity);
    let mapping = Mapping::create(&unfinished, capacity, &constants).inspect_err(|_| {
        // The file would take room that a smaller ring needs. If this fails, the next start removes
        // the file.
        let _ = std::fs::remove_file(&unfinished);
    })?;
    renameat_with(CWD, &unfinished, CWD, &path, RenameFlags::NOREPLACE)?;
    Ok(both_ends(mapping, stream, path))
}

/// Both ends of a new ring.
fn both_ends(mapping: Mapping, stream: StreamId, path: PathBuf) -> (RingWriter, RingReader) {
    let (producer, consumer) = mapping::split(mapping);
    let alive = Arc::new(());
    let mut reader = RingReader::new(consumer, stream, path);
    reader.writer = Arc::downgrade(&alive);
    let writer = RingWriter { producer, sequence: 0, unlogged: 0, stream, _alive: alive };
    (writer, reader)
}

impl RingWriter {
    /// Records one click. `encode` writes the record to the front of the slot, which has
    /// [`MAX_RECORD_LEN`] bytes, and returns the record's length.
    ///
    /// When this returns, the click is in memory that survives the process: send the answer only
    /// afterwards.
    pub fn record(&mut self, encode: impl FnOnce(&mut [u8]) -> usize) -> Recorded {
        if !self.skip_short_end() {
            return self.count_unlogged();
        }
        let sequence = self.sequence + 1;
        let Some(slot) = self.producer.slot(SLOT_BYTES) else {
            return self.count_unlogged();
        };
        let (header, record) = slot.split_at_mut(FRAME_HEADER_BYTES);
        let bytes = encode(&mut record[..MAX_RECORD_LEN]);
        if bytes > MAX_RECORD_LEN {
            return self.count_unlogged();
        }
        write_frame_header(header, bytes as u32, RECORD_MARK, sequence);
        self.sequence = sequence;
        self.producer.mapping().set(Word::LastSequence, sequence);
        self.producer.publish(frame_bytes(bytes));
        Recorded::Logged
    }

    /// The sequence of the last logged click; 0 before the first.
    pub fn last_sequence(&self) -> u64 {
        self.sequence
    }

    /// The stream of the ring's clicks.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// If the rest of the ring is too short for any frame, writes a mark to continue at the ring's
    /// start. False while the reader has not released that rest.
    fn skip_short_end(&mut self) -> bool {
        let left = self.producer.contiguous();
        if left >= SLOT_BYTES {
            return true;
        }
        let Some(slot) = self.producer.slot(left) else {
            return false;
        };
        if let Some(header) = slot.get_mut(..FRAME_HEADER_BYTES) {
            write_frame_header(header, 0, SKIP_MARK, 0);
        }
        self.producer.publish(left);
        true
    }

    #[cold]
    fn count_unlogged(&mut self) -> Recorded {
        self.unlogged += 1;
        self.producer.mapping().set(Word::Unlogged, self.unlogged);
        Recorded::Unlogged
    }
}

impl RingReader {
    fn new(consumer: Consumer, stream: StreamId, path: PathBuf) -> RingReader {
        RingReader { consumer, read: 0, released: 0, lent: 0, stream, path, writer: Weak::new() }
    }

    /// Whether the writer was dropped, so that no more records can come.
    pub(super) fn writer_is_gone(&self) -> bool {
        self.writer.strong_count() == 0
    }

    /// The stream of the ring's clicks.
    pub(super) fn stream(&self) -> StreamId {
        self.stream
    }

    /// The ring's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Counters for other threads.
    pub(super) fn gauge(&self) -> RingGauge {
        RingGauge(self.consumer.mapping().clone())
    }

    /// Number of unread bytes; 0 if the ring is damaged.
    pub(super) fn unread_bytes(&self) -> u64 {
        self.consumer.unread().unwrap_or(0)
    }

    /// Moves to the next record and returns its sequence, or `None` after the last record. A record
    /// stays in the ring until [`RingReader::release`].
    pub(super) fn advance(&mut self) -> Result<Option<u64>, RingDamage> {
        self.consumer.read(std::mem::take(&mut self.lent));
        let mut parsed = self.parse_frame()?;
        if let Some(Parsed::SkipTo { bytes }) = parsed {
            self.consumer.read(bytes);
            parsed = self.parse_frame()?;
        }
        match parsed {
            None => Ok(None),
            Some(Parsed::SkipTo { .. }) => Err(RingDamage::Frame { sequence: self.read + 1 }),
            Some(Parsed::Record { sequence, bytes }) => {
                self.check_order(sequence)?;
                self.read = sequence;
                self.lent = frame_bytes(bytes);
                Ok(Some(sequence))
            }
        }
    }

    /// The record that [`RingReader::advance`] moved to, with up to seven bytes of filling.
    pub(super) fn record(&self) -> &[u8] {
        let frame = self.consumer.peek().unwrap_or_default();
        frame.get(FRAME_HEADER_BYTES..self.lent).unwrap_or_default()
    }

    /// Returns the room of all read records to the writer. Call it when they are durable.
    pub(super) fn release(&mut self) {
        self.consumer.read(std::mem::take(&mut self.lent));
        if self.read > 0 {
            self.consumer.mapping().set(Word::DurableSequence, self.read);
        }
        self.consumer.release();
        self.released = self.read;
    }

    /// Goes back to the last release: the records read since then will be read again.
    pub(super) fn rewind(&mut self) {
        self.lent = 0;
        self.consumer.rewind();
        self.read = self.released;
    }

    /// Skips unreadable records of a ring with a living writer; the gap shows in the sequences.
    /// Returns the number of lost records.
    pub(super) fn give_up_unread(&mut self) -> u64 {
        self.lent = 0;
        self.consumer.skip_to_head();
        let last = self.consumer.mapping().get(Word::LastSequence);
        let lost = last.saturating_sub(self.read);
        // The writer may be one record ahead of its head, so the next sequence is unknown.
        self.read = 0;
        self.release();
        lost
    }

    fn check_order(&self, found: u64) -> Result<(), RingDamage> {
        let in_order = if self.read == 0 { found > 0 } else { found == self.read + 1 };
        if in_order { Ok(()) } else { Err(RingDamage::Sequence { before: self.read, found }) }
    }

    fn parse_frame(&self) -> Result<Option<Parsed>, RingDamage> {
        let bytes = self.consumer.peek()?;
        let at_end = bytes.len() == self.consumer.contiguous();
        let Some(header) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else {
            return match bytes.len() {
                0 => Ok(None),
                left if at_end => Ok(Some(Parsed::SkipTo { bytes: left })),
                _ => Err(RingDamage::Frame { sequence: self.read + 1 }),
            };
        };
        let (length, mark, sequence) = parse_frame_header(header);
        match mark {
            SKIP_MARK if at_end && bytes.len() < SLOT_BYTES => {
                Ok(Some(Parsed::SkipTo { bytes: bytes.len() }))
            }
            RECORD_MARK if length <= MAX_RECORD_LEN && frame_bytes(length) <= bytes.len() => {
                Ok(Some(Parsed::Record { sequence, bytes: length }))
            }
            _ => Err(RingDamage::Frame { sequence: self.read + 1 }),
        }
    }
}

enum Parsed {
    Record { sequence: u64, bytes: usize },
    SkipTo { bytes: usize },
}

impl RingGauge {
    /// Records in the ring since the start.
    pub(super) fn logged(&self) -> u64 {
        self.0.get(Word::LastSequence)
    }

    /// Records that did not fit into the full ring.
    pub(super) fn unlogged(&self) -> u64 {
        self.0.get(Word::Unlogged)
    }

    /// The sequence of the last record that is durable in the click WAL.
    pub(super) fn durable(&self) -> u64 {
        self.0.get(Word::DurableSequence)
    }
}

fn frame_bytes(record: usize) -> usize {
    (FRAME_HEADER_BYTES + record).next_multiple_of(ALIGNMENT)
}

fn write_frame_header(header: &mut [u8], length: u32, mark: u32, sequence: u64) {
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&mark.to_le_bytes());
    header[8..FRAME_HEADER_BYTES].copy_from_slice(&sequence.to_le_bytes());
}

fn parse_frame_header(header: &[u8; FRAME_HEADER_BYTES]) -> (usize, u32, u64) {
    (u32_at(header, 0) as usize, u32_at(header, 4), u64_at(header, 8))
}

fn encode_constants(identity: Identity, capacity: usize) -> [u8; CONSTANTS_BYTES] {
    let Identity { store, stream, run } = identity;
    let mut bytes = [0; CONSTANTS_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&stream.incarnation.to_le_bytes());
    bytes[16..32].copy_from_slice(&store);
    bytes[32..40].copy_from_slice(&(capacity as u64).to_le_bytes());
    bytes[40..42].copy_from_slice(&stream.node.to_le_bytes());
    bytes[42] = stream.thread;
    bytes[44..60].copy_from_slice(&run.map_or(NO_RUN, |run| run.0));
    let checksum = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Returns the identity and the capacity, or describes the damage.
fn decode_constants(bytes: &[u8; CONSTANTS_BYTES]) -> Result<(Identity, u64), String> {
    if bytes[..8] != MAGIC {
        return Err("it does not begin like a click ring".into());
    }
    if crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
        return Err("the checksum of its constants does not match".into());
    }
    let version = u32_at(bytes, 8);
    if version != FORMAT_VERSION {
        return Err(format!("its format version is {version}, this build reads {FORMAT_VERSION}"));
    }
    let store = std::array::from_fn(|i| bytes[16 + i]);
    let node = u16::from_le_bytes([bytes[40], bytes[41]]);
    let stream = StreamId { node, incarnation: u32_at(bytes, 12), thread: bytes[42] };
    let run = std::array::from_fn(|i| bytes[44 + i]);
    let run = (run != NO_RUN).then_some(RunId(run));
    Ok((Identity { store, stream, run }, u64_at(bytes, 32)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}
