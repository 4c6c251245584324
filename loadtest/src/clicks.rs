//! Writes a click archive in coupon-admin's format, for measuring ingest and reports.
//!
//! The blocks are real ones of two serving threads; equal arguments give equal bytes. Clicks are
//! spread evenly over the days. The id of a code is its row in `codes.csv`, which is written beside
//! the archive; partner, offer and advertiser follow from the id. Codes follow the Zipf
//! distribution. A few visits come from bots, hit paused codes, are prefetched or repeated; some
//! have subs, with a `sub2` that rarely repeats.
//!
//! Deliberately absent: a store. Import `codes.csv` with `coupon-admin import` into a network with
//! the offers and partners.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use coupon_shared::click::block::BlockBuilder;
use coupon_shared::click::{ClickHead, MAX_RECORD_LEN, StreamId, Tag, VisitKind, encode_click};
use coupon_shared::decision::Reason;
use coupon_shared::framed_log::{FramedLog, FramedLogError, Options};
use coupon_shared::transaction_id::{ClickIdKey, TransactionIdSource};
use indicatif::ProgressBar;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};

use crate::cli::ClicksArguments;
use crate::codes::scatter::Scatter;

const DAY_MS: u64 = 86_400_000;
const THREADS: u8 = 2;
const CLICKS_PER_BLOCK: u64 = 150;
/// Blocks per sync.
const BLOCKS_PER_APPEND: usize = 1_000;
/// The options of coupon-admin.
const ARCHIVE: Options = Options { segment_bytes: 16 << 20, max_frame_bytes: 4 << 20 };
const VISITORS: u32 = 20_000_000;

