//! Memory of a ring under the model checker. The checker owns the words and learns of each lent
//! slice, so the tests fail when bytes are lent to one half before a load has shown it the other
//! half's release.

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;

use super::{HEADER_BYTES, Mapping, Word};

/// Frames of the models are multiples of this, so that no half owns part of a unit.
const UNIT_BYTES: usize = 64;

#[derive(Debug)]
pub(super) struct Memory {
    words: [(Word, AtomicU64); 5],
    bytes: std::cell::UnsafeCell<Box<[u64]>>,
    /// One for each unit of the ring.
    lent: Vec<UnsafeCell<()>>,
}

// SAFETY: the checker verifies all access to the bytes.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Mapping {
    /// The mapping of a ring under the checker.
    pub(in crate::clicks::ring) fn modelled(capacity: usize) -> Mapping {
        let words =
            [Word::Head, Word::LastSequence, Word::Tail, Word::DurableSequence, Word::Unlogged];
        let bytes = vec![0; (HEADER_BYTES + capacity) / size_of::<u64>()];
        let memory = Memory {
            words: words.map(|word| (word, AtomicU64::new(0))),
            bytes: std::cell::UnsafeCell::new(bytes.into()),
            lent: (0..capacity / UNIT_BYTES).map(|_| UnsafeCell::new(())).collect(),
        };
        Mapping { memory: super::Memory::Modelled(memory) }
    }
}

impl Memory {
    pub(super) fn len(&self) -> usize {
        HEADER_BYTES + self.lent.len() * UNIT_BYTES
    }

    pub(super) fn word(&self, word: Word) -> &AtomicU64 {
        let found = self.words.iter().find(|(known, _)| *known as usize == word as usize);
        &found.unwrap().1
    }

    pub(super) fn to_read(&self, at: usize, bytes: usize) -> *const u8 {
        self.units(at, bytes).iter().for_each(|unit| unit.with(|_| ()));
        self.locate(at)
    }

    pub(super) fn to_write(&self, at: usize, bytes: usize) -> *mut u8 {
        self.units(at, bytes).iter().for_each(|unit| unit.with_mut(|_| ()));
        self.locate(at)
    }

    fn units(&self, at: usize, bytes: usize) -> &[UnsafeCell<()>] {
        let from = at - HEADER_BYTES;
        &self.lent[from / UNIT_BYTES..(from + bytes).div_ceil(UNIT_BYTES)]
    }

    fn locate(&self, at: usize) -> *mut u8 {
        // SAFETY: reads only the box, which never changes.
        let first = unsafe { (*self.bytes.get()).as_ptr() };
        first.cast_mut().cast::<u8>().wrapping_add(at)
    }
}
