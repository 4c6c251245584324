//! Where certificates come from: folders with a folder for each host, and single pairs of files.
//!
//! The files are looked at a few times a second, and read when one changed. Invariants:
//!
//! - A pair that cannot be used changes nothing: the pair in service stays, and a problem says why.
//!   So half-written files, or a key without its certificate, harm nobody.
//! - A folder that cannot be listed takes no certificate out of service.
//! - A host's folder that is gone takes its certificate out of service at the second look, so that a
//!   folder which is just being replaced is not missed.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::certificates::CertificateTable;
use super::pair::{CertifiedPair, Dates, MAX_PEM_BYTES, PairError, check_pair};

/// Most hosts in one folder; beyond it the rest is left out, and a problem says so.
const MAX_HOSTS: usize = 10_000;

/// Files with a certificate chain that ACME clients write into a host's folder; the first that
/// exists is taken. `{}` is the folder's name.
const CHAIN_FILES: [&str; 5] = ["fullchain.pem", "fullchain.cer", "{}.crt", "tls.crt", "cert.pem"];
/// The same for the private key.
const KEY_FILES: [&str; 4] = ["privkey.pem", "{}.key", "tls.key", "key.pem"];

/// The places of certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificatePlaces {
    /// Folders with a folder for each host. A folder that does not exist has no hosts.
    pub folders: Vec<PathBuf>,
    /// A chain and a key by their own paths.
    pub pairs: Vec<CertificateFiles>,
    /// The host whose certificate also serves clients without a known server name.
    pub default_host: Option<String>,
}

/// The files of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, the host's certificate first.
    pub chain: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// Identity of a file's content: changes whenever the file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// Reasons why the files of a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
enum FilesError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the files were changed while they were read")]
    Changing,
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error(
        "the folder is named {host}, and the certificate is for {}", names.join(", ")
    )]
    OtherHost { host: String, names: Vec<String> },
    #[error(
        "there is no certificate and key with a known name (fullchain.pem and privkey.pem, \
         {host}.crt and {host}.key, tls.crt and tls.key)"
    )]
    NoFiles { host: String },
}

/// One source of a certificate, and what is known of it.
#[derive(Debug, Default)]
struct Known {
    stamps: Option<[FileStamp; 2]>,
    pair: Option<Arc<CertifiedPair>>,
    problem: Option<String>,
    /// Whether the last look did not find the source.
    is_missing: bool,
}

/// Reads certificates again and again; remembers what was read.
#[derive(Debug)]
pub struct CertificateReader {
    places: CertificatePlaces,
    known: BTreeMap<PathBuf, Known>,
    folder_problems: Vec<String>,
    logged_dates: Vec<String>,
}

impl CertificateReader {
    pub fn new(places: CertificatePlaces) -> CertificateReader {
        let (known, folder_problems, logged_dates) = Default::default();
        CertificateReader { places, known, folder_problems, logged_dates }
    }

    /// Looks at all files, and reads those that changed. Returns whether the certificates changed.
    pub fn look(&mut self) -> bool {
        let mut changed = false;
        let mut found = Vec::new();
        self.folder_problems.clear();
        let mut unlisted = Vec::new();
        for folder in self.places.folders.clone() {
            match host_folders(&folder) {
                Ok(hosts) => found.extend(hosts),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("certificates: cannot list {}: {error}", folder.display());
                    self.folder_problems.push(text);
                    unlisted.push(folder);
                }
            }
        }
        for host in &found {
            changed |= self.look_at(host, || files_in(host), host_name(host));
        }
        for files in self.places.pairs.clone() {
            changed |= self.look_at(&files.chain.clone(), || Ok(files), None);
        }
        changed | self.forget_missing(&found, &unlisted)
    }

    /// Reads one source if its files changed since the last look.
    fn look_at(
        &mut self,
        source: &Path,
        files: impl FnOnce() -> Result<CertificateFiles, FilesError>,
        host: Option<&str>,
    ) -> bool {
        let known = self.known.entry(source.to_owned()).or_default();
        known.is_missing = false;
        let read = files().and_then(|files| {
            let stamps = stamps(&files)?;
            if known.stamps == Some(stamps) {
                return Ok(None);
            }
            let pair = read_pair(&files, stamps, host)?;
            Ok(Some((stamps, pair)))
        });
        match read {
            Ok(None) => false,
            Ok(Some((stamps, pair))) => {
                tracing::info!(
                    source = %source.display(), names = %pair.names().join(","),
                    fingerprint = pair.fingerprint(), "certificate in service"
                );
                *known =
                    Known { stamps: Some(stamps), pair: Some(Arc::new(pair)), ..Known::default() };
                true
            }
            Err(error) => {
                // Read again at the next look, also where the stamps stay the same.
                known.stamps = None;
                let kept = match known.pair {
                    Some(_) => "; the one before stays in service",
                    None => "",
                };
                let text = format!("certificate {}: {error}{kept}", source.display());
                if known.problem.as_ref() != Some(&text) {
                    tracing::warn!("{text}");
                    known.problem = Some(text);
                }
                false
            }
        }
    }

    /// Takes sources out that two looks in a row did not find.
    fn forget_missing(&mut self, found: &[PathBuf], unlisted: &[PathBuf]) -> bool {
        let mut changed = false;
        let pairs = &self.places.pairs;
        self.known.retain(|source, known| {
            let is_there = found.contains(source)
                || pairs.iter().any(|files| files.chain == *source)
                || unlisted.iter().any(|folder| source.starts_with(folder));
            let stays = is_there || !known.is_missing;
            known.is_missing = !is_there;
            if !stays && known.pair.is_some() {
                tracing::info!(source = %source.display(), "certificate out of service: its folder is gone");
                changed = true;
            }
            stays
        });
        changed
    }

    /// The certificates as last read, at a time in Unix seconds.
    pub fn table(&self, now: i64) -> CertificateTable {
        let pairs = self.known.values().filter_map(|known| known.pair.clone());
        CertificateTable::new(pairs, self.places.default_host.as_deref(), now)
    }

    /// Logs the certificates outside their dates or near their end, each sentence once.
    pub(super) fn log_dates(&mut self, table: &CertificateTable, now: i64) {
        let problems = date_problems(table, now);
        for problem in problems.iter().filter(|problem| !self.logged_dates.contains(problem)) {
            tracing::warn!("{problem}");
        }
        self.logged_dates = problems;
    }

    /// Sentences for whoever operates the program: files that cannot be used, dates near or past
    /// their end, a default host without a certificate.
    pub fn problems(&self, table: &CertificateTable, now: i64) -> Vec<String> {
        let mut problems = self.folder_problems.clone();
        problems.extend(self.known.values().filter_map(|known| known.problem.clone()));
        problems.extend(date_problems(table, now));
        if let Some(host) = &self.places.default_host
            && !table.has_fallback()
        {
            problems.push(format!("tls.default_host: there is no certificate for {host}"));
        }
        problems
    }
}

