//! The command line. Each value is checked here by itself; [`crate::plan`] checks the values
//! together and reads the files.

mod edges;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use rustls::pki_types::ServerName;

use crate::connect::{ConnectMode, KeyExchange, TlsVersion};
use crate::contender::Contender;
use crate::source_addresses;
use crate::tls::TlsSettings;
use crate::tls::trust::Trust;
pub(crate) use edges::EdgesArguments;

/// Measure a running coupond from the side of its visitors, and generate the codes for it.
#[derive(Debug, Parser)]
#[command(name = "coupon-loadtest", version, about, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Make a million codes of offer 1 for a hundred partners, ready for a bulk upload:
    coupon-loadtest codes --count 1000000 --out codes.csv --offer-id 1 --affiliate-ids 1-100
  Load a daemon with them for half a minute, codes drawn as visitors do:
    coupon-loadtest run --codes codes.csv --rate 20000 --duration 30s --mixed-case
  The same as visitors come: a new TLS connection for each visit:
    coupon-loadtest run --codes codes.csv --rate 500 --target 127.0.0.1:8443 \\
      --connect tls-new --server-name go.example.com --tls-ca ca.pem";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send requests at a fixed rate and measure from the due time of each request
    #[command(after_help = HOW_IT_MEASURES)]
    Run(Box<RunArguments>),
    /// Write distinct, realistic coupon codes as a bulk-add CSV
    Codes(CodesArguments),
    /// Write a click archive as coupon-admin keeps it, to measure counting and reports with
    ///
    /// DIR gets `archive`, and `codes.csv` with the clicked codes. Import `codes.csv` into a new
    /// store in DIR with the offers and partners (ids from 1), so reports can name them; then
    /// `coupon-admin rebuild-reports --data DIR` counts the clicks.
    Clicks(ClicksArguments),
    /// Compare the CPU cost of a redirect on coupond, nginx, HAProxy and two constant servers
    #[command(after_help = HOW_IT_COMPARES)]
    Compare(CompareArguments),
    /// Raise the rate until latency rises steeply, for each way of connecting and share of misses
    #[command(after_help = HOW_IT_SWEEPS)]
    Sweep(SweepArguments),
    /// Replace coupond's index repeatedly under load, and measure whether visitors notice
    #[command(after_help = HOW_IT_SWAPS)]
    Swaps(SwapsArguments),
    /// Load coupond fully, and check that no click is lost and that misses cost no more than hits
    #[command(after_help = HOW_IT_SATURATES)]
    Saturate(SaturateArguments),
    /// Edit codes and offers, and measure the time from acceptance to the first visitor who sees it
    #[command(after_help = HOW_IT_EDITS)]
    Edits(EditsArguments),
    /// Run a control plane with many edges over a real NATS server, and measure it
    #[command(after_help = edges::HOW_IT_WORKS)]
    Edges(EdgesArguments),
    /// Fill a running coupon-admin with offers, partners and codes to measure on
    #[command(after_help = HOW_IT_FILLS)]
    Fill(FillArguments),
}

const HOW_IT_EDITS: &str = "\
How it measures:
  Edits are due at --rate. Each of the --editors owns some offers and codes, so no two edits touch
  the same object. 'sent → accepted' ends with the admin's answer: the edit is saved durably.
  'accepted → live' ends with the first visit at the redirect server that shows the edit; the
  admin's own statements about publication are not used. An editor waits for its edit before the
  next: 'sent late by' is the delay for lack of free editors.
  The visits count as clicks, and the objects stay: use a network made for measuring.
  The admin limits the requests of a network: start it with
  COUPON_ADMIN_LIMITS_NETWORK_REQUESTS_PER_30S=0.

