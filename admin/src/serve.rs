//! The running program: opens everything that can fail, serves until stopped, then drains.
//!
//! One process at a time serves a data folder; a lock file ensures this. Edits of the command line
//! do not need the lock, because the store orders its writers by itself.

mod refusals;
pub(crate) mod setup_link;

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::http::Request;
use coupon_geo::GeoWatcher;
use coupon_serve::tls::{CertificateWatcher, HandshakeLimit, TlsSetup};
use coupon_serve::{
    AcceptLoop, ClientListener, ClientPeer, FirstBytes, PeerAddress as _, TcpAcceptor,
    TrustedProxies, bind_tcp,
};
use coupon_watch::LogLevel;
use hyper::body::Incoming;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use crate::accounts;
use crate::acme;
use crate::api::{
    self, AppState, AuthConfig, Bodies, EventFeed, EventStreams, FeedSources, Network, OverTls,
    Peer, RouteLatencies, ServerName,
};
use crate::archive::Archive;
use crate::backup;
use crate::click_ingest;
use crate::config::{ClientLimits, Config, ConfigSources};
use crate::console;
use crate::conversions;
use crate::data_folder::{self, FolderTaken, lock_path};
use crate::disk::Disk;
use crate::edges::hub::Hub;
use crate::jobs;
use crate::keys::{KeyUses, Secret, ensure_first};
use crate::monitor::{self, AdminMonitor};
use crate::nodes::NodeRegistry;
use crate::outgoing::OutgoingClient;
use crate::partner_postbacks;
use crate::places::PlaceLists;
use crate::privacy;
use crate::publish::{self, PublisherHandle};
use crate::reload::{ConfigurationState, Reloadable};
use crate::smart_switch;
use crate::store::Store;
use crate::uploads::Uploads;
use crate::visit_state;
use crate::webhooks;
use refusals::RefusingInJson;

/// An admin that is ready to accept requests.
pub struct Admin {
    /// The listening address, with the actual port.
    pub address: SocketAddr,
    /// The first admin key, if just created.
    pub first_key: Option<Secret>,
    /// The address at which the first user of the console is made, as long as there is none.
    pub setup_link: Option<String>,
    store: Store,
    publisher: PublisherHandle,
    listener: ClientListener<TcpAcceptor>,
    /// Ends with the server.
    watcher: Option<CertificateWatcher>,
    router: Router,
    limits: ClientLimits,
    /// For monitors.
    state: AppState,
    /// The senders of partner postbacks and webhooks. After `background` ends, they finish the
    /// requests in flight.
    sending: [JoinHandle<()>; 2],
    /// Written once more in the end.
    key_uses: KeyUses,
    /// Ends the answers that would go on for ever, as soon as the server stops.
    streams: DropGuard,
    /// Stops all background workers with the server.
    background: DropGuard,
    _lock: File,
}

