//! The table of seen visitors: the second of a visitor's last accepted click on an offer.
//!
//! The table is a file in the runtime folder, mapped shared, so marks survive `kill -9`. The size is
//! fixed: in a full set the visitor with the oldest mark makes room. Readers take no lock. The caller
//! ensures that only a single thread writes at a time.
//!
//! ```text
//! header, 4096 bytes: magic "cpnseen\x01", number of entries, zero
//! then the entries:   hash of visitor and offer 8, Unix seconds 8; zero where empty
//! ```

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mapped_words::MappedWords;

const MAGIC: u64 = u64::from_le_bytes(*b"cpnseen\x01");
const HEADER_WORDS: usize = 512;
/// 16 MiB.
const ENTRIES: usize = 1 << 20;
/// Entries in a set: the possible places of a hash. A set fills two cache lines.
const WAYS: usize = 8;
const WORDS_OF_ENTRY: usize = 2;

#[derive(Debug)]
pub(super) struct SeenTable {
    words: MappedWords,
    occupied: AtomicU64,
    evictions: AtomicU64,
}

impl SeenTable {
    /// Opens the table, or replaces an unusable file by an empty table.
    pub(super) fn open(path: &Path) -> io::Result<SeenTable> {
        let beginning = [MAGIC, ENTRIES as u64];
        let words = HEADER_WORDS + ENTRIES * WORDS_OF_ENTRY;
        let words = MappedWords::open(path, &beginning, words)?;
        let (occupied, evictions) = Default::default();
        let table = SeenTable { words, occupied, evictions };
        let occupied = table.entries().iter().filter(|entry| load(&entry[0]) != 0).count();
        table.occupied.store(occupied as u64, Ordering::Relaxed);
        Ok(table)
    }

    /// Visitors in the table.
    pub(super) fn occupied(&self) -> u64 {
        self.occupied.load(Ordering::Relaxed)
    }

    /// Visitors who made room for others since the start.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Whether the visitor's last accepted click lies less than so many seconds away.
    pub(super) fn is_within(&self, hash: u64, seconds: u32, now: i64) -> bool {
        // Away in both directions: a clock that was wrong must not make a visitor known for long.
        self.last_accepted(hash).is_some_and(|last| now.abs_diff(last) < seconds.into())
    }

    fn last_accepted(&self, hash: u64) -> Option<i64> {
        let hash = stored(hash);
        let entry = self.set(hash).iter().find(|entry| load(&entry[0]) == hash)?;
        let last = load(&entry[1]);
        // A writer empties an entry before it changes its second.
        (load(&entry[0]) == hash).then_some(last.cast_signed())
    }

    /// Notes an accepted click. Only one thread may do so at a time.
    pub(super) fn mark(&self, hash: u64, now: i64) {
        let (hash, now) = (stored(hash), now.cast_unsigned());
        let set = self.set(hash);
        if let Some(known) = set.iter().find(|entry| load(&entry[0]) == hash) {
            return store(&known[1], now);
        }
        let oldest = set.iter().min_by_key(|entry| (load(&entry[0]) != 0, load(&entry[1])));
        let Some(entry) = oldest else { return };
        let is_empty = load(&entry[0]) == 0;
        let count = if is_empty { &self.occupied } else { &self.evictions };
        count.fetch_add(1, Ordering::Relaxed);
        store(&entry[0], 0);
        store(&entry[1], now);
        store(&entry[0], hash);
    }

    /// Notes an accepted click of an earlier run, unless a later one is known, or would have to make
    /// room. Only one thread may do so at a time.
    pub(super) fn mark_earlier(&self, hash: u64, then: i64) {
        if self.last_accepted(hash).is_some_and(|last| last >= then) {
            return;
        }
        let set = self.set(stored(hash));
        let is_free = |entry: &[AtomicU64; WORDS_OF_ENTRY]| load(&entry[0]) == 0;
        let is_older = |entry: &[AtomicU64; WORDS_OF_ENTRY]| load(&entry[1]).cast_signed() < then;
        if set.iter().any(|entry| is_free(entry) || is_older(entry)) {
            self.mark(hash, then);
        }
    }

    /// Whether further visitors would have to make room for others.
    pub(super) fn is_full(&self) -> bool {
        self.occupied() >= ENTRIES as u64
    }

