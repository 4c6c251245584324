//! Searches for clicks.
//!
//! Blocks are read from the latest to the earliest until no remaining block can hold a newer click.
//! No more clicks are kept in memory than the answer holds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use coupon_geo::{Databases, GeoWatcher};
use coupon_shared::click::{Click, VisitKind};
use coupon_shared::decision::Reason;
use coupon_shared::transaction_id::{ClickIdKey, TransactionId};

use super::classify::classify_clicks;
use super::row::{self, ArchivedClick, ReportedClick};
use crate::archive::{Archive, ArchiveError};
use crate::catalog::FieldError;
use crate::classification::bot_list::BotList;
use crate::classification::{self, VisitClass};
use crate::reports::facet::ReportKind;
use crate::reports::filters::{Conditions, Filters};
use crate::reports::paging::{MAX_ROWS, PageInfo, page_range};
use crate::reports::period::Period;
use crate::reports::selection::Selection;
use crate::reports::view::{View, Viewer};
use crate::store::blocks::{self, BlockRow};
use crate::store::rows::Page;
use crate::store::{ReadTx, Store, StoreError, bot_list, click_archive, meta, settings};

const MAX_DAYS: u64 = 14;
/// The most clicks of an answer to a partner or an advertiser.
const MAX_OWN_ROWS: usize = 5_000;
/// Blocks of the first read, doubled up to [`MAX_BLOCKS_PER_READ`]: the newest blocks are often
/// enough.
const FIRST_BLOCKS: usize = 64;
const MAX_BLOCKS_PER_READ: usize = 2_048;

/// The clicks of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClickKind {
    /// All clicks. Impressions are no clicks.
    All,
    /// Invalid clicks: visits of people that were not redirected to the offer. Visits that fail
    /// traffic sent to another offer are among them, and are found under both offers.
    Invalid,
}

impl ClickKind {
    fn includes(self, click: &Click<'_>, bots: &BotList) -> bool {
        match self {
            ClickKind::All => click.head.kind != VisitKind::Impression,
            ClickKind::Invalid if click.head.reason == Reason::Redirected => {
                row::failed_over(click).is_some() && class(click, bots) != VisitClass::Bot
            }
            ClickKind::Invalid => class(click, bots) == VisitClass::Invalid,
        }
    }

    fn matches(self, click: &Click<'_>, conditions: &Conditions, databases: &Databases) -> bool {
        row::matches(click, conditions, databases)
            || self == ClickKind::Invalid && row::matches_before(click, conditions, databases)
    }
}

