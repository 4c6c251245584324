//! Messages of the admin over the control socket.

use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::catalog::Rule;
use coupon_shared::visit_state::{CapState, CapWindow};
use rustix::process::Signal;

use super::{
    cap, last_sequences, restarted, ruled, send, send_bytes, serving, state, unix_seconds, visit,
    visitor,
};
use crate::published::sample;
use crate::running::Coupond;

/// The count of a daily cap, today in UTC.
fn today(cap_id: u32, clicks: u64, is_reached: bool) -> CapState {
    let window = CapWindow::Daily;
    let bounds = window.bounds_at(unix_seconds(), |_| 0);
    CapState { cap_id, window, bounds, clicks, is_reached }
}

#[test]
fn the_counts_of_other_daemons_count_here() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 5))]));
    let mut counts = state();
    counts.caps = vec![today(7, 4, false)];
    assert_eq!(send(&coupond, &counts).status, 200);
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
    assert_eq!(visit(&coupond, "/winter25", &visitor(2)), 404);
    // Now the admin has our click too, and one of the others was a bot's.
    counts.counted = last_sequences(&coupond, 2);
    assert_eq!(send(&coupond, &counts).status, 200);
    assert_eq!(visit(&coupond, "/winter25", &visitor(3)), 302);
    assert_eq!(visit(&coupond, "/winter25", &visitor(4)), 404);
}

#[test]
fn a_reached_conversion_cap_refuses_visits_and_an_answer_names_the_state() {
    let mut capped = cap(7, 0);
    capped.has_conversion_limits = true;
    let coupond = serving(&ruled(&[Rule::cap(&capped)]));
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
    let mut reached = state();
    reached.caps = vec![today(7, 0, true)];
    let answer = send(&coupond, &reached);
    assert_eq!((answer.status, &answer.json()["generation"]), (200, &1.into()));
    assert_eq!(answer.json()["made_unix_ms"], reached.made_unix_ms);
    assert_eq!(visit(&coupond, "/winter25", &visitor(2)), 404);
    let health = coupond.health();
    let shown = &health["visit_state"];
    assert_eq!((&shown["caps"], &shown["caps_reached"]), (&1.into(), &1.into()));
    assert_eq!(shown["made_unix_ms"], reached.made_unix_ms);
    assert!(coupond.metric("state_age_seconds") < 60);
    reached.caps = vec![today(7, 0, false)];
    assert_eq!(send(&coupond, &reached).status, 200);
    assert_eq!(visit(&coupond, "/winter25", &visitor(3)), 302);
}

#[test]
fn a_message_of_another_network_and_a_damaged_one_change_nothing() {
    let coupond = serving(&sample());
    let good = state();
    assert_eq!(send(&coupond, &good).status, 200);
    let mut foreign = [good.clone(), good.clone()];
    foreign[0].network_id = 2;
    foreign[1].lineage = Lineage([1; 16]);
    for foreign in foreign {
        let answer = send(&coupond, &foreign);
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.body.contains("send the state of that store"), "{answer:?}");
    }
    let mut damaged = good.encode().unwrap();
    damaged[40] ^= 1;
    for (bytes, reason) in [(&damaged[..], "damaged"), (b"", "cut or is damaged")] {
        let answer = send_bytes(&coupond, bytes);
        assert!(answer.status == 422 && answer.body.contains(reason), "{answer:?}");
    }
    assert_eq!(coupond.control("GET", "/state").status, 405);
    assert_eq!(coupond.health()["visit_state"]["made_unix_ms"], good.made_unix_ms);
}

fn stopped(mut coupond: Coupond) -> Coupond {
    coupond.signal(Signal::TERM);
    coupond.wait();
    coupond
}

#[test]
fn a_restart_needs_no_admin() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 5))]));
    let mut counts = state();
    counts.caps = vec![today(7, 4, false)];
    assert_eq!(send(&coupond, &counts).status, 200);
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
    let coupond = restarted(&stopped(coupond));
    assert_eq!(visit(&coupond, "/winter25", &visitor(2)), 404);
    // A damaged file is a problem, and the click log alone counts.
    let coupond = stopped(coupond);
    std::fs::write(coupond.path("data/visit-state"), "damaged").unwrap();
    let coupond = restarted(&coupond);
    assert_eq!(coupond.health()["status"], "degraded");
    let statuses: Vec<_> =
        (3..9).map(|number| visit(&coupond, "/winter25", &visitor(number))).collect();
    assert_eq!(statuses, [302, 302, 302, 302, 404, 404]);
    assert_eq!(send(&coupond, &counts).status, 200);
    assert_eq!(coupond.health()["status"], "ok");
}
