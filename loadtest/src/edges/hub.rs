//! The real programs: nats-server, `coupon-admin serve`, and the agents.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use serde_json::Value;

use crate::cli::Network;
use crate::client::Client;
use crate::server::process::Family;
use crate::server::{free_address, programs};

const NATS_SERVER: &str = "nats-server";
const ADMIN: &str = "coupon-admin";
/// Where Debian installs servers, beside a user's PATH.
const SYSTEM_PROGRAMS: &str = "/usr/sbin";
/// Longest wait for an answer of the API: a commit of many codes.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Programs, addresses and folders of the control plane.
pub(super) struct Hub {
    folder: PathBuf,
    /// The edges' folders. In operation each edge has a disk of its own, so they are in memory here
    /// and leave the disk to the control plane.
    edges: PathBuf,
    admin_program: PathBuf,
    nats_program: PathBuf,
    api: SocketAddr,
    nats: SocketAddr,
}

/// An edge with its bundle.
pub(super) struct RegisteredEdge {
    pub(super) node: u16,
    bundle: PathBuf,
    /// Folder of the index and of the agent's output.
    folder: PathBuf,
}

impl RegisteredEdge {
    pub(super) fn index(&self) -> PathBuf {
        self.folder.join("index")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }
}

/// The agent of an edge.
pub(super) struct Agent {
    process: Family,
    log: PathBuf,
}

impl Agent {
    pub(super) fn process(&self) -> &Family {
        &self.process
    }

    pub(super) fn check_runs(&mut self) -> anyhow::Result<()> {
        self.process.check_runs(&self.log).context("an agent does not run")
    }
}

impl Hub {
    /// Finds the programs; nothing is started.
    pub(super) fn prepare(
        folder: &Path,
        edges: &Path,
        admin: Option<&Path>,
    ) -> anyhow::Result<Hub> {
        let admin_program = match admin {
            Some(admin) => admin.to_owned(),
            None => programs(None)?.join(ADMIN),
        };
        ensure!(
            admin_program.is_file(),
            "there is no {}: build it (cargo build --release), or name it with --admin-binary",
            admin_program.display()
        );
        let nats_program = find(NATS_SERVER).with_context(|| {
            format!("{NATS_SERVER} is not installed, and edges need it: apt install {NATS_SERVER}")
        })?;
        let (api, nats) = (free_address()?, free_address()?);
        let (folder, edges) = (folder.to_owned(), edges.to_owned());
        Ok(Hub { folder, edges, admin_program, nats_program, api, nats })
    }

