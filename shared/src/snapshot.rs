//! The files through which the admin publishes its rules to the daemon.
//!
//! A snapshot is an ordered list of [`level`] files, one [`catalog`] file, and a [`manifest`] that
//! names them by hash. Files are immutable: a change writes new ones and then a new manifest.
//! These modules work on bytes and open no file.

pub mod catalog;
pub mod level;
pub mod manifest;

/// The identity of a store's history: random, made once with the store. Sequences and generations
/// compare only within one lineage.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lineage(pub [u8; 16]);

impl std::fmt::Display for Lineage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for Lineage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lineage({self})")
    }
}

/// Why a snapshot file is refused. The old index serves on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not the length its header says.
    #[error("the {file} has {got} bytes, not {expected}: it was cut or is damaged")]
    Length {
        /// Which kind of file.
        file: &'static str,
        /// Bytes expected.
        expected: u64,
        /// Bytes there.
        got: u64,
    },
    /// Begins with other bytes than its kind does.
    #[error("this is no {file}")]
    Magic {
        /// The kind expected.
        file: &'static str,
    },
    /// A version this build does not know.
    #[error(
        "the {file} has {what} {got}; this build knows {known}: upgrade coupond, or publish with the older coupon-admin"
    )]
    Version {
        /// Which kind of file.
        file: &'static str,
        /// Which version.
        what: &'static str,
        /// Version found.
        got: u64,
        /// Version known.
        known: u64,
    },
    /// A hash differs.
    #[error("the hash of the {file}'s {part} differs: it is damaged")]
    Hash {
        /// Which kind of file.
        file: &'static str,
        /// Which part.
        part: &'static str,
    },
    /// The content breaks a rule of its format.
    #[error("the {file} is damaged: {reason}")]
    Content {
        /// Which kind of file.
        file: &'static str,
        /// The rule.
        reason: String,
    },
    /// The files do not belong together.
    #[error("the snapshot does not fit together: {reason}")]
    Mismatch {
        /// What differs.
        reason: String,
    },
}

/// Length of a BLAKE3 hash in bytes.
pub(crate) const HASH_LEN: usize = 32;

/// A file's header, read field by field. Offsets are constants below the checked length.
pub(crate) struct Header<'a> {
    pub(crate) file: &'static str,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Header<'a> {
    /// Takes the header off the front, checking magic, version and the hash in its last 32 bytes.
    pub(crate) fn open(
        file: &'static str,
        bytes: &'a [u8],
        len: usize,
        magic: &[u8; 8],
        format_version: u16,
    ) -> Result<Self, SnapshotError> {
        let got = bytes.len() as u64;
        let bytes =
            bytes.get(..len).ok_or(SnapshotError::Length { file, expected: len as u64, got })?;
        let header = Self { file, bytes };
        if &bytes[..8] != magic {
            return Err(SnapshotError::Magic { file });
        }
        header.expect_version("format version", header.u16(8).into(), format_version.into())?;
        header.check_hash("header", &bytes[..len - HASH_LEN], len - HASH_LEN)?;
        Ok(header)
    }

    pub(crate) fn expect_version(
        &self,
        what: &'static str,
        got: u64,
        known: u64,
    ) -> Result<(), SnapshotError> {
        if got == known {
            return Ok(());
        }
        Err(SnapshotError::Version { file: self.file, what, got, known })
    }

    /// Compares the hash of `content` with the one written at `at`.
    pub(crate) fn check_hash(
        &self,
        part: &'static str,
        content: &[u8],
        at: usize,
    ) -> Result<(), SnapshotError> {
        // BLAKE3 names files by their content and proves that a reader has exactly the published
        // bytes. It hashes at the speed of memory, so a daemon can check every byte of a large
        // level.
        if blake3::hash(content).as_bytes() == &self.bytes[at..at + HASH_LEN] {
            return Ok(());
        }
        Err(SnapshotError::Hash { file: self.file, part })
    }

    pub(crate) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    pub(crate) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    pub(crate) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    pub(crate) fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }

    pub(crate) fn content_error(&self, reason: impl Into<String>) -> SnapshotError {
        SnapshotError::Content { file: self.file, reason: reason.into() }
    }
}
