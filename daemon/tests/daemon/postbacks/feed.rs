//! Deliveries of the feed, and the effects of poll requests.

use std::collections::BTreeSet;
use std::io::Write;

use coupon_shared::postback::{PollRequest, VerdictStatus};

use super::admin::{DecidingAdmin, all, poll};
use super::{answer_of, answering_at_once, send, serving_with};
use crate::published::{HOST, sample};
use crate::running::{Coupond, until};

fn ids_answered(coupond: &Coupond, count: usize) -> Vec<String> {
    let id = |number| {
        let headers = "Accept: application/json\r\n";
        let answer = coupond.request("GET", &format!("/?nid=1&n={number}"), headers);
        answer.json()["conversion_id"].as_str().unwrap().to_owned()
    };
    (0..count).map(id).collect()
}

#[test]
fn what_is_not_acknowledged_is_delivered_again_and_what_is_is_not() {
    let coupond = answering_at_once();
    let ids = ids_answered(&coupond, 5);
    let first = all(&coupond, &[]);
    assert_eq!((first.ids(), first.sequences()), (ids.clone(), vec![1, 2, 3, 4, 5]));
    assert_eq!(all(&coupond, &[]).ids(), ids);
    let cursor = [(first.spool, 3)];
    assert_eq!(all(&coupond, &cursor).sequences(), [4, 5]);
    let health = coupond.health();
    assert_eq!(health["postbacks"]["acknowledged"], 3);
    assert_eq!(health["postbacks"]["not_at_the_admin"], 2);
    // An admin restored from a backup has a lower cursor and gets acknowledged postbacks again.
    assert_eq!(all(&coupond, &[(first.spool, 1)]).sequences(), [2, 3, 4, 5]);
    assert_eq!(all(&coupond, &[(first.spool, 5)]).sequences(), [0; 0]);
}

#[test]
fn a_delivery_is_as_long_as_was_asked_for_and_one_postback_at_least() {
    let coupond = answering_at_once();
    let ids = ids_answered(&coupond, 5);
    let polled = poll(&coupond.socket(), &PollRequest::default(), "max_bytes=1").unwrap();
    assert_eq!((polled.ids(), polled.oldest), (vec![ids[0].clone()], 1));
    let rest = PollRequest { cursors: vec![(polled.spool, 1)], verdicts: vec![] };
    let polled = poll(&coupond.socket(), &rest, "max_bytes=200").unwrap();
    assert_eq!(polled.ids(), ids[1..3]);
}

#[test]
fn a_question_waits_for_the_next_postback() {
    let coupond = answering_at_once();
    let spool = all(&coupond, &[]).spool;
    let socket = coupond.socket();
    let asking = std::thread::spawn(move || {
        let question = PollRequest { cursors: vec![(spool, 0)], verdicts: vec![] };
        poll(&socket, &question, "wait_ms=10000").unwrap()
    });
    std::thread::sleep(std::time::Duration::from_millis(200));
    let ids = ids_answered(&coupond, 1);
    assert_eq!(asking.join().unwrap().ids(), ids);
}