    /// The data folder of coupon-admin.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("admin")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.data().join("admin.db")
    }

    /// The API with the key of the first start.
    pub(super) fn network(&self) -> Network {
        let (admin, key_file) = (self.api, self.data().join("admin.key"));
        Network { admin, key_file, target: admin, host: None, timeout: TIMEOUT }
    }

    /// A command of coupon-admin without settings of the caller's environment.
    fn admin(&self) -> Command {
        let mut command = Command::new(&self.admin_program);
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if name.starts_with("COUPON_") {
                command.env_remove(name);
            }
        }
        command.env("COUPON_ADMIN_DATA_DIR", self.data()).env("COUPON_ADMIN_LOG_FILTER", "warn");
        command
    }

    /// Starts coupon-admin, and waits until it answers; with or without the edges.
    pub(super) fn start_admin(&self, has_edges: bool) -> anyhow::Result<Family> {
        let mut command = self.admin();
        command
            .arg("serve")
            .env("COUPON_ADMIN_LISTEN", self.api.to_string())
            .env("COUPON_ADMIN_DAEMON_SOCKET", "none")
            .env("COUPON_ADMIN_LIMITS_NETWORK_REQUESTS_PER_30S", "0");
        if has_edges {
            command.env("COUPON_ADMIN_HUB_SERVERS", self.nats_url());
        }
        let log = self.folder.join("coupon-admin.log");
        let mut admin = Family::start_unpinned(&mut command, &log)?;
        admin.wait_for(self.api, &log).context(ADMIN)?;
        Ok(admin)
    }

    fn nats_url(&self) -> String {
        format!("nats://{}", self.nats)
    }

    /// Registers edges, each by a run of `edges add`.
    pub(super) fn register(
        &self,
        count: u16,
        bar: &ProgressBar,
    ) -> anyhow::Result<Vec<RegisteredEdge>> {
        let mut edges = Vec::new();
        for number in 1..=count {
            edges.push(self.register_edge(number)?);
            bar.set_position(number.into());
        }
        Ok(edges)
    }

    fn register_edge(&self, number: u16) -> anyhow::Result<RegisteredEdge> {
        let name = format!("edge-{number}");
        let folder = self.edges.join(&name);
        fs::create_dir_all(folder.join("index"))?;
        let bundle = folder.join("bundle");
        self.run_edges(&["add", &name, "--out", &bundle.to_string_lossy()])?;
        let text: Value = serde_json::from_slice(&fs::read(&bundle)?)?;
        let node = text["node"].as_u64().and_then(|node| u16::try_from(node).ok());
        let node = node.with_context(|| format!("{} names no node", bundle.display()))?;
        Ok(RegisteredEdge { node, bundle, folder })
    }

    /// Runs `coupon-admin edges`; returns its output.
    fn run_edges(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let mut command = self.admin();
        command.arg("edges").args(arguments).env("COUPON_ADMIN_HUB_SERVERS", self.nats_url());
        let output = command.output().with_context(|| self.admin_program.display().to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("coupon-admin edges {}: {}", arguments.join(" "), said.trim());
        }
        Ok(output.stdout)
    }

    /// Starts nats-server with the users of the registered edges.
    pub(super) fn start_nats(&self) -> anyhow::Result<Family> {
        let folder = self.folder.join("nats");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("users.conf"), self.run_edges(&["nats-config"])?)?;
        let config = folder.join("nats-server.conf");
        let text = format!(
            "listen: \"{}\"\nserver_name: loadtest\nping_interval: \"10s\"\nping_max: 2\n\
             jetstream {{ store_dir: {:?} }}\ninclude \"users.conf\"\n",
            self.nats,
            folder.join("store").display().to_string()
        );
        fs::write(&config, text)?;
        let log = folder.join("nats-server.log");
        let mut command = Command::new(&self.nats_program);
        command.arg("-c").arg(&config);
        let mut server = Family::start_unpinned(&mut command, &log)?;
        server.wait_for(self.nats, &log).context(NATS_SERVER)?;
        Ok(server)
    }

    /// Starts the agent of an edge; `socket` is the control socket of its coupond.
    pub(super) fn start_agent(
        &self,
        edge: &RegisteredEdge,
        socket: &Path,
    ) -> anyhow::Result<Agent> {
        let mut command = self.admin();
        command
            .arg("edge")
            .env("COUPON_EDGE_BUNDLE", &edge.bundle)
            .env("COUPON_EDGE_DAEMON_SOCKET", socket)
            .env("COUPON_EDGE_INDEX_DIR", edge.index())
            .env("COUPON_EDGE_LOG_FILTER", "warn");
        let log = edge.log();
        Ok(Agent { process: Family::start_unpinned(&mut command, &log)?, log })
    }
}

/// A program in PATH, or where Debian installs servers.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from(SYSTEM_PROGRAMS)]);
    folders.map(|folder| folder.join(program)).find(|program| program.is_file())
}

/// The state that coupon-admin shows.
pub(super) struct AdminStatus(Value);

impl AdminStatus {
    pub(super) fn fetch(client: &mut Client) -> anyhow::Result<AdminStatus> {
        Ok(AdminStatus(client.get("/v1/networks/status")?.accepted()?.json()))
    }

    /// A number by JSON pointer; 0 if a coupon-admin of an earlier release does not show it.
    pub(super) fn number(&self, pointer: &str) -> u64 {
        self.0.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    pub(super) fn generation(&self) -> u64 {
        self.number("/publication/generation")
    }

    /// The problems of edges and of the intake, for errors.
    pub(super) fn problems(&self) -> String {
        let shown = ["/edges/nats_error", "/edges/publication_error", "/intake/last_error"];
        let shown = shown.iter().filter_map(|pointer| self.0.pointer(pointer)?.as_str());
        let edges = self.0.pointer("/edges/edges").and_then(Value::as_array).into_iter().flatten();
        let of_edges = edges.flat_map(|edge| edge["problems"].as_array()).flatten();
        let of_edges = of_edges.filter_map(Value::as_str).take(3);
        shown.chain(of_edges).collect::<Vec<_>>().join("; ")
    }
}
