//! No room: full disks, the spool's own bound, a folder that cannot be used.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::admin::all;
use super::{answering_at_once, post, serving_with, with};
use crate::published::sample;
use crate::running::{Answer, Coupond, folder, until};

const FORM: &str = "application/x-www-form-urlencoded";

fn problems(coupond: &Coupond) -> String {
    coupond.health()["problems"].to_string()
}

fn expect_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{answer:?}");
}

/// A mounted tmpfs of its own; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(folder: &Path) -> Option<SmallDisk> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder);
        let mounted = mount.stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| SmallDisk(folder.into()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_postbacks_until_there_is_room_again() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let spool = folder.path().join("data/postbacks");
    std::fs::create_dir_all(&spool).unwrap();
    let Some(_disk) = SmallDisk::mount(&spool) else {
        eprintln!("not tested: mounting needs more rights than this user has");
        return;
    };
    let coupond = Coupond::start(folder, with(&[("COUPOND_POSTBACKS_MAX_WAITING", "0")]));
    let body = "x".repeat(30_000);
    let kept_before = std::iter::repeat_with(|| post(&coupond, "/?nid=1", FORM, &body))
        .take_while(|answer| answer.status == 200)
        .count();
    assert!(kept_before > 10 && kept_before < 40, "{kept_before}");
    expect_refused(&post(&coupond, "/?nid=1", FORM, &body));
    assert!(problems(&coupond).contains("o space left"), "{}", problems(&coupond));
    assert_eq!(coupond.get("/winter25").status, 302);

    let remount = ["-o", "remount,size=2m"];
    assert!(Command::new("mount").args(remount).arg(&spool).status().unwrap().success());
    assert_eq!(post(&coupond, "/?nid=1", FORM, &body).status, 200);
    assert_eq!(problems(&coupond), "[]");
    assert_eq!(all(&coupond, &[]).postbacks.len(), kept_before + 1);
}

#[test]
fn undecided_postbacks_are_never_given_up_and_decided_ones_make_room() {
    let coupond = serving_with(&[
        ("COUPOND_POSTBACKS_MAX_WAITING", "0"),
        ("COUPOND_POSTBACKS_MAX_BYTES", "1048576"),
    ]);
    let body = "x".repeat(30_000);
    let send = || post(&coupond, "/?nid=1", FORM, &body);
    let kept = std::iter::repeat_with(send).take_while(|answer| answer.status == 200).count();
    assert!(kept > 30 && kept < 35, "{kept}");
    expect_refused(&send());
    assert!(problems(&coupond).contains("postbacks.max_bytes"), "{}", problems(&coupond));
    let told = all(&coupond, &[]);
    assert_eq!(told.postbacks.len(), kept);

    // The admin is back, and decides half.
    let half = told.postbacks[kept / 2].sequence;
    assert_eq!(all(&coupond, &[(told.spool, half)]).postbacks.len() as u64, kept as u64 - half);
    assert_eq!(send().status, 200);
    assert_eq!(problems(&coupond), "[]");
    let told = all(&coupond, &[(told.spool, half)]);
    assert!(told.oldest > 1 && told.oldest <= half + 1, "{}", told.oldest);
    assert_eq!(told.postbacks.len() as u64, kept as u64 - half + 1);
}

/// Runs the daemon under `strace`, which fails every third of its syncs.
fn with_failing_syncs(command: &mut Command) {
    command.env("COUPOND_POSTBACKS_MAX_WAITING", "0");
    let mut traced = Command::new("strace");
    // The tracer stands aside, so that the child is the daemon itself.
    traced.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]);
    traced.args(["-e", "inject=fdatasync:error=EIO:when=8+3"]).arg(command.get_program());
    for (key, value) in command.get_envs() {
        traced.env(key, value.unwrap_or_default());
    }
    *command = traced;
}

#[test]
fn a_sync_that_fails_refuses_its_postbacks_and_no_others() {
    let strace = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !strace.is_ok_and(|status| status.success()) {
        let must_be = std::env::var_os("COUPON_TESTS_REQUIRE_PROGRAMS").is_some();
        assert!(!must_be, "strace cannot be used");
        eprintln!("not tested: strace cannot be used");
        return;
    }
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, with_failing_syncs);
    let (mut answered, mut refused) = (Vec::new(), 0);
    for _ in 0..30 {
        let answer = coupond.request("GET", "/?nid=1", "Accept: application/json\r\n");
        match answer.status {
            200 => answered.push(answer.json()["conversion_id"].as_str().unwrap().to_owned()),
            _ => {
                expect_refused(&answer);
                refused += 1;
                assert!(problems(&coupond).contains("nput/output error"));
            }
        }
        assert_eq!(coupond.get("/winter25").status, 302);
    }
    assert!(answered.len() > 5 && refused > 5, "{} and {refused}", answered.len());
    assert_eq!(all(&coupond, &[]).ids(), answered);
}

#[test]
fn a_spool_that_does_not_open_refuses_postbacks_and_nothing_else() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let spool = folder.path().join("data/postbacks");
    std::fs::create_dir_all(spool.parent().unwrap()).unwrap();
    std::fs::write(&spool, "not a folder").unwrap();
    let coupond = Coupond::start(folder, with(&[("COUPOND_POSTBACKS_MAX_WAITING", "0")]));
    for _ in 0..3 {
        expect_refused(&coupond.get("/?nid=1"));
        assert_eq!(coupond.get("/winter25").status, 302);
    }
    let headers = "Accept: application/json\r\n";
    assert!(coupond.request("GET", "/?nid=1", headers).json()["error"].is_string());
    assert!(problems(&coupond).contains("postbacks cannot be kept"), "{}", problems(&coupond));
    assert_eq!(coupond.health()["postbacks"]["open"], false);
    assert_eq!(coupond.private("POST", "/postbacks/feed").status, 400);

    std::fs::remove_file(&spool).unwrap();
    assert_eq!(coupond.get("/?nid=1").status, 200);
    assert_eq!(problems(&coupond), "[]");
    assert_eq!(all(&coupond, &[]).postbacks.len(), 1);
}

#[test]
fn a_spool_that_did_not_open_opens_by_itself_when_it_can() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let spool = folder.path().join("data/postbacks");
    std::fs::create_dir_all(spool.parent().unwrap()).unwrap();
    std::fs::write(&spool, "not a folder").unwrap();
    let coupond = Coupond::start(folder, |_| ());
    assert_eq!(coupond.health()["status"], "degraded");
    std::fs::remove_file(&spool).unwrap();
    until("it is well", || (coupond.health()["status"] == "ok").then_some(()));
}

#[test]
fn idle_connections_of_advertisers_cost_no_postback() {
    let coupond = answering_at_once();
    let idle: Vec<_> = (0..200).map(|_| coupond.connect()).collect();
    assert_eq!(coupond.get("/?nid=1").status, 200);
    drop(idle);
    assert_eq!(all(&coupond, &[]).postbacks.len(), 1);
}
