//! `clicks.durable`: a visit is answered once the click is on the disk, and not before; a disk that
//! accepts no writes delays answers only for a bounded time.

use std::time::{Duration, Instant};

use coupon_shared::click::block::Block;
use coupon_shared::framed_log::FrameReader;
use coupon_shared::transaction_id::TransactionId;

use super::Installation;
use super::strace::{Strace, is_usable};
use super::takeover::{Expected, Takeover};
use super::visitors::{Visitors, first_redirect};
use crate::published::sample;
use crate::running::{Coupond, until};

fn durable() -> Installation {
    // A commit interval so long that an answer in time needs a requested commit.
    Installation::new(&sample())
        .with("COUPOND_CLICKS_DURABLE", true)
        .with("COUPOND_CLICKS_COMMIT_INTERVAL_MS", 600_000)
}

/// The id in the answer to a visit, and the time until the answer.
fn visit(coupond: &Coupond) -> (TransactionId, Duration) {
    let visit = first_redirect(coupond.address).join().unwrap();
    (visit.id, visit.took)
}

fn is_in_the_wal(coupond: &Coupond, id: &TransactionId) -> bool {
    let mut wal = FrameReader::open(&coupond.path("data/wal"), 1).unwrap();
    while let Some(frame) = wal.next_frame().unwrap() {
        let block = Block::parse(frame.payload).unwrap().decode().unwrap();
        if block.clicks().any(|click| click.head.transaction_id == *id) {
            return true;
        }
    }
    false
}

#[test]
fn an_answered_visit_stands_in_the_log_at_the_moment_of_its_answer() {
    let coupond = durable().start();
    for _ in 0..20 {
        let (id, took) = visit(&coupond);
        assert!(is_in_the_wal(&coupond, &id));
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    assert_eq!(coupond.metric("clicks_answered_before_durable_total"), 0);
}

#[test]
fn visitors_who_come_together_share_their_commits() {
    let installation = durable();
    let coupond = installation.start();
    let visitors = Visitors::start(32, installation.address, "/winter25");
    until("many visits", || (visitors.answered() > 2000).then_some(()));
    let seen = visitors.stop();
    assert!(seen.failed.is_empty() && seen.broken == 0, "{:?}", seen.failed);
    let (mut takeover, mut expected) = (Takeover::default(), Expected::default());
    expected.add(&seen, 0);
    takeover.assert_matches(&coupond, &expected);
    let mut wal = FrameReader::open(&coupond.path("data/wal"), 1).unwrap();
    let mut frames = 0;
    while wal.next_frame().unwrap().is_some() {
        frames += 1;
    }
    assert!(frames * 3 < seen.visits.len(), "{frames} blocks of {} clicks", seen.visits.len());
    assert_eq!(coupond.metric("clicks_answered_before_durable_total"), 0);
}

#[test]
fn an_unknown_code_waits_for_a_commit_as_one_that_rests_does_while_a_disk_is_slow() {
    if !is_usable() {
        return;
    }
    let coupond = durable().start();
    visit(&coupond);
    let _slow = Strace::on_click_log(&coupond, &["fdatasync:delay_enter=400000"]);
    let took = |method: &str, path: &str, status: u16| {
        let began = Instant::now();
        assert_eq!(coupond.request(method, path, "").status, status, "{path}");
        began.elapsed()
    };
    let at_once = took("HEAD", "/winter25", 302);
    assert!(at_once < Duration::from_millis(400), "{at_once:?}");
    for path in ["/paused", "/nobody", "/-", "/nobody", "/sdk", "/paused?oid=99"] {
        for method in ["GET", "HEAD"] {
            let waited = took(method, path, 404);
            assert!(waited >= Duration::from_millis(400), "{method} {path}: {waited:?}");
        }
    }
}

#[test]
fn an_answer_waits_for_the_sync_of_its_click_and_only_where_that_is_wanted() {
    if !is_usable() {
        return;
    }
    for (is_durable, installation) in [(true, durable()), (false, Installation::new(&sample()))] {
        let coupond = installation.start();
        visit(&coupond);
        let _slow = Strace::on_click_log(&coupond, &["fdatasync:delay_exit=300000"]);
        let (_, took) = visit(&coupond);
        assert_eq!(took >= Duration::from_millis(300), is_durable, "{took:?}");
    }
}

#[test]
fn while_the_disk_takes_nothing_visitors_are_answered_and_each_is_counted() {
    if !is_usable() {
        return;
    }
    let coupond = durable().start();
    visit(&coupond);
    let broken = Strace::on_click_log(&coupond, &["fdatasync,fsync:error=EIO"]);
    let before = || coupond.metric("clicks_answered_before_durable_total");
    let (id, first) = visit(&coupond);
    assert!((900..3000).contains(&first.as_millis()), "{first:?}");
    assert_eq!(before(), 1);
    let began = Instant::now();
    let ids: Vec<_> = (0..20).map(|_| visit(&coupond).0).collect();
    assert!(began.elapsed() < Duration::from_secs(2), "each waits: {:?}", began.elapsed());
    assert_eq!(before(), 21);
    assert_eq!(coupond.health()["status"], "degraded");

    drop(broken);
    until("the log works again", || (coupond.health()["status"] == "ok").then_some(()));
    assert!(ids.iter().chain([&id]).all(|id| is_in_the_wal(&coupond, id)));
    let (id, _) = visit(&coupond);
    assert!(is_in_the_wal(&coupond, &id));
    assert_eq!(before(), 21);
}
