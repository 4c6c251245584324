//! Writes a backup. The file gets its name when it is complete and durable.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::error::BackupError;
use super::file_format::{FORMAT, FileEntry, MANIFEST, Manifest, Progress};
use crate::archive;
use crate::private_file::{NewFile, TemporaryFolder, create_new, folder_of};
use crate::store::{self, copy};

const ZSTD_LEVEL: i32 = 3;

/// Backs the data folder `dir` up to the new file `to`; returns the file's length in bytes.
///
/// # Errors
/// When the folder cannot be read or the file cannot be written. No file remains then.
pub fn backup(
    dir: &Path,
    to: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, BackupError> {
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.into()));
    }
    let new = NewFile::beside(to).map_err(BackupError::io("write", to))?;
    pack(dir, folder_of(to), new.file(), to, progress)?;
    let bytes = new.file().metadata().map_err(BackupError::io("read", to))?.len();
    new.persist_new().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(to.into()),
        _ => BackupError::io("name", to)(error),
    })?;
    Ok(bytes)
}

/// Backs the data folder `dir` up to `out`; returns the length in bytes. A temporary copy of the
/// store is written to the system's temporary folder (`TMPDIR`).
///
/// # Errors
/// When the folder cannot be read or the backup cannot be written. The output is incomplete then.
pub fn backup_into(
    dir: &Path,
    out: impl Write,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, BackupError> {
    let mut counted = Counted { out, bytes: 0 };
    pack(dir, &std::env::temp_dir(), &mut counted, Path::new("-"), progress)?;
    Ok(counted.bytes)
}

/// Counts written bytes.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes the backup of `dir`; errors call the output `name`.
fn pack(
    dir: &Path,
    scratch: &Path,
    out: impl Write,
    name: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), BackupError> {
    let scratch = TemporaryFolder::within(scratch).map_err(BackupError::io("write in", scratch))?;
    let copied_to = scratch.path().join(store::FILE_NAME);
    create_new(&copied_to).map_err(BackupError::io("write", &copied_to))?;
    let made_at = jiff::Timestamp::now().as_second();
    let copied =
        copy::copy(dir, &copied_to, &mut |done, total| progress(Progress::Store(done, total)))?;
    let manifest = Manifest {
        format: FORMAT,
        program: concat!("coupon-admin ", env!("CARGO_PKG_VERSION")).into(),
        schema: copied.schema,
        lineage: copied.meta.lineage.iter().map(|byte| format!("{byte:02x}")).collect(),
        made_at,
        files: Vec::new(),
    };
    write(out, name, &files_to_pack(dir, &copied_to)?, manifest, progress)
}

struct PackedFile {
    name: String,
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// Opens the store's copy and the archive's segments. Segments are packed up to their present
/// length.
fn files_to_pack(dir: &Path, store_copy: &Path) -> Result<Vec<PackedFile>, BackupError> {
    let mut files = vec![open_to_pack(store::FILE_NAME.into(), store_copy.into())?];
    let folder = dir.join(archive::FOLDER_NAME);
    for name in segments(&folder)? {
        let path = folder.join(&name);
        files.push(open_to_pack(format!("{}/{name}", archive::FOLDER_NAME), path)?);
    }
    Ok(files)
}

fn open_to_pack(name: String, path: PathBuf) -> Result<PackedFile, BackupError> {
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (bytes, file) = opened.map_err(BackupError::io("read", &path))?;
    Ok(PackedFile { name, path, file, bytes })
}

/// Names of the archive's segments, in frame order.
pub(super) fn segments(folder: &Path) -> Result<Vec<String>, BackupError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BackupError::io("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(BackupError::io("read", folder))?;
        names.extend(
            entry.file_name().into_string().ok().filter(|name| first_frame(name).is_some()),
        );
    }
    names.sort_unstable();
    Ok(names)
}

/// First frame of a segment, from its file name.
pub(super) fn first_frame(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn write(
    out: impl Write,
    name: &Path,
    files: &[PackedFile],
    mut manifest: Manifest,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), BackupError> {
    let failed = || BackupError::io("write", name);
    let mut compressed = zstd::Encoder::new(out, ZSTD_LEVEL).map_err(failed())?;
    compressed.include_checksum(true).map_err(failed())?;
    let mut tar = tar::Builder::new(compressed);
    let total = files.iter().map(|file| file.bytes).sum();
    let mut packed = 0;
    for file in files {
        let mut reader = Hashed::new((&file.file).take(file.bytes), |bytes| {
            packed += bytes;
            progress(Progress::Files(packed, total));
        });
        tar.append(
            &header(&file.name, file.bytes, manifest.made_at).map_err(failed())?,
            &mut reader,
        )
        .map_err(failed())?;
        let (bytes, blake3) = reader.finish();
        if bytes != file.bytes {
            return Err(BackupError::Shrank(file.path.clone()));
        }
        manifest.files.push(FileEntry { name: file.name.clone(), bytes, blake3 });
    }
    let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other).map_err(failed())?;
    let head = header(MANIFEST, text.len() as u64, manifest.made_at).map_err(failed())?;
    tar.append(&head, text.as_slice()).map_err(failed())?;
    let finish = || tar.into_inner()?.finish()?.flush();
    finish().map_err(failed())
}

fn header(name: &str, bytes: u64, made_at: i64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(made_at.unsigned_abs());
    header.set_cksum();
    Ok(header)
}

/// A reader that hashes and counts the bytes read.
pub(super) struct Hashed<R, F> {
    reader: R,
    hasher: blake3::Hasher,
    bytes: u64,
    report: F,
}

impl<R: Read, F: FnMut(u64)> Hashed<R, F> {
    pub(super) fn new(reader: R, report: F) -> Hashed<R, F> {
        Hashed { reader, hasher: blake3::Hasher::new(), bytes: 0, report }
    }

    pub(super) fn finish(self) -> (u64, String) {
        (self.bytes, self.hasher.finalize().to_hex().to_string())
    }
}

impl<R: Read, F: FnMut(u64)> Read for Hashed<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        (self.report)(read as u64);
        Ok(read)
    }
}
