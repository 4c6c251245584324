//! Files that are replaced, damaged and removed while the databases are in service.

use std::fs::{File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use coupon_geo::{GeoWatcher, LiveDatabases};
use coupon_rules::place::PlaceParts;
use tempfile::{TempDir, tempdir};

use super::fixtures::{CITY, data_file, look_up, record, text, write_database};

/// A database in a folder of its own, which says that 192.0.2.0/24 is in a country.
struct Replaceable {
    folder: TempDir,
    path: PathBuf,
}

impl Replaceable {
    fn new(country: &str) -> Replaceable {
        let folder = tempdir().unwrap();
        let path = folder.path().join("country.mmdb");
        let replaceable = Replaceable { folder, path };
        replaceable.replace(country);
        replaceable
    }

    /// As an operator does: writes beside, and renames.
    fn replace(&self, country: &str) {
        let beside = self.folder.path().join("new.mmdb");
        let network = [("192.0.2.0/24", record(&[("country_code", text(country))]))];
        write_database(&beside, country, &network);
        make_older(&beside);
        std::fs::rename(beside, &self.path).unwrap();
    }

    fn overwrite(&self, bytes: &[u8]) {
        std::fs::write(&self.path, bytes).unwrap();
        make_older(&self.path);
    }
}

/// Makes the last write an hour older, as if the file had been complete for long. Each call gives
/// another time.
fn make_older(path: &Path) {
    let modified = SystemTime::now() - Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(modified))
        .unwrap();
}

fn country(live: &LiveDatabases) -> String {
    look_up(&live.current(), "192.0.2.1").country.to_owned()
}

#[test]
fn a_renamed_file_is_put_into_service() {
    let file = Replaceable::new("DE");
    let live = LiveDatabases::open(std::slice::from_ref(&file.path));
    let mut reader = live.reader();
    assert_eq!(look_up(reader.load(), "192.0.2.1").country, "DE");
    assert!(!live.reload_changed());
    file.replace("SE");
    assert_eq!(country(&live), "DE", "not before somebody looks");
    live.reload_changed();
    assert_eq!(look_up(reader.load(), "192.0.2.1").country, "SE");
    assert_eq!(live.current().sources().next().unwrap().kind, "SE");
}

#[test]
fn garbage_changes_nothing_but_the_problem() {
    let file = Replaceable::new("DE");
    let live = LiveDatabases::open(std::slice::from_ref(&file.path));
    let garbage = b"<html>sign in to download</html>".repeat(50);
    let half = &std::fs::read(data_file(CITY)).unwrap()[..9_000];
    for bytes in [garbage.as_slice(), half, b""] {
        file.overwrite(bytes);
        live.reload_changed();
        assert_eq!(country(&live), "DE");
        let problems = live.problems();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("stays in service"), "{problems:?}");
    }
    file.replace("SE");
    live.reload_changed();
    assert_eq!((country(&live).as_str(), live.problems().len()), ("SE", 0));
}

#[test]
fn a_removed_file_goes_on_answering_from_memory() {
    let file = Replaceable::new("DE");
    let live = LiveDatabases::open(std::slice::from_ref(&file.path));
    std::fs::remove_file(&file.path).unwrap();
    live.reload_changed();
    assert_eq!(country(&live), "DE");
    assert!(live.problems()[0].contains("check that the file exists"), "{:?}", live.problems());
    file.replace("DE");
    live.reload_changed();
    assert_eq!(live.problems().len(), 0);
}

#[test]
fn a_file_that_appears_later_takes_its_place_in_the_order() {
    let (first, second) = (Replaceable::new("DE"), Replaceable::new("SE"));
    std::fs::remove_file(&first.path).unwrap();
    let live = LiveDatabases::open(&[first.path.clone(), second.path.clone()]);
    assert_eq!((country(&live).as_str(), live.problems().len()), ("SE", 1));
    assert_eq!(live.status()[0].database, None);
    first.replace("DE");
    live.reload_changed();
    assert_eq!(country(&live), "DE", "an earlier file goes first");
    assert_eq!(live.current().sources().count(), 2);
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let file = Replaceable::new("DE");
    let live = LiveDatabases::open(std::slice::from_ref(&file.path));
    std::fs::write(&file.path, b"half a database").unwrap();
    assert!(live.reload_changed(), "another look is due soon");
    assert_eq!((country(&live).as_str(), live.problems().len()), ("DE", 0));
}

#[test]
fn a_reader_keeps_its_databases_until_it_loads_again() {
    let file = Replaceable::new("DE");
    let live = LiveDatabases::open(std::slice::from_ref(&file.path));
    let mut reader = live.reader();
    let databases = reader.load();
    let place = look_up(databases, "192.0.2.1");
    file.replace("SE");
    assert!(live.reload_changed(), "the replaced database is in use");
    assert!(live.reload_changed());
    assert_eq!(place.country, "DE");
    reader.load();
    assert!(!live.reload_changed(), "it is freed");
}

#[test]
fn an_old_database_has_a_warning() {
    let live = LiveDatabases::open(&[data_file(CITY)]);
    let status = live.status().remove(0);
    let built = status.database.as_ref().unwrap().build_unix_s;
    assert_eq!(status.age_warning(built + 30 * 86_400), None);
    let warning = status.age_warning(built + 31 * 86_400).unwrap();
    assert!(warning.contains("was built 31 days ago; download a newer one"), "{warning}");
}

#[test]
fn the_watcher_looks_when_it_is_woken() {
    let file = Replaceable::new("DE");
    let watcher = GeoWatcher::start(std::slice::from_ref(&file.path)).unwrap();
    file.replace("SE");
    watcher.look_now();
    let begun = Instant::now();
    while country(watcher.databases()) != "SE" {
        assert!(begun.elapsed() < Duration::from_secs(60), "the file is not read");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(watcher.problems().len(), 0);
}

#[test]
fn problems_belong_to_the_files_as_they_were_read() {
    let file = Replaceable::new("DE");
    let watcher = GeoWatcher::start(std::slice::from_ref(&file.path)).unwrap();
    let wait_for_problems = |count: usize| {
        let begun = Instant::now();
        while watcher.problems().len() != count {
            watcher.look_now();
            assert!(begun.elapsed() < Duration::from_secs(60), "the file is not read");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    std::fs::remove_file(&file.path).unwrap();
    wait_for_problems(1);
    let files = watcher.status();
    file.replace("SE");
    wait_for_problems(0);
    assert_eq!(watcher.problems_in(&files), [files[0].problem.clone().unwrap()]);
}

#[test]
fn without_files_every_place_is_unknown() {
    let watcher = GeoWatcher::start(&[]).unwrap();
    let databases = watcher.databases().current();
    assert_eq!(databases.parts(), PlaceParts::default());
    assert_eq!(look_up(&databases, "81.2.69.142"), Default::default());
    watcher.look_now();
    assert_eq!(watcher.problems().len(), 0);
}
