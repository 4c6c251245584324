//! Answers of the feed to cursors, and the feed's guarantees.

use coupon_shared::feed::OLDEST_INCARNATION_HEADER;
use coupon_shared::node_identity::RunId;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Response, StatusCode};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clicks::ClickLog;
use crate::clicks::ring::RingWriter;
use crate::clicks::tests::{Admin, Machine, clicks, clicks_all, eventually};

fn durable(log: &ClickLog, writer: &mut RingWriter, numbers: std::ops::Range<u32>) {
    let before = log.status().durable;
    let count = numbers.len() as u64;
    clicks_all(writer, numbers);
    eventually("they are durable", || log.status().durable == before + count);
}

fn stream(log: &ClickLog) -> StreamId {
    StreamId { node: 5, incarnation: log.incarnation(), thread: 0 }
}

fn spans(answer: &FeedAnswer) -> Vec<(u64, u64)> {
    let parsed = blocks(&answer.blocks).map(|block| block.unwrap());
    parsed.map(|block| (block.first_sequence(), block.last_sequence())).collect()
}

#[test]
fn an_answer_is_bounded_and_never_empty_while_there_are_blocks() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    for first in 0..20 {
        durable(&log, &mut writer, first * 10..first * 10 + 10);
    }
    let all = log.feed.collect(&FeedQuestion::default(), 1 << 20).unwrap();
    assert_eq!(spans(&all).len(), 20);
    let some = log.feed.collect(&FeedQuestion::default(), all.blocks.len() / 2).unwrap();
    assert!(some.blocks.len() <= all.blocks.len() / 2 && spans(&some).len() >= 9);
    let one = log.feed.collect(&FeedQuestion::default(), 0).unwrap();
    assert_eq!(spans(&one), [(1, 10)]);
}

#[test]
fn the_same_cursor_gets_the_same_answer_and_a_later_one_what_follows() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    for first in 0..10 {
        durable(&log, &mut writer, first * 10..first * 10 + 10);
    }
    let mut cursor = Cursor::default();
    cursor.advance(stream(&log), 50);
    let after = log.feed.collect(&cursor.clone().into(), 1 << 20).unwrap();
    assert_eq!(spans(&after).first(), Some(&(51, 60)));
    assert_eq!(log.feed.collect(&cursor.clone().into(), 1 << 20).unwrap(), after);
    // A lower cursor, like the one of an admin restored from a backup.
    let back = log.feed.collect(&FeedQuestion::default(), 1 << 20).unwrap();
    assert_eq!(spans(&back).first(), Some(&(1, 10)));
    // A cursor within a block gets the whole block: the admin skips the known part.
    cursor.advance(stream(&log), 93);
    let within = log.feed.collect(&cursor.clone().into(), 1 << 20).unwrap();
    assert_eq!(spans(&within), [(91, 100)]);
}

#[test]
fn only_what_the_cursor_covers_is_acknowledged() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    for first in 0..10 {
        durable(&log, &mut writer, first * 10..first * 10 + 10);
    }
    let lag = |sequence| {
        let mut cursor = Cursor::default();
        cursor.advance(stream(&log), sequence);
        log.feed.collect(&cursor.clone().into(), 0).unwrap();
        log.status().feed_lag_blocks
    };
    assert_eq!([lag(0), lag(1), lag(10), lag(49), lag(50), lag(100)], [10, 10, 9, 6, 5, 0]);
    assert_eq!(lag(20), 8, "an admin may go back");
    assert_eq!(lag(u64::MAX), 0);
}

#[test]
fn a_cursor_that_knows_other_streams_hides_nothing() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    durable(&log, &mut writer, 0..10);
    let mut cursor = Cursor::default();
    for incarnation in [1, log.incarnation() + 1, u32::MAX] {
        cursor.advance(StreamId { incarnation, ..stream(&log) }, 1000);
    }
    assert_eq!(spans(&log.feed.collect(&cursor.clone().into(), 1 << 20).unwrap()), [(1, 10)]);
}

