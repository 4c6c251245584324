//! Loading and refusing published indexes.

use std::path::Path;

use coupon_shared::snapshot::Lineage;
use rustix::fs::FileType;

use crate::published::{damage, sample};
use crate::running::{Coupond, folder, until};

#[test]
fn without_an_index_visitors_are_told_to_come_back_until_one_is_published() {
    let coupond = Coupond::start(folder(), |_| ());
    let answer = coupond.get("/winter25");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(coupond.control("GET", "/ready").status, 503);
    let health = coupond.health();
    assert_eq!(health["status"], "degraded");
    assert!(health["problems"][0].as_str().unwrap().contains("CURRENT"), "{health}");

    sample().publish(&coupond.index_dir());
    until("the index is found without being told", || {
        (coupond.get("/winter25").status == 302).then_some(())
    });
    assert_eq!(coupond.control("GET", "/ready").status, 200);
    assert_eq!(coupond.health()["status"], "ok");
}

#[test]
fn a_publication_is_served_when_the_reload_answers() {
    let coupond = Coupond::serving(&sample());
    for generation in 2..12 {
        let code: &'static str = Box::leak(format!("new{generation}").into_boxed_str());
        assert_eq!(coupond.get(&format!("/{code}")).status, 404);
        sample().generation(generation).with(code).publish(&coupond.index_dir());
        let answer = coupond.reload();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["generation"], generation);
        assert_eq!(answer.json()["lineage"], "09".repeat(16));
        assert_eq!(coupond.get(&format!("/{code}")).status, 302);
    }
}

#[test]
fn a_level_that_was_preloaded_is_served_out_of_memory_when_a_manifest_names_it() {
    let coupond = Coupond::serving(&sample());
    let elsewhere = tempfile::tempdir().unwrap();
    let files = sample().generation(2).and_many_codes(50_000).publish(elsewhere.path());
    let in_index = |file: &Path| coupond.index_dir().join(file.file_name().unwrap());
    let level = in_index(&files.level);
    let name = level.file_stem().unwrap().to_str().unwrap().strip_prefix("level-").unwrap();
    let preload = || coupond.control("POST", &format!("/preload/{name}"));

    let missing = preload();
    assert_eq!(missing.status, 422);
    assert!(missing.json()["error"].as_str().unwrap().contains("cannot read"));
    assert_eq!(coupond.control("POST", "/preload/CURRENT").status, 400);
    assert_eq!(coupond.control("GET", &format!("/preload/{name}")).status, 405);

    std::fs::copy(&files.level, &level).unwrap();
    assert_eq!(preload().status, 200);
    assert_eq!(coupond.get("/many00000001").status, 404, "no manifest names it yet");
    // With the file gone, a second read of the level would fail.
    std::fs::remove_file(&level).unwrap();
    std::fs::copy(&files.catalog, in_index(&files.catalog)).unwrap();
    std::fs::copy(&files.manifest, in_index(&files.manifest)).unwrap();
    assert_eq!(coupond.reload().json()["generation"], 2);
    assert_eq!(coupond.get("/many00000001").status, 302);
}

#[test]
fn a_level_that_is_damaged_when_it_is_preloaded_is_read_when_a_manifest_names_it() {
    let coupond = Coupond::serving(&sample());
    let elsewhere = tempfile::tempdir().unwrap();
    let files = sample().generation(2).with("brandnew").publish(elsewhere.path());
    let in_index = |file: &Path| coupond.index_dir().join(file.file_name().unwrap());
    let level = in_index(&files.level);
    let name = level.file_stem().unwrap().to_str().unwrap().strip_prefix("level-").unwrap();
    std::fs::write(&level, "half written").unwrap();
    assert_eq!(coupond.control("POST", &format!("/preload/{name}")).status, 422);
    for file in [&files.level, &files.catalog, &files.manifest] {
        std::fs::copy(file, in_index(file)).unwrap();
    }
    assert_eq!(coupond.reload().json()["generation"], 2);
    assert_eq!(coupond.get("/brandnew").status, 302);
}