/// Sentences on certificates outside their dates or near their end.
fn date_problems(table: &CertificateTable, now: i64) -> Vec<String> {
    let names = table.by_name().into_iter();
    let problems = names.filter_map(|(name, pair)| {
        let days = (pair.not_after() - now).div_euclid(86_400);
        match pair.dates_at(now) {
            Dates::Valid => None,
            Dates::NotYetValid => Some(format!(
                "the certificate of {name} is not valid yet: check this machine's clock"
            )),
            Dates::NearEnd => Some(format!(
                "the certificate of {name} ends in {days} day(s): check why it was not renewed"
            )),
            Dates::Expired => Some(format!("the certificate of {name} has expired: renew it")),
        }
    });
    problems.collect()
}

/// The folders of hosts in `folder`, ordered by name.
fn host_folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut hosts = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden =
            path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        // Follows links: ACME clients link the newest version.
        if !is_hidden && path.is_dir() {
            hosts.push(path);
        }
        if hosts.len() > MAX_HOSTS {
            return Err(io::Error::other(format!("it has more than {MAX_HOSTS} folders")));
        }
    }
    hosts.sort();
    Ok(hosts)
}

/// The host that a folder is named after; a name such as `example.com_ecc` or `live-1` names none.
fn host_name(folder: &Path) -> Option<&str> {
    let name = folder.file_name()?.to_str()?;
    let is_host = name.contains('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    is_host.then_some(name)
}

fn files_in(folder: &Path) -> Result<CertificateFiles, FilesError> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // acme.sh names the folder of an elliptic-curve key so, and the files after the host.
    let host = name.trim_end_matches("_ecc");
    let first = |names: &[&str]| {
        let paths = names.iter().map(|file| folder.join(file.replace("{}", host)));
        paths.into_iter().find(|path| path.exists())
    };
    match (first(&CHAIN_FILES), first(&KEY_FILES)) {
        (Some(chain), Some(key)) => Ok(CertificateFiles { chain, key }),
        _ => Err(FilesError::NoFiles { host: host.to_owned() }),
    }
}

fn stamps(files: &CertificateFiles) -> Result<[FileStamp; 2], FilesError> {
    let stamp = |path: &Path| {
        let metadata = std::fs::metadata(path);
        metadata.map(|metadata| FileStamp::of_metadata(&metadata)).map_err(cannot_read(path))
    };
    Ok([stamp(&files.chain)?, stamp(&files.key)?])
}

impl FileStamp {
    fn of_metadata(metadata: &Metadata) -> FileStamp {
        FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

fn cannot_read(path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    move |source| FilesError::Read { path: path.to_owned(), source }
}

/// Reads and checks a pair; an error if the files changed meanwhile.
fn read_pair(
    files: &CertificateFiles,
    before: [FileStamp; 2],
    host: Option<&str>,
) -> Result<CertifiedPair, FilesError> {
    let (chain, key) = (read_file(&files.chain)?, read_file(&files.key)?);
    let pair = check_pair(&chain, &key)?;
    if stamps(files)? != before {
        return Err(FilesError::Changing);
    }
    match host.map(str::to_ascii_lowercase) {
        Some(host) if !pair.covers(&host) => {
            Err(FilesError::OtherHost { host, names: pair.names().to_vec() })
        }
        _ => Ok(pair),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot_read(path))?;
    file.take(MAX_PEM_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(cannot_read(path))?;
    Ok(bytes)
}
