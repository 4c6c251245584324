//! The program's life: folders, sockets, click log, index, serving, shutdown.
//!
//! Order at start: every check that can fail precedes the first visitor; the sockets are bound
//! first, so early visitors wait instead of being refused; then the index is loaded, or the failure
//! is known; then redirects are served. Order at shutdown: no new visitors, answers finished,
//! clicks flushed, the control API last.

use std::fs::{File, TryLockError};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coupon_geo::GeoWatcher;
use coupon_serve::tls::{CertificateWatcher, HandshakeLimit, TlsSetup};
use coupon_serve::{
    BindError, DrainOutcome, FirstBytes, InheritError, InheritedSockets, Limits, TrustedProxies,
    bind_tcp, bind_unix, raise_descriptor_limit,
};
use coupon_watch::LogLevel;
use rustix::fs::{Access, OFlags};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clicks::{ClickLog, ClickLogError, NotDrained, RingWriter};
use crate::config::{Config, ConfigSources, ListenerConfig};
use crate::control::{self, ControlApi};
use crate::durable_file;
use crate::installed_certificates::InstalledCertificates;
use crate::live_index::LiveIndex;
use crate::loader::{Loader, LoaderHandle};
use crate::operation::OperationState;
use crate::postbacks::Postbacks;
use crate::serving::{self, SharedState, ThreadResources};
use crate::settings::{LiveSettings, Settings};
use crate::thread_metrics::ThreadMetrics;
use crate::visit_state::{LiveVisitState, restore_state};

/// The control socket's name in the runtime folder.
const SOCKET: &str = "coupond.sock";
/// Owner and group may connect; the admin runs in the group.
const SOCKET_MODE: u32 = 0o660;
/// Holds the bound address, for configurations with port 0.
const ADDRESS_FILE: &str = "coupond.addr";
/// Locked in the data folder: two daemons in one folder would write one log.
const LOCK_FILE: &str = "lock";
/// A link in the place of a file is an error.
const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();
/// Longest time for the last clicks to become durable at shutdown.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);

/// Errors that keep the program from starting, or end it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{key}: cannot use the folder {}: {source}; {mend}", path.display())]
    Folder {
        /// The configuration's key.
        key: &'static str,
        path: PathBuf,
        source: io::Error,
        /// How to mend it.
        mend: &'static str,
    },
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The inherited sockets cannot be used.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// No random numbers for the keys of session tickets.
    #[error("cannot set TLS up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the click log: {0}")]
    Clicks(#[from] ClickLogError),
    /// Clicks could not be made durable at shutdown.
    #[error("stopped, but {0}: start coupond again before the runtime folder is emptied")]
    NotDrained(#[from] NotDrained),
    #[error(
        "data_dir: another coupond uses {}; stop it or choose another folder", path.display()
    )]
    DataTaken { path: PathBuf },
    /// The system refused a thread, a signal handler or a file.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// A serving thread ended before shutdown.
    #[error("a serving thread ended: {0}")]
    ThreadEnded(String),
}

/// Runs until a signal ends the program.
pub fn run(config: Config, sources: ConfigSources, log_level: LogLevel) -> Result<(), RunError> {
    prepare_folders(&config)?;
    let _lock = lock(&config.data_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Registered first, so that no signal finds the program without a handler.
        let signals = Signals::new()?;
        let bound = BoundSockets::bind(&config)?;
        let daemon = Daemon::start(config, sources, log_level, bound)?;
        daemon.run(signals).await
    })
}

fn prepare_folders(config: &Config) -> Result<(), RunError> {
    let write = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let own = [("data_dir", &config.data_dir), ("runtime_dir", &config.runtime_dir)];
    for (key, path) in own {
        let mend = "create it, let this user write into it, or choose another folder";
        let usable = std::fs::create_dir_all(path).and_then(|()| check_folder(path, write));
        usable.map_err(|source| RunError::Folder { key, path: path.clone(), source, mend })?;
    }
    if !is_in_memory(&config.runtime_dir) {
        let runtime_dir = config.runtime_dir.display();
        tracing::warn!(%runtime_dir, "runtime_dir is on a disk, where writes can delay visitors; \
            choose a folder in memory (tmpfs), for example in /run");
    }
    let path = &config.index_dir;
    match check_folder(path, Access::READ_OK | Access::EXEC_OK) {
        // The admin may start later: until then nothing is served, and health says why.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!(index_dir = %path.display(), "index folder not found; waiting for coupon-admin to create it");
            Ok(())
        }
        Err(source) => {
            let mend = "let this user read it, or choose coupon-admin's `index` folder";
            Err(RunError::Folder { key: "index_dir", path: path.clone(), source, mend })
        }
        Ok(()) => Ok(()),
    }
}

