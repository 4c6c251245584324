//! The control plane's side of the edges, in `coupon-admin serve`.
//!
//! - The *roster* follows the registered edges of the store: each one in service is a daemon of the
//!   [registry](crate::nodes), with an [`EdgeLink`] as its client.
//! - Agents say hello every few seconds; one of an edge gets the lease and is asked.
//! - The [`outlet`] stores the published index at NATS.
//! - Nothing of this happens unless the edges are this control plane's ([`ownership`]).

mod head_stream;
mod mirrors;
mod outlet;
mod ownership;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_shared::snapshot::manifest::ObjectName;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::asker::Asker;
use super::certificate_watch::{self, CertificateWatch, ServerCertificate};
use super::edge_state::{EdgeObservation, EdgeStatus, GenerationLag};
use super::head::HeadError;
use super::hello::{DaemonState, Hello, HelloAnswer};
use super::lease::LeaseRefusal;
use super::link::{Control, EdgeLink};
use super::nats::{Nats, NatsError, NatsSettings, REQUEST_TIMEOUT, Received};
use super::objects::{ObjectError, ObjectStore};
use super::sealing::{SealError, Secret, SigningKey};
use super::subjects::{SessionId, Subjects};
use crate::config::HubConfig;
use crate::daemon_client::DaemonClient;
use crate::index_folder::{FOLDER_NAME, FolderError, IndexFolder};
use crate::nodes::{Daemon, NodeRegistry};
use crate::publish::PublisherHandle;
use crate::store::edges::{self, EdgeRow};
use crate::store::{ReadTx, Store, StoreError};
use crate::worker::{self, RetryDelays, Worker};
use head_stream::HeadStream;
use mirrors::Mirrors;
pub use mirrors::RegionStatus;
use outlet::{Outlet, OutletSettings};
use ownership::Claimant;

/// How often the store is asked for new and revoked edges.
const ROSTER_INTERVAL: Duration = Duration::from_secs(1);

/// How far the epoch of an edge may be ahead: as many starts may lie between a backup and its loss. An
/// edge with a higher one has a damaged file, or lies.
const MAX_EPOCH_STEP: u64 = 1_000;
/// Most objects that edges do not find.
const MAX_LACKING: usize = 16;

/// Why edges are not served with the index.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(
        "another control plane owns the edges, on {host}. If that one is gone, or shall give them \
         up, stop it and run `coupon-admin edges take-over` here"
    )]
    Foreign { host: String },
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("{0}")]
    Head(String),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the work was broken off")]
    Aborted,
}

impl From<HeadError> for HubError {
    fn from(error: HeadError) -> HubError {
        HubError::Head(error.to_string())
    }
}

impl HubError {
    fn read(path: &Path) -> impl FnOnce(std::io::Error) -> HubError {
        move |source| HubError::Read { path: path.into(), source }
    }
}

/// State that the parts share.
struct HubShared {
    nats: Nats,
    subjects: Subjects,
    asker: Asker,
    control: watch::Receiver<Control>,
    edges: Mutex<BTreeMap<u16, JoinedEdge>>,
    objects: ObjectStore,
    /// Objects that an edge did not find.
    lacking: Mutex<BTreeSet<[u8; 32]>>,
    /// The highest run of a control plane that an edge has followed.
    followed_epoch: AtomicU64,
    /// Wakes the outlet.
    work: watch::Sender<u64>,
    failure: Mutex<Option<String>>,
    /// Heads and claims that found a later one at NATS.
    heads_overtaken: AtomicU64,
    /// Bytes of the objects at NATS, and the most that they may take.
    object_bytes: AtomicU64,
    object_max_bytes: u64,
    server_certificate: ServerCertificate,
    regions: Mutex<Vec<RegionStatus>>,
}

/// An edge in service.
struct JoinedEdge {
    link: EdgeLink,
    daemon: Daemon,
    /// Registration, in Unix seconds.
    created: i64,
    joined: Instant,
    /// Whether the edge was heard before this run of the control plane.
    was_heard_before: bool,
    lag: GenerationLag,
}

impl HubShared {
    fn edges(&self) -> MutexGuard<'_, BTreeMap<u16, JoinedEdge>> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_lacking(&self) -> Vec<ObjectName> {
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lacking).into_iter().map(ObjectName).collect()
    }

    fn show_failure(&self, failure: Option<&str>) {
        let mut shown = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = failure.map(str::to_owned);
    }
}