Example, with 10,000,000 codes and 10,000 offers from nothing:
  COUPON_ADMIN_LIMITS_NETWORK_REQUESTS_PER_30S=0 coupon-admin demo --data ./ten-million &
  coupon-loadtest fill --key-file ./ten-million/admin/admin.key --codes 10000000
  coupon-loadtest edits --key-file ./ten-million/admin/admin.key --rate 50 --duration 1m
To measure during a large import, start the import in another terminal:
  coupon-loadtest fill --key-file ./ten-million/admin/admin.key --codes 1000000 --skip 10000000

Exit codes:
  0 all edits were seen   1 could not run   2 bad arguments   4 an edit was refused or never seen";

const HOW_IT_FILLS: &str = "\
How it fills:
  The API creates missing advertisers, offers and partners; 1 % of the pairs of the first hundred
  offers and partners get an approval. Codes are uploaded as CSV files of a million rows, staged and
  committed one after the other. For each file the command prints the times for staging, for the
  commit, and until a visitor is redirected by its last code. To measure further imports, --skip
  continues after the codes of an earlier run with the same --seed.

Example:
  COUPON_ADMIN_LIMITS_NETWORK_REQUESTS_PER_30S=0 coupon-admin demo --data ./ten-million &
  coupon-loadtest fill --key-file ./ten-million/admin/admin.key --codes 10000000";

const HOW_IT_MEASURES: &str = "\
How it measures:
  Each request has a due time, independent of the server. Latency counts from the due time to the
  last byte of the answer, so a stall also delays the requests that wait behind it. 'connection wait'
  is the part spent waiting for a free connection, 'connecting' the part until a new connection could
  send, TLS handshake included. 'generator lag' is this program's own delay, in
  sending and in reading; if its p99 exceeds --max-lag the run is void: give the generator a core of
  its own (taskset), or lower the rate. Server and generator on one core disturb each other.
  --connect says how visits come. With new, tls-new and tls-resumed each request has a connection of
  its own, closed by this program after the answer, as by a visitor who leaves. For tls-resumed it
  learns session tickets before measuring; a run in which a handshake was full nevertheless is void.

Exit codes:
  0 measured   1 could not run   2 bad arguments   3 void   4 an answer not in --expect-status";

const HOW_IT_COMPARES: &str = "\
How it compares:
  Each server runs on --server-core with its best settings and the same codes. The servers are loaded
  in turn for a slice, round after round. The figure of a slice is the CPU time of all threads of the
  server divided by the answered requests. Servers are compared by the ratio of slices of one round;
  the report gives median and range of the ratios. 'core busy' is the server's share of its core:
  with many connections and far below 1, the generator was the bottleneck. With --rate latencies are
  compared, too; at a rate at which the generator lags they are marked VOID.
  Each of --connect and --connections has its table. The servers get a certificate (ECDSA P-256) of
  the run, and session tickets are learned before each slice. A slice with a full handshake among
  resumed ones fails. The default key exchange is the same work for every server; with
  --key-exchange hybrid each takes the best that it knows. nginx and HAProxy come from the system (Debian:
  apt install nginx haproxy) and are left out if not installed. A server that answers within three
  seconds is started five times, because the first start may include the cost of memory that the
  system has not handed out before.

Example:
  coupon-loadtest codes --count 1000000 --out codes.csv
  coupon-loadtest compare --codes codes.csv --out figures
Visits as browsers make them: on new connections, one or 64 at a time, plain and with TLS:
  coupon-loadtest compare --codes codes.csv --connect new,tls-new,tls-resumed --connections 1,64 \\
    --mix zipf
Latencies of new TLS visits at 1,000 a second:
  coupon-loadtest compare --codes codes.csv --connect tls-new --mix zipf --rate 1000 \\
    --contenders coupond,nginx";

/// Details of how visitors connect.
#[derive(Debug, Clone, Args)]
pub(crate) struct VisitorArguments {
    /// Say `Connection: close` where each request has its own connection, so that the server closes
    /// first; browsers do not say so
    #[arg(long)]
    pub(crate) connection_close: bool,

