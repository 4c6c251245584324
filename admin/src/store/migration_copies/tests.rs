use std::os::unix::fs::MetadataExt;

use rusqlite::Connection;

use super::*;
use crate::store::{Store, connect_existing, migrations};

/// A store of the schema before offers had rulesets, with one advertiser.
fn earlier_store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    add_earlier(dir.path(), "CREATE TABLE traffic_control");
    dir
}

/// Writes a store as the program before the migration with this text left it.
fn add_earlier(dir: &Path, before: &str) {
    let mut connection = Connection::open(dir.join(FILE_NAME)).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    migrations::migrate_before(&mut connection, before);
    connection.execute_batch("UPDATE meta SET change_seq = 77").unwrap();
    std::fs::set_permissions(
        dir.join(FILE_NAME),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
}

fn copies(dir: &Path) -> Vec<PathBuf> {
    let mut copies: Vec<_> = entries(&dir.join(FOLDER_NAME)).collect();
    copies.sort();
    copies
}

fn schemas(dir: &Path) -> Vec<i64> {
    copies(dir).iter().map(|path| schema_of(path.file_name().unwrap()).unwrap()).collect()
}

fn schema_in(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_store_is_copied_before_its_migration_and_the_copy_is_the_earlier_store() {
    let dir = earlier_store();
    let before = schema_in(&dir.path().join(FILE_NAME));
    drop(Store::open(dir.path()).unwrap());
    let made = copies(dir.path());
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(schemas(dir.path()), [before]);
    assert!(schema_in(&dir.path().join(FILE_NAME)) > before);
    assert_eq!(made[0].metadata().unwrap().mode() & 0o777, 0o600);

    // The way back: the copy in the store's place is the earlier program's store.
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.path().join(format!("{FILE_NAME}{suffix}")));
    }
    std::fs::copy(&made[0], dir.path().join(FILE_NAME)).unwrap();
    let connection = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(text("SELECT change_seq || '' FROM meta"), "77");
    drop(connection);
    assert_eq!(schema_in(&dir.path().join(FILE_NAME)), before);
}

#[test]
fn a_store_that_is_new_or_has_this_schema_is_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        drop(Store::open(dir.path()).unwrap());
    }
    assert!(!dir.path().join(FOLDER_NAME).exists());
    let earlier = earlier_store();
    drop(connect_existing(earlier.path(), 0).unwrap());
    assert!(!earlier.path().join(FOLDER_NAME).exists(), "switched off");
}

#[test]
fn a_copy_that_fails_leaves_the_store_unmigrated_and_says_how_to_mend_it() {
    let dir = earlier_store();
    let store = dir.path().join(FILE_NAME);
    let before = schema_in(&store);
    std::fs::write(dir.path().join(FOLDER_NAME), "in the way").unwrap();
    let error = connect_existing(dir.path(), 3).map(drop).unwrap_err().to_string();
    assert!(error.contains(FOLDER_NAME) && error.contains("migration_copies = 0"), "{error}");
    assert_eq!(schema_in(&store), before);
    std::fs::remove_file(dir.path().join(FOLDER_NAME)).unwrap();
    drop(connect_existing(dir.path(), 3).unwrap());
    assert_eq!(schemas(dir.path()), [before]);
}

#[test]
fn a_full_disk_is_found_before_the_copy_begins() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(check_room(dir.path(), 1), Ok(()));
    let error = check_room(dir.path(), u64::MAX).unwrap_err();
    assert!(error.contains("bytes are free"), "{error}");
}

#[test]
fn a_killed_copy_is_removed_at_the_next_start_and_repeated() {
    let dir = earlier_store();
    let half = dir.path().join(FOLDER_NAME).join(".0123.tmp");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join(FILE_NAME), "half").unwrap();
    drop(Store::open(dir.path()).unwrap());
    assert_eq!(copies(dir.path()).len(), 1);
    assert!(!half.exists());
    // Also where no migration is due.
    std::fs::create_dir_all(&half).unwrap();
    drop(Store::open(dir.path()).unwrap());
    assert!(!half.exists());
}

#[test]
fn the_copies_of_the_highest_schemas_stay_one_each_whatever_the_clock_says() {
    let dir = earlier_store();
    let before = schema_in(&dir.path().join(FILE_NAME));
    let folder = dir.path().join(FOLDER_NAME);
    std::fs::create_dir(&folder).unwrap();
    for schema in [1, 2, 3, before] {
        std::fs::write(folder.join(format!("{PREFIX}{schema}-20990101T000000Z{SUFFIX}")), "")
            .unwrap();
    }
    std::fs::write(folder.join("notes.txt"), "").unwrap();
    drop(connect_existing(dir.path(), 3).unwrap());
    std::fs::remove_file(folder.join("notes.txt")).unwrap();
    assert_eq!(schemas(dir.path()), [2, 3, before]);
    assert!(
        copies(dir.path())
            .iter()
            .all(|path| { !path.ends_with(format!("{PREFIX}{before}-20990101T000000Z{SUFFIX}")) })
    );
}
