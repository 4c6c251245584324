//! The state of one daemon as the status shows it.

use coupon_shared::node_identity::NodeStamp;
use serde::Serialize;

/// The state of one daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DaemonStatus {
    /// The daemon of `daemon_socket` has an empty name, and is `coupond` beside other daemons.
    pub name: String,
    /// As of the last answer; `null` before the first one, and for a daemon that does not state it.
    pub node_id: Option<u16>,
    /// Id of the daemon's data folder.
    pub store_id: Option<String>,
    /// Number of the daemon's run.
    pub incarnation: Option<u32>,
    /// Time of the last answer, in Unix seconds.
    pub last_answer: Option<i64>,
    /// The daemon's clock minus the clock of coupon-admin, about.
    pub clock_offset_ms: Option<i64>,
    /// Why clicks and postbacks of the daemon are refused.
    pub conflict: Option<String>,
    /// All clicks of the daemon before this time, in Unix milliseconds by its clock, have arrived or
    /// never will.
    pub passed_unix_ms: u64,
    /// Blocks of clicks that named another daemon's node or numbers, since the start.
    pub refused_blocks: u64,
    /// Postbacks that named another daemon's node, since the start.
    pub foreign_postbacks: u64,
    /// The generation served, as of the last answer.
    pub served_generation: Option<u64>,
    /// Time of the last click taken in since the start, in Unix milliseconds by the daemon's clock.
    pub last_click_unix_ms: Option<u64>,
    /// Delay from this click to its count.
    pub click_lag_ms: Option<u64>,
    /// Why clicks are not fetched.
    pub click_error: Option<String>,
    /// Why postbacks are not fetched.
    pub postback_error: Option<String>,
    /// Why the published index is not served.
    pub publication_error: Option<String>,
    /// Why the last merged level was not loaded before its publication; the daemon loads it then.
    pub preload_error: Option<String>,
    /// Time of the last answer with clicks or without, in Unix seconds.
    #[serde(skip)]
    pub(crate) last_click_pull: Option<i64>,
    /// The same for postbacks.
    #[serde(skip)]
    pub(crate) last_postback_pull: Option<i64>,
}

impl DaemonStatus {
    pub(super) fn named(name: &str) -> DaemonStatus {
        DaemonStatus { name: name.to_owned(), ..DaemonStatus::default() }
    }

    pub(super) fn show_stamp(&mut self, stamp: Option<&NodeStamp>, now_ms: u64) {
        let identity = stamp.map(|stamp| &stamp.identity);
        self.node_id = identity.map(|identity| identity.node);
        self.store_id = identity.map(|identity| identity.store.to_string());
        self.incarnation = identity.map(|identity| identity.incarnation);
        let offset = |stamp: &NodeStamp| {
            i64::try_from(i128::from(stamp.now_ms) - i128::from(now_ms)).unwrap_or(i64::MAX)
        };
        self.clock_offset_ms = stamp.map(offset);
    }
}
