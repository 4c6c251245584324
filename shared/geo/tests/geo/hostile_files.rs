//! Damaged, hostile and foreign files: refused, or unknown places. Never a panic, never a long time.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coupon_geo::LiveDatabases;
use tempfile::tempdir;

use super::fixtures::{CITY, all_parts, data_file, look_up, record, text, write_database};

/// Most time for the check of a file and the look-ups, also in a slow build on a busy machine.
const MOST_TIME: Duration = Duration::from_secs(30);

const ADDRESSES: [&str; 7] = [
    "1.1.1.1",
    "81.2.69.142",
    "216.160.83.56",
    "255.255.255.255",
    "::",
    "2001:218::1",
    "ffff:ffff::1",
];

/// Opens a file and looks addresses up; returns the problems.
fn try_file(path: &Path) -> Vec<String> {
    let begun = Instant::now();
    let live = LiveDatabases::open(&[path.to_owned()]);
    let databases = live.current();
    for address in ADDRESSES {
        let _ = databases.look_up(address.parse::<IpAddr>().unwrap(), all_parts());
    }
    assert!(begun.elapsed() < MOST_TIME, "{} took {:?}", path.display(), begun.elapsed());
    live.problems()
}

fn hostile_files() -> Vec<PathBuf> {
    let files = std::fs::read_dir(data_file("hostile")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn hostile_files_are_refused_with_a_reason_and_a_way_to_mend_it() {
    let files = hostile_files();
    assert_eq!(files.len(), 53);
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let problems = try_file(&path);
        assert_eq!(problems.len(), 1, "{name}");
        for problem in problems {
            assert!(problem.contains(name), "{problem}");
            assert!(["download", "choose"].iter().any(|way| problem.contains(way)), "{problem}");
        }
    }
}

#[test]
fn other_bytes_in_any_place_do_no_harm() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mutated.mmdb");
    let sound = std::fs::read(data_file("GeoIP2-Enterprise-Test.mmdb")).unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let (mut refused, runs) = (0, 300);
    for _ in 0..runs {
        let mut bytes = sound.clone();
        for _ in 0..1 + next(8) {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        std::fs::write(&path, &bytes).unwrap();
        refused += usize::from(!try_file(&path).is_empty());
    }
    assert!((1..runs).contains(&refused), "{refused} of {runs} were refused");
}

#[test]
fn a_cut_off_file_is_refused_at_any_length() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cut.mmdb");
    let sound = std::fs::read(data_file(CITY)).unwrap();
    for length in (0..sound.len() - 300).step_by(997) {
        std::fs::write(&path, &sound[..length]).unwrap();
        let problems = try_file(&path);
        assert_eq!(problems.len(), 1, "{length} bytes");
        assert!(problems[0].contains("cut off or not in MaxMind's format"), "{problems:?}");
    }
}

#[test]
fn a_file_with_a_hole_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("hole.mmdb");
    let sound = std::fs::read(data_file(CITY)).unwrap();
    let mut holed = sound.clone();
    holed[1_000..3_000].fill(0);
    std::fs::write(&path, &holed).unwrap();
    let problems = try_file(&path);
    assert!(problems[0].contains("damaged search tree at node"), "{problems:?}");
}

#[test]
fn a_folder_and_a_missing_file_are_problems() {
    let folder = tempdir().unwrap();
    let problems = try_file(folder.path());
    assert!(problems[0].contains("is a folder or a device"), "{problems:?}");
    let problems = try_file(&folder.path().join("none.mmdb"));
    assert!(problems[0].contains("check that the file exists"), "{problems:?}");
}

#[test]
fn a_too_large_file_is_not_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("large.mmdb");
    std::fs::File::create(&path).unwrap().set_len(coupon_geo::MAX_DATABASE_BYTES + 1).unwrap();
    let problems = try_file(&path);
    assert!(problems[0].contains("has 2147483649 bytes, the most is 2147483648"), "{problems:?}");
}

#[test]
fn a_file_of_other_facts_names_its_fields() {
    let problems = try_file(&data_file("hostile/GeoIP2-DensityIncome-Test.mmdb"));
    assert!(problems[0].contains("average_income, population_density"), "{problems:?}");
}

/// Damages one of many records: the other addresses are known.
#[test]
fn a_damaged_record_is_an_unknown_place_and_counted() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("damaged.mmdb");
    let networks: Vec<(String, _)> = (0..=254)
        .map(|at| (format!("192.0.{at}.0/24"), record(&[("city", text(&format!("City {at:03}")))])))
        .collect();
    let networks: Vec<_> =
        networks.iter().map(|(net, value)| (net.as_str(), value.clone())).collect();
    write_database(&path, "cities", &networks);
    let mut bytes = std::fs::read(&path).unwrap();
    let name = bytes.windows(8).position(|part| part == b"City 007").unwrap();
    // No UTF-8.
    bytes[name] = 0xff;
    std::fs::write(&path, &bytes).unwrap();
    let live = super::fixtures::open_paths(&[path]);
    let databases = live.current();
    assert_eq!(look_up(&databases, "192.0.7.1").city.name, "");
    assert_eq!(look_up(&databases, "192.0.8.1").city.name, "City 008");
    assert_eq!(live.status()[0].unreadable, 1);
}