/// The lock lasts until the file is dropped or the process ends.
fn lock(data_dir: &Path) -> Result<File, RunError> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).custom_flags(NO_LINK);
    let file =
        options.open(data_dir.join(LOCK_FILE)).map_err(cannot_write("data_dir", data_dir))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::DataTaken { path: data_dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn cannot_write(key: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunError {
    let mend = "free some space there, or choose another folder";
    move |source| RunError::Folder { key, path: path.to_owned(), source, mend }
}

fn check_folder(path: &Path, access: Access) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(rustix::fs::access(path, access)?)
}

fn is_in_memory(path: &Path) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    // If the system does not say, there is no reason to warn.
    rustix::fs::statfs(path).map_or(true, |system| system.f_type as u64 == TMPFS_MAGIC)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// The bound sockets, and the files that announce them.
struct BoundSockets {
    listeners: Vec<BoundListener>,
    control: std::os::unix::net::UnixListener,
    monitors: Result<Option<std::net::TcpListener>, BindError>,
    files: [PathBuf; 2],
}

/// One listener, with a socket for each serving thread.
struct BoundListener {
    config: ListenerConfig,
    address: SocketAddr,
    sockets: Vec<std::net::TcpListener>,
}

impl BoundSockets {
    fn bind(config: &Config) -> Result<BoundSockets, RunError> {
        let listeners = bind_listeners(config)?;
        let socket = config.runtime_dir.join(SOCKET);
        let control = bind_unix(&socket, SOCKET_MODE)?;
        let address_file = config.runtime_dir.join(ADDRESS_FILE);
        let addresses: String =
            listeners.iter().map(|listener| format!("{}\n", listener.address)).collect();
        durable_file::replace(&address_file, addresses.as_bytes())
            .map_err(cannot_write("runtime_dir", &config.runtime_dir))?;
        tracing::info!(socket = %socket.display(), "bound");
        let monitors = bind_monitors(config);
        Ok(BoundSockets { listeners, control, monitors, files: [socket, address_file] })
    }
}

/// Binds the listener for monitors. Its failure is a problem for health, and no reason to leave
/// visitors without an answer.
fn bind_monitors(config: &Config) -> Result<Option<std::net::TcpListener>, BindError> {
    let Some(config_address) = config.metrics.listen else { return Ok(None) };
    let bound = bind_tcp(config_address, 1);
    let bound = bound
        .inspect_err(|error| tracing::error!(%error, "no listener for monitors (metrics.listen)"));
    let listener = bound?.pop();
    let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    tracing::info!(address = %address.unwrap_or(config_address), "listening for monitors");
    Ok(listener)
}

/// Takes the inherited sockets of each listener, or binds its address.
fn bind_listeners(config: &Config) -> Result<Vec<BoundListener>, RunError> {
    let mut inherited = InheritedSockets::take()?;
    let configs = config.effective_listeners();
    // A single listener without a name takes the sockets of any name.
    let takes_all = configs.len() == 1 && configs[0].name.is_empty();
    let mut listeners = Vec::new();
    for listener in configs {
        let name = (!takes_all).then_some(listener.name.as_str());
        let mut groups = match name {
            Some("") => Vec::new(),
            name => inherited.listeners(name, config.threads)?,
        };
        let is_inherited = !groups.is_empty();
        if !is_inherited {
            groups = vec![bind_tcp(listener.address, config.threads)?];
        }
        for sockets in groups {
            let address = sockets[0].local_addr()?;
            tracing::info!(%address, tls = listener.tls, inherited = is_inherited, "listening");
            listeners.push(BoundListener { config: listener.clone(), address, sockets });
        }
    }
    inherited.all_taken()?;
    Ok(listeners)
}

/// The parts of connections before HTTP, shared by all listeners and threads.
struct Frontage {
    proxies: Arc<TrustedProxies>,
    tls: Arc<TlsSetup>,
    certificates: Option<CertificateWatcher>,
}

impl Frontage {
    fn start(config: &Config, live: &Reconfigurable) -> Result<Frontage, RunError> {
        let settings = live.settings.clone();
        let is_trusted = move |peer: IpAddr| {
            let settings = settings.current();
            settings.trusted_proxies.iter().any(|network| network.contains(&peer))
        };
        let speaks_tls = config.effective_listeners().iter().any(|listener| listener.tls);
        let certificates = speaks_tls
            .then(|| CertificateWatcher::start(config.certificate_places()))
            .transpose()?;
        let in_service = certificates.as_ref().map(|watcher| Arc::clone(watcher.certificates()));
        let limit = Arc::clone(&live.handshakes);
        Ok(Frontage {
            proxies: Arc::new(TrustedProxies::new(Box::new(is_trusted))),
            tls: Arc::new(TlsSetup::new(in_service.unwrap_or_default(), limit)?),
            certificates,
        })
    }

    fn first_bytes(&self, listener: &ListenerConfig) -> FirstBytes {
        FirstBytes {
            proxies: listener.proxy_protocol.then(|| Arc::clone(&self.proxies)),
            tls: listener.tls.then(|| Arc::clone(&self.tls)),
        }
    }

    /// For each of the threads, its socket of each listener.
    fn spread(
        &self,
        listeners: Vec<BoundListener>,
        threads: usize,
    ) -> Vec<Vec<(std::net::TcpListener, FirstBytes)>> {
        let mut spread: Vec<_> = (0..threads).map(|_| Vec::new()).collect();
        for listener in listeners {
            let first_bytes = self.first_bytes(&listener.config);
            for (thread, socket) in spread.iter_mut().zip(listener.sockets) {
                thread.push((socket, first_bytes.clone()));
            }
        }
        spread
    }
}

struct Daemon {
    live: Reconfigurable,
    geo: Arc<GeoWatcher>,
    threads: JoinSet<Result<std::io::Result<DrainOutcome>, oneshot::error::RecvError>>,
    visitors_off: CancellationToken,
    clicks: Arc<ClickLog>,
    postbacks: Arc<Postbacks>,
    /// The threads of the control API and of the listener for monitors.
    control: Vec<std::thread::JoinHandle<io::Result<()>>>,
    control_off: CancellationToken,
    files: [PathBuf; 2],
}

impl Daemon {
    fn start(
        config: Config,
        sources: ConfigSources,
        log_level: LogLevel,
        bound: BoundSockets,
    ) -> Result<Daemon, RunError> {
        let (clicks, rings) = ClickLog::start(&config)?;
        let clicks = Arc::new(clicks);
        let index = LiveIndex::default();
        let visit_state = Arc::new(LiveVisitState::open(&config));
        let prepared = Arc::clone(&visit_state);
        let loader = Loader::new(config.index_dir.clone(), index.clone())
            .preparing(move |catalog| prepared.adopt_catalog(catalog));
        let loader = LoaderHandle::start(loader)?;
        let catalog = index.current().map(|index| Arc::clone(index.shared_catalog()));
        restore_state(&visit_state, &clicks, catalog.as_deref())?;
        // Before the first visitor. A faulty file is a problem for health, and no reason not to start.
        let geo = Arc::new(GeoWatcher::start(&config.geo.databases)?);
        let operation = Arc::new(OperationState::default());
        let live = Reconfigurable::new(config, sources, log_level, Arc::clone(&operation));
        let metrics: Vec<ThreadMetrics> = rings.iter().map(|_| ThreadMetrics::default()).collect();
        let visitors_off = CancellationToken::new();
        let (postbacks, receiver) = Postbacks::start(
            &live.config,
            clicks.removal_clock(),
            index.clone(),
            live.limits.subscribe(),
            visitors_off.clone(),
        )?;
        let postbacks = Arc::new(postbacks);
        let shared = SharedState {
            index,
            settings: live.settings.clone(),
            geo: Arc::clone(geo.databases()),
            visit_state: Arc::clone(&visit_state),
            limits: live.limits.subscribe(),
            postbacks: receiver,
            shutdown: visitors_off.clone(),
        };
        let frontage = Frontage::start(&live.config, &live)?;
        let addresses: Vec<SocketAddr> =
            bound.listeners.iter().map(|listener| listener.address).collect();
        let listeners = frontage.spread(bound.listeners, live.config.threads);
        let threads = start_serving(listeners, rings, &clicks, &metrics, &shared)?;
        let control_off = CancellationToken::new();
        start_watchdog(metrics.clone());
        let (monitors, monitor_problem) = match bound.monitors {
            Ok(listener) => (listener, None),
            Err(error) => (None, Some(format!("metrics.listen: {error}"))),
        };
        let api = ControlApi {
            loader,
            threads: metrics,
            settings: live.settings.clone(),
            clicks: Arc::clone(&clicks),
            postbacks: Arc::clone(&postbacks),
            certificates: InstalledCertificates::open(&live.config.data_dir)
                .map_err(cannot_write("data_dir", &live.config.data_dir))?,
            handshakes: Arc::clone(&frontage.tls.counters),
            proxies: frontage.proxies,
            watcher: frontage.certificates,
            geo: Arc::clone(&geo),
            visit_state,
            operation,
            folders: vec![
                ("data_dir", live.config.data_dir.clone()),
                ("runtime_dir", live.config.runtime_dir.clone()),
            ],
            limits: live.limits.subscribe(),
            monitor_problem,
            shutdown: control_off.clone(),
        };
        let api = Arc::new(api);
        let mut control = vec![control::start(bound.control, Arc::clone(&api))?];
        if let Some(listener) = monitors {
            control.push(coupon_watch::start(listener, api, control_off.clone())?);
        }
        tracing::info!(?addresses, threads = threads.len(), "serving");
        notify_service_manager(NotifyState::Ready);
        let files = bound.files;
        Ok(Daemon {
            live,
            geo,
            threads,
            visitors_off,
            clicks,
            postbacks,
            control,
            control_off,
            files,
        })
    }

    async fn run(mut self, mut signals: Signals) -> Result<(), RunError> {
        let fault = loop {
            tokio::select! {
                _ = signals.terminate.recv() => break None,
                _ = signals.interrupt.recv() => break None,
                _ = signals.hang_up.recv() => self.reload(),
                Some(ended) = self.threads.join_next() => break Some(format!("{ended:?}")),
            }
        };
        self.stop().await?;
        fault.map_or(Ok(()), |fault| Err(RunError::ThreadEnded(fault)))
    }

    fn reload(&mut self) {
        self.live.reload();
        self.geo.look_now();
    }

    async fn stop(mut self) -> Result<(), RunError> {
        notify_service_manager(NotifyState::Stopping);
        self.live.drain().await;
        tracing::info!("stopping: no new visitors");
        self.visitors_off.cancel();
        let mut cut = 0;
        while let Some(ended) = self.threads.join_next().await {
            if let Ok(Ok(Ok(drained))) = ended {
                cut += drained.cut;
            }
        }
        tracing::info!(connections_cut = cut, "all connections closed; flushing clicks");
        self.postbacks.shutdown(FLUSH_DEADLINE);
        let flushed = self.clicks.shutdown(FLUSH_DEADLINE);
        self.control_off.cancel();
        for thread in self.control {
            // The thread has answered all its requests; its result does not matter.
            let _ = thread.join();
        }
        for file in &self.files {
            // If this fails, the next start replaces the file.
            let _ = std::fs::remove_file(file);
        }
        flushed?;
        tracing::info!("stopped");
        Ok(())
    }
}

fn start_serving(
    listeners: Vec<Vec<(std::net::TcpListener, FirstBytes)>>,
    rings: Vec<RingWriter>,
    clicks: &ClickLog,
    metrics: &[ThreadMetrics],
    shared: &SharedState,
) -> io::Result<JoinSet<Result<io::Result<DrainOutcome>, oneshot::error::RecvError>>> {
    let mut threads = JoinSet::new();
    for ((listeners, ring), metrics) in listeners.into_iter().zip(rings).zip(metrics) {
        let durability = clicks.durability(usize::from(ring.stream().thread));
        let resources = ThreadResources { listeners, ring, durability, metrics: metrics.clone() };
        threads.spawn(serving::start(resources, shared.clone())?);
    }
    Ok(threads)
}

fn notify_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "service manager not notified");
    }
}

