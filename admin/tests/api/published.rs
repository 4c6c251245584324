//! The published index of the running admin, read like in the daemon.

use std::time::{Duration, Instant};

use coupon_admin::explain::PublishedIndex;
use coupon_admin::publish;
use coupon_rules::facts::Nobody;
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{Answer, DecidedClick, Reason, Visit, Visitor, decide};

use crate::client::Running;

/// The index after the publication of all edits so far.
pub(crate) async fn published(network: &Running) -> PublishedIndex {
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    let last: u64 = store.query_row("SELECT change_seq FROM meta", [], |row| row.get(0)).unwrap();
    let began = Instant::now();
    loop {
        let index = publish::published(network.dir());
        if let Ok(index) = index.as_ref()
            && index.manifest().sequence >= last
        {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "nothing is published: {:?}",
            index.err()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    publish::published(network.dir()).unwrap()
}

/// The click of a visit of a code at a given time; `None` for an unknown code.
pub(crate) fn click_at(index: &PublishedIndex, code: &str, now: i64) -> Option<DecidedClick> {
    let code = FoldedCode::fold(code.as_bytes()).unwrap();
    let (rows, visitor) = (index.lookup(&code), Visitor::<Nobody>::Unchecked);
    let visit = Visit { rows, offer_id: None, offer_url_id: None, domain: None, visitor };
    let decision = decide(index.catalog(), &visit, now);
    let redirects = matches!(decision.answer, Answer::Redirect(_));
    assert_eq!(redirects, decision.click.is_some_and(|click| click.reason == Reason::Redirected));
    decision.click
}

/// The reason of the click.
pub(crate) fn reason_at(index: &PublishedIndex, code: &str, now: i64) -> Option<Reason> {
    click_at(index, code, now).map(|click| click.reason)
}
