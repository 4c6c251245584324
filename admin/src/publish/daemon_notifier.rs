//! Tells the daemon about each publication until the daemon serves it.

use std::time::Duration;

use coupon_rules::place::PlaceParts;
use coupon_shared::snapshot::Lineage;
use tokio::sync::watch;
use tokio::time::timeout;

use super::handle::{PublicationStatus, PublisherHandle};
use super::older_daemon::CatalogForm;
use crate::daemon_client::{Abilities, DaemonClient, DaemonError, Reloaded};
use crate::worker::{RetryDelays, Worker};

/// Delay before a failed reload is repeated.
const RETRY: Duration = Duration::from_millis(500);
/// How often the daemon's served index is checked.
const RECHECK: Duration = Duration::from_secs(10);

pub(super) struct DaemonNotifier {
    daemon: DaemonClient,
    handle: PublisherHandle,
    status: watch::Receiver<PublicationStatus>,
    /// The last generation sent to the daemon.
    notified: u64,
}

impl DaemonNotifier {
    pub(super) fn new(daemon: DaemonClient, handle: PublisherHandle) -> DaemonNotifier {
        let status = handle.status.subscribe();
        DaemonNotifier { daemon, handle, status, notified: 0 }
    }
}

impl Worker for DaemonNotifier {
    const NAME: &'static str = "serving of the published index";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(RETRY);
    type Error = String;

    async fn step(&mut self) -> Result<(), String> {
        let (generation, lineage) = {
            let status = self.handle.status.borrow();
            (status.generation, status.lineage)
        };
        let Some(lineage) = lineage else { return Ok(()) };
        self.notified = generation;
        let answer = self.daemon.reload().await;
        show_answer(&self.handle, lineage, generation, answer)
    }

    async fn wait_for_work(&mut self) {
        self.wait_for_retry(RECHECK).await;
    }

    /// Returns earlier after the next publication.
    async fn wait_for_retry(&mut self, delay: Duration) {
        let notified = self.notified;
        // The channel cannot close: `handle` holds its sender.
        let _ = timeout(delay, self.status.wait_for(|status| status.generation > notified)).await;
    }
}

/// Shows the daemon's answer in the status.
///
/// # Errors
/// Why the daemon does not serve generation `notified`.
fn show_answer(
    handle: &PublisherHandle,
    lineage: Lineage,
    notified: u64,
    answer: Result<Reloaded, DaemonError>,
) -> Result<(), String> {
    let (served, refusal, abilities) = match answer {
        Ok(Reloaded { served, refusal, abilities }) => (served, refusal, Some(abilities)),
        Err(error) => (None, Some(error.to_string()), None),
    };
    let served = served.filter(|served| served.lineage == lineage.to_string());
    let error = refusal.or_else(|| match &served {
        None => Some("coupond serves another store's index".into()),
        Some(served) if served.generation < notified => {
            Some(format!("coupond still serves generation {}", served.generation))
        }
        Some(_) => None,
    });
    handle.update(|status| {
        // A later generation was published before the store was replaced by a backup. Its content
        // is unknown here, so the next publication must overtake it.
        let ours = served.as_ref().filter(|served| served.generation <= status.generation);
        status.served_generation = ours.map(|served| served.generation);
        status.served_sequence = ours.map(|served| served.sequence);
        let ahead = served.as_ref().filter(|served| served.generation > status.generation);
        status.daemon_ahead = ahead.map(|served| (lineage, served.generation));
        status.daemon_error.clone_from(&error);
        if let Some(Abilities { features, geo_parts }) = abilities {
            status.set_catalog_form(CatalogForm::for_features(&features));
            status.daemon_place_parts =
                geo_parts.map(|names| PlaceParts::from_names(names.iter().map(String::as_str)));
        }
    });
    if handle.status.borrow().daemon_ahead.is_some() {
        handle.changed();
    }
    error.map_or(Ok(()), Err)
}
