//! The edge's side: the agent beside a coupond, `coupon-admin edge`.
//!
//! - The [`greeter`] says hello every few seconds, and gets the keys of the index with the answer.
//! - The [`responder`] passes the control plane's requests to coupond's control socket.
//! - The [`fetcher`] writes the published index into coupond's index folder.
//! - The [`preparer`] writes a merged level there before it is published.
//!
//! The agent keeps nothing but the index folder: clicks and postbacks stay with coupond until the
//! control plane has acknowledged them. Redirects need neither the agent nor NATS.

mod config;
mod daemon;
mod daemon_health;
mod download;
mod fetcher;
mod greeter;
mod objects;
mod preparer;
mod region;
mod replay_window;
mod responder;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use coupon_shared::snapshot::manifest::ObjectName;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::bundle::Bundle;
use super::certificate_watch::{CertificateWatch, ServerCertificate};
use super::hello::{EdgeKeys, nats_secret};
use super::nats::{Nats, NatsSettings, REQUEST_TIMEOUT};
use super::sealing::Secret;
use super::subjects::{SessionId, Subjects};
use crate::config::HUB_DOMAIN;
use crate::daemon_client::SocketLink;
use crate::index_folder::IndexFolder;
use crate::private_file;
use crate::worker;
use fetcher::{Fetcher, FetcherHandle};
use greeter::Greeter;
use objects::FolderObjects;
use preparer::Preparer;
use region::RegionCopy;
use responder::Responder;

pub use config::AgentConfig;

/// A line of 9 KB/s gives a part within this time.
const PART_TIMEOUT: Duration = Duration::from_secs(60);
const LOCK_FILE: &str = "agent.lock";
const EPOCH_FILE: &str = "agent.epoch";
/// Most missing objects in one hello.
const MAX_LACKING: usize = 16;

/// State that the parts share.
struct AgentShared {
    bundle: Bundle,
    session: SessionId,
    /// Names machine, boot and index folder.
    place: String,
    started: i64,
    subjects: Subjects,
    nats: Nats,
    /// A connection for parts of the index: the other one must not wait for them.
    index_nats: Nats,
    /// The copy of the index in the region of this edge.
    region: Option<RegionCopy>,
    daemon: SocketLink,
    keys: EdgeKeys,
    /// Keys of the index, by id.
    fleet_keys: Mutex<Vec<(u32, Secret)>>,
    /// The last run of the control plane that this edge followed.
    epoch: Epoch,
    /// Makes the next hello come at once.
    greet: Notify,
    /// What each part reports in the next hello.
    fetch_problem: Mutex<Option<String>>,
    /// Why the last level with a recipe was fetched.
    merge_problem: Mutex<Option<String>>,
    lacks_objects: Mutex<Vec<String>>,
    server_certificate: ServerCertificate,
}