/// State of the control plane of edges.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct HubStatus {
    /// Why NATS is not reached.
    pub nats_error: Option<String>,
    /// Why the published index does not get to edges.
    pub publication_error: Option<String>,
    /// Whether another control plane owns the edges.
    pub is_foreign: bool,
    /// How often a head at NATS was replaced by another program since the start.
    pub heads_overtaken: u64,
    /// Bytes of the published index at NATS.
    pub object_bytes: u64,
    /// Most bytes of the index there.
    pub object_max_bytes: u64,
    /// End of the certificate of the NATS servers that ends first, in Unix seconds.
    pub server_certificate_end: Option<i64>,
    /// What to do about this certificate.
    pub certificate_problem: Option<String>,
    /// The copies of the published index in regions.
    pub regions: Vec<RegionStatus>,
    pub edges: Vec<EdgeStatus>,
}

impl HubStatus {
    /// Faults, each a sentence.
    pub(crate) fn problems(&self) -> Vec<String> {
        let nats = self.nats_error.iter().map(|error| format!("NATS is not reached: {error}"));
        let publication = self.publication_error.iter().filter(|_| self.nats_error.is_none());
        let publication =
            publication.map(|error| format!("edges do not get the published index: {error}"));
        let of_edges = self.edges.iter().flat_map(|edge| {
            edge.problems.iter().map(|problem| format!("edge `{}`: {problem}", edge.name))
        });
        let certificate = self.certificate_problem.clone();
        let of_regions = self.regions.iter().filter_map(|region| {
            Some(format!("region `{}`: {}", region.name, region.problem.as_ref()?))
        });
        nats.chain(publication).chain(certificate).chain(of_regions).chain(of_edges).collect()
    }
}

/// Shows the state of the edges; clones share it.
#[derive(Clone)]
pub struct HubHandle {
    shared: Arc<HubShared>,
    nodes: NodeRegistry,
    publisher: PublisherHandle,
}

impl HubHandle {
    #[must_use]
    pub fn status(&self) -> HubStatus {
        let shared = &self.shared;
        let failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let published = self.publisher.generation();
        let edges = shared.edges();
        let edges = edges.values().map(|edge| self.observe(edge, published).into_status());
        let certificate = shared.server_certificate.dates();
        let now = jiff::Timestamp::now().as_second();
        HubStatus {
            server_certificate_end: certificate.map(|dates| dates.not_after),
            certificate_problem: certificate
                .and_then(|dates| certificate_watch::problem(dates, now)),
            nats_error: shared.nats.problem(),
            publication_error: failure,
            is_foreign: shared.control.borrow().problem.is_some(),
            heads_overtaken: shared.heads_overtaken.load(Ordering::Relaxed),
            object_bytes: shared.object_bytes.load(Ordering::Relaxed),
            object_max_bytes: shared.object_max_bytes,
            regions: shared.regions.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            edges: edges.collect(),
        }
    }

    fn observe(&self, edge: &JoinedEdge, published_generation: u64) -> EdgeObservation {
        let (link, now) = (&edge.link, Instant::now());
        let daemon = self.nodes.status(&edge.daemon).unwrap_or_default();
        let generation_lag = edge.lag.duration(daemon.served_generation, now);
        EdgeObservation {
            name: link.name().to_owned(),
            node: link.node(),
            created: edge.created,
            was_heard: link.store().is_some(),
            awaited_for: edge.was_heard_before.then(|| now.duration_since(edge.joined)),
            agent: link.agent(),
            refusal: link.refusal(),
            daemon,
            published_generation,
            generation_lag,
            own_certificate: self.shared.server_certificate.dates(),
            now_ms: jiff::Timestamp::now().as_millisecond(),
        }
    }
}

/// Looks every second how far the edges are.
struct LagObserver(HubHandle);

impl Worker for LagObserver {
    const NAME: &'static str = "lags of edges";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(ROSTER_INTERVAL);
    type Error = Infallible;

