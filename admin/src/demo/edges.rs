//! `demo --edges N`: a nats-server of its own and N edges, each a coupond with an agent. The agents run
//! in this process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::daemon::Daemon;
use crate::config::{Config, HubConfig, LogConfig};
use crate::edges::agent::{self, AgentConfig};
use crate::edges::bundle::Bundle;
use crate::edges::registration::{self, HubAddress, RegistrationError};
use crate::edges::rights;
use crate::private_file;
use crate::store::{ReadTx, Store, StoreError, WriteTx, edges};

const PROGRAM: &str = "nats-server";
/// Where Debian installs the program, which is in no user's PATH there.
const DEBIAN_PROGRAM: &str = "/usr/sbin/nats-server";
const START_DEADLINE: Duration = Duration::from_secs(10);

/// The nats-server of the demo and its edges.
pub(super) struct DemoEdges {
    /// Address of the nats-server.
    nats: SocketAddr,
    /// Data folder of all edges and of nats-server.
    data: PathBuf,
    count: u16,
    program: &'static str,
    /// The server ends with this value.
    server: Option<Child>,
}

/// A running edge.
pub(super) struct DemoEdge {
    pub(super) name: String,
    pub(super) daemon: Daemon,
    /// `None` once it is supervised.
    child: Option<Child>,
}

impl DemoEdge {
    /// Restarts coupond when it dies, until `stop`.
    pub(super) async fn supervise(&mut self, stop: CancellationToken) {
        if let Some(child) = self.child.take() {
            self.daemon.supervise(child, stop).await;
        }
    }
}

impl DemoEdges {
    /// Chooses an address for the nats-server.
    ///
    /// # Errors
    /// When nats-server is not installed.
    pub(super) fn prepare(data: &Path, count: u16) -> anyhow::Result<DemoEdges> {
        let is_there =
            |program: &&&str| std::process::Command::new(program).arg("--version").output().is_ok();
        let Some(program) = [PROGRAM, DEBIAN_PROGRAM].iter().find(is_there).copied() else {
            bail!("{PROGRAM} is not installed, and --edges needs it: apt install {PROGRAM}");
        };
        // Free a moment ago; the configuration names it before the server runs.
        let nats = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(DemoEdges { nats, data: data.join("edges"), count, program, server: None })
    }

    pub(super) fn hub(&self) -> HubConfig {
        HubConfig { servers: vec![format!("nats://{}", self.nats)], ..HubConfig::default() }
    }

    fn names(&self) -> impl Iterator<Item = String> + use<> {
        (1..=self.count).map(|number| format!("edge-{number}"))
    }

    /// Registers the edges, and starts the server with their users.
    pub(super) async fn start_server(&mut self, store: &Store) -> anyhow::Result<Vec<Bundle>> {
        let mut bundles = Vec::new();
        for name in self.names() {
            bundles.push(self.register(store, name).await?);
        }
        let read = |connection: &ReadTx<'_>| {
            let edges = registration::in_service(connection)?;
            Ok::<_, StoreError>((edges::control_plane(connection)?, edges))
        };
        let (keys, edges) = store.read(read).await?;
        let keys = keys.context("the control plane has no keys")?;
        let users = rights::configuration(Config::default().network_id, &keys, &edges)?;
        self.server = Some(self.run_server(&users).await?);
        Ok(bundles)
    }

    /// Registers an edge; one of an earlier demo gets a new bundle.
    async fn register(&self, store: &Store, name: String) -> Result<Bundle, RegistrationError> {
        let network_id = Config::default().network_id;
        let servers = self.hub().servers;
        let hub = HubAddress { network_id, servers, ca_pem: String::new() };
        let register = move |tx: &WriteTx<'_>| match registration::replace(tx, &name, hub.clone()) {
            Err(RegistrationError::Unknown { .. }) => registration::add(tx, &name, None, hub),
            replaced => replaced,
        };
        store.write(register).await
    }

    async fn run_server(&self, users: &str) -> anyhow::Result<Child> {
        let folder = self.data.join("nats");
        std::fs::create_dir_all(&folder)?;
        let (users_file, config) = (folder.join("users.conf"), folder.join("nats-server.conf"));
        std::fs::write(&users_file, users)?;
        let text = format!(
            "listen: \"{}\"\nserver_name: demo\njetstream {{ store_dir: {:?} }}\n\
             include \"users.conf\"\n",
            self.nats,
            folder.join("store").display().to_string()
        );
        std::fs::write(&config, text)?;
        let child = Command::new(self.program)
            .arg("-c")
            .arg(&config)
            .arg("-l")
            .arg(folder.join("nats-server.log"))
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start nats-server")?;
        let deadline = Instant::now() + START_DEADLINE;
        while tokio::net::TcpStream::connect(self.nats).await.is_err() {
            if Instant::now() > deadline {
                let log = folder.join("nats-server.log");
                bail!("nats-server did not listen within 10 s; see {}", log.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(child)
    }

    /// Starts coupond and agent of each edge.
    pub(super) async fn start_edges(
        &self,
        bundles: Vec<Bundle>,
        near: &Daemon,
        stop: &CancellationToken,
    ) -> anyhow::Result<Vec<DemoEdge>> {
        let mut edges = Vec::new();
        for bundle in bundles {
            let folder = self.data.join(&bundle.name);
            std::fs::create_dir_all(&folder)?;
            let bundle_file = folder.join("bundle");
            private_file::replace_with(&bundle_file, bundle.to_text().as_bytes())?;
            let mut daemon = Daemon {
                program: near.program.clone(),
                listen: SocketAddr::from((near.listen.ip(), 0)),
                node: bundle.node,
                data: folder.join("daemon"),
                index: folder.join("index"),
                runtime: near.runtime.join(&bundle.name),
                geo: near.geo.clone(),
            };
            std::fs::create_dir_all(&daemon.runtime)?;
            std::fs::create_dir_all(&daemon.index)?;
            let config = AgentConfig {
                bundle: bundle_file,
                daemon_socket: daemon.runtime.join("coupond.sock"),
                index_dir: daemon.index.clone(),
                region: String::new(),
                log: LogConfig { filter: "warn".into(), ..Config::default().log },
            };
            let (stop, name) = (stop.clone(), bundle.name.clone());
            tokio::spawn(async move {
                if let Err(error) = agent::run(&config, stop).await {
                    tracing::error!(edge = %name, "agent stopped: {error:#}");
                }
            });
            let child = daemon.start().await?;
            edges.push(DemoEdge { name: bundle.name, daemon, child: Some(child) });
        }
        Ok(edges)
    }
}
