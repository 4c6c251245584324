//! Clicks of all edges at a fixed rate, in blocks as serving threads make them.
//!
//! Each thread of each edge is a stream. A stream commits a block every 100 ms, if it has clicks;
//! the edges commit at different times. The number of clicks follows from the schedule, so a late
//! commit makes no fewer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use coupon_shared::click::block::BlockBuilder;
use coupon_shared::click::{ClickHead, MAX_RECORD_LEN, StreamId, Tag, VisitKind, encode_click};
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::Reason;
use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::snapshot::level::Level;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest};
use coupon_shared::transaction_id::{ClickIdKey, TransactionIdSource};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};

use super::light_daemon::{LightDaemon, unix_ms};
use crate::clicks::user_agent;

/// Time between two commits of a stream, coupond's default.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// Edges commit in so many groups.
const GROUPS: usize = 10;
const VISITORS: u32 = 20_000_000;

/// The codes of a served index, and the key of its click ids.
pub(super) struct ClickedCodes {
    key: ClickIdKey,
    generation: u64,
    codes: Vec<ClickedCode>,
}

struct ClickedCode {
    code: FoldedCode,
    id: u32,
    offer: u32,
    partner: u32,
    advertiser: u32,
}

impl ClickedCodes {
    /// Finds the codes in the index of a folder.
    pub(super) fn read(index: &Path, codes: &[String]) -> anyhow::Result<ClickedCodes> {
        let read = |name: &str| {
            let path = index.join(name);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let manifest = Manifest::parse(&read(CURRENT)?)?;
        let catalog = CatalogFile::open(&read(&manifest.catalog.catalog_file())?)?;
        let open = |bytes: Vec<u8>| anyhow::Ok(Level::open(Arc::<[u8]>::from(bytes))?);
        let levels = manifest.levels.iter().map(|level| open(read(&level.level_file())?));
        let levels: Vec<_> = levels.collect::<anyhow::Result<_>>()?;
        let find = |code: &String| {
            let code = FoldedCode::fold(code.as_bytes())?;
            let rows = levels.iter().find_map(|level| level.lookup(&code));
            let row = rows.and_then(|rows| rows.iter().next());
            let row = row.with_context(|| format!("the index has no code {code}"))?;
            let advertiser = catalog.offer(row.offer_id).map(|offer| offer.advertiser_id.into());
            anyhow::Ok(ClickedCode {
                code,
                id: row.code_id,
                offer: row.offer_id,
                partner: row.partner_id,
                advertiser: advertiser.context("the index lacks an offer of a code")?,
            })
        };
        Ok(ClickedCodes {
            key: catalog.click_id_key(),
            generation: manifest.generation,
            codes: codes.iter().map(find).collect::<anyhow::Result<_>>()?,
        })
    }
}

/// Clicks and blocks so far; other threads may read it.
#[derive(Debug, Default)]
pub(super) struct ClicksMade {
    pub(super) clicks: AtomicU64,
    pub(super) blocks: AtomicU64,
    pub(super) block_bytes: AtomicU64,
    /// Longest delay of a commit after its time.
    pub(super) late_ms: AtomicU64,
}

/// Makes clicks for `duration`.
pub(super) fn make_clicks(
    daemons: &[Arc<LightDaemon>],
    codes: &ClickedCodes,
    schedule: Schedule,
    duration: Duration,
    made: &ClicksMade,
) -> anyhow::Result<()> {
    let mut edges: Vec<Vec<Stream>> =
        (0..).zip(daemons).map(|(edge, daemon)| Stream::of_edge(daemon, edge, schedule)).collect();
    let mut visits = Visits::new(codes)?;
    let begun = Instant::now();
    let slot_time = COMMIT_INTERVAL / GROUPS as u32;
    let slots = duration.as_nanos() / slot_time.as_nanos();
    for slot in 0..u64::try_from(slots)? {
        let due = begun + slot_time.mul_f64(slot as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = u64::try_from(due.elapsed().as_millis())?;
        made.late_ms.fetch_max(late, Ordering::Relaxed);
        let (tick, group) = (slot / GROUPS as u64, slot as usize % GROUPS);
        let of_group = daemons.iter().zip(&mut edges).skip(group).step_by(GROUPS);
        for (daemon, streams) in of_group {
            commit(daemon, streams, tick, &mut visits, made)?;
        }
    }
    Ok(())
}

/// Commits one block for each stream of an edge.
fn commit(
    daemon: &LightDaemon,
    streams: &mut [Stream],
    tick: u64,
    visits: &mut Visits<'_>,
    made: &ClicksMade,
) -> anyhow::Result<()> {
    let mut blocks = Vec::with_capacity(streams.len());
    for stream in streams {
        let before = stream.next_sequence;
        let Some(block) = stream.next_block(tick, visits)? else { continue };
        made.clicks.fetch_add(stream.next_sequence - before, Ordering::Relaxed);
        made.blocks.fetch_add(1, Ordering::Relaxed);
        made.block_bytes.fetch_add(block.len() as u64, Ordering::Relaxed);
        blocks.push((stream.id, stream.next_sequence - 1, block));
    }
    daemon.commit(|queue| {
        blocks.into_iter().for_each(|(stream, last, block)| queue.push(stream, last, block));
    });
    Ok(())
}

/// How clicks are spread over streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) threads: u8,
    pub(super) streams: u64,
    pub(super) clicks_per_second: u32,
}

impl Schedule {
    /// Clicks of a stream before a commit; streams without a click at each commit take turns.
    fn clicks_before(self, stream: u64, tick: u64) -> u64 {
        let commits = COMMIT_INTERVAL.as_millis() as u64 * u64::from(self.clicks_per_second) * tick;
        (commits / 1_000 + stream) / self.streams
    }
}

/// The clicks of one serving thread.
struct Stream {
    id: StreamId,
    /// Number among the streams of all edges.
    number: u64,
    schedule: Schedule,
    ids: TransactionIdSource,
    next_sequence: u64,
    record: Vec<u8>,
}

impl Stream {
    fn of_edge(daemon: &LightDaemon, edge: u64, schedule: Schedule) -> Vec<Stream> {
        let identity = daemon.identity();
        let (node, incarnation) = (identity.node, identity.incarnation);
        let stream = |thread: u8| Stream {
            id: StreamId { node, incarnation, thread },
            number: edge * u64::from(schedule.threads) + u64::from(thread),
            schedule,
            ids: TransactionIdSource::new(node, thread, incarnation),
            next_sequence: 1,
            record: vec![0; MAX_RECORD_LEN],
        };
        (0..schedule.threads).map(stream).collect()
    }

