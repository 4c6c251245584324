//! The published index of the running admin, read like in the daemon.

use std::time::{Duration, Instant};

use coupon_admin::explain::PublishedIndex;
use coupon_admin::publish;
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{Answer, Reason, Visit, VisitorFacts, decide};

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

/// The decision for a visit of a code at a given time; `None` for an unknown code.
pub(crate) fn reason_at(index: &PublishedIndex, code: &str, now: i64) -> Option<Reason> {
    let code = FoldedCode::fold(code.as_bytes()).unwrap();
    let visit = Visit { rows: index.lookup(&code), offer_id: None, domain: None };
    let decision = decide(index.catalog(), &visit, &VisitorFacts::default(), now);
    let reason = decision.click.map(|click| click.reason);
    let redirects = matches!(decision.answer, Answer::Redirect(_));
    assert_eq!(redirects, reason == Some(Reason::Redirected));
    reason
}
