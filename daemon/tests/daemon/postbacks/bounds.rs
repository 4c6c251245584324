//! Bounds: full disks, the spool's size limit, an unusable folder.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coupon_shared::postback::{Verdict, VerdictStatus};

use super::admin::{DecidingAdmin, all};
use super::{answering_at_once, post, post_with, serving_with, with};
use crate::published::{HOST, sample};
use crate::running::{Answer, Coupond, folder, until};

const FORM: &str = "application/x-www-form-urlencoded";

fn problems(coupond: &Coupond) -> String {
    coupond.health()["problems"].to_string()
}

fn expect_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{answer:?}");
}

/// A tmpfs for one test; unmounted on drop.
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
    let variables =
        [("COUPOND_POSTBACKS_MAX_WAITING", "0"), ("COUPOND_POSTBACKS_DISK_RESERVE_BYTES", "0")];
    let coupond = Coupond::start(folder, with(&variables));
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
fn with_a_disk_nearly_full_what_names_nothing_is_refused_and_sales_are_kept() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let spool = folder.path().join("data/postbacks");
    std::fs::create_dir_all(&spool).unwrap();
    let Some(_disk) = SmallDisk::mount(&spool) else {
        eprintln!("not tested: mounting needs more rights than this user has");
        return;
    };
    let reserve = [
        ("COUPOND_POSTBACKS_MAX_WAITING", "0"),
        ("COUPOND_POSTBACKS_DISK_RESERVE_BYTES", "524288"),
        ("COUPOND_POSTBACKS_UNIDENTIFIED_BYTES_PER_MINUTE", "0"),
    ];
    let coupond = Coupond::start(folder, with(&reserve));
    let body = "x".repeat(30_000);
    let send = |target: &str| post(&coupond, target, FORM, &body);
    let kept = (0..100).take_while(|_| send("/?nid=1&coupon_code=nobody").status == 200).count();
    assert!(kept > 5 && kept < 20, "{kept}");
    // Unusable codes and offers are refused like unknown ones.
    for stranger in ["coupon_code=paused", "oid=18&affid=1", "oid=16", "transaction_id=x", ""] {
        expect_refused(&send(&format!("/?nid=1&{stranger}")));
    }
    assert!(problems(&coupond).contains("postbacks.disk_reserve_bytes"), "{}", problems(&coupond));
    assert_eq!(coupond.metric("postback_disk_low"), 1);
    for sale in ["coupon_code=WinTer25", "oid=16&affid=1", "coupon_code=both"] {
        assert_eq!(send(&format!("/?nid=1&{sale}")).status, 200, "{sale}");
    }
    assert_eq!(coupond.get("/winter25").status, 302);

    // Decided postbacks are removed although their days are not over.
    let polled = all(&coupond, &[]);
    let last = polled.postbacks.last().unwrap().sequence;
    let polled = all(&coupond, &[(polled.spool, last)]);
    assert!(polled.postbacks.is_empty());
    until("there is room", || (coupond.metric("postback_disk_low") == 0).then_some(()));
    assert_eq!(send("/?nid=1&coupon_code=nobody").status, 200);
    until("all is well", || (problems(&coupond) == "[]").then_some(()));
}

