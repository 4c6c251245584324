//! The arguments of `edges`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::positive_time;

pub(super) const HOW_IT_WORKS: &str = "\
How it works:
  nats-server, `coupon-admin serve` and one `coupon-admin edge` (the agent) for each edge are the real
  programs, on this machine. In the place of each edge's coupond this program answers on a control
  socket as coupond does: it reads the index that the agent fetched, and gives blocks of clicks every
  100 ms, each block until coupon-admin has acknowledged it. So the figures of coupon-admin,
  nats-server and an agent are those of a fleet of this size, without the visits.
  First the edits are measured without edges, for --duration but at most a minute. Then the edges are
  registered and started. Once all serve the index, edits and clicks run for --duration; then the
  command waits until every click is counted.
  An edit is live on an edge when the edge's control socket answers a reload with an index that
  holds the edit. An edit's 'answer → live' begins with coupon-admin's answer to the edit.
  All programs share the machine's cores. If the cores are busy, the delays of edits are those of
  this machine, not those of the control plane: compare with the CPU lines.

  The index folders of the edges are in memory (/dev/shm), because in operation each edge has a disk
  of its own.

Needs: nats-server (Debian: apt install nats-server); for each edge about 20 MB of memory and two
copies of the index, of some 25 bytes a code; and descriptors for four files for each edge (ulimit -n).

Exit codes:
  0 every click was counted once and every edit was live on all edges   1 could not run
  2 bad arguments   4 clicks were lost or doubled, an edit was refused or not live on an edge

Examples:
  A hundred edges with two threads each, 5,000 clicks and 5 edits a second:
    coupon-loadtest edges --nodes 100 --clicks-per-second 5000 --edits-per-minute 300 --duration 60s
  Edits alone, or clicks alone:
    coupon-loadtest edges --nodes 200 --clicks-per-second 0 --edits-per-minute 1000 --duration 2m
    coupon-loadtest edges --nodes 200 --clicks-per-second 12000 --edits-per-minute 0";

/// Most edges: a few node ids are left for others.
const MAX_EDGES: i64 = 1_000;

#[derive(Debug, Clone, Args)]
pub(crate) struct EdgesArguments {
    /// Number of edges
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=MAX_EDGES))]
    pub(crate) nodes: u16,

    /// Serving threads of each edge; each makes a block of clicks every 100 ms
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,

    /// Clicks per second, over all edges; 0 for none
    #[arg(long, value_name = "N", default_value = "2000", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub(crate) clicks_per_second: u32,

    /// Edits per minute: codes move to another offer; 0 for none
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) edits_per_minute: u32,

    /// Duration of edits and clicks
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = positive_time)]
    pub(crate) duration: Duration,

    /// Codes of the network
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) codes: u32,

    /// coupon-admin [default: beside this program]
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_binary: Option<PathBuf>,

    /// Folder for the data of coupon-admin and nats-server during the run, on a disk as in operation
    /// [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Also write the report as JSON; `-` is the standard output (the table then goes to stderr)
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,

    /// Same seed, same codes
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
}
