//! `edges`: a fleet of edges against one control plane, with all programs but coupond real.
//!
//! The [`hub`] has the programs, the [`network`] offers and codes. Each edge has an agent, and a
//! [`light_daemon`] in the place of coupond. [`click_maker`] fills their [`click_queue`]s,
//! [`editors`] edit codes, and the [`report`] compares with the state of coupon-admin.
//!
//! Deliberately absent: visits, postbacks, and partitions of the network.

mod click_maker;
mod click_queue;
mod editors;
mod hub;
mod light_daemon;
mod network;
mod report;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::cli::EdgesArguments;
use crate::client::Client;
use crate::progress;
use crate::server::Scratch;
use crate::server::process::Family;
use click_maker::{ClickedCodes, ClicksMade, Schedule};
use editors::{Editors, EditsMade};
use hub::{AdminStatus, Agent, Hub, RegisteredEdge};
use light_daemon::{ControlSockets, LightDaemon};
use report::{ClickFigures, CountedClicks, EditFigures, Setup, StartTimes};
use usage::{FleetUsage, UsageSample};

pub(crate) use report::EdgesReport;

/// Edits without edges are measured for so long at most.
const MAX_ALONE: Duration = Duration::from_secs(60);
/// Longest wait for the last edge.
const LIVE_DEADLINE: Duration = Duration::from_secs(600);
/// Longest wait for the next click to be counted.
const COUNT_DEADLINE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Runs a fleet and measures it.
pub(crate) fn edges(arguments: &EdgesArguments) -> anyhow::Result<EdgesReport> {
    raise_descriptor_limit()?;
    let (disk, memory) = (Scratch::within(arguments.data.as_deref())?, Scratch::in_memory()?);
    let hub = Hub::prepare(disk.path(), memory.path(), arguments.admin_binary.as_deref())?;
    let alone = Alone::measure(&hub, arguments)?;
    let mut fleet = Fleet::start(&hub, arguments, memory.path())?;
    let Alone { codes, mut editors, edits: alone } = alone;
    let measured = fleet.measure(arguments, &codes, &mut editors)?;
    let settled = fleet.await_all_counted(&measured)?;
    let reloads: Vec<_> = fleet.daemons.iter().map(|daemon| daemon.reloads()).collect();
    let elapsed = (measured.begun, arguments.duration);
    Ok(EdgesReport {
        setup: Setup::new(arguments),
        edits: EditFigures::new(&alone, &measured.edits, &reloads, elapsed)?,
        clicks: ClickFigures::new(&measured.clicks, fleet.counted()?, settled),
        usage: measured.usage,
        start: fleet.times,
    })
}

/// Agents and sockets need many descriptors; the soft limit is low for the sake of old programs.
fn raise_descriptor_limit() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files")
}

/// The network before it has edges.
struct Alone {
    codes: Vec<String>,
    editors: Editors,
    edits: EditsMade,
}

impl Alone {
    fn measure(hub: &Hub, arguments: &EdgesArguments) -> anyhow::Result<Alone> {
        let admin = hub.start_admin(false)?;
        let network = hub.network();
        let mut client = Client::of_admin(&network)?;
        let codes = network::create(&mut client, arguments.codes, arguments.seed)?;
        let mut editors = Editors::prepare(&network)?;
        let duration = arguments.duration.min(MAX_ALONE);
        let bar = progress::seconds(duration.as_secs());
        bar.set_message("edits without edges");
        let edits = editors.make_edits(arguments.edits_per_minute, duration)?;
        bar.finish_and_clear();
        admin.stop().context("coupon-admin")?;
        Ok(Alone { codes, editors, edits })
    }
}

/// A running control plane with its edges. Programs end with this value, agents first.
struct Fleet {
    agents: Vec<Agent>,
    admin: Family,
    nats: Family,
    daemons: Vec<Arc<LightDaemon>>,
    _sockets: ControlSockets,
    client: Client,
    database: PathBuf,
    /// Size of the database before the clicks.
    database_bytes: u64,
    times: StartTimes,
}