    /// `None` without a click.
    fn next_block(
        &mut self,
        tick: u64,
        visits: &mut Visits<'_>,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let until = self.schedule.clicks_before(self.number, tick + 1);
        let count = until - self.schedule.clicks_before(self.number, tick);
        let mut builder = BlockBuilder::new(self.id, self.next_sequence);
        for _ in 0..count {
            visits.encode(&mut self.ids, &mut self.record);
            builder.push(&self.record)?;
        }
        self.next_sequence += count;
        Ok(builder.finish())
    }
}

/// Generates visits.
struct Visits<'a> {
    codes: &'a ClickedCodes,
    zipf: Zipf<f64>,
    rng: Xoshiro256PlusPlus,
}

impl<'a> Visits<'a> {
    fn new(codes: &'a ClickedCodes) -> anyhow::Result<Visits<'a>> {
        let zipf = Zipf::new(codes.codes.len() as f64, 1.0)?;
        Ok(Visits { codes, zipf, rng: Xoshiro256PlusPlus::seed_from_u64(1) })
    }

    fn encode(&mut self, ids: &mut TransactionIdSource, record: &mut [u8]) {
        let rank = self.zipf.sample(&mut self.rng) as usize;
        let code = &self.codes.codes[rank.clamp(1, self.codes.codes.len()) - 1];
        let (unix_ms, visitor) = (unix_ms(), self.rng.random_range(0..VISITORS));
        let head = ClickHead {
            transaction_id: ids.next(&self.codes.key, unix_ms),
            unix_ms,
            generation: self.codes.generation,
            code_id: code.id,
            offer_id: code.offer,
            partner_id: code.partner,
            advertiser_id: code.advertiser,
            reason: Reason::Redirected,
            kind: VisitKind::Click,
            rule: 0,
        };
        let address = visitor.wrapping_mul(2_654_435_761).to_be_bytes();
        let user_agent = user_agent(visitor);
        let tags: [(Tag, &[u8]); 5] = [
            (Tag::Host, b"go.example.com"),
            (Tag::Address, &address),
            (Tag::UserAgent, user_agent.as_bytes()),
            (Tag::Referer, b"https://www.example.com/stories"),
            (Tag::Language, b"en-US,en;q=0.9"),
        ];
        encode_click(&head, code.code.as_bytes(), &tags, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_share_the_clicks_evenly_and_lose_none() {
        for (streams, clicks_per_second) in [(4, 120), (7, 3), (400, 12_000), (400, 20_001)] {
            let schedule = Schedule { threads: 1, streams, clicks_per_second };
            let until = |stream, second| schedule.clicks_before(stream, second * 10);
            for second in 0..5 {
                let counts =
                    (0..streams).map(|stream| until(stream, second + 1) - until(stream, 0));
                let all: u64 = counts.clone().sum();
                assert_eq!(all, u64::from(clicks_per_second) * (second + 1), "{schedule:?}");
                assert!(counts.clone().max().unwrap() - counts.min().unwrap() <= 1);
            }
        }
        let three = Schedule { threads: 2, streams: 400, clicks_per_second: 12_000 };
        assert_eq!(three.clicks_before(399, 8) - three.clicks_before(399, 7), 3);
    }
}
