//! The newest clicks that are asked for, and one by its id.
//!
//! Blocks are read from the latest to the earliest until no block left can hold a newer click, and
//! no more clicks are kept than are answered. Whose clicks may be seen is part of the [`Scope`],
//! not of the request.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use axum::extract::FromRef;
use axum::http::StatusCode;
use coupon_shared::click::{Click, VisitKind};
use coupon_shared::decision::Reason;
use coupon_shared::transaction_id::{ClickIdKey, TransactionId};

use super::{Checked, StreamRequest, verdict};
use crate::api::AppState;
use crate::api::answer::Paging;
use crate::api::error::ApiError;
use crate::api::reports::MAX_ROWS;
use crate::api::reports::click_row::ClickRow;
use crate::api::reports::facet::{self, Facet};
use crate::api::reports::filters::Conditions;
use crate::api::reports::paging::{PagingParameters, places};
use crate::api::reports::period::Period;
use crate::archive::{Archive, ArchiveError};
use crate::classification::bot_list::BotList;
use crate::classification::{self, VisitClass};
use crate::store::blocks::{self, BlockRow};
use crate::store::{Store, bot_list, click_archive, meta, settings};

const MAX_DAYS: u64 = 14;
/// Partners get fewer at once.
const MAX_PARTNER_ROWS: usize = 5_000;
/// Blocks read at first, doubled until [`MOST_BLOCKS`]: the newest clicks are often enough.
const FIRST_BLOCKS: usize = 64;
const MOST_BLOCKS: usize = 2_048;

/// Where clicks are.
#[derive(Clone)]
pub(in crate::api::reports) struct Source {
    pub(in crate::api::reports) store: Store,
    pub(in crate::api::reports) archive: Archive,
}

impl FromRef<AppState> for Source {
    fn from_ref(state: &AppState) -> Source {
        Source { store: state.store.clone(), archive: state.archive.clone() }
    }
}

/// Which clicks are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Impressions are no clicks.
    All,
    /// Those that count as invalid: not sent on to the offer, though somebody came.
    Invalid,
}

impl Kind {
    fn has(self, click: &Click<'_>, bots: &BotList) -> bool {
        match self {
            Kind::All => click.head.kind != VisitKind::Impression,
            Kind::Invalid => {
                click.head.reason != Reason::Redirected
                    && classification::class_without_history(
                        &click.head,
                        classification::identify_agent(click, bots),
                        false,
                    ) == VisitClass::Invalid
            }
        }
    }
}

/// Whose clicks may be seen, by what they can be searched, and how many at once.
pub(in crate::api::reports) struct Scope {
    /// None: everybody's.
    partner_id: Option<u32>,
    facets: &'static [Facet],
    kind: Kind,
    limit: usize,
}

impl Scope {
    /// Everybody's.
    pub(super) fn network(kind: Kind) -> Scope {
        Scope { partner_id: None, facets: &facet::OF_CLICKS, kind, limit: MAX_ROWS }
    }

    /// One partner's own.
    pub(in crate::api::reports) fn partner(partner_id: u32) -> Scope {
        Scope {
            partner_id: Some(partner_id),
            facets: &facet::OF_PARTNERS_CLICKS,
            kind: Kind::All,
            limit: MAX_PARTNER_ROWS,
        }
    }
}

/// The newest clicks, or a page of them.
pub(in crate::api::reports) struct Found {
    pub(in crate::api::reports) clicks: Vec<ClickRow>,
    /// The period has more than are answered on all pages.
    pub(in crate::api::reports) incomplete_results: bool,
    /// Where it is a page.
    pub(in crate::api::reports) paging: Option<Paging>,
}

impl Source {
    /// The newest clicks that are asked for and may be seen.
    pub(in crate::api::reports) async fn search(
        &self,
        request: StreamRequest,
        parameters: PagingParameters,
        scope: Scope,
    ) -> Result<Found, ApiError> {
        let Scope { partner_id, facets, kind, limit } = scope;
        let checked = self.store.read(move |connection| {
            let settings = settings::read(connection)?.settings;
            let asked = request.check(&settings.time_zone, MAX_DAYS, facets, parameters)?;
            let conditions = asked.filters.resolve(connection)?;
            let conditions = match partner_id {
                Some(partner_id) => conditions.of_partner(partner_id),
                None => conditions,
            };
            Ok::<_, ApiError>((asked, conditions, bot_list::in_force(connection)?))
        });
        let (Checked { period, page, .. }, conditions, bots) = checked.await?;
        let in_force = Arc::clone(&bots);
        let newest = Newest { period, conditions, bots, kind, limit, clicks: BinaryHeap::new() };
        let newest = newest.search(self).await?;
        let incomplete_results = newest.clicks.len() > limit;
        let clicks = newest.into_rows();
        let count = clicks.len();
        let places = page.map_or(0..count, |page| places(page, count));
        let clicks = clicks.into_iter().skip(places.start).take(places.len()).collect();
        let clicks = verdict::classify(self, in_force, clicks).await?;
        let paging = page.map(|page| Paging::new(page, count as u64));
        Ok(Found { clicks, incomplete_results, paging })
    }

