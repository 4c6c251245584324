//! Kills, stops, damaged spools, restored spools.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use coupon_shared::postback::{PollRequest, VerdictStatus};
use rustix::process::Signal;

use super::admin::{Delivered, all, poll};
use super::{answer_of, answering_at_once, send, with};
use crate::published::{HOST, damage, sample};
use crate::running::{Coupond, until};

const AT_ONCE: [(&str, &str); 1] = [("COUPOND_POSTBACKS_MAX_WAITING", "0")];

fn id(coupond: &Coupond) -> String {
    let answer = coupond.request("GET", "/?nid=1", "Accept: application/json\r\n");
    answer.json()["conversion_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_kill_right_after_the_answer_loses_no_postback() {
    let mut coupond = answering_at_once();
    let mut answered = Vec::new();
    for _ in 0..8 {
        let open: Vec<_> = (0..20).map(|_| send(&coupond, "/?nid=1")).collect();
        for (number, stream) in open.into_iter().enumerate() {
            // Some requests are still in flight at the kill.
            if number == 15 {
                coupond.signal(Signal::KILL);
            } else if number < 15 {
                let body = answer_of(stream).json();
                answered.push(body["conversion_id"].as_str().unwrap().to_owned());
            }
        }
        coupond.wait();
        coupond = coupond.restarted_with(with(&AT_ONCE));
    }
    let polled = all(&coupond, &[]);
    let kept = polled.ids();
    assert_eq!(polled.sequences(), (1..=kept.len() as u64).collect::<Vec<_>>());
    assert!(answered.iter().all(|id| kept.contains(id)));
    assert!(kept.len() >= answered.len() && kept.len() <= 8 * 20);
}

/// Sends postbacks one after another until the daemon is gone; returns the ids in the answers.
fn report_until_killed(address: SocketAddr) -> Vec<String> {
    let request = format!(
        "GET /?nid=1 HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    let mut answered = Vec::new();
    while let Ok(mut stream) = TcpStream::connect(address) {
        let mut answer = String::new();
        let whole = stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_to_string(&mut answer))
            .is_ok();
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(body) {
            Ok(body) => answered.push(body["conversion_id"].as_str().unwrap().to_owned()),
            Err(_) => assert!(!whole || answer.is_empty(), "{answer}"),
        }
    }
    answered
}

/// Receives and decides postbacks until the daemon is gone.
fn take_over_until_killed(socket: &Path, cursor: &mut PollRequest, got: &mut Vec<Delivered>) {
    while let Ok(polled) = poll(socket, cursor, "wait_ms=1000") {
        let Some(last) = polled.postbacks.last() else { continue };
        cursor.cursors = vec![(polled.spool, last.sequence)];
        let approved = |postback: &Delivered| postback.verdict(VerdictStatus::Approved);
        cursor.verdicts = polled.postbacks.iter().map(approved).collect();
        got.extend(polled.postbacks);
    }
}

/// Kills the daemon again and again while postbacks are sent, decided and acknowledged.
fn each_answered_postback_comes_once(kills: u64) -> (usize, usize) {
    let mut coupond = Coupond::serving(&sample());
    let (mut answered, mut got) = (BTreeSet::new(), Vec::new());
    let mut cursor = PollRequest::default();
    for kill in 0..kills {
        until("the feed is open", || poll(&coupond.socket(), &cursor, "").ok());
        let (address, socket) = (coupond.address, coupond.socket());
        std::thread::scope(|threads| {
            let reporting: Vec<_> =
                (0..4).map(|_| threads.spawn(move || report_until_killed(address))).collect();
            threads.spawn(|| take_over_until_killed(&socket, &mut cursor, &mut got));
            std::thread::sleep(Duration::from_millis(40 + kill * 37 % 160));
            coupond.signal(Signal::KILL);
            for reporter in reporting {
                answered.extend(reporter.join().unwrap());
            }
        });
        coupond.wait();
        coupond = coupond.restarted();
    }
    let rest = all(&coupond, &cursor.cursors);
    got.extend(rest.postbacks);
    let sequences: Vec<_> = got.iter().map(|postback| postback.sequence).collect();
    assert_eq!(sequences, (1..=got.len() as u64).collect::<Vec<_>>());
    let kept: BTreeSet<_> = got.iter().map(|postback| postback.id.to_string()).collect();
    assert_eq!(kept.len(), got.len());
    assert!(answered.is_subset(&kept), "lost: {:?}", answered.difference(&kept));
    (answered.len(), kept.len())
}

#[test]
fn kills_amid_deciding_lose_no_answered_postback_and_deliver_each_once() {
    let (answered, _) = each_answered_postback_comes_once(4);
    assert!(answered > 20, "{answered}");
}

#[test]
#[ignore = "takes a minute: the long form of the one before"]
fn many_kills_amid_deciding_lose_no_answered_postback_and_deliver_each_once() {
    let (answered, kept) = each_answered_postback_comes_once(200);
    println!("200 kills: {answered} postbacks answered, {kept} kept, each delivered once");
}

#[test]
fn the_next_run_goes_on_with_the_same_spool() {
    let mut coupond = answering_at_once();
    let first = id(&coupond);
    let polled = all(&coupond, &[]);
    coupond.signal(Signal::TERM);
    assert!(coupond.wait().success());
    let next = coupond.restarted_with(with(&AT_ONCE));
    let second = id(&next);
    let again = all(&next, &[]);
    assert_eq!((again.spool, again.ids()), (polled.spool, vec![first, second.clone()]));
    assert_eq!(all(&next, &[(polled.spool, 1)]).ids(), [second]);
}

#[test]
fn told_to_stop_it_answers_who_waits_for_a_verdict() {
    let mut coupond = Coupond::serving(&sample());
    let waiting: Vec<_> = (0..20).map(|_| send(&coupond, "/?nid=1")).collect();
    until("all wait", || (coupond.health()["postbacks"]["waiting"] == 20).then_some(()));
    let began = Instant::now();
    coupond.signal(Signal::TERM);
    for stream in waiting {
        let answer = answer_of(stream);
        assert_eq!((answer.status, &answer.json()["status"]), (200, &"queued".into()));
    }
    assert!(coupond.wait().success());
    assert!(began.elapsed() < Duration::from_millis(1900), "{:?}", began.elapsed());
    assert!(coupond.log().contains("connections_cut=0"));
    assert_eq!(all(&coupond.restarted(), &[]).postbacks.len(), 20);
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let mut coupond = answering_at_once();
    let first = id(&coupond);
    coupond.signal(Signal::KILL);
    coupond.wait();
    let segment = coupond.path("data/postbacks/00000000000000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend_from_slice(b"half a frame");
    std::fs::write(&segment, bytes).unwrap();
    let next = coupond.restarted_with(with(&AT_ONCE));
    let second = id(&next);
    assert_eq!(all(&next, &[]).ids(), [first, second]);
    assert_eq!(next.health()["postbacks"]["torn_bytes_cut"], 12);
}

#[test]
fn a_damaged_spool_is_set_aside_and_new_postbacks_are_taken() {
    let mut coupond = answering_at_once();
    id(&coupond);
    let spool = all(&coupond, &[]).spool;
    coupond.signal(Signal::KILL);
    coupond.wait();
    let next = coupond.restarted_with(with(&AT_ONCE));
    id(&next);
    drop(next);
    // The older of the two segments.
    damage(&coupond.path("data/postbacks/00000000000000000001.log"));
    let next = coupond.restarted_with(with(&AT_ONCE));
    let newest = id(&next);
    let polled = all(&next, &[(spool, 2)]);
    assert_eq!(polled.ids(), [newest]);
    assert_ne!(polled.spool, spool);
    let problems = next.health()["problems"].to_string();
    assert!(problems.contains("set aside"), "{problems}");
    assert!(next.path("data/postbacks.damaged-1/00000000000000000002.log").exists());
}

#[test]
fn a_spool_that_went_back_comes_anew_under_another_name() {
    let mut coupond = answering_at_once();
    let ids = [id(&coupond), id(&coupond)];
    let polled = all(&coupond, &[]);
    // The admin has decided a third postback, which the restored folder lacks.
    let anew = all(&coupond, &[(polled.spool, 3)]);
    assert_ne!(anew.spool, polled.spool);
    assert_eq!(anew.ids(), ids);
    coupond.signal(Signal::TERM);
    coupond.wait();
    let next = coupond.restarted_with(with(&AT_ONCE));
    assert_eq!(all(&next, &[(polled.spool, 3), (anew.spool, 1)]).ids(), ids[1..]);
}