/// Tells the service manager, where it wants to know, that all serving threads are alive.
fn start_watchdog(threads: Vec<ThreadMetrics>) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return };
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(timeout / 3);
        loop {
            ticks.tick().await;
            // A thread comes round each second, and may be late on a busy machine.
            give_sign_of_life(&threads, (timeout / 2).max(Duration::from_secs(3)));
        }
    });
}

fn give_sign_of_life(threads: &[ThreadMetrics], longest_silence: Duration) {
    match silent_threads(threads, longest_silence) {
        0 => notify_service_manager(NotifyState::Watchdog),
        count => tracing::error!(
            threads = count,
            "serving threads do not come round: the service manager will restart coupond"
        ),
    }
}

/// Number of threads that did not come round for long. A thread that has not begun is none of them.
fn silent_threads(threads: &[ThreadMetrics], longest_silence: Duration) -> usize {
    let age = |thread: &ThreadMetrics| thread.heartbeat.age_ms().map(Duration::from_millis);
    threads.iter().filter_map(age).filter(|age| *age > longest_silence).count()
}

/// The configuration in force, and handles to the parts that can change.
struct Reconfigurable {
    config: Config,
    sources: ConfigSources,
    descriptors: u64,
    log_level: LogLevel,
    settings: LiveSettings,
    limits: watch::Sender<Limits>,
    handshakes: Arc<HandshakeLimit>,
    operation: Arc<OperationState>,
}