#[test]
fn idle_threads_let_go_of_replaced_indexes() {
    let coupond = Coupond::serving(&sample());
    for generation in 2..6 {
        coupond.get("/winter25");
        sample().generation(generation).publish(&coupond.index_dir());
        assert_eq!(coupond.reload().status, 200);
    }
    until("all replaced indexes are freed", || {
        let metrics = coupond.control("GET", "/metrics").body;
        metrics.contains("coupond_index_retired 0\n").then_some(())
    });
}

#[test]
fn a_reload_of_what_is_served_changes_nothing() {
    let coupond = Coupond::serving(&sample());
    assert_eq!(coupond.reload().json()["generation"], 1);
    let metrics = coupond.control("GET", "/metrics").body;
    assert!(metrics.contains("coupond_index_loads_total 1\n"), "{metrics}");
    assert!(metrics.contains("coupond_index_codes 8\n"), "{metrics}");
}

/// Publishes generation 2, spoils the files, and expects generation 1 to stay in service.
fn is_refused(spoil: impl FnOnce(&crate::published::Files), status: u16, part: &str) {
    let coupond = Coupond::serving(&sample());
    let elsewhere = folder();
    let files = sample().generation(2).with("fresh").publish(elsewhere.path());
    spoil(&files);
    // In a publisher's order: objects first, the manifest last.
    for file in [&files.level, &files.catalog, &files.manifest] {
        if file.exists() {
            std::fs::rename(file, coupond.index_dir().join(file.file_name().unwrap())).unwrap();
        }
    }
    let answer = coupond.reload();
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json()["generation"], 1);
    assert!(answer.json()["error"].as_str().unwrap().contains(part), "{answer:?}");
    assert_eq!(coupond.get("/winter25").status, 302);
    assert_eq!(coupond.get("/fresh").status, 404);
    let health = coupond.health();
    assert_eq!(health["status"], "degraded");
    assert!(health["problems"][0].as_str().unwrap().contains(part), "{health}");

    sample().generation(3).with("fresh").publish(&coupond.index_dir());
    assert_eq!(coupond.reload().status, 200);
    assert_eq!(coupond.get("/fresh").status, 302);
    assert_eq!(coupond.health()["status"], "ok");
}

#[test]
fn a_damaged_level_is_refused() {
    is_refused(|files| damage(&files.level), 422, "damaged");
}

#[test]
fn a_damaged_catalog_is_refused() {
    is_refused(|files| damage(&files.catalog), 422, "damaged");
}

#[test]
fn no_more_is_read_of_a_file_that_grew_than_its_header_says() {
    // A sparse file larger than any machine's memory.
    let grow = |path: &Path| {
        std::fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
    };
    is_refused(|files| grow(&files.level), 422, "it was cut or is damaged");
    is_refused(|files| grow(&files.catalog), 422, "it was cut or is damaged");
    is_refused(|files| grow(&files.manifest), 422, "checksum differs");
}

#[test]
fn a_damaged_manifest_is_refused() {
    is_refused(|files| damage(&files.manifest), 422, "CURRENT");
}

#[test]
fn a_cut_level_is_refused() {
    is_refused(
        |files| {
            let bytes = std::fs::read(&files.level).unwrap();
            std::fs::write(&files.level, &bytes[..bytes.len() - 1]).unwrap();
        },
        422,
        "level-",
    );
}

#[test]
fn an_index_of_a_newer_version_is_refused() {
    let rewrite = |path: &Path, from: &str, to: &str| {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replace(from, to)).unwrap();
    };
    is_refused(
        |files| rewrite(&files.manifest, "coupond-manifest 1", "coupond-manifest 2"),
        422,
        "of a newer version",
    );
    // The second and third byte of the version, behind the eight bytes of the magic number.
    let newer = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[8] = 2;
        std::fs::write(path, bytes).unwrap();
    };
    is_refused(|files| newer(&files.level), 422, "version 2");
    is_refused(|files| newer(&files.catalog), 422, "version 2");
}