    async fn step(&mut self) -> Result<(), Infallible> {
        let HubHandle { shared, nodes, publisher } = &self.0;
        let published = publisher.generation();
        for edge in shared.edges().values_mut() {
            let daemon = nodes.status(&edge.daemon).unwrap_or_default();
            edge.lag.observe(daemon.served_generation, published, Instant::now());
        }
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(ROSTER_INTERVAL).await;
    }
}

/// The control plane before it publishes.
pub(crate) struct Hub {
    shared: Arc<HubShared>,
    store: Store,
    nodes: NodeRegistry,
    folder: IndexFolder,
    control: watch::Sender<Control>,
    heads: HeadStream,
    claimant: Claimant,
    signing: SigningKey,
    click_gathering: Duration,
    certificate_watch: CertificateWatch,
}

impl Hub {
    /// Begins to connect to NATS, and lets the registered edges join: before the services begin,
    /// because sales must wait for the clicks of an edge that has not answered yet.
    ///
    /// # Errors
    /// When a setting is invalid, or the store fails.
    pub(crate) async fn open(
        store: &Store,
        nodes: &NodeRegistry,
        network_id: u32,
        config: &HubConfig,
    ) -> anyhow::Result<Hub> {
        let subjects = Subjects { network_id };
        let keys = store.write(edges::ensure_keys).await?;
        let user = control_plane_user(&keys.secret).nats_user()?;
        let settings = NatsSettings {
            servers: config.servers.clone(),
            ca_pem: read_ca(config.ca_file.as_deref())?,
            user_seed: user.seed,
            inbox_prefix: subjects.inbox_prefix(None),
            name: format!("coupon-admin of network {network_id}"),
            request_timeout: REQUEST_TIMEOUT,
        };
        let nats = Nats::connect(&settings).await?;
        let asker = Asker::start(nats.clone()).await?;
        let folder = IndexFolder::at(store.dir().join(FOLDER_NAME));
        let run = SessionId::random()?.to_string();
        let (control, shown) = watch::channel(Control { run, ..Control::default() });
        let shared = Arc::new(HubShared {
            nats: nats.clone(),
            subjects,
            asker,
            control: shown,
            edges: Mutex::default(),
            objects: ObjectStore::new(nats.clone(), subjects, folder.clone()),
            lacking: Mutex::default(),
            followed_epoch: AtomicU64::new(0),
            work: watch::Sender::new(0),
            failure: Mutex::default(),
            heads_overtaken: AtomicU64::new(0),
            object_bytes: AtomicU64::new(0),
            object_max_bytes: config.object_max_bytes,
            server_certificate: ServerCertificate::default(),
            regions: Mutex::default(),
        });
        let id = ownership::folder_id(store.dir())?;
        let heads = HeadStream { nats, subjects, replicas: config.replicas };
        let claimant = Claimant::new(id, heads.clone(), store.clone());
        let signing = ownership::signing_key(&keys.secret)?;
        let (store, nodes) = (store.clone(), nodes.clone());
        let click_gathering = config.click_gathering;
        let certificate = shared.server_certificate.clone();
        let certificate_watch = CertificateWatch::new(&settings, certificate);
        let hub = Hub {
            shared,
            store,
            nodes,
            folder,
            control,
            heads,
            claimant,
            signing,
            click_gathering,
            certificate_watch,
        };
        join_registered(&hub.roster()).await?;
        Ok(hub)
    }

    fn roster(&self) -> Roster {
        Roster {
            shared: Arc::clone(&self.shared),
            store: self.store.clone(),
            nodes: self.nodes.clone(),
            click_gathering: self.click_gathering,
        }
    }

    /// Serves the edges until `stop`.
    pub(crate) fn start(
        self,
        publisher: PublisherHandle,
        config: &HubConfig,
        stop: &CancellationToken,
    ) -> HubHandle {
        let (roster, published) = (self.roster(), publisher.clone());
        let settings = OutletSettings {
            object_max_bytes: config.object_max_bytes,
            interval: config.publish_interval,
        };
        let outlet = Outlet::new(
            Arc::clone(&self.shared),
            publisher,
            self.folder,
            (self.claimant, self.signing),
            self.control,
            (self.heads, settings),
        );
        worker::spawn(roster, stop.clone());
        worker::spawn(outlet, stop.clone());
        worker::spawn(self.certificate_watch, stop.clone());
        if !config.regions.is_empty() {
            let shared = Arc::clone(&self.shared);
            let mirrors = Mirrors::new(shared, &config.regions, config.object_max_bytes);
            worker::spawn(mirrors, stop.clone());
        }
        let responder =
            HelloResponder { shared: Arc::clone(&self.shared), store: self.store.clone() };
        worker::spawn(responder, stop.clone());
        let handle = HubHandle { shared: self.shared, nodes: self.nodes, publisher: published };
        worker::spawn(LagObserver(handle.clone()), stop.clone());
        handle
    }
}