impl Admin {
    /// Locks the data folder, opens the store, creates the first key, binds the listener, and
    /// starts the background workers.
    ///
    /// # Errors
    /// When any of these fails.
    pub async fn open(config: &Config) -> anyhow::Result<Admin> {
        let opened = config.clone();
        let opened = tokio::task::spawn_blocking(move || open_data(&opened));
        let (store, archive, lock) = opened.await??;
        let paths = config.geo.databases.clone();
        // Reading and checking large files takes a while.
        let geo = Arc::new(tokio::task::spawn_blocking(move || GeoWatcher::start(&paths)).await??);
        let archive = archive.with_databases(Arc::clone(geo.databases()));
        if let Some(count @ 1..) = conversions::recount_if_outdated(&store).await? {
            tracing::info!(conversions = count, "conversions counted again by newer rules");
        }
        let first_key = ensure_first(&store).await?;
        let Listening { listener, address, watcher } = listen(config)?;
        let setup_link = accounts::first_run(&store)
            .await?
            .map(|token| console::link_address(&config.console, address, "setup", &token));
        let background = CancellationToken::new();
        let nodes = NodeRegistry::new(store.clone(), config.effective_daemons());
        nodes.load().await?;
        let (network_id, stop) = (config.network_id, || background.clone());
        let hub = match config.hub.is_configured() {
            true => Some(Hub::open(&store, &nodes, network_id, &config.hub).await?),
            false => None,
        };
        let publisher = publish::start(store.clone(), network_id, nodes.clone(), stop())
            .with_wait_policy(config.hub.wait_live);
        let visit_state = visit_state::start(store.clone(), nodes.clone(), network_id, stop());
        let intake = click_ingest::start(store.clone(), archive.clone(), nodes.clone(), stop());
        let disk = Disk::new(&config.data_dir, config.disk_reserve_bytes);
        let bounds = conversions::postback_ingest::Bounds {
            disk: disk.clone(),
            unidentified_max_bytes: config.postbacks.unidentified_max_bytes,
        };
        let postbacks = conversions::postback_ingest::start(
            store.clone(),
            archive.clone(),
            intake.clone(),
            nodes.clone(),
            network_id,
            bounds,
            stop(),
        );
        let smart_switch = smart_switch::start(
            store.clone(),
            archive.clone(),
            publisher.clone(),
            intake.clone(),
            postbacks.clone(),
            stop(),
        );
        let privacy = privacy::start(store.clone(), archive.clone(), config.privacy, stop());
        let jobs = jobs::start(store.clone(), publisher.clone(), disk.clone(), stop());
        let bounds = config.uploads.clone();
        let uploads = Uploads::open(store.clone(), publisher.clone(), disk.clone(), bounds).await?;
        uploads.expire(stop());
        let client = OutgoingClient::system(&config.pixels)?;
        let (pixels, sending) =
            partner_postbacks::start(store.clone(), client.clone(), &config.pixels, stop());
        let (webhooks, sending_webhooks) =
            webhooks::start(store.clone(), client, &config.pixels, network_id, stop());
        let certificates =
            acme::start(store.clone(), publisher.clone(), nodes.clone(), &config.acme, stop())?;
        let hub = hub.map(|hub| hub.start(publisher.clone(), &config.hub, &background));
        let auth = AuthConfig::new(config);
        let key_uses = auth.key_uses().clone();
        key_uses.flush_regularly(store.clone(), stop());
        let closed = CancellationToken::new();
        let sources = FeedSources {
            store: store.clone(),
            archive: archive.clone(),
            ingest: intake.clone(),
            network: Network { id: network_id },
            geo: Arc::clone(&geo),
        };
        let events = EventFeed::start(sources, closed.clone(), stop());
        let event_streams = EventStreams::new(closed.clone());
        let state = AppState {
            store: store.clone(),
            events,
            latencies: RouteLatencies::default(),
            event_streams,
            disk,
            jobs,
            uploads,
            publisher: publisher.clone(),
            archive,
            intake,
            nodes,
            pixels,
            webhooks,
            smart_switch,
            visit_state,
            privacy,
            postbacks,
            certificates,
            hub,
            places: PlaceLists::new(Arc::clone(&geo)),
            geo,
            network: Network { id: network_id },
            auth,
            lifetimes: config.console.lifetimes,
            bodies: Bodies::new(config.limits.max_body_bytes, config.limits.body_timeout),
        };
        Ok(Admin {
            address,
            first_key,
            setup_link,
            store,
            publisher,
            listener,
            watcher,
            router: console::router(
                config.console.clone(),
                &config.trusted_proxies,
                state.store.clone(),
                state.publisher.clone(),
                api::router(state.clone()),
            ),
            limits: config.limits.clone(),
            state,
            sending: [sending, sending_webhooks],
            key_uses,
            streams: closed.drop_guard(),
            background: background.drop_guard(),
            _lock: lock,
        })
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    #[must_use]
    pub fn publisher(&self) -> &PublisherHandle {
        &self.publisher
    }

    #[must_use]
    pub(crate) fn nodes(&self) -> &NodeRegistry {
        &self.state.nodes
    }

    /// What is at fault, each a sentence.
    pub(crate) async fn problems(&self) -> Vec<String> {
        match self.state.system_status().await {
            Ok(status) => status.problems(),
            Err(error) => vec![error.to_string()],
        }
    }

    /// This program as monitors see it.
    pub(crate) fn monitor(
        &self,
        configuration: ConfigurationState,
        stop: &CancellationToken,
    ) -> AdminMonitor {
        AdminMonitor {
            state: self.state.clone(),
            latencies: self.state.latencies.clone(),
            started: jiff::Timestamp::now(),
            configuration,
            stopping: stop.clone(),
            runtime: Handle::current(),
        }
    }

    /// Serves until `stop`, then finishes the requests in flight within the drain deadline.
    pub async fn run(self, stop: CancellationToken) {
        let limits = coupon_serve::Limits {
            max_connections: self.limits.max_connections,
            max_connection_bytes: self.limits.max_connection_bytes,
            client_timeout: self.limits.client_timeout,
            idle_timeout: self.limits.idle_timeout,
            drain_deadline: self.limits.drain_timeout,
            ..coupon_serve::Limits::default()
        };
        let limits =
            limits.below_descriptors(coupon_serve::raise_descriptor_limit(), RESERVED_DESCRIPTORS);
        let (router, streams, stopping) = (self.router, self.streams, stop.clone());
        tokio::spawn(async move {
            stopping.cancelled().await;
            drop(streams);
        });
        let accept = AcceptLoop::with_fixed_limits(RefusingInJson(self.listener), limits);
        let service = |peer: &ClientPeer| {
            let peer = peer.clone();
            let known = router.clone().map_request(move |mut request: Request<Incoming>| {
                // A proxy may name the client in the connection's first bytes.
                request.extensions_mut().insert(Peer(peer.ip()));
                if peer.is_over_tls() {
                    request.extensions_mut().insert(OverTls);
                }
                if let Some(name) = peer.server_name() {
                    request.extensions_mut().insert(ServerName(name.to_owned()));
                }
                request
            });
            TowerToHyperService::new(known)
        };
        let drained = accept.run(service, TokioExecutor::new(), stop).await;
        if drained.cut > 0 {
            tracing::warn!(
                connections = drained.cut,
                "busy connections closed at the drain deadline"
            );
        }
        if let Err(error) = self.key_uses.flush(&self.store).await {
            tracing::warn!(%error, "last uses of API keys not written");
        }
        drop((self.background, self.watcher));
        let sending = async {
            for sender in self.sending {
                // A sender that panicked has nothing in flight.
                let _ = sender.await;
            }
        };
        if tokio::time::timeout(self.limits.drain_timeout, sending).await.is_err() {
            tracing::warn!(
                "deliveries in flight at the drain deadline; the next start sends them again"
            );
        }
    }
}

/// Descriptors reserved for the store, its readers, the archive and index files.
const RESERVED_DESCRIPTORS: u64 = 128;

const MEND_FOLDER: &str = "let this user write there, or choose another folder with data_dir";

/// Locks the data folder and opens store and archive. The returned file holds the lock.
///
/// # Errors
/// [`FolderTaken`] if another process has the lock, or when the folder cannot be used.
pub(crate) fn open_data(config: &Config) -> anyhow::Result<(Store, Archive, File)> {
    let dir = config.data_dir.as_path();
    std::fs::create_dir_all(dir)
        .with_context(|| format!("cannot make the data folder {}: {MEND_FOLDER}", dir.display()))?;
    let lock = data_folder::try_lock(dir);
    let lock =
        lock.with_context(|| format!("cannot open {}: {MEND_FOLDER}", lock_path(dir).display()))?;
    let lock = lock.ok_or_else(|| FolderTaken(dir.into()))?;
    backup::check_finished(dir)?;
    let store = Store::open_keeping(dir, config.migration_copies);
    let store = store.with_context(|| format!("cannot open the store in {}", dir.display()))?;
    Ok((store, Archive::open(dir)?, lock))
}

/// The bound listeners.
struct Listening {
    listener: ClientListener<TcpAcceptor>,
    /// The address of the first.
    address: SocketAddr,
    /// `None` without a listener that speaks TLS.
    watcher: Option<CertificateWatcher>,
}

fn listen(config: &Config) -> anyhow::Result<Listening> {
    let configs = config.effective_listeners();
    let speaks_tls = configs.iter().any(|listener| listener.tls);
    let watcher =
        speaks_tls.then(|| CertificateWatcher::start(config.tls.places(None))).transpose()?;
    let in_service = watcher.as_ref().map(|watcher| Arc::clone(watcher.certificates()));
    let limit = Arc::new(HandshakeLimit::new(config.limits.handshakes));
    let tls = Arc::new(TlsSetup::new(in_service.unwrap_or_default(), limit)?);
    let networks = config.trusted_proxies.clone();
    let is_trusted = move |peer| networks.iter().any(|network| network.contains(&peer));
    let proxies = Arc::new(TrustedProxies::new(Box::new(is_trusted)));
    let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
    for listener in configs {
        let first_bytes = FirstBytes {
            proxies: listener.proxy_protocol.then(|| Arc::clone(&proxies)),
            tls: listener.tls.then(|| Arc::clone(&tls)),
        };
        let socket = bind_tcp(listener.address, 1)?.pop().context("no listener was bound")?;
        addresses.push(socket.local_addr()?);
        listeners.push((TcpAcceptor::from_std(socket)?, first_bytes));
    }
    let address = *addresses.first().context("there is no listener")?;
    Ok(Listening { listener: ClientListener::new(listeners), address, watcher })
}

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// When the admin cannot be started.
pub async fn serve(
    config: &Config,
    sources: ConfigSources,
    log_level: LogLevel,
) -> anyhow::Result<()> {
    let admin = Admin::open(config).await?;
    announce(&admin, config);
    let stop = stop_on_signal()?;
    let configuration = ConfigurationState::default();
    let monitor = admin.monitor(configuration.clone(), &stop);
    // Also while the program drains: the token is never cancelled.
    monitor::start(config, monitor, CancellationToken::new())?;
    let geo = Arc::clone(&admin.state.geo);
    let config = config.clone();
    Reloadable { config, sources, log_level, geo, state: configuration }.follow_signals()?;
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "service manager not notified of readiness");
    }
    admin.run(stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// Prints the first key to a terminal only, because logs are kept and read by others.
fn announce(admin: &Admin, config: &Config) {
    use std::io::IsTerminal;
    tracing::info!(address = %admin.address, data_dir = %config.data_dir.display(), "serving the API");
    let is_seen = std::io::stdout().is_terminal();
    if let Some(key) = &admin.first_key {
        let path = crate::keys::file_in(&config.data_dir);
        if is_seen {
            println!("First admin key, kept in {}:\n  {}", path.display(), key.reveal());
        } else {
            tracing::info!(file = %path.display(), "first admin key created");
        }
    }
    let Some(link) = &admin.setup_link else { return };
    if is_seen {
        println!("Open the console and set up its first user (works once, for a day):\n  {link}");
        return;
    }
    match setup_link::write(&config.data_dir, link) {
        Ok(path) => {
            tracing::info!(file = %path.display(), "link to set up the console's first user")
        }
        Err(error) => tracing::warn!(%error, "the link to set up the console is not written"),
    }
}

/// Returns a token that SIGTERM and Ctrl-C cancel.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        cancelled.cancel();
    });
    Ok(stop)
}
