//! Limits on clients.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Often enough to free the buffers of a connection about a second after its last request.
const LONGEST_TIME_BETWEEN_SWEEPS: Duration = Duration::from_millis(500);

/// Limits of one accept loop. They can change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. Beyond the cap, the longest waiting connection is closed for a new one,
    /// first of the address with most connections. While all are busy, new ones wait in the
    /// kernel's queue.
    pub max_connections: usize,
    /// Estimated bytes of memory that the open connections hold together, without the kernel's.
    /// Beyond the cap as beyond `max_connections`.
    pub max_connection_bytes: u64,
    /// Bytes of a request head, and of hyper's buffer for one connection in each direction. At
    /// least 8,192.
    pub max_head_bytes: usize,
    /// Longest time for a client to send a whole request head, or to take any byte of an answer.
    /// Checked in quarters of itself.
    pub client_timeout: Duration,
    /// Longest time for an answered connection to stay open without a byte of its next request.
    pub idle_timeout: Duration,
    /// Time after the beginning of a drain in which an open connection may still send one request.
    pub drain_grace: Duration,
    /// Time after the beginning of a drain at which open connections are cut.
    pub drain_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 50_000,
            max_connection_bytes: 256 << 20,
            max_head_bytes: 16 * 1024,
            client_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_grace: Duration::from_millis(500),
            drain_deadline: Duration::from_secs(10),
        }
    }
}

impl Limits {
    pub(crate) fn time_between_sweeps(&self) -> Duration {
        let period = self.client_timeout.min(self.idle_timeout) / 4;
        period.clamp(Duration::from_millis(1), LONGEST_TIME_BETWEEN_SWEEPS)
    }

    /// Lowers the cap so that `reserved` file descriptors stay for other purposes.
    #[must_use]
    pub fn below_descriptors(mut self, descriptors: u64, reserved: u64) -> Limits {
        let room = descriptors.saturating_sub(reserved).max(1);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        self.max_connections = self.max_connections.min(room);
        self
    }
}

/// Raises the process's soft limit of file descriptors to its hard limit. Returns the limit in
/// force.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let mut raised = limit;
    raised.current = raised.maximum;
    let in_force = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    in_force.unwrap_or(u64::MAX)
}