#[test]
fn a_missing_level_is_refused() {
    is_refused(|files| std::fs::remove_file(&files.level).unwrap(), 422, "cannot read");
}

#[test]
fn another_stores_index_is_refused() {
    is_refused(
        |files| {
            let mut foreign = sample().generation(2).with("fresh");
            foreign.lineage = Lineage([8; 16]);
            let elsewhere = folder();
            let made = foreign.publish(elsewhere.path());
            std::fs::copy(made.manifest, &files.manifest).unwrap();
        },
        409,
        "restart coupond if the store was replaced",
    );
}

#[test]
fn an_older_generation_is_refused() {
    let coupond = Coupond::serving(&sample().generation(5));
    sample().generation(4).with("fresh").publish(&coupond.index_dir());
    let answer = coupond.reload();
    assert_eq!(answer.status, 409);
    assert_eq!(answer.json()["generation"], 5);
    assert_eq!(coupond.get("/fresh").status, 404);
}

#[test]
fn at_start_the_manifest_before_serves_where_the_current_one_is_damaged() {
    let folder = folder();
    let index_dir = folder.path().join("index");
    sample().with("before").publish(&index_dir);
    let files = sample().generation(2).publish(&index_dir);
    damage(&files.level);
    let coupond = Coupond::start(folder, |_| ());
    assert_eq!(coupond.get("/before").status, 302);
    let health = coupond.health();
    assert_eq!((&health["status"], &health["generation"]), (&"degraded".into(), &1.into()));

    sample().generation(3).publish(&coupond.index_dir());
    assert_eq!(coupond.reload().json()["generation"], 3);
    assert_eq!(coupond.get("/before").status, 404);
}

/// Kinds of files that can lie in the place of a regular file.
const STRANGERS: [&str; 5] = ["pipe", "socket", "folder", "link to a device", "link to nothing"];

fn put(stranger: &str, path: &Path) {
    std::fs::remove_file(path).unwrap();
    match stranger {
        "pipe" => make_node(path, FileType::Fifo),
        "socket" => make_node(path, FileType::Socket),
        "folder" => std::fs::create_dir(path).unwrap(),
        "link to a device" => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        _ => std::os::unix::fs::symlink("nothing", path).unwrap(),
    }
}

fn make_node(path: &Path, kind: FileType) {
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o644.into(), 0).unwrap();
}

fn remove(path: &Path) {
    if std::fs::remove_file(path).is_err() {
        std::fs::remove_dir(path).unwrap();
    }
}

/// Spoils each file of a publication in turn and mends the file again.
fn each_spoiled(spoil: impl Fn(&Path), mend: impl Fn(&Path), part: &str) {
    let coupond = Coupond::serving(&sample());
    for (generation, at) in (2..).zip(0..3) {
        let files = sample().generation(generation).with("fresh").publish(&coupond.index_dir());
        let path = [&files.level, &files.catalog, &files.manifest][at];
        let kept = coupond.path("kept");
        std::fs::copy(path, &kept).unwrap();
        spoil(path);
        let answer = coupond.reload();
        assert!(matches!(answer.status, 409 | 422), "{answer:?}");
        let health = coupond.health();
        assert_eq!(health["status"], "degraded");
        let problem = health["problems"][0].as_str().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(problem.contains(part) && problem.contains(name), "{problem}");
        assert_eq!(health["generation"], generation - 1);
        assert_eq!(coupond.get("/winter25").status, 302);

        mend(path);
        std::fs::rename(&kept, path).unwrap();
        let answer = coupond.reload();
        assert_eq!((answer.status, &answer.json()["generation"]), (200, &generation.into()));
        assert_eq!(coupond.health()["status"], "ok");
    }
}

