//! A serving thread of coupond inside the test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use coupon_geo::LiveDatabases;
use coupon_shared::click::{Click, StreamId};
use coupon_shared::decision::{Detour, Reason};
use coupon_shared::transaction_id::TransactionIdSource;
use coupon_shared::visit_state::PublishedState;
use coupond::clicks::ClickLog;
use coupond::config::Config;
use coupond::counters::VisitCounters;
use coupond::live_index::{LiveIndex, Retired};
use coupond::loader::Loader;
use coupond::redirect::{Redirector, SharedReaders};
use coupond::response::Reply;
use coupond::settings::{LiveSettings, Settings};
use coupond::visit_state::LiveVisitState;

use super::network::folder_in_memory;
use super::visits::PlannedVisit;

/// Behind the header of the file, records follow one another; see `clicks/ring.rs`.
const FIRST_RECORD_AT: usize = 4096;
const FRAME_HEADER_BYTES: usize = 16;

pub(super) struct ServingThread {
    redirector: Redirector,
    index: LiveIndex,
    retired: Retired,
    visit_state: Arc<LiveVisitState>,
    stream: StreamId,
    ring: PathBuf,
    /// Where the next record of the ring begins.
    next_record_at: usize,
    // The click log has its files in this folder.
    _clicks: ClickLog,
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
pub(super) struct ServedVisit {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) click: Option<ServedClick>,
}

#[derive(Debug)]
pub(super) struct ServedClick {
    pub(super) transaction_id: String,
    pub(super) unix_seconds: i64,
    pub(super) code_id: u32,
    pub(super) offer_id: u32,
    pub(super) reason: Reason,
    pub(super) rule: u32,
    pub(super) detour: Option<Detour>,
}

impl ServingThread {
    pub(super) fn start(databases: &LiveDatabases) -> ServingThread {
        let folder = folder_in_memory();
        let mut config = Config {
            data_dir: folder.path().join("data"),
            runtime_dir: folder.path().join("run"),
            threads: 1,
            ..Config::default()
        };
        // Every record of the test stays in the ring's file.
        config.clicks.ring_bytes = 64 << 20;
        config.live.misses.per_minute = 0;
        config.live.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        let (clicks, mut rings) = ClickLog::start(&config).unwrap();
        let ring = rings.pop().unwrap();
        let (stream, index) = (ring.stream(), LiveIndex::default());
        let visit_state = Arc::new(LiveVisitState::open(&config));
        let shared = SharedReaders {
            index: index.reader(),
            settings: LiveSettings::new(Settings::from_config(&config.live)).reader(),
            geo: databases.reader(),
            visit_state: Arc::clone(&visit_state),
        };
        let ids = TransactionIdSource::new(0, 0, 1);
        let counters = Arc::new(VisitCounters::default());
        ServingThread {
            redirector: Redirector::new(shared, ids, ring, counters, Arc::default()),
            index,
            retired: Retired::default(),
            visit_state,
            stream,
            ring: config.runtime_dir.join(format!("ring-{}-0", stream.incarnation)),
            next_record_at: FIRST_RECORD_AT,
            _clicks: clicks,
            _folder: folder,
        }
    }

    /// Puts the index that an admin with this data folder published into service.
    pub(super) fn serve(&mut self, data_dir: &Path) {
        // Each network has a loader, because a loader refuses the index of another network.
        let loaded = LiveIndex::default();
        Loader::new(data_dir.join("index"), loaded.clone()).load_current().unwrap();
        let loaded = loaded.current().unwrap();
        self.visit_state.adopt_catalog(loaded.shared_catalog());
        self.index.replace(loaded, &mut self.retired);
        self.redirector.refresh();
        self.retired.free();
    }

    /// The last click so far, if there is one.
    pub(super) fn last_click(&self) -> Option<(StreamId, u64)> {
        Some((self.stream, self.redirector.last_click())).filter(|(_, sequence)| *sequence > 0)
    }

    pub(super) fn visit(
        &mut self,
        visit: &PlannedVisit,
        offers: &[u32],
        state: &PublishedState,
    ) -> ServedVisit {
        self.visit_state.receive(&state.encode().unwrap()).unwrap();
        let before = self.redirector.last_click();
        let reply = self.redirector.reply(&visit.request(offers), [127, 0, 0, 1].into());
        let is_recorded = self.redirector.last_click() > before;
        let click = is_recorded.then(|| self.read_click());
        let (status, location) = match reply {
            Reply::Redirect(location) | Reply::Fallback(location) => {
                (302, location.to_str().unwrap().to_owned())
            }
            Reply::NotFound => (404, String::new()),
            reply => panic!("{reply:?} for {visit:?}"),
        };
        ServedVisit { status, location, click }
    }

    fn read_click(&mut self) -> ServedClick {
        let file = std::fs::File::open(&self.ring).unwrap();
        let read = |at: usize, bytes: &mut [u8]| {
            std::os::unix::fs::FileExt::read_exact_at(&file, bytes, at as u64).unwrap();
        };
        let mut header = [0; FRAME_HEADER_BYTES];
        read(self.next_record_at, &mut header);
        assert_eq!(&header[4..8], b"REC1");
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let mut record = vec![0; len];
        read(self.next_record_at + FRAME_HEADER_BYTES, &mut record);
        self.next_record_at += (FRAME_HEADER_BYTES + len).next_multiple_of(8);
        let (click, _) = Click::decode(&record).unwrap();
        let head = &click.head;
        ServedClick {
            transaction_id: head.transaction_id.to_string(),
            unix_seconds: (head.unix_ms / 1000) as i64,
            code_id: head.code_id,
            offer_id: head.offer_id,
            reason: head.reason,
            rule: head.rule,
            detour: click.detour(),
        }
    }
}

impl ServedVisit {
    pub(super) fn unix_seconds(&self) -> i64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        self.click.as_ref().map_or_else(now, |click| click.unix_seconds)
    }

    pub(super) fn outcomes(&self) -> Vec<&'static str> {
        let Some(click) = &self.click else { return vec!["no click"] };
        let detour = click.detour.map(|detour| detour.kind.as_str());
        let failed = click.detour.and_then(|detour| detour.failed_reason).map(Reason::as_str);
        [Some(click.reason.as_str()), detour, failed].into_iter().flatten().collect()
    }
}