/// Reasons for an incomplete archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClicksError {
    /// The archive must hold generated clicks only.
    #[error("there is a click archive in {} already; name another folder", .0.display())]
    Exists(PathBuf),
    /// The archive could not be written.
    #[error(transparent)]
    Archive(#[from] FramedLogError),
    /// The code file could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Codes { path: PathBuf, source: std::io::Error },
    /// A record could not be encoded.
    #[error(transparent)]
    Record(#[from] coupon_shared::click::ClickError),
}

/// Result of writing.
pub(crate) struct Written {
    pub(crate) clicks: u64,
    pub(crate) bytes: u64,
}

pub(crate) fn write(
    arguments: &ClicksArguments,
    progress: &ProgressBar,
) -> Result<Written, ClicksError> {
    let folder = arguments.out.join("archive");
    if folder.exists() {
        return Err(ClicksError::Exists(arguments.out.clone()));
    }
    let path = arguments.out.join("codes.csv");
    write_codes(arguments, &path).map_err(|source| ClicksError::Codes { path, source })?;
    let (mut log, _) = FramedLog::open(&folder, ARCHIVE)?;
    let mut visits = Visits::new(arguments);
    let mut streams = (0..THREADS).map(Stream::new).collect::<Vec<_>>();
    let (mut blocks, mut clicks) = (Vec::new(), 0);
    for at in 0.. {
        let count = CLICKS_PER_BLOCK.min(arguments.count - clicks);
        if count == 0 {
            break;
        }
        let stream = &mut streams[at % usize::from(THREADS)];
        blocks.extend(stream.block(&mut visits, clicks..clicks + count)?);
        clicks += count;
        if blocks.len() >= BLOCKS_PER_APPEND {
            append(&mut log, &mut blocks)?;
            progress.set_position(clicks);
        }
    }
    append(&mut log, &mut blocks)?;
    Ok(Written { clicks, bytes: log.bytes_on_disk() })
}

fn append(log: &mut FramedLog, blocks: &mut Vec<Vec<u8>>) -> Result<(), FramedLogError> {
    let payloads: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    if !payloads.is_empty() {
        log.append_synced(&payloads)?;
    }
    blocks.clear();
    Ok(())
}

fn write_codes(arguments: &ClicksArguments, path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(&arguments.out)?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(b"offer_id,affiliate_id,coupon_code,status\n")?;
    for id in 1..=arguments.codes {
        let Owner { offer, affiliate, .. } = Owner::of_code(arguments, id);
        writeln!(out, "{offer},{affiliate},{},active", code(id))?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

fn code(id: u32) -> String {
    format!("LOAD{id:06}")
}

/// Offer, partner and advertiser of a code.
struct Owner {
    offer: u32,
    affiliate: u32,
    advertiser: u32,
}

impl Owner {
    fn of_code(arguments: &ClicksArguments, id: u32) -> Owner {
        let mixed = u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let offer = 1 + (mixed % u64::from(arguments.offers)) as u32;
        let affiliate = 1 + (mixed / 1_009 % u64::from(arguments.affiliates)) as u32;
        Owner { offer, affiliate, advertiser: 1 + offer % arguments.advertisers }
    }
}

/// Click stream of one serving thread.
struct Stream {
    id: StreamId,
    ids: TransactionIdSource,
    next_sequence: u64,
    record: Vec<u8>,
}

impl Stream {
    fn new(thread: u8) -> Stream {
        Stream {
            id: StreamId { node: 0, incarnation: 1, thread },
            ids: TransactionIdSource::new(0, thread, 1),
            next_sequence: 1,
            record: vec![0; MAX_RECORD_LEN],
        }
    }

    fn block(
        &mut self,
        visits: &mut Visits<'_>,
        clicks: std::ops::Range<u64>,
    ) -> Result<Option<Vec<u8>>, ClicksError> {
        let mut builder = BlockBuilder::new(self.id, self.next_sequence);
        self.next_sequence += clicks.end - clicks.start;
        for click in clicks {
            visits.encode(click, &mut self.ids, &mut self.record);
            builder.push(&self.record)?;
        }
        Ok(builder.finish())
    }
}

/// Generates visits.
struct Visits<'a> {
    arguments: &'a ClicksArguments,
    first_ms: u64,
    zipf: Option<Zipf<f64>>,
    scatter: Scatter,
    rng: Xoshiro256PlusPlus,
    /// Visitor and code of the previous visit.
    last: (u32, u32),
}

impl<'a> Visits<'a> {
    fn new(arguments: &'a ClicksArguments) -> Visits<'a> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(arguments.seed);
        let first_day = arguments.from.to_zoned_datetime(jiff::tz::TimeZone::UTC);
        let first_ms = first_day.map_or(0, |day| day.timestamp().as_millisecond());
        Visits {
            arguments,
            first_ms: u64::try_from(first_ms).unwrap_or(0),
            zipf: Zipf::new(f64::from(arguments.codes), arguments.zipf_exponent).ok(),
            scatter: Scatter::new(arguments.codes.into(), &mut rng),
            rng,
            last: (0, 1),
        }
    }

    fn encode(&mut self, click: u64, ids: &mut TransactionIdSource, record: &mut [u8]) {
        let span_ms = u128::from(self.arguments.days) * u128::from(DAY_MS);
        let after_ms = span_ms * u128::from(click) / u128::from(self.arguments.count);
        let unix_ms = self.first_ms + after_ms as u64;
        let (visitor, code_id) = self.who_and_what();
        let Owner { offer, affiliate, advertiser } = Owner::of_code(self.arguments, code_id);
        let head = ClickHead {
            transaction_id: ids.next(&ClickIdKey([0; 16]), unix_ms),
            unix_ms,
            generation: 1,
            code_id,
            offer_id: offer,
            partner_id: affiliate,
            advertiser_id: advertiser,
            reason: if self.one_in(40) { Reason::Paused } else { Reason::Redirected },
            kind: if self.one_in(100) { VisitKind::Prefetch } else { VisitKind::Click },
            rule: 0,
        };
        let user_agent = user_agent(visitor);
        let address = visitor.wrapping_mul(2_654_435_761).to_be_bytes();
        let sub1 = if self.one_in(3) { format!("place{}", visitor % 200) } else { String::new() };
        let sub2 = if self.one_in(20) { format!("{click:x}") } else { String::new() };
        let tags: [(Tag, &[u8]); 7] = [
            (Tag::Sub1, sub1.as_bytes()),
            (Tag::Sub2, sub2.as_bytes()),
            (Tag::Host, b"go.example.com"),
            (Tag::Address, &address),
            (Tag::UserAgent, user_agent.as_bytes()),
            (Tag::Referer, b"https://www.example.com/stories"),
            (Tag::Language, b"en-US,en;q=0.9"),
        ];
        let skipped = |(_, value): &&(Tag, &[u8])| !value.is_empty();
        let tags: Vec<_> = tags.iter().filter(skipped).copied().collect();
        encode_click(&head, code(code_id).as_bytes(), &tags, record);
    }

    fn who_and_what(&mut self) -> (u32, u32) {
        if !self.one_in(25) {
            let rank = self.zipf.map_or(1, |zipf| zipf.sample(&mut self.rng) as u64);
            let place = self.scatter.at(rank.clamp(1, self.arguments.codes.into()) - 1);
            self.last = (self.rng.random_range(0..VISITORS), 1 + place as u32);
        }
        self.last
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_range(0..count) == 0
    }
}

/// Constant for each visitor; one visitor in fifty is a bot.
pub(crate) fn user_agent(visitor: u32) -> String {
    let version = 110 + visitor / 50 % 32;
    match visitor % 50 {
        0 => "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)".into(),
        1..=20 => format!(
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{version}.0.0.0 Mobile Safari/537.36"
        ),
        21..=35 => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{} like Mac OS X) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
            version % 7
        ),
        36..=39 => "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15".into(),
        _ => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{version}.0.0.0 Safari/537.36"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::Parser;
    use coupon_shared::click::block::Block;
    use coupon_shared::framed_log::FrameReader;

    use super::*;
    use crate::cli::{Cli, Command};

    fn written(dir: &Path, seed: &str) -> Vec<Vec<u8>> {
        let out = dir.display().to_string();
        let typed = ["coupon-loadtest", "clicks", "--count", "1001", "--codes", "40"];
        let typed = typed.into_iter().chain(["--days", "2", "--seed", seed, "--out", &out]);
        let Command::Clicks(arguments) = Cli::parse_from(typed).command else { panic!() };
        write(&arguments, &ProgressBar::hidden()).unwrap();
        let mut frames = FrameReader::open(&dir.join("archive"), 1).unwrap();
        let mut blocks = Vec::new();
        while let Some(frame) = frames.next_frame().unwrap() {
            blocks.push(frame.payload.to_vec());
        }
        blocks
    }

    #[test]
    fn the_archive_has_all_clicks_in_their_streams_over_all_days() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ids, mut next, mut days) = (HashSet::new(), [1; THREADS as usize], HashSet::new());
        for bytes in written(dir.path(), "1") {
            let block = Block::parse(&bytes).unwrap();
            let next = &mut next[usize::from(block.stream().thread)];
            assert_eq!(block.first_sequence(), *next);
            *next = block.last_sequence() + 1;
            for click in block.decode().unwrap().clicks() {
                assert!(ids.insert(click.head.transaction_id));
                assert!((1..=40).contains(&click.head.code_id));
                days.insert(click.head.unix_ms / DAY_MS);
            }
        }
        assert_eq!((ids.len(), days.len()), (1_001, 2));
        let codes = std::fs::read_to_string(dir.path().join("codes.csv")).unwrap();
        assert_eq!(codes.lines().count(), 41);
    }

    #[test]
    fn the_same_seed_makes_the_same_bytes_and_another_others() {
        let dirs = [0; 3].map(|_| tempfile::tempdir().unwrap());
        let [one, two, other] = [("1", &dirs[0]), ("1", &dirs[1]), ("2", &dirs[2])]
            .map(|(seed, dir)| written(dir.path(), seed));
        assert!(one == two && one != other);
    }
}