/// The question of an admin that has archived a stream to a sequence, from a run.
fn question(stream: StreamId, last: u64, run: Option<RunId>) -> FeedQuestion {
    let mut question = FeedQuestion::default();
    question.cursor.advance(stream, last);
    question.runs.extend(run.map(|run| (stream, run)));
    question
}

#[test]
fn streams_of_another_run_with_the_same_number_acknowledge_and_hide_nothing() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    durable(&log, &mut writer, 0..10);
    let own = log.identity().run.unwrap();
    let ask = |run| {
        let answer = log.feed.collect(&question(stream(&log), 10, run), 1 << 20).unwrap();
        (spans(&answer), log.status().feed_lag_blocks)
    };
    assert_eq!(ask(Some(RunId([3; 16]))), (vec![(1, 10)], 1));
    assert_eq!(ask(Some(own)), (vec![], 0));
    assert_eq!(ask(Some(RunId([3; 16]))), (vec![(1, 10)], 1), "an admin may go back");
    assert_eq!(ask(None), (vec![], 0), "an admin that archived it before run ids");
}

#[test]
fn an_answer_states_the_runs_of_its_blocks_and_none_from_before_run_ids() {
    let machine = Machine::new();
    let mut runs = RunIds::new();
    for (number, is_before_run_ids) in [(0, true), (1, false), (2, false)] {
        let (log, mut writer) = machine.start();
        durable(&log, &mut writer, number * 10..number * 10 + 10);
        drop(writer);
        log.shutdown(Duration::from_secs(10)).unwrap();
        match is_before_run_ids {
            true => std::fs::remove_file(machine.data.path().join("run-ids")).unwrap(),
            false => drop(runs.insert(log.incarnation(), log.identity().run.unwrap())),
        }
    }
    let (log, _writer) = machine.start();
    eventually("the store is looked through", || log.feed.oldest_incarnation() > 0);
    let answer = log.feed.collect(&FeedQuestion::default(), 1 << 20).unwrap();
    assert_eq!(spans(&answer), [(1, 10); 3]);
    assert_eq!(answer.runs, runs);
    let (first, _) = runs.first_key_value().unwrap();
    let before = StreamId { incarnation: first - 1, ..stream(&log) };
    let asked = question(before, 10, Some(RunId([3; 16])));
    assert_eq!(spans(&log.feed.collect(&asked, 1 << 20).unwrap()).len(), 3, "it proves nothing");
}

#[test]
fn an_answer_has_at_most_64_runs_and_the_next_goes_on() {
    let machine = Machine::new();
    for number in 0..70 {
        let (log, mut writer) = machine.start();
        durable(&log, &mut writer, number * 10..number * 10 + 10);
    }
    let (log, _writer) = machine.start();
    eventually("the log is open", || log.status().wal_is_open);
    let mut admin = Admin::default();
    let first = log.feed.collect(&FeedQuestion::default(), 1 << 20).unwrap();
    assert_eq!((first.runs.len(), spans(&first).len()), (64, 64));
    admin.pull_until(&log, 700);
    assert!(admin.has_exactly(0..700) && admin.missing == 0);
    // The same from the store alone.
    eventually("the store is looked through", || log.feed.oldest_incarnation() > 0);
    let again = log.feed.collect(&FeedQuestion::default(), 1 << 20).unwrap();
    assert_eq!(again.runs.len(), 64);
}

#[test]
fn a_refused_stream_gets_one_block_and_other_streams_all() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    let refused = stream(&log);
    for first in 0..20 {
        durable(&log, &mut writer, first * 10..first * 10 + 10);
    }
    drop((log, writer));
    let (log, mut writer) = machine.start();
    durable(&log, &mut writer, 200..210);
    let mut asked = FeedQuestion::default();
    asked.refused.insert(refused);
    let ask = |asked: &FeedQuestion| spans(&log.feed.collect(asked, 1 << 20).unwrap());
    assert_eq!(ask(&asked), [(1, 10), (1, 10)]);
    asked.cursor.advance(refused, 50);
    assert_eq!(ask(&asked), [(51, 60), (1, 10)]);
    assert_eq!(log.status().feed_lag_blocks, 21 - 5);
    // Blocks that only the store has.
    eventually("the store is looked through", || log.feed.oldest_incarnation() > 0);
    asked.cursor.advance(refused, 200);
    asked.cursor.advance(stream(&log), 10);
    assert_eq!(ask(&asked), []);
    asked.cursor = Cursor::default();
    assert_eq!(ask(&asked), [(1, 10), (1, 10)]);
}