/// Lets the registered edges join, and gives up what edges have that were revoked before.
async fn join_registered(roster: &Roster) -> Result<(), StoreError> {
    let rows = roster.read().await?;
    let in_service = |name: &str| rows.iter().any(|row| row.is_in_service() && row.name == name);
    let revoked = rows.iter().map(|row| row.name.clone()).filter(|name| !in_service(name));
    roster.nodes.note_retired(revoked);
    roster.follow(&rows);
    Ok(())
}

/// The secret of the control plane's user at NATS.
pub(crate) fn control_plane_user(secret: &Secret) -> Secret {
    secret.derive("coupon control plane: user at NATS")
}

/// The key that edges check heads with.
///
/// # Errors
/// When the library refuses the key.
pub(crate) fn verifying_key(secret: &Secret) -> Result<super::sealing::VerifyingKey, HubError> {
    Ok(ownership::signing_key(secret)?.public())
}

/// PEM of the authorities of NATS servers; empty without a file.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn read_ca(file: Option<&Path>) -> Result<String, HubError> {
    let Some(path) = file else { return Ok(String::new()) };
    std::fs::read_to_string(path).map_err(HubError::read(path))
}

/// Follows the registered edges.
struct Roster {
    shared: Arc<HubShared>,
    store: Store,
    nodes: NodeRegistry,
    click_gathering: Duration,
}

impl Worker for Roster {
    const NAME: &'static str = "list of edges";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(ROSTER_INTERVAL);
    type Error = StoreError;

    async fn step(&mut self) -> Result<(), StoreError> {
        let rows = self.read().await?;
        self.follow(&rows);
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(ROSTER_INTERVAL).await;
    }
}

impl Roster {
    /// Reads edges and keys of the index.
    async fn read(&self) -> Result<Vec<EdgeRow>, StoreError> {
        let read = |connection: &ReadTx<'_>| {
            Ok::<_, StoreError>((edges::all(connection)?, edges::fleet_keys(connection)?))
        };
        let (rows, keys) = self.store.read(read).await?;
        if self.shared.objects.set_fleet_keys(keys) {
            self.shared.work.send_modify(|count| *count += 1);
        }
        Ok(rows)
    }

    fn follow(&self, rows: &[EdgeRow]) {
        let mut joined = self.shared.edges();
        let in_service: BTreeMap<u16, &EdgeRow> =
            rows.iter().filter(|row| row.is_in_service()).map(|row| (row.node, row)).collect();
        let left: Vec<u16> =
            joined.keys().filter(|node| !in_service.contains_key(node)).copied().collect();
        for node in left {
            if let Some(edge) = joined.remove(&node) {
                tracing::info!(edge = edge.link.name(), node, "edge revoked");
                self.nodes.retire(&edge.daemon);
            }
        }
        for (node, row) in in_service {
            match joined.get(&node) {
                Some(edge) => edge.link.set_secret(row),
                None => {
                    joined.insert(node, self.join(row));
                }
            }
        }
    }

    fn join(&self, row: &EdgeRow) -> JoinedEdge {
        let shared = &self.shared;
        let link = EdgeLink::new(
            row.clone(),
            shared.subjects,
            shared.asker.clone(),
            shared.control.clone(),
            shared.objects.clone(),
        );
        let client = DaemonClient::edge(link.clone());
        let daemon = self.nodes.add(&row.name, client, self.click_gathering);
        let joined = Instant::now();
        JoinedEdge {
            link,
            daemon,
            created: row.created,
            joined,
            was_heard_before: row.store.is_some(),
            lag: GenerationLag::new(joined),
        }
    }
}

/// Answers hellos.
struct HelloResponder {
    shared: Arc<HubShared>,
    store: Store,
}

