//! The demo: runs both programs with default settings.
//!
//! The admin runs in this process. `coupond` runs as a child process from the same folder, is
//! restarted when it dies, and ends with this process. An empty data folder gets a sample network.
//! The sample is created by the same rules as any edit, and both programs run as in production.
//!
//! Rings and socket are in memory, in a folder named by a hash of the data folder's path. So
//! several demos run side by side, and a long path does not exceed the limit of socket names.

mod daemon;
mod edges;
mod places;
mod sample_network;

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use coupon_config::GeoConfig;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::catalog::{CertificateSource, CertificateState, TrackingDomain, today};
use crate::config::{ClientLimits, Config, LogConfig, METRICS_PORT, MetricsConfig};
use crate::console;
use crate::edit::{self, Change, EditError};
use crate::reload::ConfigurationState;
use crate::serve::{Admin, setup_link, stop_on_signal};
use crate::store::rows::{self, Query};
use crate::store::{Store, WriteTx, meta};
use crate::{json, keys, monitor, publish};
use daemon::Daemon;
use edges::{DemoEdge, DemoEdges};
use places::{AMERICAN, GERMAN};
use sample_network::BLOCKED_SOURCE;

/// Options of the demo.
#[derive(Debug)]
pub struct Options {
    /// Data folder of both programs.
    pub data: PathBuf,
    /// Listening address for visitors.
    pub http: SocketAddr,
    /// Listening address of the API.
    pub admin: SocketAddr,
    /// Number of edges, each a further coupond reached over NATS.
    pub edges: u16,
    /// Limits of clients, from the configuration.
    pub limits: ClientLimits,
    /// Databases of places for both programs, from the configuration.
    pub geo: GeoConfig,
}

/// Deadline for the first publication. The folder may contain many codes, all of which are read.
const FIRST_PUBLICATION: Duration = Duration::from_secs(60);

/// Runs both programs until SIGTERM or Ctrl-C.
///
/// # Errors
/// When a program does not start.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let data = make_folder(&options.data)?;
    let runtime = runtime_folder(&data)?;
    let mut geo = options.geo;
    if geo.databases.is_empty() {
        let now = u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
        geo.databases = vec![places::write(&data, now)?];
    }
    let mut edges = match options.edges {
        0 => None,
        count => Some(DemoEdges::prepare(&data, count)?),
    };
    let config = Config {
        hub: edges.as_ref().map(DemoEdges::hub).unwrap_or_default(),
        listen: options.admin,
        data_dir: data.join("admin"),
        daemon_socket: runtime.join("coupond.sock"),
        log: LogConfig { filter: "warn".into(), ..Config::default().log },
        metrics: MetricsConfig { listen: None },
        limits: options.limits,
        geo,
        ..Config::default()
    };
    // Opened first, because it locks the folder: a second demo must not disturb the first.
    let admin = Admin::open(&config).await?;
    let mut daemon = Daemon {
        program: daemon::program_beside_this()?,
        listen: options.http,
        node: 0,
        data: data.join("daemon"),
        index: config.data_dir.join(publish::FOLDER_NAME),
        geo: config.geo.databases.clone(),
        runtime,
    };
    let child = daemon.start().await?;
    let sequence = prepare(admin.store(), daemon.listen).await?;
    let live = admin.publisher().wait_live_for(sequence, FIRST_PUBLICATION).await;
    live.context("the sample network is not served")?;
    let mut running = match &mut edges {
        Some(edges) => start_edges(edges, &admin, &daemon, &stop).await?,
        None => Vec::new(),
    };
    let portal_link = invite_partner(&admin, &config).await?;
    let monitors = start_monitor(&admin, &stop)?;
    introduce(&daemon, &admin, &config, monitors, portal_link);
    for edge in &running {
        println!("{}  http://{}/WINTER25", edge.name, edge.daemon.listen);
    }
    // Both in one task on one thread: the child asked the system to be killed when the thread that
    // started it ends.
    let edges_end =
        futures_util::future::join_all(running.iter_mut().map(|edge| edge.supervise(stop.clone())));
    tokio::join!(admin.run(stop.clone()), daemon.supervise(child, stop), edges_end);
    drop(edges);
    // Removes the folder only if empty: the next start needs the rings in it.
    let _ = std::fs::remove_dir(&daemon.runtime);
    Ok(())
}

