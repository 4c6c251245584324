//! Tells one daemon about each publication until the daemon serves it.

use std::borrow::Cow;
use std::time::Duration;

use coupon_rules::place::PlaceParts;
use coupon_shared::snapshot::Lineage;
use tokio::sync::watch;
use tokio::time::timeout;

use super::handle::{PublicationStatus, PublisherHandle};
use super::older_daemon::CatalogForm;
use super::served::ServedByDaemon;
use crate::daemon_client::{Abilities, DaemonError, Reloaded, Served};
use crate::nodes::Daemon;
use crate::worker::{RetryDelays, Worker};

/// Delay before a failed reload is repeated.
const RETRY: Duration = Duration::from_millis(500);
/// How often the daemon's served index is checked.
const RECHECK: Duration = Duration::from_secs(10);

pub(super) struct DaemonNotifier {
    daemon: Daemon,
    handle: PublisherHandle,
    published: watch::Receiver<PublicationStatus>,
    /// The last generation sent to the daemon.
    notified: u64,
}

impl DaemonNotifier {
    pub(super) fn new(daemon: Daemon, handle: PublisherHandle) -> DaemonNotifier {
        let published = handle.subscribe();
        DaemonNotifier { daemon, handle, published, notified: 0 }
    }

    /// The generation that the daemon can load.
    fn announced(&self, status: &PublicationStatus) -> u64 {
        if self.daemon.client.is_edge() { status.put_generation } else { status.generation }
    }

    /// Shows the daemon's answer in the status.
    ///
    /// # Errors
    /// Why the daemon does not serve generation `notified`.
    fn show_answer(
        &self,
        lineage: Lineage,
        notified: u64,
        answer: Result<Reloaded, DaemonError>,
    ) -> Result<(), String> {
        if answer.is_ok() {
            self.handle.nodes.note_answer(&self.daemon);
        }
        let (served, refusal, abilities) = match answer {
            Ok(Reloaded { served, refusal, abilities }) => (served, refusal, Some(abilities)),
            Err(error) => (None, Some(error.to_string()), None),
        };
        let served = served.filter(|served| served.lineage == lineage.to_string());
        let error = refusal.or_else(|| not_served(served.as_ref(), notified));
        let mut is_ahead = false;
        self.handle.update_daemon(&self.daemon, |published, daemon| {
            // A later generation was published before the store was replaced by a backup. Its
            // content is unknown here, so the next publication must overtake it.
            let is_ours = |served: &&Served| served.generation <= published;
            daemon.served = served.clone().filter(|served| is_ours(&served));
            daemon.has_served |= daemon.served.is_some();
            let ahead = served.filter(|served| !is_ours(&served));
            daemon.ahead = ahead.map(|served| (lineage, served.generation));
            daemon.error.clone_from(&error);
            is_ahead = daemon.ahead.is_some();
            if let Some(abilities) = abilities {
                show_abilities(daemon, &abilities);
            }
        });
        if is_ahead {
            self.handle.changed();
        }
        error.map_or(Ok(()), Err)
    }
}

impl Worker for DaemonNotifier {
    const NAME: &'static str = "serving of the published index";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(RETRY);
    type Error = String;

    fn label(&self) -> Cow<'static, str> {
        self.daemon.work_label(Self::NAME)
    }

    async fn step(&mut self) -> Result<(), String> {
        let (generation, lineage) = {
            let published = self.published.borrow();
            (self.announced(&published), published.lineage)
        };
        let Some(lineage) = lineage.filter(|_| generation > 0) else { return Ok(()) };
        self.notified = generation;
        let answer = self.daemon.client.reload().await;
        self.show_answer(lineage, generation, answer)
    }

    async fn wait_for_work(&mut self) {
        self.wait_for_retry(RECHECK).await;
    }

    /// Returns earlier after the next publication.
    async fn wait_for_retry(&mut self, delay: Duration) {
        let (notified, mut published) = (self.notified, self.published.clone());
        let is_new = |published: &PublicationStatus| self.announced(published) > notified;
        // The channel cannot close: `handle` holds its sender.
        let _ = timeout(delay, published.wait_for(is_new)).await;
    }
}

/// Why the served index is not the one that the daemon was told of.
fn not_served(served: Option<&Served>, notified: u64) -> Option<String> {
    match served {
        None => Some("coupond serves another store's index".into()),
        Some(served) if served.generation < notified => {
            Some(format!("coupond still serves generation {}", served.generation))
        }
        Some(_) => None,
    }
}

fn show_abilities(daemon: &mut ServedByDaemon, abilities: &Abilities) {
    daemon.catalog_form = CatalogForm::for_features(&abilities.features);
    let parts = |names: &Vec<String>| PlaceParts::from_names(names.iter().map(String::as_str));
    daemon.place_parts = abilities.geo_parts.as_ref().map(parts);
}
