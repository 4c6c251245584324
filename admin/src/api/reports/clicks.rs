//! `POST /v1/networks/reporting/clicks/stream` and `GET …/clicks/{transaction_id}`: single clicks,
//! out of the archive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use coupon_shared::transaction_id::{ClickIdKey, TransactionId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::MAX_ROWS;
use super::click_row::{self, ClickRow};
use super::filters::Query;
use super::period::{Period, When};
use crate::api::error::ApiError;
use crate::api::{Network, request};
use crate::archive::{Archive, ArchiveError};
use crate::store::blocks::{self, BlockRow};
use crate::store::rollups::OneOf;
use crate::store::{Store, meta, settings};

const MAX_DAYS: u64 = 14;
/// Blocks read at first, doubled until [`MOST_BLOCKS`]: the newest clicks are often enough.
const FIRST_BLOCKS: usize = 64;
const MOST_BLOCKS: usize = 2_048;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct StreamRequest {
    #[serde(flatten)]
    when: When,
    #[serde(default)]
    query: Query,
}

/// The newest clicks of at most 14 days.
#[utoipa::path(post, path = "/reporting/clicks/stream", request_body = StreamRequest, responses((status = 200, body = click_row::AnsweredStream)))]
pub(super) async fn stream(
    State(store): State<Store>,
    State(archive): State<Archive>,
    State(network): State<Network>,
    request::Json(request): request::Json<StreamRequest>,
) -> Result<Json<Value>, ApiError> {
    let checked = store.read(move |connection| {
        let settings = settings::read(connection)?.settings;
        let period = request.when.period(&settings.time_zone).map_err(ApiError::fields)?;
        if period.is_longer_than_days(MAX_DAYS) {
            let error = format!("is more than {MAX_DAYS} days after from; ask for less at once");
            return Err(ApiError::field("to", error));
        }
        let filters = request.query.filters().map_err(ApiError::fields)?;
        Ok((period, filters.resolve(connection)?))
    });
    let (period, filters) = checked.await?;
    let newest = Newest::of(&store, &archive, period, filters).await?;
    let incomplete = newest.clicks.len() > MAX_ROWS;
    let clicks = newest.into_rows();
    let rows = store.read(move |connection| click_row::render(connection, network, &clicks));
    Ok(Json(json!({ "clicks": rows.await?, "incomplete_results": incomplete })))
}

/// The newest clicks seen so far: one more than are answered, to know whether there are more.
struct Newest {
    period: Period,
    filters: Vec<OneOf>,
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
    /// Reads blocks from the latest to the earliest, until no block left can hold a newer click.
    async fn of(
        store: &Store,
        archive: &Archive,
        period: Period,
        filters: Vec<OneOf>,
    ) -> Result<Newest, ApiError> {
        let span = (period.from_ms, period.to_ms);
        let mut newest = Newest { period, filters, clicks: BinaryHeap::new() };
        let (mut after, mut limit): (Option<BlockRow>, _) = (None, FIRST_BLOCKS);
        loop {
            let next = move |c: &_| blocks::latest_between(c, span, after.as_ref(), limit);
            let page = store.read(next).await?;
            let Some(last) = page.last().copied() else { return Ok(newest) };
            newest = archive.on_disk(move |archive| newest.read(archive, page)).await?;
            if newest.is_beyond(last.unix_ms.1) {
                return Ok(newest);
            }
            (after, limit) = (Some(last), (limit * 2).min(MOST_BLOCKS));
        }
    }

    fn read(mut self, archive: &Archive, mut page: Vec<BlockRow>) -> Result<Newest, ArchiveError> {
        // In the archive's order neighbours are read in one pass.
        page.sort_unstable_by_key(|block| block.archive_sequence);
        let mut archived = archive.blocks();
        for block in page {
            let decoded = archived.read(block.archive_sequence)?;
            for click in decoded.clicks().skip(block.repeated()) {
                let is_in_time =
                    (self.period.from_ms..self.period.to_ms).contains(&click.head.unix_ms);
                let is_old = self.is_beyond(click.head.unix_ms);
                if is_in_time && !is_old && ClickRow::matches(&click.head, &self.filters) {
                    self.clicks.push(Reverse(Timed(ClickRow::of(&click))));
                }
            }
            while self.clicks.len() > MAX_ROWS + 1 {
                self.clicks.pop();
            }
        }
        Ok(self)
    }

    /// Whether clicks of this millisecond and before cannot be among the newest any more.
    fn is_beyond(&self, unix_ms: u64) -> bool {
        let oldest = self.clicks.peek().map(|Reverse(oldest)| oldest.0.head.unix_ms);
        self.clicks.len() > MAX_ROWS && oldest.is_some_and(|oldest| oldest > unix_ms)
    }

    /// The newest first.
    fn into_rows(self) -> Vec<ClickRow> {
        let rows = self.clicks.into_sorted_vec().into_iter().map(|Reverse(click)| click.0);
        rows.take(MAX_ROWS).collect()
    }
}

/// One click.
#[utoipa::path(get, path = "/reporting/clicks/{transaction_id}", params(("transaction_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = click_row::Answered)))]
pub(super) async fn single(
    State(store): State<Store>,
    State(archive): State<Archive>,
    State(network): State<Network>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id: TransactionId =
        id.parse().map_err(|error| ApiError::field("transaction_id", format!("{error}")))?;
    let places = store.read(move |connection| {
        let key = ClickIdKey(meta::read(connection)?.click_id_key);
        if !id.verify(&key) {
            let message = format!("{id} was not issued by this network");
            return Err(ApiError::new(StatusCode::NOT_FOUND, "click.foreign_id", message));
        }
        Ok(blocks::around(connection, &id)?)
    });
    let places = places.await?;
    let found = archive.on_disk(move |archive| find(archive, &places, id)).await?;
    let click = found.ok_or_else(|| {
        let message =
            format!("no click with the id {id} has arrived; a new one takes up to two seconds");
        ApiError::new(StatusCode::NOT_FOUND, "click.not_arrived", message)
    })?;
    let rows = store.read(move |connection| click_row::render(connection, network, &[click]));
    Ok(Json(rows.await?.pop().unwrap_or_default()))
}

fn find(
    archive: &Archive,
    places: &[BlockRow],
    id: TransactionId,
) -> Result<Option<ClickRow>, ArchiveError> {
    let mut archived = archive.blocks();
    for place in places {
        let decoded = archived.read(place.archive_sequence)?;
        let click = decoded.clicks().find(|click| click.head.transaction_id == id);
        if let Some(click) = click {
            return Ok(Some(ClickRow::of(&click)));
        }
    }
    Ok(None)
}
