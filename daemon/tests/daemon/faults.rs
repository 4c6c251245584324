//! Clicks under faults, with the real program: the answers that visitors got are compared with the
//! clicks that the feed delivers.
//!
//! Each campaign has a short form, which runs with the other tests, and a long form, which is
//! ignored by default, takes its size from the environment and prints its figures:
//!
//! ```text
//! CLICK_KILLS=1000 CLICK_KILLS_CODES=1000000 cargo test --release -p coupond --test daemon -- \
//!     --ignored --nocapture a_thousand_kills
//! ```

#[path = "faults/disks.rs"]
mod disks;
#[path = "faults/strace.rs"]
mod strace;
#[path = "faults/takeover.rs"]
mod takeover;
#[path = "faults/visitors.rs"]
mod visitors;

#[path = "faults/durable_mode.rs"]
mod durable_mode;
#[path = "faults/full_disk.rs"]
mod full_disk;
#[path = "faults/kills.rs"]
mod kills;
#[path = "faults/power_cuts.rs"]
mod power_cuts;
#[path = "faults/restarts.rs"]
mod restarts;
#[path = "faults/soak.rs"]
mod soak;
#[path = "faults/starts.rs"]
mod starts;
#[path = "faults/store_damage.rs"]
mod store_damage;
#[path = "faults/system_calls.rs"]
mod system_calls;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use crate::published::Network;
use crate::running::{Coupond, folder};

/// The folders of one campaign, and the address at which each run listens.
struct Installation {
    folder: Rc<TempDir>,
    address: SocketAddr,
    variables: Vec<(&'static str, String)>,
}

impl Installation {
    fn new(network: &Network) -> Installation {
        let folder = Rc::new(folder());
        network.publish(&folder.path().join("index"));
        Installation { folder, address: own_address(), variables: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Installation {
        self.variables.push((name, value.to_string()));
        self
    }

    fn start(&self) -> Coupond {
        self.start_with(&[])
    }

    /// `variables` are environment variables for this run only.
    fn start_with(&self, variables: &[(&str, String)]) -> Coupond {
        Coupond::start_again_in(Rc::clone(&self.folder), |command| {
            command.env("COUPOND_LISTEN", self.address.to_string());
            command.envs(self.variables.iter().map(|(name, value)| (name, value)));
            command.envs(variables.iter().map(|(name, value)| (name, value)));
        })
    }
}

/// A loopback address that no other test uses: its port stays free while no program listens.
fn own_address() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, high | 1, low, COUNT.fetch_add(1, Ordering::Relaxed));
    // A UDP socket, which never listens: a child that another test forks inherits a copy for a
    // moment, and a copy of a listener would accept connections meant for the daemon.
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// The size of a long form, from the environment.
fn size(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number")),
        Err(_) => otherwise,
    }
}

/// A pseudo-random generator with a fixed seed: each run of a campaign makes the same choices.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