#[test]
fn what_is_no_file_is_refused_in_a_files_place_and_never_waited_for() {
    for stranger in STRANGERS {
        let part = if stranger == "socket" { "No such device" } else { "" };
        each_spoiled(|path| put(stranger, path), remove, part);
    }
}

#[test]
fn a_start_is_not_held_up_by_what_is_no_file() {
    for stranger in STRANGERS {
        let folder = folder();
        let index_dir = folder.path().join("index");
        sample().publish(&index_dir);
        let files = sample().generation(2).publish(&index_dir);
        put(stranger, &files.manifest);
        let coupond = Coupond::start(folder, |_| ());
        let health = coupond.health();
        assert_eq!((&health["status"], &health["generation"]), (&"degraded".into(), &1.into()));
        assert_eq!(coupond.get("/winter25").status, 302);
        remove(&files.manifest);
    }
}

#[test]
fn a_manifest_before_that_is_damaged_too_is_not_served_either() {
    let folder = folder();
    let index_dir = folder.path().join("index");
    sample().publish(&index_dir);
    let files = sample().generation(2).publish(&index_dir);
    damage(&files.manifest);
    damage(&index_dir.join("CURRENT.prev"));
    let coupond = Coupond::start(folder, |_| ());
    assert_eq!(coupond.get("/winter25").status, 503);
    let health = coupond.health();
    assert!(health["problems"][0].as_str().unwrap().contains("CURRENT: "), "{health}");
    sample().generation(3).publish(&coupond.index_dir());
    assert_eq!(coupond.reload().json()["generation"], 3);
    assert_eq!(coupond.get("/winter25").status, 302);
}

#[test]
fn files_that_may_not_be_read_are_refused_until_they_may() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let index_dir = folder.path().join("index");
    sample().publish(&index_dir);
    let coupond = Coupond::start(folder, without_the_right_to_read_all);
    let files = sample().generation(2).with("fresh").publish(&coupond.index_dir());
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for path in [&files.level, &files.catalog, &files.manifest] {
        allow(path, 0);
        let answer = coupond.reload();
        assert_eq!(answer.status, 422, "{answer:?}");
        let problem = coupond.health()["problems"][0].to_string();
        assert!(problem.contains("Permission denied"), "{problem}");
        assert_eq!(coupond.get("/winter25").status, 302);
        allow(path, 0o640);
    }
    assert_eq!(coupond.reload().status, 200);
    assert_eq!(coupond.get("/fresh").status, 302);
}

/// For tests that run as root, which ignores file modes.
fn without_the_right_to_read_all(command: &mut std::process::Command) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut less = std::process::Command::new("setpriv");
    less.args(["--bounding-set", "-dac_override,-dac_read_search"]).arg(command.get_program());
    less.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    *command = less;
}

#[test]
fn answers_under_load_come_from_one_generation_or_the_next() {
    let coupond = Coupond::serving(&sample());
    let (address, host) = (coupond.address, crate::published::HOST);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let visitors: Vec<_> = (0..2)
        .map(|_| {
            let stop = std::sync::Arc::clone(&stop);
            std::thread::spawn(move || visit_until(&stop, address, host))
        })
        .collect();
    for generation in 2..40 {
        sample().generation(generation).publish(&coupond.index_dir());
        assert_eq!(coupond.reload().status, 200);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for visitor in visitors {
        assert!(visitor.join().unwrap() > 0);
    }
}

fn visit_until(
    stop: &std::sync::atomic::AtomicBool,
    address: std::net::SocketAddr,
    host: &str,
) -> u64 {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let request = format!("GET /winter25 HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut visits = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while head.last().is_none_or(|line| line != "\r\n") {
            let mut line = String::new();
            answers.read_line(&mut line).unwrap();
            head.push(line);
        }
        assert_eq!(head[0], "HTTP/1.1 302 Found\r\n");
        visits += 1;
    }
    visits
}