    /// The click with this id.
    pub(in crate::api::reports) async fn find(&self, id: &str) -> Result<ClickRow, ApiError> {
        let id: TransactionId =
            id.parse().map_err(|error| ApiError::field("transaction_id", format!("{error}")))?;
        let places = self.store.read(move |connection| {
            let key = ClickIdKey(meta::read(connection)?.click_id_key);
            if !id.verify(&key) {
                let message = format!("{id} was not issued by this network");
                return Err(ApiError::new(StatusCode::NOT_FOUND, "click.foreign_id", message));
            }
            let is_old = click_archive::may_be_removed(connection, id.unix_ms())?;
            Ok((blocks::around(connection, &id)?, is_old, bot_list::in_force(connection)?))
        });
        let (places, is_old, bots) = places.await?;
        let in_force = Arc::clone(&bots);
        let of = move |click: &Click<'_>| ClickRow::of(click, &bots);
        let found =
            self.archive.on_disk(move |archive| archive.block_reader().find(&places, id, of));
        let found = found.await?;
        let found = found.ok_or_else(|| if is_old { gone(id) } else { not_arrived(id) })?;
        let judged = verdict::classify(self, in_force, vec![found]).await?;
        judged.into_iter().next().ok_or_else(ApiError::inside)
    }
}

/// No click with this id is here, or none that may be seen.
pub(in crate::api::reports) fn not_arrived(id: TransactionId) -> ApiError {
    let message =
        format!("no click with the id {id} has arrived; a new one takes up to two seconds");
    ApiError::new(StatusCode::NOT_FOUND, "click.not_arrived", message)
}

/// Clicks of its time were removed.
fn gone(id: TransactionId) -> ApiError {
    let message = format!("the click {id} is too old: clicks of its time are only counted now");
    ApiError::new(StatusCode::NOT_FOUND, "click.gone", message)
}

/// The newest clicks seen so far: one more than are answered, to know whether there are more.
struct Newest {
    period: Period,
    conditions: Conditions,
    bots: Arc<BotList>,
    kind: Kind,
    limit: usize,
    clicks: BinaryHeap<Reverse<Timed>>,
}

/// Ordered by time, then id.
struct Timed(ClickRow);

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
    async fn search(self, from: &Source) -> Result<Newest, ApiError> {
        let span = (self.period.from_ms, self.period.to_ms);
        let mut newest = self;
        let (mut after, mut blocks): (Option<BlockRow>, _) = (None, FIRST_BLOCKS);
        loop {
            let next = move |c: &_| blocks::latest_between(c, span, after.as_ref(), blocks);
            let page = from.store.read(next).await?;
            let Some(last) = page.last().copied() else { return Ok(newest) };
            newest = from.archive.on_disk(move |archive| newest.read(archive, page)).await?;
            if newest.is_beyond(last.unix_ms.1) {
                return Ok(newest);
            }
            (after, blocks) = (Some(last), (blocks * 2).min(MOST_BLOCKS));
        }
    }

    fn read(mut self, archive: &Archive, mut page: Vec<BlockRow>) -> Result<Newest, ArchiveError> {
        // In the archive's order neighbours are read in one pass.
        page.sort_unstable_by_key(|block| block.archive_sequence);
        let mut archived = archive.block_reader();
        for block in page {
            let decoded = archived.read(block.archive_sequence)?;
            for click in decoded.clicks().skip(block.repeated()) {
                if self.wants(&click) {
                    self.clicks.push(Reverse(Timed(ClickRow::of(&click, &self.bots))));
                }
            }
            while self.clicks.len() > self.limit + 1 {
                self.clicks.pop();
            }
        }
        Ok(self)
    }

    fn wants(&self, click: &Click<'_>) -> bool {
        let unix_ms = click.head.unix_ms;
        (self.period.from_ms..self.period.to_ms).contains(&unix_ms)
            && !self.is_beyond(unix_ms)
            && self.kind.has(click, &self.bots)
            && ClickRow::matches(click, &self.conditions)
    }

    /// Whether clicks of this millisecond and before cannot be among the newest any more.
    fn is_beyond(&self, unix_ms: u64) -> bool {
        let oldest = self.clicks.peek().map(|Reverse(oldest)| oldest.0.head.unix_ms);
        self.clicks.len() > self.limit && oldest.is_some_and(|oldest| oldest > unix_ms)
    }

    /// The newest first.
    fn into_rows(self) -> Vec<ClickRow> {
        let rows = self.clicks.into_sorted_vec().into_iter().map(|Reverse(click)| click.0);
        rows.take(self.limit).collect()
    }
}