#[test]
fn what_names_nothing_draws_from_a_budget_of_its_address() {
    let coupond = serving_with(&[
        ("COUPOND_POSTBACKS_MAX_WAITING", "0"),
        ("COUPOND_POSTBACKS_UNIDENTIFIED_BYTES_PER_MINUTE", "131072"),
        ("COUPOND_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let send = |address: &str, query: &str, bytes: usize| {
        let headers = format!("Content-Type: {FORM}\r\nX-Forwarded-For: {address}\r\n");
        post_with(&coupond, &format!("/?nid=1&{query}"), &headers, &"x".repeat(bytes))
    };
    let kept = (0..20)
        .take_while(|_| send("203.0.113.1", "coupon_code=nobody", 60_000).status == 200)
        .count();
    assert_eq!(kept, 2);
    let refused = send("203.0.113.1", "coupon_code=paused", 60_000);
    assert_eq!((refused.status, refused.body.as_str()), (429, "Too many requests\n"));
    assert!(refused.header("retry-after").is_some());
    // A sale is never held up unless its postback is longer than any sale needs.
    assert_eq!(send("203.0.113.1", "coupon_code=winter25", 1_000).status, 200);
    assert_eq!(send("203.0.113.1", "coupon_code=winter25", 60_000).status, 429);
    assert_eq!(send("203.0.113.2", "coupon_code=nobody", 60_000).status, 200);
}

#[test]
fn what_turns_out_to_be_a_sale_or_a_trusted_senders_is_given_back() {
    let coupond = serving_with(&[("COUPOND_POSTBACKS_UNIDENTIFIED_BYTES_PER_MINUTE", "131072")]);
    let _admin = DecidingAdmin::start(&coupond, |postback| {
        let is_trusted = postback.parameter("trusted") == "yes";
        let verdict = postback.verdict(VerdictStatus::Approved);
        Some(Verdict { is_trusted, ..verdict })
    });
    let send = |query: &str, bytes: usize| {
        post(&coupond, &format!("/?nid=1&{query}"), FORM, &"x".repeat(bytes)).status
    };
    // Only the admin knows a code without a link.
    assert!((0..100).all(|_| send("coupon_code=till-20", 1_800) == 200));
    assert!((0..5).all(|_| send("coupon_code=till-20&trusted=yes", 60_000) == 200));
    let kept = (0..20).take_while(|_| send("coupon_code=till-20", 60_000) == 200).count();
    assert_eq!(kept, 2);
}

#[test]
fn slow_large_bodies_hold_up_neither_small_ones_nor_those_without_a_body() {
    let coupond = serving_with(&[
        ("COUPOND_POSTBACKS_MAX_WAITING", "0"),
        ("COUPOND_POSTBACKS_UNIDENTIFIED_BYTES_PER_MINUTE", "0"),
    ]);
    let head = format!(
        "POST /?nid=1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\nContent-Length: 65536\r\n\r\n"
    );
    let begun = [head.as_bytes(), &[b'x'; 65_000]].concat();
    // Together more than the memory budget for bodies.
    let slow: Vec<_> = (0..1_040)
        .filter_map(|_| {
            let mut stream = coupond.connect();
            // Bodies above the address's share are answered before they are complete.
            stream.write_all(&begun).ok().map(|()| stream)
        })
        .collect();
    assert!(slow.len() > 100, "{}", slow.len());
    for _ in 0..20 {
        assert_eq!(coupond.get("/?nid=1&coupon_code=winter25").status, 200);
        assert_eq!(post(&coupond, "/?nid=1", FORM, "coupon_code=winter25").status, 200);
    }
    drop(slow);
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up() {
    let coupond = answering_at_once();
    let mut stream = coupond.connect();
    let head = format!(
        "POST /?nid=1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\nContent-Length: 60000\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let began = Instant::now();
    // 5 KB a second: never pauses, and would use all of the ten seconds that a body may take.
    until("it is given up", || {
        let _ = stream.write_all(&[b'x'; 500]);
        std::thread::sleep(Duration::from_millis(90));
        let metrics = coupond.control("GET", "/metrics").body;
        metrics.contains("postbacks_refused_total{status=\"408\"} 1").then_some(())
    });
    let took = began.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(8), "{took:?}");
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
    let polled = all(&coupond, &[]);
    assert_eq!(polled.postbacks.len(), kept);

    // The admin returns and decides half of the postbacks.
    let half = polled.postbacks[kept / 2].sequence;
    assert_eq!(all(&coupond, &[(polled.spool, half)]).postbacks.len() as u64, kept as u64 - half);
    assert_eq!(send().status, 200);
    assert_eq!(problems(&coupond), "[]");
    let polled = all(&coupond, &[(polled.spool, half)]);
    assert!(polled.oldest > 1 && polled.oldest <= half + 1, "{}", polled.oldest);
    assert_eq!(polled.postbacks.len() as u64, kept as u64 - half + 1);
}

/// Runs the daemon under `strace`, which makes every third sync fail.
fn with_failing_syncs(command: &mut Command) {
    command.env("COUPOND_POSTBACKS_MAX_WAITING", "0");
    let mut traced = Command::new("strace");
    // `-D` runs the tracer as a detached grandchild, so that the child process is the daemon
    // itself.
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
    assert_eq!(coupond.control("POST", "/postbacks/feed").status, 400);

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