    /// Loopback addresses from which visits come in turn, for a target in 127.0.0.0/8 [default: 64
    /// if each request has its own connection, otherwise 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32_768))]
    source_addresses: Option<u16>,

    /// TLS version of visitors
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = TlsVersion::Tls13)]
    tls_version: TlsVersion,

    /// Key exchange that visitors offer
    #[arg(long, value_name = "KIND", value_enum, default_value_t = KeyExchange::X25519)]
    key_exchange: KeyExchange,
}

impl VisitorArguments {
    /// Number of addresses from which connections to `target` come.
    pub(crate) fn source_addresses(&self, target: SocketAddr, way: ConnectMode) -> u16 {
        let many = !way.keeps_connections() && source_addresses::reaches(target);
        let default = if many { source_addresses::DEFAULT_FOR_NEW_CONNECTIONS } else { 1 };
        self.source_addresses.unwrap_or(default)
    }

    pub(crate) fn tls_settings(
        &self,
        server_name: ServerName<'static>,
        trust: Arc<Trust>,
    ) -> TlsSettings {
        let Self { tls_version: version, key_exchange, .. } = *self;
        TlsSettings { server_name, version, key_exchange, trust }
    }
}

/// The names of a running server.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// Host header, normally a tracking domain [default: --server-name, otherwise the target]
    #[arg(long, value_name = "NAME", value_parser = header_value)]
    host: Option<String>,

    /// Name of the server in TLS, which its certificate must hold
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub(crate) server_name: Option<ServerName<'static>>,

    /// Trusted certificates, as PEM: an authority's, or the server's own [default: the public
    /// authorities]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
}

impl ServerArguments {
    pub(crate) fn host(&self, target: SocketAddr) -> String {
        let tls_name = || self.server_name.as_ref().map(|name| name.to_str().into_owned());
        self.host.clone().or_else(tls_name).unwrap_or_else(|| target.to_string())
    }

    /// An option that only concerns TLS, if given.
    pub(crate) fn tls_option(&self) -> Option<&'static str> {
        let name = self.server_name.as_ref().map(|_| "--server-name");
        name.or(self.tls_ca.as_ref().map(|_| "--tls-ca"))
    }
}

/// Arguments of measurements that start their servers.
#[derive(Debug, Args)]
pub(crate) struct TestBedArguments {
    /// Codes to serve and to request, as `codes` writes them
    #[arg(long, value_name = "FILE")]
    pub(crate) codes: PathBuf,

    /// Core of the measured server
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) server_core: usize,

    /// Core of the generator
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) generator_core: usize,

    /// Folder of coupond and the constant servers [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,

    /// Also write the figures into this folder, as JSON, and as SVG if there is a chart
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Same seed, same requests
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    #[command(flatten)]
    pub(crate) test_bed: TestBedArguments,

    /// Ways of connecting, each with its tables
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "keep-alive")]
    pub(crate) connect: Vec<ConnectMode>,

    /// Numbers of connections at a time, each with its tables
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "64", value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub(crate) connections: Vec<u32>,

    #[command(flatten)]
    pub(crate) visitors: VisitorArguments,

    /// Servers to compare, in this order
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "coupond,nginx,nginx-no-log,haproxy,nginx-coupond,hyper,epoll"
    )]
    pub(crate) contenders: Vec<Contender>,

    /// Kinds of requests
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "zipf,uniform,misses")]
    pub(crate) mix: Vec<Mix>,

    /// Number of slices per server
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,

    /// Duration of a slice
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = positive_time)]
    pub(crate) slice: Duration,

    /// Requests per second for all servers; a server that falls behind ends the comparison
    /// [default: all connections busy]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
}

