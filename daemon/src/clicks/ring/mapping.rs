//! A ring of bytes in a file mapped shared, with one producer and one consumer.
//!
//! All `unsafe` of the program is here. It is sound for these reasons:
//! - The mapping is as long as the file. All blocks of the file are allocated before it is mapped,
//!   and no program of ours ever shortens it. The mapping lives as long as the two halves that
//!   point into it.
//! - Positions only grow; a position's place in the ring is its remainder by the capacity. The
//!   bytes from `tail` to `head` belong to the consumer, the others to the producer. The producer
//!   hands bytes over by storing `head` (release), the consumer by storing `tail` (release); each
//!   half reads the other's word (acquire) before touching the bytes handed over. So the slices
//!   that the two halves lend never overlap.
//! - There is one half of each kind: `split` takes the mapping, and a consumer without producer is
//!   created only for a file that no other process has locked.
//! - If a word is out of bounds (the file is damaged), no bytes are lent.
//!
//! Deliberately absent: the meaning of the bytes.
#![allow(unsafe_code)]

#[cfg(test)]
mod model;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate};

/// Constants, and words on separate cache lines; the ring's bytes follow.
pub(super) const HEADER_BYTES: usize = 4096;
pub(super) const CONSTANTS_BYTES: usize = 64;
/// Every position is a multiple of this.
pub(super) const ALIGNMENT: usize = 8;

/// A 64-bit word of the header.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(super) enum Word {
    Head = 128,
    LastSequence = 136,
    Tail = 256,
    DurableSequence = 264,
    Unlogged = 384,
}

/// Positions that are impossible in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its head {head} and tail {tail} cannot belong to a ring of {capacity} bytes")]
pub(super) struct BadPositions {
    head: u64,
    tail: u64,
    capacity: u64,
}

/// A load with [`GET`] that sees a store with this ordering also sees all earlier stores of that
/// thread.
const SET: Ordering = Ordering::Release;
const GET: Ordering = Ordering::Acquire;

#[derive(Debug)]
pub(super) struct Mapping {
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    Shared {
        map: MmapRaw,
        /// Locked, so that other processes see the ring in use.
        _file: File,
    },
    /// Memory that detects access to bytes of the other half.
    #[cfg(test)]
    Modelled(model::Memory),
}

impl Mapping {
    /// Creates a file with room for `capacity` bytes (a power of two). All pages are allocated and
    /// touched, so later access neither faults nor fails for lack of memory.
    pub(super) fn create(path: &Path, capacity: usize, constants: &[u8]) -> io::Result<Mapping> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.try_lock()?;
        let bytes = HEADER_BYTES + capacity;
        fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)?;
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        // SAFETY: the mapping has this length and is not shared yet.
        let all = unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr(), bytes) };
        all.fill(0);
        all[..constants.len()].copy_from_slice(constants);
        Ok(Mapping { memory: Memory::Shared { map, _file: file } })
    }

    /// Opens an existing file; `WouldBlock` if a living process uses the ring.
    pub(super) fn open(path: &Path) -> io::Result<Mapping> {
        let file = File::options().read(true).write(true).open(path)?;
        file.try_lock()?;
        let capacity = file.metadata()?.len().checked_sub(HEADER_BYTES as u64);
        if !capacity.is_some_and(|bytes| bytes >= ALIGNMENT as u64 && bytes.is_power_of_two()) {
            let problem = "its length is not that of a ring";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let map = MmapRaw::map_raw(&file)?;
        Ok(Mapping { memory: Memory::Shared { map, _file: file } })
    }

    /// A power of two, so that a position's place needs no division.
    pub(super) fn capacity(&self) -> usize {
        self.memory.len() - HEADER_BYTES
    }

    pub(super) fn get(&self, word: Word) -> u64 {
        match &self.memory {
            Memory::Shared { map, .. } => atomic(map, word).load(GET),
            #[cfg(test)]
            Memory::Modelled(memory) => memory.word(word).load(GET),
        }
    }

    pub(super) fn set(&self, word: Word, value: u64) {
        match &self.memory {
            Memory::Shared { map, .. } => atomic(map, word).store(value, SET),
            #[cfg(test)]
            Memory::Modelled(memory) => memory.word(word).store(value, SET),
        }
    }

    /// The offset of a position in the mapping, and the number of bytes from there to the ring's
    /// end.
    fn locate(&self, position: u64) -> (usize, usize) {
        let at = (position & (self.capacity() as u64 - 1)) as usize;
        (HEADER_BYTES + at, self.capacity() - at)
    }
}

fn atomic(map: &MmapRaw, word: Word) -> &AtomicU64 {
    // SAFETY: words lie within the header, are aligned, and are only accessed as atomics.
    unsafe { AtomicU64::from_ptr(map.as_mut_ptr().add(word as usize).cast()) }
}

impl Memory {
    fn len(&self) -> usize {
        match self {
            Memory::Shared { map, .. } => map.len(),
            #[cfg(test)]
            Memory::Modelled(memory) => memory.len(),
        }
    }

