//! Counts over kills: each click is counted once, whatever the moment of the kill.
//! `CAP_KILLS` sets the number of kills of the long form.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use coupon_rules::caps::Cap;
use coupon_shared::decision::Reason;
use coupon_shared::snapshot::catalog::Rule;
use rustix::process::Signal;

use super::{cap, headers, reasons, restarted, ruled, serving, visit, visitor};
use crate::published::HOST;
use crate::running::{Coupond, until};

fn killed(mut coupond: Coupond) -> Coupond {
    coupond.signal(Signal::KILL);
    coupond.wait();
    coupond
}

#[test]
fn a_cap_counts_on_after_a_kill() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 3))]));
    for number in 0..2 {
        assert_eq!(visit(&coupond, "/winter25", &visitor(number)), 302);
    }
    let coupond = restarted(&killed(coupond));
    assert_eq!(visit(&coupond, "/winter25", &visitor(2)), 302);
    assert_eq!(visit(&coupond, "/winter25", &visitor(3)), 404);
    let coupond = restarted(&killed(coupond));
    assert_eq!(visit(&coupond, "/winter25", &visitor(4)), 404);
    assert_eq!(reasons(&coupond, 5), [(Reason::Redirected, 3), (Reason::Cap, 2)].into());
}

#[test]
fn ten_kills_under_load_let_exactly_as_many_through_as_the_cap_takes() {
    kill_under_load(10, 400);
}

#[test]
#[ignore = "takes many minutes"]
fn many_kills_under_load_let_exactly_as_many_through_as_the_cap_takes() {
    let kills = std::env::var("CAP_KILLS").map_or(100, |text| text.parse().unwrap());
    kill_under_load(kills, 40 * kills);
}

/// New visitors come all the time; the daemon is killed again and again, and at last takes visits
/// until the cap is reached.
fn kill_under_load(kills: u64, limit: u64) {
    let global = Cap { click_limits: [0, 0, 0, limit], ..cap(7, 0) };
    let mut coupond = serving(&ruled(&[Rule::cap(&global)]));
    let (next_visitor, answered) = (AtomicU32::new(0), AtomicU64::new(0));
    for kill in 0..kills {
        let (is_over, address) = (AtomicBool::new(false), coupond.address);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| come_until(address, &is_over, &next_visitor, &answered));
            }
            // So that the cap is not reached before the last kill.
            let share = limit * (kill + 1) / (kills + 2);
            until("visitors were redirected", || {
                (answered.load(Ordering::Relaxed) >= share).then_some(())
            });
            coupond.signal(Signal::KILL);
            is_over.store(true, Ordering::Relaxed);
        });
        coupond.wait();
        coupond = restarted(&coupond);
    }
    let mut refused = 0;
    while refused < 20 {
        let number = next_visitor.fetch_add(1, Ordering::Relaxed);
        match visit(&coupond, "/winter25", &visitor(number)) {
            302 => drop(answered.fetch_add(1, Ordering::Relaxed)),
            _ => refused += 1,
        }
    }
    let redirected = redirected_clicks(&coupond, limit, refused);
    let answered = answered.into_inner();
    println!(
        "{kills} kills: a cap of {limit} let {redirected} clicks through, {answered} of them with \
         an answer; {} visitors",
        next_visitor.into_inner()
    );
    assert_eq!(redirected, limit);
    assert!(answered <= limit);
}

/// Each visit has a connection of its own: after a kill it ends, with or without an answer.
fn come_until(
    address: SocketAddr,
    is_over: &AtomicBool,
    next_visitor: &AtomicU32,
    answered: &AtomicU64,
) {
    use std::io::{Read, Write};
    while !is_over.load(Ordering::Relaxed) {
        let number = next_visitor.fetch_add(1, Ordering::Relaxed);
        let headers = headers(&visitor(number), "Browser/1");
        let request =
            format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n{headers}Connection: close\r\n\r\n");
        let mut answer = Vec::new();
        let is_answered = std::net::TcpStream::connect(address).is_ok_and(|mut stream| {
            let sent = stream.write_all(request.as_bytes());
            let _ = stream.read_to_end(&mut answer);
            sent.is_ok() && answer.starts_with(b"HTTP/1.1 302")
        });
        answered.fetch_add(is_answered.into(), Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Clicks in the log that were redirected.
fn redirected_clicks(coupond: &Coupond, limit: u64, refused: usize) -> u64 {
    use coupon_shared::feed::{Cursor, blocks};
    let (mut cursor, mut redirected, mut others) = (Cursor::default(), 0, 0);
    until("the feed has the clicks", || {
        for block in blocks(&coupond.feed_after(&cursor)?) {
            let block = block.unwrap();
            cursor.advance(block.stream(), block.last_sequence());
            for click in block.decode().unwrap().clicks() {
                match click.head.reason {
                    Reason::Redirected => redirected += 1,
                    _ => others += 1,
                }
            }
        }
        (redirected >= limit && others >= refused).then_some(())
    });
    redirected
}