/// Why hellos are not answered.
#[derive(Debug, thiserror::Error)]
enum GreetingError {
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Worker for HelloResponder {
    const NAME: &'static str = "hellos of edges";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(Duration::from_secs(1));
    type Error = GreetingError;

    async fn step(&mut self) -> Result<(), GreetingError> {
        // Without a listener an agent tries again at once; without an answer it would wait for one.
        let mut control = self.shared.control.clone();
        if control.wait_for(|control| control.epoch.is_some()).await.is_err() {
            // At the end of the program.
            return std::future::pending().await;
        }
        let mut hellos = self.shared.nats.subscribe(self.shared.subjects.hellos()).await?;
        while let Some(received) = hellos.next().await {
            if let Some((reply, answer)) = self.answer(&received).await? {
                self.shared.nats.publish(reply, answer).await?;
            }
        }
        Err(NatsError::Disconnected("the subscription ended".to_owned()).into())
    }
}

impl HelloResponder {
    /// `None` for whatever no edge in service has sent: a stranger learns nothing.
    async fn answer(&self, received: &Received) -> Result<Option<(String, Bytes)>, GreetingError> {
        let Some((link, hello)) = self.open(received) else { return Ok(None) };
        let Some(epoch) = self.shared.control.borrow().epoch else { return Ok(None) };
        let Some(answer) = self.judge(&link, &hello, epoch) else { return Ok(None) };
        // A refused agent must not choose the data folder for the one that is asked.
        if matches!(answer, HelloAnswer::Leased { .. }) {
            self.bind_store(&link, &hello).await?;
        }
        let sealed = link.keys().seal_answer(&hello, &answer).ok();
        Ok(received.reply.clone().zip(sealed.map(Bytes::from)))
    }

    /// The hello of an edge in service.
    fn open(&self, received: &Received) -> Option<(EdgeLink, Hello)> {
        let node = self.shared.subjects.node_of_hello(&received.subject)?;
        let link = self.shared.edges().get(&node)?.link.clone();
        let hello = link.keys().open_hello(&received.payload)?;
        Some((link, hello))
    }

    /// Remembers the data folder of an edge's first lease: from then on sales wait for its clicks.
    async fn bind_store(&self, link: &EdgeLink, hello: &Hello) -> Result<(), StoreError> {
        let stated = hello.daemon.as_ref().filter(|daemon| daemon.node == link.node());
        let Some(store) = stated.and_then(DaemonState::store_id) else { return Ok(()) };
        if link.store().is_none() {
            let node = link.node();
            self.store.write(move |tx| edges::bind_store(tx, node, store)).await?;
            link.set_store(store);
        }
        Ok(())
    }

    /// `None` where an answer would help only whoever repeats messages, or comes later.
    fn judge(&self, link: &EdgeLink, hello: &Hello, epoch: u64) -> Option<HelloAnswer> {
        if hello.epoch > epoch && hello.epoch - epoch <= MAX_EPOCH_STEP {
            // The store is of an earlier time than the edge. A higher run is claimed, and the edge
            // asks again.
            self.shared.followed_epoch.fetch_max(hello.epoch, Ordering::AcqRel);
            self.shared.work.send_modify(|count| *count += 1);
            return None;
        }
        let answer = match link.receive(hello, epoch) {
            Ok(()) => {
                self.note_lacking(&hello.lacks_objects);
                HelloAnswer::Leased { epoch, fleet_keys: self.fleet_keys() }
            }
            Err(LeaseRefusal::Repeated) => return None,
            Err(refusal) => HelloAnswer::Refused { reason: refusal.to_string() },
        };
        Some(answer)
    }

    fn fleet_keys(&self) -> Vec<(u32, String)> {
        let keys = self.shared.objects.fleet_keys();
        keys.iter().map(|(id, key)| (*id, key.to_hex())).collect()
    }

    fn note_lacking(&self, names: &[String]) {
        // An index has few objects; an edge that names more is not believed.
        let names = names.iter().take(MAX_LACKING).filter_map(|name| ObjectName::from_hex(name));
        let names: Vec<ObjectName> = names.collect();
        if names.is_empty() {
            return;
        }
        let mut lacking = self.shared.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if lacking.len() < MAX_LACKING {
                lacking.insert(name.0);
            }
        }
        drop(lacking);
        self.shared.work.send_modify(|count| *count += 1);
    }
}