const HOW_IT_SWEEPS: &str = "\
How it sweeps:
  Each step is a `run`, measured from the due times. A line ends at its knee: the first step in which
  p99 exceeds --knee, or fewer than 98 % of the requests were answered in time, or the generator
  lagged (marked so: this is not the server's knee). Such a step is repeated once before it ends the
  line, because another tenant of the machine may have been the cause. Give server and generator a
  core each (taskset).
  --connect names the ways of connecting, each with its lines; connections that stay open have a
  line for each of --requests-per-connection.

Example:
  coupon-loadtest sweep --codes codes.csv --target 127.0.0.1:8443 --connect tls-new,tls-resumed \\
    --server-name go.example.com --tls-ca ca.pem --from 100";

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// Address of the server
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) target: SocketAddr,

    #[command(flatten)]
    pub(crate) server: ServerArguments,

    /// Codes to request: one per line, or a CSV with a `coupon_code` column
    #[arg(long, value_name = "FILE")]
    pub(crate) codes: PathBuf,

    /// Ways of connecting: with TLS, or without it, as the target has one kind of port
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "keep-alive")]
    pub(crate) connect: Vec<ConnectMode>,

    #[command(flatten)]
    pub(crate) visitors: VisitorArguments,

    /// Requests on a connection that stays open (keep-alive, tls-keep-alive) before it is closed; 0
    /// is unlimited
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,10,1")]
    pub(crate) requests_per_connection: Vec<u64>,

    /// Shares of requests for unknown codes; above 0, coupond needs
    /// `limits.misses_per_minute = 0`
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,0.5,1", value_parser = ratio)]
    pub(crate) miss_ratio: Vec<f64>,

    /// The first rate, in requests per second
    #[arg(long, value_name = "N", default_value = "5000", value_parser = rate)]
    pub(crate) from: f64,

    /// The last rate
    #[arg(long, value_name = "N", default_value = "200000", value_parser = rate)]
    pub(crate) to: f64,

    /// Ratio of each rate to the previous rate
    #[arg(long, value_name = "F", default_value = "1.3", value_parser = factor)]
    pub(crate) factor: f64,

    /// Duration of a step
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = positive_time)]
    pub(crate) duration: Duration,

    /// Connections
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) connections: u32,

    /// p99 at which a line ends
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = positive_time)]
    pub(crate) knee: Duration,

    /// Generator lag (p99) above which a line ends without a knee
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = positive_time)]
    pub(crate) max_lag: Duration,

    /// Also write sweep.json and sweep.svg into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

const HOW_IT_SWAPS: &str = "\
How it swaps:
  coupond runs on --server-core, with click log and limits on, over all codes of the file. All
  indexes are written beforehand: small levels as edits make them, and whole bases. The first step
  measures the capacity, with all connections busy. Then --generator-core sends a share of it
  open-loop while one index after the other is published. Latencies count from the due time, in
  buckets of 100 ms:
    steady   before the first swap and after the last one
    during   from a publication until its index is live; with a new base, also while the old is freed
    between  the rest
  The hottest codes lead to a page that names the generation. An answer is stale if its index was
  confirmed as replaced before the request was sent, or was not yet published.

Exit codes:
  0 measured   1 could not run   2 bad arguments   3 void: the generator lagged (p99.9 > --max-lag)
  4 a request was not answered, not redirected, or answered from a stale index

Example:
  coupon-loadtest codes --count 10000000 --out codes.csv
  coupon-loadtest swaps --codes codes.csv --out figures";

#[derive(Debug, Args)]
pub(crate) struct SwapsArguments {
    #[command(flatten)]
    pub(crate) test_bed: TestBedArguments,

    /// Connections
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub(crate) connections: u32,

    /// Requests per second [default: --load of the capacity]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Share of the capacity that is measured with all connections busy
    #[arg(long, value_name = "0..1", default_value = "0.7", value_parser = load)]
    pub(crate) load: f64,