impl Reconfigurable {
    fn new(
        config: Config,
        sources: ConfigSources,
        log_level: LogLevel,
        operation: Arc<OperationState>,
    ) -> Reconfigurable {
        let descriptors = raise_descriptor_limit();
        let settings = LiveSettings::new(Settings::from_config(&config.live));
        let limits = watch::Sender::new(config.limits_per_thread(&config.live, descriptors));
        let handshakes = Arc::new(HandshakeLimit::new(config.live.handshakes));
        Reconfigurable {
            config,
            sources,
            descriptors,
            log_level,
            settings,
            limits,
            handshakes,
            operation,
        }
    }

    /// Loads the configuration again. An invalid one changes nothing.
    fn reload(&mut self) {
        let new = match Config::load(&self.sources) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was");
                let problem = format!("the configuration stays as it was, because {error}");
                self.operation.configuration_refused(problem);
                return;
            }
        };
        let keys_needing_restart = self.config.keys_needing_restart(&new);
        for key in &keys_needing_restart {
            tracing::warn!(key, "changed key needs a restart");
        }
        self.operation.configuration_read(keys_needing_restart);
        if let Err(error) = self.log_level.set(&new.live.log_level) {
            tracing::error!(%error, "log level not changed");
        }
        self.settings.replace(self.settings.current().changed_to(&new.live));
        self.limits.send_replace(self.config.limits_per_thread(&new.live, self.descriptors));
        self.handshakes.set_rate(new.live.handshakes);
        self.config.live = new.live;
        tracing::info!("configuration reloaded");
    }

    /// Tells balancers and monitors that the program stops, and gives them time to act.
    async fn drain(&self) {
        self.operation.drain();
        self.settings.replace(self.settings.current().draining());
        let notice = self.config.live.drain_notice;
        if !notice.is_zero() {
            tracing::info!(?notice, "stopping: balancers are told to send visitors elsewhere");
            tokio::time::sleep(notice).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_silent_when_its_last_round_is_long_ago() {
        let threads: Vec<_> = (0..3).map(|_| ThreadMetrics::default()).collect();
        threads[0].heartbeat.mark();
        threads[1].heartbeat.mark();
        assert_eq!(silent_threads(&threads, Duration::from_secs(60)), 0);
        std::thread::sleep(Duration::from_millis(30));
        threads[1].heartbeat.mark();
        assert_eq!(silent_threads(&threads, Duration::from_millis(20)), 1);
    }
}