/// The figures of the measured time.
struct Measured {
    begun: Instant,
    edits: EditsMade,
    clicks: ClicksMade,
    /// End of edits and clicks.
    ended: Instant,
    usage: FleetUsage,
}

impl Fleet {
    /// Starts a fleet, and waits until all edges serve the index.
    fn start(hub: &Hub, arguments: &EdgesArguments, sockets: &Path) -> anyhow::Result<Fleet> {
        let bar = progress::edges(arguments.nodes.into());
        bar.set_message("registered");
        let began = Instant::now();
        let edges = hub.register(arguments.nodes, &bar)?;
        let registered_s = began.elapsed().as_secs_f64();
        let nats = hub.start_nats()?;
        let admin = hub.start_admin(true)?;
        let daemons: Vec<_> = edges
            .iter()
            .map(|edge| Ok(Arc::new(LightDaemon::new(edge.node, edge.index())?)))
            .collect::<anyhow::Result<_>>()?;
        let paths = edges.iter().map(|edge| sockets.join(format!("{}.sock", edge.node)));
        let paths: Vec<_> = paths.collect();
        let opened: Vec<_> = daemons.iter().cloned().zip(paths.iter().cloned()).collect();
        let _sockets = ControlSockets::open(&opened)?;
        let client = Client::of_admin(&hub.network())?;
        let times = StartTimes { registered_s, all_live_s: 0.0 };
        let (agents, database, database_bytes) = (Vec::new(), hub.database(), 0);
        let mut fleet = Fleet {
            agents,
            admin,
            nats,
            daemons,
            _sockets,
            client,
            database,
            database_bytes,
            times,
        };
        fleet.start_agents(hub, edges.iter().zip(&paths), &bar)?;
        bar.finish_and_clear();
        Ok(fleet)
    }

    fn start_agents<'a>(
        &mut self,
        hub: &Hub,
        edges: impl Iterator<Item = (&'a RegisteredEdge, &'a PathBuf)>,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        bar.set_message("live");
        bar.set_position(0);
        let began = Instant::now();
        for (edge, socket) in edges {
            self.agents.push(hub.start_agent(edge, socket)?);
        }
        loop {
            let status = AdminStatus::fetch(&mut self.client)?;
            let published = status.generation().max(1);
            let is_live = |daemon: &&Arc<LightDaemon>| {
                daemon.served().is_some_and(|served| served.generation >= published)
            };
            let live = self.daemons.iter().filter(is_live).count();
            bar.set_position(live as u64);
            if live == self.daemons.len() {
                break;
            }
            self.agents.iter_mut().try_for_each(Agent::check_runs)?;
            ensure!(
                began.elapsed() < LIVE_DEADLINE,
                "only {live} edges serve the index after {LIVE_DEADLINE:?}: {}",
                status.problems()
            );
            std::thread::sleep(BETWEEN_LOOKS);
        }
        self.times.all_live_s = began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Makes clicks and edits for the time of the run.
    fn measure(
        &mut self,
        arguments: &EdgesArguments,
        codes: &[String],
        editors: &mut Editors,
    ) -> anyhow::Result<Measured> {
        let EdgesArguments { threads, clicks_per_second, duration, .. } = *arguments;
        let first = self.daemons.first().context("there is no edge")?;
        let codes = ClickedCodes::read(first.index(), codes)?;
        let streams = self.daemons.len() as u64 * u64::from(threads);
        let schedule = Schedule { threads, streams, clicks_per_second };
        self.database_bytes = file_bytes(&self.database);
        let before = self.sample()?;
        let (begun, clicks) = (Instant::now(), ClicksMade::default());
        let edits = std::thread::scope(|scope| {
            let (daemons, codes, made) = (&self.daemons, &codes, &clicks);
            let clicks = scope
                .spawn(move || click_maker::make_clicks(daemons, codes, schedule, duration, made));
            let edits = scope.spawn(|| editors.make_edits(arguments.edits_per_minute, duration));
            show_progress(begun, duration, made);
            join(clicks)?;
            join(edits)
        })?;
        let (ended, usage) = (Instant::now(), self.sample()?.since(&before));
        Ok(Measured { begun, edits, clicks, ended, usage })
    }