    /// Number of replacements of the small level
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) level_swaps: u32,

    /// Number of replacements of the base
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) base_swaps: u32,

    /// Time from one swap to the next
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = positive_time)]
    pub(crate) every: Duration,

    /// Steady time before the first swap and after the last one
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_time)]
    pub(crate) steady: Duration,

    /// Codes in the small level
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) level_codes: u32,

    /// Distribution of requested codes: a few hot codes and a long tail, or uniform
    #[arg(long, value_enum, default_value_t = KeyDistribution::Zipf)]
    pub(crate) draw: KeyDistribution,

    /// Generator lag (p99.9) above which the run is void
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = positive_time)]
    pub(crate) max_lag: Duration,

    /// Folder for indexes and click log during the run [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

const HOW_IT_SATURATES: &str = "\
How it saturates:
  coupond runs on --server-core with all its threads, click log included, and its files on a disk.
  --generator-core keeps every connection busy: a slice of visits to known codes, then a slice of
  visits to unknown codes, round after round. Then coupond is stopped and the clicks in its log are
  counted. Each answered redirect must be logged exactly once or be counted as unlogged. 'core busy'
  far below 1 means that the generator, not coupond, was the bottleneck.

Exit codes:
  0 measured, every click accounted for   1 could not run   2 bad arguments
  4 clicks were lost or logged twice, or an answer had an unexpected status

Example:
  coupon-loadtest codes --count 10000000 --out codes.csv
  coupon-loadtest saturate --codes codes.csv --out figures";

#[derive(Debug, Args)]
pub(crate) struct SaturateArguments {
    #[command(flatten)]
    pub(crate) test_bed: TestBedArguments,

    /// Connections
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub(crate) connections: u32,

    /// Number of rounds, each with hits and misses
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,

    /// Duration of a slice
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = positive_time)]
    pub(crate) slice: Duration,

    /// Distribution of requested codes: a few hot codes and a long tail, or uniform
    #[arg(long, value_enum, default_value_t = KeyDistribution::Zipf)]
    pub(crate) draw: KeyDistribution,

    /// Where index and click log are kept while it runs [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// The admin and its redirect server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Network {
    /// Address of the admin API
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8090")]
    pub(crate) admin: SocketAddr,

    /// File with an admin key, such as admin.key in the admin's data folder
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,

    /// Address of the redirect server
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) target: SocketAddr,

    /// Host header of visits, normally a tracking domain [default: the target]
    #[arg(long, value_name = "NAME", value_parser = header_value)]
    pub(crate) host: Option<String>,

    /// Longest wait for an answer, and for a visitor to see a change
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = positive_time)]
    pub(crate) timeout: Duration,
}

impl Network {
    pub(crate) fn host(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.target.to_string())
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EditsArguments {
    #[command(flatten)]
    pub(crate) network: Network,

    /// Edits per second
    #[arg(long, value_name = "N", default_value = "20", value_parser = rate)]
    pub(crate) rate: f64,

    /// Duration of the run
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive_time)]
    pub(crate) duration: Duration,

    /// Kinds of edits with their shares: a code moves to another offer, a code is created, an
    /// offer's destination changes
    #[arg(
        long,
        value_name = "KIND=N,…",
        value_delimiter = ',',
        default_value = "code=8,creation=1,offer=1"
    )]
    pub(crate) mix: Vec<Share>,

    /// Editors at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) editors: u16,

    /// Visits per second during the edits, to the codes in --codes
    #[arg(long, value_name = "N", value_parser = rate, requires = "codes")]
    pub(crate) load_rate: Option<f64>,

    /// Codes for --load-rate: one per line, or a CSV with a `coupon_code` column
    #[arg(long, value_name = "FILE")]
    pub(crate) codes: Option<PathBuf>,

    /// Also write the report as JSON; `-` is the standard output (the table then goes to stderr)
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,
}

/// Kinds of edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EditKind {
    /// A code moves to another offer
    Code,
    /// A code is created
    Creation,
    /// An offer's destination changes
    Offer,
}

