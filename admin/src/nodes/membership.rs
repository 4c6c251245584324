//! Joining and leaving of daemons.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::seen::SeenDaemons;
use super::{Daemon, NodeRegistry};
use crate::daemon_client::DaemonClient;
use crate::store::Store;
use crate::worker::{self, Worker};

impl NodeRegistry {
    /// The registry of the daemons with these names and sockets; more may join.
    #[must_use]
    pub fn new<'a>(
        store: Store,
        sockets: impl IntoIterator<Item = (&'a str, &'a Path)>,
    ) -> NodeRegistry {
        let clients = sockets.into_iter().map(|(name, socket)| (name, DaemonClient::new(socket)));
        NodeRegistry::with_clients(store, clients.collect())
    }

    /// A registry with the only daemon.
    #[must_use]
    pub fn with_one(store: Store, client: DaemonClient) -> NodeRegistry {
        NodeRegistry::with_clients(store, vec![("", client)])
    }

    fn with_clients(store: Store, clients: Vec<(&str, DaemonClient)>) -> NodeRegistry {
        let mut seen = SeenDaemons::new();
        let is_only = clients.len() == 1;
        for (name, client) in clients {
            seen.join_configured(name, client, is_only);
        }
        seen.refresh_passed();
        NodeRegistry {
            store,
            daemons: watch::Sender::new(seen.list()),
            rows: Arc::default(),
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    /// Lets a daemon join. Services start its workers; edits wait for the daemon after its first
    /// answer. A present daemon of this name leaves.
    ///
    /// Daemons that are known at the start of the program must join before the services start: sales
    /// wait for clicks of present daemons only.
    ///
    /// The daemon's clicks gather for `click_gathering` before they are fetched.
    pub fn add(&self, name: &str, client: DaemonClient, click_gathering: Duration) -> Daemon {
        let mut seen = self.seen();
        if let Some(former) = seen.find(name) {
            seen.leave(&former);
        }
        let daemon = seen.join(name, client, click_gathering);
        self.publish_list(&seen);
        tracing::info!(daemon = daemon.shown_name(), "daemon joined");
        daemon
    }

    /// Lets a daemon leave for good: its workers stop, no edit waits for the daemon, and clicks still
    /// with the daemon are lost. Sales that wait for lost clicks are decided. No effect on a daemon
    /// that has left.
    pub fn retire(&self, daemon: &Daemon) {
        let mut seen = self.seen();
        if seen.leave(daemon) {
            self.publish_list(&seen);
            tracing::info!(daemon = daemon.shown_name(), "daemon retired");
        }
    }

    /// Gives up the clicks of daemons that were retired in an earlier run of the program.
    pub fn note_retired(&self, names: impl IntoIterator<Item = String>) {
        let mut seen = self.seen();
        seen.give_up(names);
        self.publish_list(&seen);
    }

    /// The lock on `seen` orders the lists.
    fn publish_list(&self, seen: &SeenDaemons) {
        self.daemons.send_replace(seen.list());
    }

    /// The daemons that have not left, by position.
    pub(crate) fn daemons(&self) -> Arc<[Daemon]> {
        Arc::clone(&self.daemons.borrow())
    }

    /// Whether there are several daemons now: then texts name the daemon, and a silent daemon delays
    /// nothing.
    pub(crate) fn has_several(&self) -> bool {
        self.daemons.borrow().len() > 1
    }

    pub(crate) fn is_present(&self, daemon: &Daemon) -> bool {
        !daemon.left.is_cancelled()
    }

    /// Calls `follow` with the present daemons, now and after each change, until `stop`.
    pub(crate) fn follow(
        &self,
        stop: CancellationToken,
        mut follow: impl FnMut(&[Daemon]) + Send + 'static,
    ) {
        let mut lists = self.daemons.subscribe();
        let present = Arc::clone(&lists.borrow_and_update());
        follow(&present);
        let following = async move {
            while lists.changed().await.is_ok() {
                let present = Arc::clone(&lists.borrow_and_update());
                follow(&present);
            }
        };
        tokio::spawn(async move { stop.run_until_cancelled(following).await });
    }

    /// Runs a worker for each daemon, also for daemons that join later, until `stop` or the daemon's
    /// leaving.
    pub(crate) fn spawn_for_each<W: Worker>(
        &self,
        stop: CancellationToken,
        mut worker: impl FnMut(&Daemon) -> W + Send + 'static,
    ) {
        // Positions grow and are never given again, so a list tells which daemons are new.
        let mut next = 0;
        self.follow(stop.clone(), move |present| {
            for daemon in present.iter().filter(|daemon| daemon.index >= next) {
                run_while_present(worker(daemon), daemon.clone(), stop.clone());
            }
            next = present.last().map_or(next, |last| next.max(last.index + 1));
        });
    }
}

fn run_while_present<W: Worker>(mut worker: W, daemon: Daemon, stop: CancellationToken) {
    tokio::spawn(async move { daemon.while_present(worker::run(&mut worker, &stop)).await });
}