/// Starts nats-server and edges; returns when all of them serve the network.
async fn start_edges(
    edges: &mut DemoEdges,
    admin: &Admin,
    near: &Daemon,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<DemoEdge>> {
    let bundles = edges.start_server(admin.store()).await?;
    let running = edges.start_edges(bundles, near, stop).await?;
    let deadline = Instant::now() + FIRST_PUBLICATION;
    while !serves(admin, running.len()) {
        if Instant::now() > deadline {
            bail!("the edges do not serve the sample network: {:?}", admin.problems().await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(running)
}

/// Whether that many edges serve the published generation.
fn serves(admin: &Admin, count: usize) -> bool {
    let generation = admin.publisher().generation();
    let statuses = admin.nodes().statuses();
    let serving = statuses.iter().filter(|daemon| daemon.served_generation == Some(generation));
    serving.count() == count + 1
}

/// Starts the listener for monitors: on the usual port, or on a free one where another program has
/// it, such as a second demo. Returns its address.
fn start_monitor(admin: &Admin, stop: &CancellationToken) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, METRICS_PORT))
        .or_else(|_taken| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("no listener for monitors")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let monitor = admin.monitor(ConfigurationState::default(), stop);
    monitor::start_on(listener, monitor, CancellationToken::new())?;
    Ok(address)
}

fn make_folder(path: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(path)
        .and_then(|()| path.canonicalize())
        .with_context(|| format!("cannot make the data folder {}", path.display()))
}

/// Creates a private folder in memory, or else in the data folder.
fn runtime_folder(data: &Path) -> anyhow::Result<PathBuf> {
    let hash = blake3::hash(data.as_os_str().as_encoded_bytes()).to_hex();
    let in_memory = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .into_iter()
        .chain([PathBuf::from("/dev/shm")])
        .map(|base| base.join(format!("coupon-demo-{}", &hash[..16])))
        .find(|folder| is_private(folder));
    let folder = in_memory.unwrap_or_else(|| data.join("run"));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the runtime folder {}", folder.display()))?;
    Ok(folder)
}

/// Creates the folder, or checks that an existing one is ours. The parent may be writable for
/// everybody, so another user could have created it.
fn is_private(folder: &Path) -> bool {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => true,
        Err(_) => std::fs::symlink_metadata(folder).is_ok_and(|found| {
            found.is_dir()
                && found.uid() == rustix::process::geteuid().as_raw()
                && found.mode() & 0o077 == 0
        }),
    }
}

/// Creates the sample network in an empty store, and points links at this daemon. Returns the last
/// change, which must be live before the demo is ready.
async fn prepare(store: &Store, visitors: SocketAddr) -> anyhow::Result<meta::Sequence> {
    let sequence = store.write(move |tx| {
        if meta::read(tx)?.change_seq == 0 {
            sample_network::create(tx, today("UTC"))?;
        }
        point_links_at(tx, &format!("http://{visitors}"))?;
        Ok::<_, EditError>(meta::read(tx)?.change_seq)
    });
    Ok(sequence.await?)
}

/// Sets the tracking domain to the demo's address, which may differ at each start.
fn point_links_at(tx: &WriteTx<'_>, base_url: &str) -> Result<(), EditError> {
    let domains = rows::list::<TrackingDomain>(tx, &Query::default())?;
    let Some(first) = domains.rows.first() else {
        let domain = TrackingDomain {
            certificate: CertificateSource::None,
            certificate_state: CertificateState::default(),
            base_url: base_url.into(),
            is_default: true,
            fallback_url: String::new(),
        };
        return edit::create(tx, &domain).map(drop);
    };
    if first.object.base_url == base_url {
        return Ok(());
    }
    let named = json::parse(&json!({ "base_url": base_url }).to_string(), "")
        .map_err(|error| EditError::Invalid(vec![error]))?;
    edit::change::<TrackingDomain>(tx, first.id, Change::Patch(named)).map(drop)
}

fn introduce(
    daemon: &Daemon,
    admin: &Admin,
    config: &Config,
    monitors: SocketAddr,
    portal_link: Option<String>,
) {
    let key_file = keys::file_in(&config.data_dir);
    let key_file = key_file.display();
    let (visitors, api) = (daemon.listen, admin.address);
    println!("redirects   http://{visitors}");
    println!("admin API   http://{api}/v1/networks");
    println!("monitors    http://{monitors}/health");
    match &admin.first_key {
        Some(key) if std::io::stdout().is_terminal() => {
            println!("API key     {}  (kept in {key_file})", key.reveal());
        }
        _ => println!("API key     in {key_file}"),
    }
    println!("\nIn a browser, each once:");
    match &admin.setup_link {
        Some(link) if std::io::stdout().is_terminal() => println!("  console     {link}"),
        Some(link) => match setup_link::write(&config.data_dir, link) {
            Ok(path) => println!("  console     the address in {}", path.display()),
            Err(error) => println!("  console     its link cannot be written: {error}"),
        },
        None => println!("  console     http://{api}/"),
    }
    if let Some(link) = portal_link {
        println!("  portal      {link}   partner Insta Style");
    }
    println!("\nTracking links of the sample network:");
    for (code, shows) in sample_network::SAMPLE_CODES {
        println!("  http://{visitors}/{code:<16} {shows}");
    }
    println!("\nTry:\n{}\nCtrl-C stops both.", next_commands(daemon, admin, config, monitors));
}

/// Invites a user of the sample's first partner, until somebody used the invitation.
async fn invite_partner(admin: &Admin, config: &Config) -> anyhow::Result<Option<String>> {
    let token = admin.store().write(sample_network::invite_partner).await?;
    let address = |token| console::link_address(&config.console, admin.address, "link", &token);
    Ok(token.map(address))
}

/// Complete commands to paste into another terminal.
fn next_commands(daemon: &Daemon, admin: &Admin, config: &Config, monitors: SocketAddr) -> String {
    let socket = quoted(&config.daemon_socket);
    let (visitors, api, today) = (daemon.listen, admin.address, today("UTC"));
    let key_file = quoted(&keys::file_in(&config.data_dir));
    let data = quoted(&config.data_dir);
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("coupon-admin"));
    let program = quoted(&program);
    // curl's own user agent is in the bot list.
    format!(
        "  curl -i -A '{BROWSER}' 'http://{visitors}/WiNtEr25?sub1=story'\n  \
         KEY=$(cat {key_file}); API=http://{api}/v1/networks\n  \
         curl -H \"X-Eflow-API-Key: $KEY\" $API/couponcodes\n  \
         curl -H \"X-Eflow-API-Key: $KEY\" -H 'Content-Type: application/json' \\\n    \
         -d '{{\"from\": \"{today}\", \"to\": \"{today}\", \"columns\": [{{\"column\": \"coupon_code\"}}]}}' \\\n    \
         $API/reporting/entity\n\n  \
         # A German, an American, a source that is blocked, and an explanation:\n  \
         curl -i -A '{BROWSER}' -H 'X-Forwarded-For: {GERMAN}' http://{visitors}/HELLO25\n  \
         curl -i -A '{BROWSER}' -H 'X-Forwarded-For: {AMERICAN}' http://{visitors}/HELLO25\n  \
         curl -i -A '{BROWSER}' 'http://{visitors}/insta1?source_id={BLOCKED_SOURCE}'\n  \
         {program} explain HELLO25 --ip {AMERICAN} --data {data}\n\n  \
         # The fourth visitor of a day is too late:\n  \
         for visitor in 1 2 3 4; do\n    \
         curl -s -o /dev/null -w '%{{http_code}}\\n' -A '{BROWSER}' \\\n      \
         -H \"X-Forwarded-For: 203.0.113.$visitor\" http://{visitors}/FLASH3\n  \
         done\n\n  \
         {program} explain WINTER25 --data {data}\n  \
         {program} api-key create --role read-only --data {data}\n\n  \
         # How both programs stand:\n  \
         COUPON_ADMIN_METRICS_LISTEN={monitors} COUPON_ADMIN_DAEMON_SOCKET={socket} \\\n    \
         {program} status --data {data}\n"
    )
}

/// User agent of the sample visit.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64)";

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quoted(Path::new("/srv/coupon-demo/admin.key")), "/srv/coupon-demo/admin.key");
        assert_eq!(quoted(Path::new("/my data/it's")), r"'/my data/it'\''s'");
    }
}