    fn sample(&self) -> anyhow::Result<UsageSample> {
        UsageSample::take(&self.admin, &self.nats, &self.agents)
            .context("a program does not run any more")
    }

    /// Waits until all clicks are counted and acknowledged, and all edits live, or nothing moves any
    /// more; returns the time from the last click on.
    fn await_all_counted(&mut self, measured: &Measured) -> anyhow::Result<Duration> {
        let made = measured.clicks.clicks.load(Ordering::Relaxed);
        let last = measured.edits.edits.iter().map(|edit| edit.sequence).max().unwrap_or(0);
        let bar = progress::clicks(made);
        let (mut before, mut moved) = ((0, 0, 0), Instant::now());
        loop {
            let counted = AdminStatus::fetch(&mut self.client)?.number("/intake/clicks");
            let waiting = self.daemons.iter().map(|daemon| daemon.unacknowledged()).sum::<usize>();
            let is_behind = |daemon: &&Arc<LightDaemon>| {
                daemon.served().is_none_or(|served| served.sequence < last)
            };
            let behind = self.daemons.iter().filter(is_behind).count();
            bar.set_position(counted);
            if counted >= made && waiting == 0 && behind == 0 {
                break;
            }
            if before != (counted, waiting, behind) {
                (before, moved) = ((counted, waiting, behind), Instant::now());
            }
            if moved.elapsed() > COUNT_DEADLINE {
                break;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        bar.finish_and_clear();
        Ok(measured.ended.elapsed())
    }

    /// What coupon-admin has counted.
    fn counted(&mut self) -> anyhow::Result<CountedClicks> {
        let status = AdminStatus::fetch(&mut self.client)?;
        Ok(CountedClicks {
            counted: self.gross_clicks()?,
            missing: status.number("/intake/missing"),
            rows: status.number("/intake/archived_blocks"),
            archive_bytes: status.number("/intake/archive_bytes"),
            database_bytes: file_bytes(&self.database).saturating_sub(self.database_bytes),
            commits: status.number("/intake/commits"),
            archive_appends: status.number("/intake/archive_appends"),
        })
    }

    /// All clicks in the report of the days around now.
    fn gross_clicks(&mut self) -> anyhow::Result<u64> {
        let day = |hours: i64| {
            let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
            at.strftime("%Y-%m-%d").to_string()
        };
        let query = json!({
            "from": day(-24), "to": day(24), "timezone": "UTC", "columns": [{"column": "offer"}],
        });
        let path = "/v1/networks/reporting/entity";
        let report = self.client.send_json("POST", path, &query)?.accepted()?.json();
        report["summary"]["gross_click"].as_u64().context("the report has no gross_click")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.agents.iter().for_each(|agent| agent.process().request_end());
    }
}

/// Shows time and clicks until the end of the run.
fn show_progress(begun: Instant, duration: Duration, made: &ClicksMade) {
    let bar = progress::seconds(duration.as_secs());
    while begun.elapsed() < duration {
        bar.set_position(begun.elapsed().as_secs());
        bar.set_message(format!("{} clicks", made.clicks.load(Ordering::Relaxed)));
        std::thread::sleep(BETWEEN_LOOKS.min(duration.saturating_sub(begun.elapsed())));
    }
    bar.finish_and_clear();
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Length of the database with its log; 0 for a missing file.
fn file_bytes(database: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    length(database) + length(&database.with_extension("db-wal"))
}