impl std::fmt::Display for EditKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Share of the edits of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) kind: EditKind,
    pub(crate) parts: u32,
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let wrong = || format!("`{typed}` is not KIND=N with one of code, creation, offer");
        let (kind, parts) = typed.split_once('=').ok_or_else(wrong)?;
        let kind = EditKind::from_str(kind, false).map_err(|_| wrong())?;
        Ok(Share { kind, parts: parts.parse().map_err(|_| wrong())? })
    }
}

#[derive(Debug, Args)]
pub(crate) struct FillArguments {
    #[command(flatten)]
    pub(crate) network: Network,

    /// Number of codes to import
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    pub(crate) codes: u64,

    /// Number of codes to skip: the codes of an earlier run
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    pub(crate) skip: u64,

    /// Rows of one file
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rows_per_file: u64,

    /// Least number of offers after the run; codes are spread over the offers
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) offers: u32,

    /// Least number of partners after the run; each code belongs to one partner
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) affiliates: u32,

    /// Offers made by this run get a ruleset with six lists, which lets most visitors pass
    #[arg(long)]
    pub(crate) rulesets: bool,

    /// Least number of traffic controls after the run, each with 3,000 values, spread over the
    /// offers
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=400))]
    pub(crate) controls: u32,

    /// Same seed, same codes
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
}

/// Requested codes of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mix {
    /// A few hot codes and a long tail
    Zipf,
    /// All codes equally often
    Uniform,
    /// Unknown codes
    Misses,
}

impl Mix {
    pub(crate) fn hits(self) -> bool {
        self != Mix::Misses
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Address of the server
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) target: SocketAddr,

    #[command(flatten)]
    pub(crate) server: ServerArguments,

    /// How visits connect
    #[arg(long, value_name = "WAY", value_enum, default_value_t = ConnectMode::KeepAlive)]
    pub(crate) connect: ConnectMode,

    #[command(flatten)]
    pub(crate) visitors: VisitorArguments,

    /// Requests per second, over all threads
    #[arg(long, value_name = "N", default_value = "1000", value_parser = rate)]
    pub(crate) rate: f64,

    /// Duration of measuring
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_time)]
    pub(crate) duration: Duration,

    /// Time at the same rate before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) warmup: Duration,

    /// Connections, over all threads; each carries one request at a time
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) connections: u32,

    /// Requests per connection before it is replaced [default: unlimited]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests_per_connection: Option<u64>,

    /// Codes to request: one per line, or a CSV with a `coupon_code` column
    #[arg(long, value_name = "FILE")]
    pub(crate) codes: PathBuf,

    /// Distribution of requested codes: a few hot codes and a long tail, or uniform
    #[arg(long, value_enum, default_value_t = KeyDistribution::Zipf)]
    pub(crate) draw: KeyDistribution,

    /// Exponent of the Zipf distribution; 0 is uniform
    #[arg(long, value_name = "S", default_value = "1.0", value_parser = exponent)]
    pub(crate) zipf_exponent: f64,

    /// Write each letter of a code in upper or lower case at random
    #[arg(long)]
    pub(crate) mixed_case: bool,

    /// Share of requests for well-formed codes that are not in the file (longer than all codes in
    /// the file). coupond then needs `limits.misses_per_minute = 0`, because all requests come from
    /// one address
    #[arg(long, value_name = "0..1", default_value = "0", value_parser = ratio)]
    pub(crate) miss_ratio: f64,

    /// Same seed, same codes in the same order (per thread)
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,

    /// Headers to send: as a browser does, or only Host
    #[arg(long, value_enum, default_value_t = HeaderSet::Browser)]
    pub(crate) header_set: HeaderSet,

    /// Query string of each request, such as `sub1=load`
    #[arg(long, value_name = "QUERY", value_parser = query)]
    pub(crate) query: Option<String>,

    /// Sending threads; rate and connections are divided among the threads
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,

    /// Longest wait for an answer (or a new connection), from the sending
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = positive_time)]
    pub(crate) timeout: Duration,

    /// Longest wait for open requests after the last due time [default: the timeout and one second]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) drain: Option<Duration>,

    /// Requests that may wait for a free connection; further requests count as never sent
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) queue: u32,

    /// Generator lag (p99) above which the run is void
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = positive_time)]
    pub(crate) max_lag: Duration,

    /// Expected statuses: `302`, `3xx`, or several as `302,404`
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) expect_status: Vec<StatusPattern>,

    /// Also write the report as JSON; `-` is the standard output (the table then goes to stderr)
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,

    /// Append a line for each answer, warm-up included: Unix microseconds, status, code as sent,
    /// transaction id (tab-separated)
    #[arg(long, value_name = "FILE")]
    pub(crate) answered_log: Option<PathBuf>,

    /// Query parameter of the Location that holds the transaction id, for --answered-log
    #[arg(long, value_name = "NAME", default_value = "transaction_id", value_parser = query)]
    pub(crate) transaction_param: String,
}