    /// A pointer to `bytes` readable bytes from `at` on.
    fn to_read(&self, at: usize, bytes: usize) -> *const [u8] {
        let first = match self {
            Memory::Shared { map, .. } => map.as_ptr().wrapping_add(at),
            #[cfg(test)]
            Memory::Modelled(memory) => memory.to_read(at, bytes),
        };
        std::ptr::slice_from_raw_parts(first, bytes)
    }

    /// A pointer to `bytes` writable bytes from `at` on.
    fn to_write(&self, at: usize, bytes: usize) -> *mut [u8] {
        let first = match self {
            Memory::Shared { map, .. } => map.as_mut_ptr().wrapping_add(at),
            #[cfg(test)]
            Memory::Modelled(memory) => memory.to_write(at, bytes),
        };
        std::ptr::slice_from_raw_parts_mut(first, bytes)
    }
}

/// The half that fills the ring.
#[derive(Debug)]
pub(super) struct Producer {
    map: Arc<Mapping>,
    head: u64,
    /// As last loaded; the current tail is the same or further.
    tail: u64,
}

/// The half that empties the ring. It reads ahead of the tail, then either releases all that was
/// read or rewinds.
#[derive(Debug)]
pub(super) struct Consumer {
    map: Arc<Mapping>,
    tail: u64,
    read: u64,
}

/// Both halves of a new ring.
pub(super) fn split(map: Mapping) -> (Producer, Consumer) {
    let map = Arc::new(map);
    let producer = Producer { map: map.clone(), head: 0, tail: 0 };
    (producer, Consumer { map, tail: 0, read: 0 })
}

impl Producer {
    pub(super) fn mapping(&self) -> &Arc<Mapping> {
        &self.map
    }

    /// Bytes before the ring's end; no slot can be longer.
    pub(super) fn contiguous(&self) -> usize {
        self.map.locate(self.head).1
    }

    /// The next `bytes` bytes; `None` unless all of them are free.
    pub(super) fn slot(&mut self, bytes: usize) -> Option<&mut [u8]> {
        if bytes > self.contiguous() || !self.is_free(bytes) {
            return None;
        }
        let (at, _) = self.map.locate(self.head);
        // SAFETY: within the ring, and the producer's: the slot ends at most one capacity after the
        // tail.
        Some(unsafe { &mut *self.map.memory.to_write(at, bytes) })
    }

    /// Hands the first `bytes` bytes of the slot over to the consumer.
    pub(super) fn publish(&mut self, bytes: usize) {
        self.head += bytes as u64;
        self.map.set(Word::Head, self.head);
    }

    fn is_free(&mut self, bytes: usize) -> bool {
        let capacity = self.map.capacity() as u64;
        let fits = |head: u64, tail: u64| {
            head.checked_sub(tail).is_some_and(|used| used + bytes as u64 <= capacity)
        };
        if fits(self.head, self.tail) {
            return true;
        }
        self.tail = self.map.get(Word::Tail);
        fits(self.head, self.tail)
    }
}

impl Consumer {
    /// The consumer of a ring without a producer.
    pub(super) fn of_orphan(map: Mapping) -> Consumer {
        let tail = map.get(Word::Tail);
        Consumer { map: Arc::new(map), tail, read: tail }
    }

    pub(super) fn mapping(&self) -> &Arc<Mapping> {
        &self.map
    }

    /// Number of unread bytes.
    pub(super) fn unread(&self) -> Result<u64, BadPositions> {
        let head = self.map.get(Word::Head);
        let capacity = self.map.capacity() as u64;
        let aligned = (head | self.tail).is_multiple_of(ALIGNMENT as u64);
        let in_bounds = head.checked_sub(self.tail).is_some_and(|used| used <= capacity);
        match head.checked_sub(self.read) {
            Some(unread) if aligned && in_bounds => Ok(unread),
            _ => Err(BadPositions { head, tail: self.tail, capacity }),
        }
    }

    /// The unread bytes up to the ring's end.
    pub(super) fn peek(&self) -> Result<&[u8], BadPositions> {
        let unread = self.unread()?;
        let (at, contiguous) = self.map.locate(self.read);
        let bytes = unread.min(contiguous as u64) as usize;
        // SAFETY: within the ring, and the consumer's: the slice ends at the head at most.
        Ok(unsafe { &*self.map.memory.to_read(at, bytes) })
    }

    /// Bytes before the ring's end.
    pub(super) fn contiguous(&self) -> usize {
        self.map.locate(self.read).1
    }

    pub(super) fn skip_to_head(&mut self) {
        self.read = self.map.get(Word::Head);
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.read += bytes as u64;
    }

    /// Hands all bytes read over to the producer.
    pub(super) fn release(&mut self) {
        self.tail = self.read;
        self.map.set(Word::Tail, self.tail);
    }

    /// Goes back to the last release.
    pub(super) fn rewind(&mut self) {
        self.read = self.tail;
    }
}