impl AgentShared {
    /// Whether the keys of the index are there.
    fn has_joined(&self) -> bool {
        !self.fleet_keys.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn show_merge_problem(&self, problem: Option<String>) {
        *self.merge_problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// What the parts of the agent report.
    fn problems(&self) -> impl Iterator<Item = String> {
        let shown = [&self.fetch_problem, &self.merge_problem];
        shown
            .into_iter()
            .filter_map(|shown| shown.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .chain(self.region.as_ref().and_then(RegionCopy::problem))
    }

    /// Has the control plane store an object again.
    fn report_lacking(&self, name: &ObjectName) {
        let name = name.to_string();
        let mut lacking = self.lacks_objects.lock().unwrap_or_else(PoisonError::into_inner);
        if lacking.len() < MAX_LACKING && !lacking.contains(&name) {
            lacking.push(name);
        }
        drop(lacking);
        self.greet.notify_one();
    }

    fn fleet_key(&self, id: u32) -> Option<Secret> {
        let keys = self.fleet_keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key.clone())
    }
}

/// The highest epoch seen, also by earlier runs of the agent: a control plane that was taken over
/// must not be followed again.
struct Epoch {
    highest: AtomicU64,
    path: std::path::PathBuf,
}

impl Epoch {
    fn open(folder: &Path) -> Epoch {
        let path = folder.join(EPOCH_FILE);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Epoch { highest: AtomicU64::new(text.trim().parse().unwrap_or(0)), path }
    }

    /// Whether the control plane of this epoch is followed. A higher one is remembered.
    fn follows(&self, epoch: u64) -> bool {
        let before = self.highest.fetch_max(epoch, Ordering::AcqRel);
        if epoch > before
            && let Err(error) = private_file::replace_with(&self.path, epoch.to_string().as_bytes())
        {
            tracing::warn!(%error, "epoch of the control plane not remembered");
        }
        epoch >= before
    }

    fn highest(&self) -> u64 {
        self.highest.load(Ordering::Acquire)
    }
}

/// Runs the agent until `stop`.
///
/// # Errors
/// When the bundle cannot be read, the index folder cannot be written, or another agent uses it.
pub async fn run(config: &AgentConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let bundle = Bundle::read(&config.bundle)?;
    let folder = IndexFolder::open(config.index_dir.clone())?;
    let _lock = lock(&config.index_dir)?;
    let user = nats_secret(&bundle.secret).nats_user()?;
    let subjects = Subjects { network_id: bundle.network_id };
    let settings = NatsSettings {
        servers: bundle.servers.clone(),
        ca_pem: bundle.ca_pem.clone(),
        user_seed: user.seed,
        inbox_prefix: subjects.inbox_prefix(Some(bundle.node)),
        name: format!("edge {}", bundle.name),
        request_timeout: REQUEST_TIMEOUT,
    };
    let nats = in_domain_of_hub(config, Nats::connect(&settings).await?);
    let server_certificate = ServerCertificate::default();
    let certificate_watch = CertificateWatch::new(&settings, server_certificate.clone());
    let for_index = NatsSettings {
        name: format!("edge {}, index", bundle.name),
        request_timeout: PART_TIMEOUT,
        ..settings
    };
    let index_nats = in_domain_of_hub(config, Nats::connect(&for_index).await?);
    let region = (!config.region.is_empty())
        .then(|| RegionCopy::new(&config.region, &index_nats, subjects.object_stream()));
    let shared = Arc::new(AgentShared {
        session: SessionId::random()?,
        place: place_id(&config.index_dir)?,
        started: jiff::Timestamp::now().as_second(),
        subjects,
        nats,
        index_nats,
        region,
        daemon: SocketLink::new(&config.daemon_socket),
        keys: EdgeKeys::new(&bundle.secret),
        fleet_keys: Mutex::default(),
        epoch: Epoch::open(&config.index_dir),
        greet: Notify::new(),
        fetch_problem: Mutex::default(),
        merge_problem: Mutex::default(),
        lacks_objects: Mutex::default(),
        server_certificate,
        bundle,
    });
    let handle = FetcherHandle::default();
    let objects = Arc::new(FolderObjects::new(Arc::clone(&shared), folder.clone()));
    let preparer = Preparer::new(Arc::clone(&shared), Arc::clone(&objects));
    let fetcher = Fetcher::new(Arc::clone(&shared), folder, objects, handle.clone());
    let workers = [
        worker::spawn(Greeter::new(Arc::clone(&shared), handle.clone()), stop.clone()),
        worker::spawn(fetcher, stop.clone()),
        worker::spawn(certificate_watch, stop.clone()),
        worker::spawn(Responder::new(shared, handle, preparer), stop.clone()),
    ];
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "service manager not notified of readiness");
    }
    stop.cancelled().await;
    for worker in workers {
        // A worker that panicked has said so.
        let _ = worker.await;
    }
    Ok(())
}

/// An edge of a region may be connected to a leaf node with a domain of its own.
fn in_domain_of_hub(config: &AgentConfig, nats: Nats) -> Nats {
    if config.region.is_empty() { nats } else { nats.in_domain(HUB_DOMAIN) }
}

/// Keeps a second agent from the same index folder.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(LOCK_FILE);
    let file = private_file::open_or_create(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_taken| {
        anyhow::anyhow!("another agent writes to {}: stop it first", folder.display())
    })?;
    Ok(file)
}

/// Names this boot of this machine and the folder. A copied machine has another boot.
fn place_id(folder: &Path) -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let folder = std::fs::metadata(folder)?;
    let text = format!("{} {} {}", boot.trim(), folder.dev(), folder.ino());
    Ok(blake3::hash(text.as_bytes()).to_hex().as_str().chars().take(32).collect())
}

#[cfg(test)]
mod tests;