#[derive(Debug, Args)]
pub(crate) struct CodesArguments {
    /// Number of codes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) count: u64,

    /// The CSV to write; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Offers of the codes: an id, or a range such as 1-10; each code gets one offer
    #[arg(long, value_name = "ID|A-B", default_value = "1", value_parser = ids)]
    pub(crate) offer_id: RangeInclusive<u32>,

    /// Partners of the codes: an id, or a range; each code gets one partner
    #[arg(long, value_name = "ID|A-B", default_value = "1-100", value_parser = ids)]
    pub(crate) affiliate_ids: RangeInclusive<u32>,

    /// Same seed, same file
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ClicksArguments {
    /// Number of clicks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub(crate) count: u64,

    /// Number of clicked codes
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) codes: u32,

    /// Number of days with clicks
    #[arg(long, value_name = "N", default_value = "31", value_parser = clap::value_parser!(u32).range(1..=3_660))]
    pub(crate) days: u32,

    /// First day, in UTC
    #[arg(long, value_name = "DAY", default_value = "2026-10-01")]
    pub(crate) from: jiff::civil::Date,

    /// Data folder to write to, without an archive
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Number of offers
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) offers: u32,

    /// Number of partners
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) affiliates: u32,

    /// Number of advertisers
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) advertisers: u32,

    /// Exponent of the Zipf distribution of codes; 0 is uniform
    #[arg(long, value_name = "S", default_value = "1.0", value_parser = exponent)]
    pub(crate) zipf_exponent: f64,

    /// Same seed, same bytes
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyDistribution {
    /// The n-th most requested code gets a share in proportion to 1/n^exponent
    Zipf,
    /// All codes equally often
    Uniform,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HeaderSet {
    /// 10 to 14 headers, of several browsers in turn
    Browser,
    /// Host alone
    Minimal,
}

/// A status (`302`) or a class of statuses (`3xx`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusPattern {
    low: u16,
    high: u16,
}

impl StatusPattern {
    pub(crate) fn matches(self, status: u16) -> bool {
        (self.low..=self.high).contains(&status)
    }
}

impl std::str::FromStr for StatusPattern {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let wrong = || format!("`{typed}` is neither a status such as 302 nor a class such as 3xx");
        let (low, high) = match typed.strip_suffix("xx") {
            Some(class) => {
                let class: u16 = class.parse().map_err(|_| wrong())?;
                (class.saturating_mul(100), class.saturating_mul(100).saturating_add(99))
            }
            None => {
                let status: u16 = typed.parse().map_err(|_| wrong())?;
                (status, status)
            }
        };
        if (100..=999).contains(&low) { Ok(Self { low, high }) } else { Err(wrong()) }
    }
}

