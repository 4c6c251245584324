//! Each program can die at any moment without loss in the other.

use crate::http;
use crate::programs::{Network, wait_for};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn redirects_go_on_without_the_admin_and_its_clicks_are_reported_later() {
    let network = Network::new();
    let mut admin = network.start_admin();
    let _daemon = network.start_daemon();
    network.create_winter25();
    admin.kill();
    for _ in 0..20 {
        assert_eq!(network.visit("/winter25").status, 302);
    }
    let _admin = network.start_admin();
    wait_for("20 clicks", || (network.gross_clicks() >= 20).then_some(()));
    assert_eq!(network.gross_clicks(), 20);
}

#[test]
fn a_restarted_daemon_serves_before_the_admin_is_up() {
    let network = Network::new();
    let mut admin = network.start_admin();
    let mut daemon = network.start_daemon();
    network.create_winter25();
    daemon.stop();
    admin.stop();
    let _daemon = network.start_daemon();
    let visit = wait_for("an index", || {
        Some(network.visit("/winter25")).filter(|visit| visit.status != 503)
    });
    assert_eq!(visit.status, 302);
}

#[test]
fn every_answered_click_is_reported_once_after_the_daemon_was_killed_under_load() {
    let network = Network::new();
    let _admin = network.start_admin();
    let mut daemon = network.start_daemon();
    network.create_winter25();
    let mut answered = HashSet::new();
    for _ in 0..3 {
        let stop = AtomicBool::new(false);
        let ids = std::thread::scope(|scope| {
            let visitors: Vec<_> =
                (0..4).map(|_| scope.spawn(|| visit_until(&network, &stop))).collect();
            std::thread::sleep(Duration::from_millis(400));
            daemon.kill();
            stop.store(true, Ordering::Relaxed);
            visitors.into_iter().flat_map(|visitor| visitor.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(ids.len() > 20, "only {} visits were answered", ids.len());
        answered.extend(ids);
        daemon = network.start_daemon();
    }
    let reported = wait_for("all answered clicks", || {
        let clicks = network.clicks();
        (clicks.len() >= answered.len()).then_some(clicks)
    });
    let ids: Vec<String> =
        reported.iter().filter_map(|c| Some(c["transaction_id"].as_str()?.to_owned())).collect();
    let reported: HashSet<String> = ids.iter().cloned().collect();
    assert_eq!(ids.len(), reported.len(), "a click is reported twice");
    let lost: Vec<_> = answered.difference(&reported).collect();
    assert!(lost.is_empty(), "{} of {} answered clicks are lost", lost.len(), answered.len());
    // At each kill at most the visits in flight, one per visitor, were logged without an answer.
    assert!(reported.len() - answered.len() <= 3 * 4, "{} clicks too many", reported.len());
    assert_eq!(network.gross_clicks(), reported.len() as u64);
}

/// Transaction ids of answered visits.
fn visit_until(network: &Network, stop: &AtomicBool) -> Vec<String> {
    let mut ids = Vec::new();
    // Fewer in total than the largest answer of the click report.
    while !stop.load(Ordering::Relaxed) && ids.len() < 700 {
        let Ok(visit) = http::visit(network.visitors, "GET", "/winter25") else { continue };
        if visit.status == 302 {
            ids.push(visit.location().split(['=', '&']).nth(1).unwrap().to_owned());
        }
    }
    ids
}