#[test]
fn a_postback_queued_without_an_admin_is_decided_by_one_that_comes_later() {
    let coupond = Coupond::serving(&sample());
    let answer = coupond.request("GET", "/?nid=1", "Accept: application/json\r\n").json();
    assert_eq!(answer["status"], "queued");
    let admin =
        DecidingAdmin::start(&coupond, |postback| Some(postback.verdict(VerdictStatus::Approved)));
    until("it is acknowledged", || {
        (coupond.health()["postbacks"]["acknowledged"] == 1).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    let got: Vec<_> = admin.end().iter().map(|postback| postback.id.to_string()).collect();
    assert_eq!(got, [answer["conversion_id"].as_str().unwrap()]);
}

#[test]
fn bytes_that_are_no_question_are_refused() {
    let coupond = answering_at_once();
    assert_eq!(coupond.control("POST", "/postbacks/feed").status, 400);
    assert_eq!(coupond.control("POST", "/postbacks/feed?limit=3").status, 400);
    assert_eq!(coupond.control("GET", "/postbacks/feed").header("allow"), Some("POST"));
}

#[test]
fn each_of_thousands_at_once_gets_its_own_verdict() {
    const REQUESTS: usize = 3000;
    let coupond = serving_with(&[("COUPOND_POSTBACKS_MAX_WAITING", "3000")]);
    let admin = DecidingAdmin::start(&coupond, |postback| {
        let mut verdict = postback.verdict(VerdictStatus::Rejected);
        verdict.error_code = 1000;
        verdict.error = format!("for {}", postback.parameter("n"));
        Some(verdict)
    });
    let open: Vec<_> =
        (0..REQUESTS).map(|number| send(&coupond, &format!("/?nid=1&n={number}"))).collect();
    let mut ids = BTreeSet::new();
    let mut queued = 0;
    for (number, stream) in open.into_iter().enumerate() {
        let answer = answer_of(stream);
        assert_eq!(answer.status, 200);
        let body = answer.json();
        match body["status"].as_str().unwrap() {
            "rejected" => assert_eq!(body["error"], format!("for {number}")),
            status => {
                // A busy machine may take longer than two seconds, but the verdict must never be a
                // wrong one.
                assert_eq!((status, &body["error"]), ("queued", &"".into()));
                queued += 1;
            }
        }
        assert!(ids.insert(body["conversion_id"].as_str().unwrap().to_owned()));
    }
    assert!(queued < REQUESTS / 2, "{queued} were not answered in time");
    until("all are acknowledged", || {
        (coupond.health()["postbacks"]["acknowledged"] == REQUESTS).then_some(())
    });
    let got: BTreeSet<_> = admin.end().iter().map(|postback| postback.id.to_string()).collect();
    assert_eq!(got, ids);
    assert_eq!(coupond.health()["postbacks"]["waiting"], 0);
}

#[test]
fn beyond_the_number_that_may_wait_the_answer_comes_at_once() {
    let coupond = serving_with(&[("COUPOND_POSTBACKS_MAX_WAITING", "1")]);
    let first = send(&coupond, "/?nid=1&n=1");
    until("it waits", || (coupond.health()["postbacks"]["waiting"] == 1).then_some(()));
    let began = std::time::Instant::now();
    let second = answer_of(send(&coupond, "/?nid=1&n=2"));
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
    assert_eq!(second.json()["status"], "queued");
    assert_eq!(answer_of(first).json()["status"], "queued");
    assert_eq!(all(&coupond, &[]).postbacks.len(), 2);
}

#[test]
fn while_nobody_decides_visitors_still_get_connections() {
    let coupond = serving_with(&[("COUPOND_LIMITS_MAX_CONNECTIONS", "20")]);
    let waiting: Vec<_> = (0..10).map(|_| send(&coupond, "/?nid=1")).collect();
    until("half of the connections wait", || {
        (coupond.health()["postbacks"]["waiting"] == 10).then_some(())
    });
    let began = std::time::Instant::now();
    assert_eq!(answer_of(send(&coupond, "/?nid=1")).json()["status"], "queued");
    assert_eq!(coupond.get("/winter25").status, 302);
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
    drop(waiting);
}

#[test]
fn a_kept_alive_connection_takes_postbacks_and_visits_in_turn() {
    let coupond = answering_at_once();
    let mut stream = coupond.connect();
    for (method, target, status) in
        [("GET", "/?nid=1", "200"), ("GET", "/winter25", "302"), ("POST", "/?nid=1", "200")]
    {
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let read = std::io::Read::read(&mut stream, &mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(all(&coupond, &[]).postbacks.len(), 2);
}

#[test]
fn health_and_metrics_count_postbacks() {
    let coupond = Coupond::serving(&sample());
    let admin =
        DecidingAdmin::start(&coupond, |postback| Some(postback.verdict(VerdictStatus::Approved)));
    coupond.get("/?nid=1");
    coupond.request("HEAD", "/?nid=1", "");
    until("it is acknowledged", || {
        (coupond.health()["postbacks"]["acknowledged"] == 1).then_some(())
    });
    admin.end();
    let health = coupond.health();
    assert_eq!((&health["status"], &health["postbacks"]["open"]), (&"ok".into(), &true.into()));
    assert!(health["postbacks"]["bytes"].as_u64().unwrap() > 100);
    let metrics = coupond.control("GET", "/metrics").body;
    for line in [
        "coupond_postbacks_received_total 1",
        "coupond_postbacks_answered_total{verdict=\"approved\"} 1",
        "coupond_postbacks_answered_total{verdict=\"queued\"} 0",
        "coupond_postbacks_refused_total{status=\"405\"} 1",
        "coupond_postbacks_waiting 0",
        "coupond_postbacks_acknowledged 1",
        "coupond_postbacks_unacknowledged 0",
        "coupond_postback_spool_open 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no `{line}` in\n{metrics}");
    }
}