fn class(click: &Click<'_>, bots: &BotList) -> VisitClass {
    let is_bot = classification::identify_agent(click, bots).is_bot;
    classification::class_without_history(&click.head, is_bot, false)
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
pub enum ClickSearchError {
    /// The query is wrong.
    #[error("the query has {} wrong fields", .0.len())]
    Invalid(Vec<FieldError>),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The click archive could not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Why a click was not found.
#[derive(Debug, thiserror::Error)]
pub enum ClickLookupError {
    /// The text is no transaction id.
    #[error("{0}")]
    InvalidId(String),
    /// Another network issued the id, or nobody.
    #[error("{0} was not issued by this network")]
    ForeignId(TransactionId),
    /// No click with the id is in the archive, or the viewer may not see it.
    #[error("no click with the id {0} has arrived; a new one takes up to two seconds")]
    NotArrived(TransactionId),
    /// Retention removed the clicks of that time.
    #[error("the click {0} is too old: clicks of its time are only counted now")]
    Removed(TransactionId),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The click archive could not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// The newest clicks, or a page of them.
#[derive(Debug)]
pub struct FoundClicks {
    /// The newest first.
    pub clicks: Vec<ReportedClick>,
    /// The period has more clicks than all pages show.
    pub is_incomplete: bool,
    /// `None` where the query names no page.
    pub page: Option<PageInfo>,
}

/// Reads clicks from the archive, and what belongs to them from the store and from the databases of
/// places.
#[derive(Clone)]
pub struct ClickReader {
    store: Store,
    archive: Archive,
    geo: Arc<GeoWatcher>,
}

impl ClickReader {
    /// A reader of this store, this archive and these databases.
    #[must_use]
    pub fn new(store: Store, archive: Archive, geo: Arc<GeoWatcher>) -> ClickReader {
        ClickReader { store, archive, geo }
    }

    /// The newest clicks of at most 14 days that match the query and that the viewer may see.
    ///
    /// # Errors
    /// When the query is wrong, or the store or the archive cannot be read.
    pub async fn search(
        &self,
        viewer: Viewer,
        kind: ClickKind,
        query: Selection,
    ) -> Result<FoundClicks, ClickSearchError> {
        let view = viewer.view();
        let checked = self.store.read(move |connection| {
            let settings = settings::read(connection)?.settings;
            let checked = check(&query, &settings.time_zone, view);
            let checked = checked.map_err(ClickSearchError::Invalid)?;
            let conditions = checked.filters.resolve(connection, viewer)?;
            let bots = bot_list::in_force(connection)?;
            Ok::<_, ClickSearchError>((checked.period, checked.page, conditions, bots))
        });
        let (period, page, conditions, bots) = checked.await?;
        let limit = match view {
            View::Network => MAX_ROWS,
            View::Partner | View::Advertiser => MAX_OWN_ROWS,
        };
        let in_force = Arc::clone(&bots);
        let newest = Newest {
            period,
            conditions,
            bots,
            databases: self.geo.current(),
            kind,
            limit,
            clicks: BinaryHeap::new(),
        };
        let newest = newest.read_blocks(self).await?;
        let is_incomplete = newest.clicks.len() > limit;
        let clicks = newest.into_clicks();
        let count = clicks.len();
        let range = page.map_or(0..count, |page| page_range(page, count));
        let clicks = clicks.into_iter().skip(range.start).take(range.len()).collect();
        let clicks = self.complete::<ClickSearchError>(view, in_force, clicks).await?;
        let page = page.map(|page| PageInfo { page, total_count: count as u64 });
        Ok(FoundClicks { clicks, is_incomplete, page })
    }

    /// The newest clicks of the network since a time, at most `limit`, the newest first.
    ///
    /// # Errors
    /// When the store or the archive cannot be read.
    pub async fn newest(
        &self,
        from_ms: u64,
        limit: usize,
    ) -> Result<Vec<ReportedClick>, ClickSearchError> {
        let bots = self.store.read(bot_list::in_force).await?;
        let newest = Newest {
            period: Period::since(from_ms),
            conditions: Conditions::default(),
            bots: Arc::clone(&bots),
            databases: Arc::default(),
            kind: ClickKind::All,
            limit,
            clicks: BinaryHeap::new(),
        };
        let clicks = newest.read_blocks(self).await?.into_clicks();
        self.complete(View::Network, bots, clicks).await
    }

    /// The click with this id, if the viewer may see it.
    ///
    /// # Errors
    /// When there is no such click, or the store or the archive cannot be read.
    pub async fn find(&self, viewer: Viewer, id: &str) -> Result<ReportedClick, ClickLookupError> {
        let parsed = id.parse::<TransactionId>();
        let id = parsed.map_err(|error| ClickLookupError::InvalidId(error.to_string()))?;
        let blocks = self.store.read(move |connection| {
            let key = ClickIdKey(meta::read(connection)?.click_id_key);
            if !id.verify(&key) {
                return Err(ClickLookupError::ForeignId(id));
            }
            let may_be_removed = click_archive::may_be_removed(connection, id.unix_ms())?;
            Ok((blocks::around(connection, &id)?, may_be_removed, bot_list::in_force(connection)?))
        });
        let (blocks, may_be_removed, bots) = blocks.await?;
        let in_force = Arc::clone(&bots);
        let read = move |click: &Click<'_>| ArchivedClick::read(click, &bots);
        let found =
            self.archive.on_disk(move |archive| archive.block_reader().find(&blocks, id, read));
        let Some(click) = found.await? else {
            return Err(if may_be_removed {
                ClickLookupError::Removed(id)
            } else {
                ClickLookupError::NotArrived(id)
            });
        };
        // A click of others gets the answer of a missing one, so ids cannot be probed.
        if !row::belongs_to(&click.head, viewer) {
            return Err(ClickLookupError::NotArrived(id));
        }
        let clicks = self.complete::<ClickLookupError>(viewer.view(), in_force, vec![click]);
        clicks.await?.pop().ok_or(ClickLookupError::NotArrived(id))
    }

    /// Adds class, terms, places, names and conversions.
    async fn complete<E>(
        &self,
        view: View,
        bots: Arc<BotList>,
        clicks: Vec<ArchivedClick>,
    ) -> Result<Vec<ReportedClick>, E>
    where
        E: From<StoreError> + From<ArchiveError> + Send + 'static,
    {
        let mut clicks = classify_clicks::<E>(&self.store, &self.archive, bots, clicks).await?;
        let places = self.geo.current();
        clicks.iter_mut().for_each(|click| click.find_place(&places));
        let complete = self.store.read(move |connection| row::complete(connection, view, clicks));
        Ok(complete.await?)
    }
}

struct CheckedQuery {
    period: Period,
    filters: Filters,
    page: Option<Page>,
}

fn check(
    query: &Selection,
    network_zone: &str,
    view: View,
) -> Result<CheckedQuery, Vec<FieldError>> {
    let period = query.period.resolve(network_zone)?;
    if period.is_longer_than_days(MAX_DAYS) {
        let error = format!("is more than {MAX_DAYS} days after from; ask for less at once");
        return Err(vec![FieldError { field: "to".into(), error }]);
    }
    let order = query.paging.check_newest_first("unix_timestamp");
    order.map_err(|error| vec![FieldError { field: "order".into(), error }])?;
    let page = query.paging.page()?;
    let filters = query.filters.check(&view.facets(ReportKind::Clicks))?;
    Ok(CheckedQuery { period, filters, page })
}

/// The newest clicks read so far: one more than the limit, to know whether there are more.
struct Newest {
    period: Period,
    conditions: Conditions,
    bots: Arc<BotList>,
    databases: Arc<Databases>,
    kind: ClickKind,
    limit: usize,
    clicks: BinaryHeap<Reverse<Timed>>,
}

/// Ordered by time, then id.
struct Timed(ArchivedClick);

impl Timed {
    fn key(&self) -> (u64, TransactionId) {
        (self.0.head.unix_ms, self.0.head.transaction_id)
    }
}

impl PartialEq for Timed {
    fn eq(&self, other: &Timed) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Timed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Timed) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Newest {
    async fn read_blocks(self, reader: &ClickReader) -> Result<Newest, ClickSearchError> {
        let span = (self.period.from_ms, self.period.to_ms);
        let mut newest = self;
        let (mut after, mut blocks): (Option<BlockRow>, _) = (None, FIRST_BLOCKS);
        loop {
            let next =
                move |c: &ReadTx<'_>| blocks::latest_between(c, span, after.as_ref(), blocks);
            let page = reader.store.read(next).await?;
            let Some(last) = page.last().copied() else { return Ok(newest) };
            newest = reader.archive.on_disk(move |archive| newest.read_page(archive, page)).await?;
            if newest.is_too_old(last.unix_ms.1) {
                return Ok(newest);
            }
            (after, blocks) = (Some(last), (blocks * 2).min(MAX_BLOCKS_PER_READ));
        }
    }

    fn read_page(
        mut self,
        archive: &Archive,
        mut page: Vec<BlockRow>,
    ) -> Result<Newest, ArchiveError> {
        // In the archive's order neighbours are read in one pass.
        page.sort_unstable_by_key(|block| block.archive_sequence);
        let mut archived = archive.block_reader();
        for block in page {
            let decoded = archived.read(block.archive_sequence)?;
            for click in decoded.clicks().skip(block.repeated()) {
                if self.includes(&click) {
                    self.clicks.push(Reverse(Timed(ArchivedClick::read(&click, &self.bots))));
                }
            }
            while self.clicks.len() > self.limit + 1 {
                self.clicks.pop();
            }
        }
        Ok(self)
    }

    fn includes(&self, click: &Click<'_>) -> bool {
        let unix_ms = click.head.unix_ms;
        (self.period.from_ms..self.period.to_ms).contains(&unix_ms)
            && !self.is_too_old(unix_ms)
            && self.kind.includes(click, &self.bots)
            && self.kind.matches(click, &self.conditions, &self.databases)
    }

    /// Whether clicks of this millisecond and before cannot be among the newest any more.
    fn is_too_old(&self, unix_ms: u64) -> bool {
        let oldest = self.clicks.peek().map(|Reverse(oldest)| oldest.0.head.unix_ms);
        self.clicks.len() > self.limit && oldest.is_some_and(|oldest| oldest > unix_ms)
    }

    /// The newest first.
    fn into_clicks(self) -> Vec<ArchivedClick> {
        let clicks = self.clicks.into_sorted_vec().into_iter().map(|Reverse(click)| click.0);
        clicks.take(self.limit).collect()
    }
}
