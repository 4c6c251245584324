//! Backups of real folders, made beside a writing store, and folders made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::file_format::MANIFEST;
use super::*;
use crate::archive::Archive;
use crate::catalog::Affiliate;
use crate::config::Config;
use crate::daemon_client::fake_daemon::{STREAM, Sample, block};
use crate::edit::{self, EditError};
use crate::serve::open_data;
use crate::store::rows::{self, Query};
use crate::store::{ReadTx, Store, StoreError, meta};

/// A configuration that serves this folder.
fn served(dir: &Path) -> Config {
    Config { data_dir: dir.to_owned(), ..Config::default() }
}

struct Original {
    dir: TempDir,
    store: Store,
    archive: Archive,
}

impl Original {
    fn new() -> Original {
        let dir = tempfile::tempdir().unwrap();
        let (store, archive) =
            (Store::open(dir.path()).unwrap(), Archive::open(dir.path()).unwrap());
        Original { dir, store, archive }
    }

    async fn add(&self, name: &str) -> u32 {
        add(&self.store, name).await
    }

    /// Into a file of its own folder.
    fn backup(&self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.tar.zst");
        backup(self.dir.path(), &file, &mut |_| ()).unwrap();
        (folder, file)
    }
}

async fn add(store: &Store, name: &str) -> u32 {
    let wanted = serde_json::json!({"name": name, "account_status": "active"});
    let partner: Affiliate = serde_json::from_value(wanted).unwrap();
    store.write(move |tx| edit::create(tx, &partner)).await.unwrap().now.id
}

async fn names(store: &Store) -> Vec<String> {
    let listed = store.read(|c| rows::list::<Affiliate>(c, &Query::default())).await.unwrap();
    listed.rows.into_iter().map(|row| row.object.name).collect()
}

fn restored(file: &Path) -> (TempDir, Restored) {
    let dir = tempfile::tempdir().unwrap();
    let restored = restore(file, dir.path(), 0, &mut |_| ()).unwrap();
    (dir, restored)
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "serve.lock")
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_backed_up_is_there_again_and_what_came_later_is_not() {
    let original = Original::new();
    original.add("Anna").await;
    original.archive.append(&[&block(STREAM, 1, &[Sample::at(1)])]).unwrap();
    let (_folder, file) = original.backup();
    original.add("Ben").await;

    let (dir, restored) = restored(&file);
    assert_eq!(restored.click_blocks, 1);
    assert_eq!(entries(dir.path()), ["admin.db", "archive"]);
    let (store, archive, _lock) = open_data(&served(dir.path())).unwrap();
    assert_eq!(names(&store).await, ["Anna"]);
    assert_eq!(archive.sequences(), original.archive.sequences());
    let lineage = |store: Store| async move { store.read(meta::read).await.unwrap().lineage };
    assert_eq!(lineage(store).await, lineage(original.store.clone()).await);
}

#[tokio::test]
async fn no_number_that_was_given_out_since_the_backup_is_given_out_again() {
    let original = Original::new();
    original.add("Anna").await;
    let (_folder, file) = original.backup();
    for _ in 0..20 {
        original.add("Ben").await;
    }
    let before = original.store.read(meta::read).await.unwrap();
    let (dir, _) = restored(&file);
    let store = Store::open(dir.path()).unwrap();
    assert!(add(&store, "Carl").await > 21);
    assert!(store.read(meta::read).await.unwrap().change_seq > before.change_seq);
    let find = |c: &ReadTx<'_>| rows::find::<Affiliate>(c, 1);
    let seen = original.store.read(find).await.unwrap().unwrap().times.revision;
    assert_ne!(store.read(find).await.unwrap().unwrap().times.revision, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_busy_writers_is_of_one_moment() {
    let original = Original::new();
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let (store, stopped) = (original.store.clone(), stop.clone());
    let writing = tokio::spawn(async move {
        let mut pairs = 0;
        while !stopped.load(Ordering::Relaxed) {
            let wanted = serde_json::json!({
                "name": format!("{pairs}"), "account_status": "active",
                "internal_notes": "x".repeat(4000),
            });
            let partner: Affiliate = serde_json::from_value(wanted).unwrap();
            // Both or none.
            let pair = store.write(move |tx| {
                edit::create(tx, &partner)?;
                edit::create(tx, &partner)
            });
            pair.await.map_err(|error: EditError| error).unwrap();
            pairs += 1;
        }
        pairs
    });
    while original.store.read(meta::read).await.unwrap().change_seq < 200 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for _ in 0..3 {
        let (_folder, file) = original.backup();
        let (dir, _) = restored(&file);
        let names = names(&Store::open(dir.path()).unwrap()).await;
        assert!(names.len() >= 200 && names.len() % 2 == 0, "{}", names.len());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
}

#[tokio::test]
async fn uploads_whose_rows_are_not_in_the_backup_are_forgotten() {
    let original = Original::new();
    let upload = |tx: &crate::store::WriteTx<'_>| -> Result<(), StoreError> {
        tx.raw_connection().execute_batch(
            "INSERT INTO coupon_code_upload (mode, allow_reissue, file_name, time_created, time_expires) \
             VALUES ('add', 0, 'x', 1, 2)",
        )?;
        Ok(())
    };
    original.store.write(upload).await.unwrap();
    let (_folder, file) = original.backup();
    let (dir, _) = restored(&file);
    let count = |c: &ReadTx<'_>| -> Result<u64, StoreError> {
        Ok(c.raw_connection()
            .query_row("SELECT count(*) FROM coupon_code_upload", [], |row| row.get(0))?)
    };
    assert_eq!(original.store.read(count).await.unwrap(), 1);
    assert_eq!(Store::open(dir.path()).unwrap().read(count).await.unwrap(), 0);
}

/// Every file of a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => {
                let name = path.file_name().unwrap().to_owned();
                files.extend(
                    contents(&path).into_iter().map(|(p, b)| (Path::new(&name).join(p), b)),
                );
            }
            false => {
                let bytes = std::fs::read(&path).unwrap();
                files.insert(path.file_name().unwrap().into(), bytes);
            }
        }
    }
    files
}

