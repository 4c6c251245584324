//! A daemon, with its client and the signal of its leaving.

use std::borrow::Cow;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::click_pace::ClickPace;
use crate::daemon_client::DaemonClient;

/// The shown name of the daemon of `daemon_socket` beside other daemons. No other daemon may have
/// this name.
pub const ONLY_DAEMON_NAME: &str = "coupond";

/// A daemon that joined; clones stand for the same daemon.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Position among all daemons since the start of the program, in the order of joining.
    pub(crate) index: usize,
    /// As stored; empty for the daemon of `daemon_socket`.
    pub(crate) name: Arc<str>,
    pub(crate) client: DaemonClient,
    /// Whether the configuration names the daemon; others join at run time.
    pub(crate) is_configured: bool,
    /// Whether the daemon owns all streams without a known data folder, because no other daemon was
    /// configured at the start. Daemons that join later change nothing here.
    pub(crate) inherits_streams: bool,
    /// When to ask for clicks.
    pub(crate) click_pace: Arc<ClickPace>,
    /// Cancelled when the daemon leaves.
    pub(super) left: CancellationToken,
}

impl Daemon {
    /// The name for people.
    pub(crate) fn shown_name(&self) -> &str {
        if self.name.is_empty() { ONLY_DAEMON_NAME } else { &self.name }
    }

    /// Names the daemon in a sentence; several daemons are told apart by their names.
    pub(crate) fn label(&self) -> String {
        match &*self.name {
            "" => ONLY_DAEMON_NAME.to_owned(),
            name => format!("coupond `{name}`"),
        }
    }

    /// The name of a work, for this daemon.
    pub(crate) fn work_label(&self, work: &'static str) -> Cow<'static, str> {
        match &*self.name {
            "" => work.into(),
            name => format!("{work} (coupond {name})").into(),
        }
    }

    /// Runs work until the daemon leaves; `None` if the daemon left before the end.
    pub(crate) async fn while_present<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.left.run_until_cancelled(work).await
    }
}
