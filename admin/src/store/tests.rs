use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn sequence(store: &Store) -> u64 {
    runtime().block_on(store.read(meta::read)).unwrap().change_seq
}

#[test]
fn what_was_answered_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let taken: Result<u64, StoreError> =
        runtime().block_on(store.write(|tx| tx.next_code_sequence()));
    drop(store);
    assert_eq!(taken.unwrap(), 1);
    assert_eq!(sequence(&Store::open(dir.path()).unwrap()), 1);
}

#[test]
fn a_failed_write_leaves_nothing_and_does_not_disturb_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    runtime().block_on(async {
        let good = store.write(|tx| tx.next_code_sequence());
        let bad = store.write(|tx| {
            tx.next_code_sequence()?;
            Err::<u64, _>(StoreError::Full)
        });
        let panicking = store.write(|tx| -> Result<u64, StoreError> {
            tx.next_code_sequence()?;
            panic!("a bug in the work")
        });
        let (good, bad, panicking) = tokio::join!(good, bad, panicking);
        assert_eq!(good.unwrap(), 1);
        assert!(matches!(bad, Err(StoreError::Full)));
        assert!(matches!(panicking, Err(StoreError::Aborted)));
    });
    assert_eq!(sequence(&store), 1);
}

#[test]
fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let attempt: Result<usize, StoreError> = runtime().block_on(
        store.read(|c| Ok(c.raw_connection().execute("UPDATE meta SET change_seq = 9", [])?)),
    );
    assert!(attempt.is_err());
    assert_eq!(sequence(&store), 0);
}

#[test]
fn the_database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(dir.path()).unwrap();
    let mode = std::fs::metadata(dir.path().join(FILE_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