#[tokio::test]
async fn a_damaged_or_cut_file_never_becomes_another_folder() {
    let original = Original::new();
    original.add("Anna").await;
    original.archive.append(&[&block(STREAM, 1, &[Sample::at(1)])]).unwrap();
    let (folder, file) = original.backup();
    let whole = std::fs::read(&file).unwrap();
    let damaged = folder.path().join("damaged");
    let undamaged = tempfile::tempdir().unwrap();
    restore(&file, undamaged.path(), 0, &mut |_| ()).unwrap();
    let expected = contents(undamaged.path());
    let step = (whole.len() / 40).max(1);
    for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        for bytes in [&flipped[..], &whole[..at]] {
            std::fs::write(&damaged, bytes).unwrap();
            let dir = tempfile::tempdir().unwrap();
            match restore(&damaged, dir.path(), 0, &mut |_| ()) {
                Err(_) => assert_eq!(entries(dir.path()), [""; 0], "byte {at}"),
                // A few bits of a compressed stream mean nothing.
                Ok(_) => {
                    assert_eq!(bytes.len(), whole.len(), "cut at {at}");
                    assert_eq!(contents(dir.path()), expected, "byte {at} of {}", whole.len());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_used_or_has_something_in_it_is_left_alone() {
    let original = Original::new();
    let (_folder, file) = original.backup();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "x").unwrap();
    let refused = restore(&file, dir.path(), 0, &mut |_| ()).unwrap_err();
    assert!(matches!(&refused, BackupError::NotEmpty { found, .. } if found == "mine"));
    assert_eq!(entries(dir.path()), ["mine"]);

    let in_use = tempfile::tempdir().unwrap();
    let _open = open_data(&served(in_use.path())).unwrap();
    let refused = restore(&file, in_use.path(), 0, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, BackupError::InUse(_)), "{refused}");
}

#[tokio::test]
async fn a_restore_that_was_broken_off_is_done_again_and_no_admin_starts_before() {
    let original = Original::new();
    original.add("Anna").await;
    let (_folder, file) = original.backup();
    let dir = tempfile::tempdir().unwrap();
    // As a kill between the two placings leaves it.
    std::fs::create_dir_all(dir.path().join("restore.unfinished")).unwrap();
    std::fs::create_dir_all(dir.path().join("archive")).unwrap();
    let Err(refused) = open_data(&served(dir.path())) else { panic!("it started") };
    assert!(refused.to_string().contains("run it again"), "{refused}");

    restore(&file, dir.path(), 0, &mut |_| ()).unwrap();
    assert_eq!(entries(dir.path()), ["admin.db", "archive"]);
    // As a kill before the tidying up leaves it.
    std::fs::create_dir_all(dir.path().join("restore.unfinished")).unwrap();
    let (store, _archive, _lock) = open_data(&served(dir.path())).unwrap();
    assert_eq!(names(&store).await, ["Anna"]);
    assert!(!dir.path().join("restore.unfinished").exists());
}

#[test]
fn an_existing_file_is_never_written_over_and_a_backup_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let original = Original::new();
    let (folder, file) = original.backup();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = backup(original.dir.path(), &file, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, BackupError::Exists(_)));
    assert_eq!(entries(folder.path()), ["backup.tar.zst"], "leftovers");
    let missing = backup(folder.path(), &folder.path().join("b"), &mut |_| ()).unwrap_err();
    assert!(matches!(missing, BackupError::Store(StoreError::Missing { .. })), "{missing}");
}