    fn set(&self, hash: u64) -> &[[AtomicU64; WORDS_OF_ENTRY]] {
        let entries = self.entries();
        let first = (hash as usize % (ENTRIES / WAYS)) * WAYS;
        &entries[first..first + WAYS]
    }

    fn entries(&self) -> &[[AtomicU64; WORDS_OF_ENTRY]] {
        self.words.as_words()[HEADER_WORDS..].as_chunks().0
    }
}

/// Zero stands for an empty entry.
fn stored(hash: u64) -> u64 {
    hash.max(1)
}

// Sequentially consistent: a reader's second look at the hash must see what the writer did before
// it changed the second.

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::SeqCst)
}

fn store(word: &AtomicU64, value: u64) {
    word.store(value, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_763_000_000;

    fn table() -> (tempfile::TempDir, SeenTable) {
        let folder = tempfile::tempdir().unwrap();
        let table = SeenTable::open(&folder.path().join("seen")).unwrap();
        (folder, table)
    }

    #[test]
    fn a_visitor_is_known_for_the_seconds_asked_for_from_the_last_mark() {
        let (_folder, table) = table();
        assert!(!table.is_within(5, 60, NOW));
        table.mark(5, NOW);
        let known = |after| table.is_within(5, 60, NOW + after);
        assert_eq!([0, 59, 60].map(known), [true, true, false]);
        table.mark(5, NOW + 30);
        assert_eq!([60, 89, 90].map(known), [true, true, false]);
        assert!(!table.is_within(6, 60, NOW) && !table.is_within(0, 60, NOW));
        assert!(!table.is_within(5, 60, NOW - 60), "a clock that was wrong");
        assert_eq!((table.occupied(), table.evictions()), (1, 0));
    }

    #[test]
    fn a_full_set_gives_up_its_oldest_visitor() {
        let (_folder, table) = table();
        let hash = |number: u64| 1 + number * (ENTRIES / WAYS) as u64;
        for number in 0..WAYS as u64 {
            table.mark(hash(number), NOW + number as i64);
        }
        table.mark(hash(0), NOW + 50);
        table.mark(hash(8), NOW + 51);
        let known: Vec<u64> =
            (0..9).filter(|number| table.is_within(hash(*number), 1000, NOW + 52)).collect();
        assert_eq!(known, [0, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((table.occupied(), table.evictions()), (8, 1));
    }

    #[test]
    fn clicks_of_earlier_runs_take_no_place_of_later_ones() {
        let (_folder, table) = table();
        let hash = |number: u64| 1 + number * (ENTRIES / WAYS) as u64;
        for number in 0..WAYS as u64 {
            table.mark_earlier(hash(number), NOW - number as i64);
        }
        // Older than the one that is known, and older than all of a full set.
        table.mark_earlier(hash(0), NOW - 50);
        table.mark_earlier(hash(8), NOW - 50);
        assert!(table.is_within(hash(0), 1, NOW) && !table.is_within(hash(8), 1000, NOW));
        table.mark_earlier(hash(9), NOW);
        assert!(table.is_within(hash(9), 1, NOW) && !table.is_within(hash(7), 1000, NOW));
        assert!(!table.is_full());
    }

    #[test]
    fn a_table_survives_its_process() {
        let (folder, table) = table();
        table.mark(5, NOW);
        drop(table);
        let table = SeenTable::open(&folder.path().join("seen")).unwrap();
        assert!(table.is_within(5, 60, NOW));
        assert_eq!(table.occupied(), 1);
    }

    #[test]
    fn readers_never_see_one_visitors_hash_with_anothers_second() {
        let (_folder, table) = table();
        let hash = |number: u64| 1 + number * (ENTRIES / WAYS) as u64;
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut seen = 0;
                        while !is_over.load(Ordering::Acquire) {
                            for number in 0..40 {
                                let Some(last) = table.last_accepted(hash(number)) else {
                                    continue;
                                };
                                assert_eq!((last - NOW) % 40, number as i64);
                                seen += 1;
                            }
                        }
                        seen
                    })
                })
                .collect();
            for round in 0..100_000 {
                table.mark(hash(round % 40), NOW + round as i64);
            }
            is_over.store(true, Ordering::Release);
            assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>() > 0);
        });
    }
}