fn time(typed: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        typed.parse().map_err(|_| "write it with a unit, such as 500ms, 10s or 2m".to_owned())?;
    let time = Duration::try_from(signed).map_err(|_| "a time cannot be negative".to_owned())?;
    if time > Duration::from_secs(7 * 24 * 3600) {
        return Err("at most a week".to_owned());
    }
    Ok(time)
}

fn positive_time(typed: &str) -> Result<Duration, String> {
    match time(typed)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        time => Ok(time),
    }
}

fn number(typed: &str, allowed: RangeInclusive<f64>) -> Result<f64, String> {
    match typed.parse::<f64>() {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(format!("a number from {} to {} is needed", allowed.start(), allowed.end())),
    }
}

fn rate(typed: &str) -> Result<f64, String> {
    number(typed, 0.01..=10_000_000.0)
}

fn exponent(typed: &str) -> Result<f64, String> {
    number(typed, 0.0..=10.0)
}

fn ratio(typed: &str) -> Result<f64, String> {
    number(typed, 0.0..=1.0)
}

fn load(typed: &str) -> Result<f64, String> {
    number(typed, 0.01..=1.0)
}

fn factor(typed: &str) -> Result<f64, String> {
    number(typed, 1.01..=10.0)
}

fn header_value(typed: &str) -> Result<String, String> {
    if !typed.is_empty() && typed.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(typed.to_owned())
    } else {
        Err("only visible ASCII characters, no spaces, and at least one".to_owned())
    }
}

fn server_name(typed: &str) -> Result<ServerName<'static>, String> {
    let wrong =
        |_| format!("`{typed}` is neither a host name such as go.example.com nor an address");
    ServerName::try_from(typed.to_owned()).map_err(wrong)
}

fn query(typed: &str) -> Result<String, String> {
    let typed = typed.strip_prefix('?').unwrap_or(typed);
    match header_value(typed)? {
        query if query.contains('#') => Err("`#` ends a query; write it as %23".to_owned()),
        query => Ok(query),
    }
}

fn ids(typed: &str) -> Result<RangeInclusive<u32>, String> {
    let wrong = || format!("`{typed}` is neither an id such as 7 nor a range such as 1-100");
    let (first, last) = typed.split_once('-').unwrap_or((typed, typed));
    let first: u32 = first.parse().map_err(|_| wrong())?;
    let last: u32 = last.parse().map_err(|_| wrong())?;
    if first == 0 || first > last { Err(wrong()) } else { Ok(first..=last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_status_pattern_is_a_status_or_a_class() {
        let class: StatusPattern = "3xx".parse().unwrap();
        assert!(class.matches(302) && class.matches(399) && !class.matches(404));
        let status: StatusPattern = "404".parse().unwrap();
        assert!(status.matches(404) && !status.matches(403));
        for wrong in ["", "xx", "0xx", "99", "3x", "302a", "70000"] {
            assert!(wrong.parse::<StatusPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_need_a_unit_and_may_not_be_negative() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("1m30s"), Ok(Duration::from_secs(90)));
        assert!(time("10").is_err() && time("-1s").is_err() && time("9999h").is_err());
        assert!(positive_time("0s").is_err());
    }

    #[test]
    fn ids_are_one_or_a_range_that_runs_upward() {
        assert_eq!(ids("7"), Ok(7..=7));
        assert_eq!(ids("1-100"), Ok(1..=100));
        assert!(ids("0").is_err() && ids("9-1").is_err() && ids("a-b").is_err());
    }

    #[test]
    fn a_share_is_a_kind_and_its_parts() {
        assert_eq!("offer=3".parse(), Ok(Share { kind: EditKind::Offer, parts: 3 }));
        for wrong in ["offer", "offer=", "offers=1", "=1", "code=-1"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_query_cannot_break_the_request_line() {
        assert_eq!(query("?sub1=load"), Ok("sub1=load".to_owned()));
        assert!(query("a b").is_err() && query("a\r\nX: y").is_err() && query("a#b").is_err());
    }
}