#[test]
fn what_lies_beside_the_file_is_neither_followed_nor_written_over() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let original = Original::new();
    let folder = tempfile::tempdir().unwrap();
    let (file, victim) = (folder.path().join("b"), folder.path().join("victim"));
    std::fs::write(&victim, "mine").unwrap();
    for planted in ["b.unfinished", "b.store.unfinished"] {
        symlink(&victim, folder.path().join(planted)).unwrap();
    }
    backup(original.dir.path(), &file, &mut |_| ()).unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (_dir, _) = restored(&file);

    let link = folder.path().join("link");
    symlink(folder.path().join("nowhere"), &link).unwrap();
    let refused = backup(original.dir.path(), &link, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, BackupError::Exists(_)), "{refused}");
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn a_backup_that_is_written_to_a_pipe_is_the_same_kind_of_file() {
    let original = Original::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("piped");
    let mut bytes = Vec::new();
    let told = backup_into(original.dir.path(), &mut bytes, &mut |_| ()).unwrap();
    assert_eq!(told, bytes.len() as u64);
    std::fs::write(&file, bytes).unwrap();
    let (dir, _) = restored(&file);
    assert_eq!(entries(dir.path()), ["admin.db", "archive"]);
}

/// A name, a kind, and so many zeros.
type Forged<'a> = (&'a str, tar::EntryType, u64);

/// A file of these entries.
fn forged(entries: &[Forged<'_>]) -> (TempDir, PathBuf) {
    use std::io::Read;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forged");
    let packed = zstd::Encoder::new(std::fs::File::create(&file).unwrap(), 1).unwrap();
    let mut tar = tar::Builder::new(packed);
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(*bytes);
        header.set_mode(0o600);
        header.set_entry_type(*kind);
        header.set_cksum();
        tar.append(&header, std::io::repeat(0).take(*bytes)).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    (folder, file)
}

#[test]
fn a_file_that_only_calls_itself_a_backup_is_unpacked_within_bounds() {
    let regular = tar::EntryType::Regular;
    let segment = "archive/00000000000000000001.log";
    let cases: [(&[Forged<'_>], &str); 7] = [
        (&[("../admin.db", regular, 1)], "does not belong"),
        (&[("archive/../../x.log", regular, 1)], "does not belong"),
        (&[("admin.db", tar::EntryType::Symlink, 0)], "does not belong"),
        (&[("././@LongLink", tar::EntryType::GNULongName, 64 << 20)], "does not belong"),
        (&[(segment, regular, 1), (segment, regular, 1)], "is in it twice"),
        (&[(segment, regular, 300 << 20)], "longer than a segment"),
        (&[(segment, regular, 1), (MANIFEST, regular, 64 << 20)], "is not a whole backup"),
    ];
    for (entries_of_it, reason) in cases {
        let (_folder, file) = forged(entries_of_it);
        let dir = tempfile::tempdir().unwrap();
        let refused = restore(&file, dir.path(), 0, &mut |_| ()).unwrap_err();
        assert!(refused.to_string().contains(reason), "{entries_of_it:?}: {refused}");
        assert_eq!(entries(dir.path()), [""; 0]);
    }
}

#[test]
fn a_restore_takes_nothing_of_the_disks_reserve() {
    let (_folder, file) = forged(&[("admin.db", tar::EntryType::Regular, 256 << 20)]);
    let dir = tempfile::tempdir().unwrap();
    let free = crate::disk::Disk::new(dir.path(), 0).space().free_bytes.unwrap();
    let refused = restore(&file, dir.path(), free - (64 << 20), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, BackupError::LowDiskSpace(_)), "{refused}");
    assert_eq!(entries(dir.path()), [""; 0]);
}

#[test]
fn what_root_restores_belongs_to_whom_the_folder_belongs_to() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let original = Original::new();
    let (_folder, file) = original.backup();
    let around = tempfile::tempdir().unwrap();
    chown(around.path(), Some(12_345), Some(23_456)).unwrap();
    // New folders belong to whom the one around them belongs to.
    let (new, empty) = (around.path().join("new/inner"), around.path().join("empty"));
    std::fs::create_dir(&empty).unwrap();
    chown(&empty, Some(34_567), Some(45_678)).unwrap();
    for (dir, owner) in [(new, (12_345, 23_456)), (empty, (34_567, 45_678))] {
        let restored = restore(&file, &dir, 0, &mut |_| ()).unwrap();
        let named = format!("(uid {}, gid {})", owner.0, owner.1);
        assert!(restored.owner.ends_with(&named), "{}", restored.owner);
        for segment in std::fs::read_dir(dir.join("archive")).unwrap() {
            let found = segment.unwrap().metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), owner);
        }
        for name in [".", "admin.db", "archive", "serve.lock"] {
            let found = std::fs::metadata(dir.join(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), owner, "{name}");
        }
    }
    let made = std::fs::metadata(around.path().join("new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (12_345, 23_456));
}
