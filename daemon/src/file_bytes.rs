//! The bytes of a published file, read into memory of our own and never changed afterwards.
//!
//! A large file gets its own pages, as large as the system offers: look-ups touch places all over
//! the file, and with small pages most look-ups would need an additional page table walk. Freeing
//! the pages takes one call, which the loader makes.

use std::io::{self, Read};
use std::sync::Arc;

use memmap2::{Advice, Mmap, MmapMut};

/// A smaller file would not fill a huge page.
const MIN_PAGES_BYTES: usize = 2 << 20;

#[derive(Clone)]
pub struct FileBytes(Arc<Memory>);

enum Memory {
    Heap(Vec<u8>),
    Pages { pages: Mmap, len: usize },
}

impl FileBytes {
    /// Takes bytes that are in memory already.
    pub fn new(bytes: Vec<u8>) -> FileBytes {
        FileBytes(Arc::new(Memory::Heap(bytes)))
    }

    /// Reads the rest of a file behind `beginning`, up to `len` bytes in all. Returns one byte more
    /// if the file is longer, and fewer if it is shorter, so that callers notice both.
    pub fn read(beginning: Vec<u8>, rest: impl Read, len: usize) -> io::Result<FileBytes> {
        let with_one_more = len.saturating_add(1);
        if len < MIN_PAGES_BYTES {
            let mut bytes = beginning;
            let missing = with_one_more.saturating_sub(bytes.len());
            bytes.try_reserve_exact(missing)?;
            rest.take(missing as u64).read_to_end(&mut bytes)?;
            return Ok(FileBytes::new(bytes));
        }
        let mut pages = MmapMut::map_anon(with_one_more)?;
        // Systems without huge pages use small ones.
        let _ = pages.advise(Advice::HugePage);
        let len = fill(&mut pages, &beginning, rest)?;
        Ok(FileBytes(Arc::new(Memory::Pages { pages: pages.make_read_only()?, len })))
    }
}

fn fill(pages: &mut [u8], beginning: &[u8], mut rest: impl Read) -> io::Result<usize> {
    let mut filled = beginning.len().min(pages.len());
    pages[..filled].copy_from_slice(&beginning[..filled]);
    loop {
        match rest.read(&mut pages[filled..]) {
            Ok(0) => return Ok(filled),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl AsRef<[u8]> for FileBytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match &*self.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Pages { pages, len } => &pages[..*len],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_one_byte_more_than_it_should_have() {
        for len in [1_000, MIN_PAGES_BYTES - 1, MIN_PAGES_BYTES, MIN_PAGES_BYTES + 12_345] {
            let file: Vec<u8> = (0..len + 50).map(|at| (at % 251) as u8).collect();
            for (file_len, expected) in
                [(len, len), (len + 1, len + 1), (len + 50, len + 1), (len - 7, len - 7)]
            {
                let (beginning, rest) = file[..file_len].split_at(256);
                let read = FileBytes::read(beginning.to_vec(), rest, len).unwrap();
                assert_eq!(read.as_ref(), &file[..expected]);
            }
        }
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        assert!(FileBytes::read(vec![1; 256], &[2; 9][..], usize::MAX / 2).is_err());
    }
}