#[test]
fn the_oldest_incarnation_is_told_so_that_the_admin_can_forget_older_ones() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    let first = log.incarnation();
    durable(&log, &mut writer, 0..10);
    drop((log, writer));
    let (log, mut writer) = machine.start();
    assert!(log.incarnation() > first);
    durable(&log, &mut writer, 10..20);
    let mut admin = Admin::default();
    eventually("the store is looked through", || {
        admin.pull(&log);
        admin.oldest_incarnation == first
    });
    assert!(admin.has_exactly(0..20));
}

fn poll_request(query: &str, cursor: Vec<u8>) -> Request<Full<Bytes>> {
    let uri = format!("/clicks/feed{query}");
    Request::post(uri).body(Full::new(Bytes::from(cursor))).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The token of a program that does not stop.
fn running() -> CancellationToken {
    CancellationToken::new()
}

#[test]
fn a_poll_ends_at_once_when_the_program_stops() {
    let machine = Machine::new();
    let (log, _writer) = machine.start();
    eventually("the log is open", || log.status().wal_is_open);
    runtime().block_on(async {
        let (stopping, began) = (running(), std::time::Instant::now());
        let poll = poll_request("?wait_ms=20000", Cursor::default().encode());
        let asking = log.feed(poll, stopping.clone());
        let stop = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stopping.cancel();
        };
        let (answer, ()) = tokio::join!(asking, stop);
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
}

async fn body(response: Response<Full<Bytes>>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[test]
fn an_asker_waits_for_the_next_commit_and_not_longer_than_it_says() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    eventually("the log is open", || log.status().wal_is_open);
    runtime().block_on(async {
        let cursor = Cursor::default().encode();
        let began = std::time::Instant::now();
        let nothing = log.feed(poll_request("?wait_ms=60", cursor.clone()), running()).await;
        assert_eq!(nothing.status(), StatusCode::OK);
        assert!(began.elapsed() >= Duration::from_millis(60));
        assert!(body(nothing).await.is_empty());

        let asking = log.feed(poll_request("?wait_ms=20000&max_bytes=100000", cursor), running());
        let clicking = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(clicks(&mut writer, 0..3), 3);
        };
        let (answer, ()) = tokio::join!(asking, clicking);
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(answer.headers().contains_key(OLDEST_INCARNATION_HEADER));
        let answer = body(answer).await;
        let block = blocks(&answer).next().unwrap().unwrap();
        assert_eq!((block.stream(), block.count()), (stream(&log), 3));
    });
}

#[test]
fn a_bad_question_is_refused_with_a_reason() {
    let machine = Machine::new();
    let (log, _writer) = machine.start();
    eventually("the log is open", || log.status().wal_is_open);
    runtime().block_on(async {
        let cursor = Cursor::default().encode();
        for (query, cursor) in
            [("?wait=3", cursor.clone()), ("", b"CPNC".to_vec()), ("", vec![0; 2 << 20])]
        {
            let refused = log.feed(poll_request(query, cursor), running()).await;
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
            assert!(body(refused).await.starts_with(b"{\"error\":"));
        }
    });
}

/// Announces more bytes than it sends.
struct Stalled;

impl hyper::body::Body for Stalled {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[test]
fn an_asker_that_does_not_send_its_cursor_is_not_waited_for() {
    let machine = Machine::new();
    let (log, _writer) = machine.start();
    runtime().block_on(async {
        let asking = log.feed(Request::post("/clicks/feed").body(Stalled).unwrap(), running());
        let refused = tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap();
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
    });
}

#[test]
fn before_the_log_is_open_the_feed_says_503() {
    let machine = Machine::new();
    std::fs::write(machine.wal(), "in the way").unwrap();
    let (log, _writer) = machine.start();
    runtime().block_on(async {
        let refused =
            log.feed(poll_request("?wait_ms=1000", Cursor::default().encode()), running()).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    });
}
