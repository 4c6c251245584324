//! Looks up clicks in the archive by their transaction ids, before the write transaction: the
//! store's writer must not wait for files.
//!
//! A missing click counts as *gone* only if the click cannot arrive any more, and the caller reads
//! the time for this test before the lookup. A click that arrives in between is found, so no click
//! is ever missed; at worst a postback waits once too often.

use std::collections::HashMap;
use std::sync::Arc;

use coupon_geo::Databases;
use coupon_rules::agent::Agent;
use coupon_shared::click::{Click, ClickHead, Tag};
use coupon_shared::transaction_id::{ClickIdKey, TransactionId};
use coupon_shared::visitor_key::VisitorKey;
use jiff::Timestamp;

use crate::archive::{Archive, ArchiveError};
use crate::attribution::evidence::{ClickEvidence, ClickFacts};
use crate::classification::{self, VisitPlace};
use crate::nodes::PassedTimes;
use crate::store::blocks::{self, BlockRow};
use crate::store::{ReadTx, Store, StoreError, meta};

/// A click record, with all values for a conversion.
#[derive(Debug, Clone)]
pub(crate) struct FoundClick {
    pub(crate) head: ClickHead,
    pub(crate) code: Vec<u8>,
    tags: Vec<(Tag, Vec<u8>)>,
    pub(crate) address: String,
    /// By the databases in service at the look-up.
    pub(crate) place: VisitPlace,
}

impl FoundClick {
    fn from_record(click: &Click<'_>, databases: &Databases) -> FoundClick {
        FoundClick {
            head: click.head,
            code: click.code.to_vec(),
            tags: Tag::all().filter_map(|tag| Some((tag, click.tag(tag)?.to_vec()))).collect(),
            address: click.address().map_or_else(String::new, |address| address.to_string()),
            place: VisitPlace::find(click.head.kind, click.address(), databases),
        }
    }

    pub(crate) fn text(&self, wanted: Tag) -> String {
        String::from_utf8_lossy(self.bytes(wanted)).into_owned()
    }

    fn bytes(&self, wanted: Tag) -> &[u8] {
        let found = self.tags.iter().find(|(tag, _)| *tag == wanted);
        found.map(|(_, value)| value.as_slice()).unwrap_or_default()
    }

    /// The visitor, where the offer's rules ask for earlier visits.
    pub(crate) fn visitor_key(&self) -> Option<VisitorKey> {
        VisitorKey::from_bytes(self.bytes(Tag::VisitorKey))
    }

    /// The offer's URL that the visit was sent to; 0 for the offer's destination.
    pub(crate) fn offer_url_id(&self) -> u32 {
        self.as_click(|click| click.offer_url_id()).unwrap_or_default()
    }

    pub(crate) fn agent(&self) -> Option<Agent> {
        self.as_click(classification::agent)
    }

    /// Encodes the record again and passes it to `work`; `None` if it does not decode.
    pub(crate) fn as_click<T>(&self, work: impl FnOnce(&Click<'_>) -> T) -> Option<T> {
        let tags: Vec<(Tag, &[u8])> =
            self.tags.iter().map(|(tag, value)| (*tag, value.as_slice())).collect();
        let mut record = vec![0; coupon_shared::click::MAX_RECORD_LEN];
        let len = coupon_shared::click::encode_click(&self.head, &self.code, &tags, &mut record);
        record.truncate(len);
        Click::decode(&record).ok().map(|(click, _)| work(&click))
    }

    fn facts(&self) -> ClickFacts {
        let detour = self.as_click(|click| click.detour()).flatten();
        ClickFacts {
            unix_ms: self.head.unix_ms,
            kind: self.head.kind,
            reason: self.head.reason,
            code_id: self.head.code_id,
            offer_id: self.head.offer_id,
            previous_offer_id: detour.map(|detour| detour.previous_offer_id),
            affiliate_id: self.head.partner_id,
            advertiser_id: self.head.advertiser_id,
            coupon_code: String::from_utf8_lossy(&self.code).into_owned(),
        }
    }
}

/// The lookup results of several transaction ids.
#[derive(Debug, Default)]
pub(crate) struct ClickLookup {
    known: HashMap<TransactionId, LookupResult>,
}

#[derive(Debug)]
enum LookupResult {
    Found(Box<FoundClick>),
    Invented,
    Awaited,
    Gone,
}

impl ClickLookup {
    pub(crate) fn found(&self, id: &TransactionId) -> Option<&FoundClick> {
        match self.known.get(id) {
            Some(LookupResult::Found(click)) => Some(click),
            _ => None,
        }
    }

    pub(crate) fn evidence(&self, id: &TransactionId) -> ClickEvidence {
        match self.known.get(id) {
            Some(LookupResult::Found(click)) => ClickEvidence::Found(click.facts()),
            Some(LookupResult::Awaited) => ClickEvidence::Awaited,
            Some(LookupResult::Gone) => ClickEvidence::Gone,
            Some(LookupResult::Invented) | None => ClickEvidence::Invented,
        }
    }

    /// `passed` must have been read before this call.
    pub(crate) async fn look_up(
        store: &Store,
        archive: &Archive,
        ids: Vec<TransactionId>,
        passed: Arc<PassedTimes>,
    ) -> Result<ClickLookup, LookUpError> {
        if ids.is_empty() {
            return Ok(ClickLookup::default());
        }
        let plans = store.read(move |connection| plan_lookups(connection, ids, &passed)).await?;
        Ok(archive.on_disk(move |archive| read_clicks(archive, plans)).await?)
    }
}

/// Why a lookup failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookUpError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// The blocks to search for a click, and the result without a match.
struct LookupPlan {
    id: TransactionId,
    blocks: Vec<BlockRow>,
    otherwise: LookupResult,
}

fn plan_lookups(
    connection: &ReadTx<'_>,
    ids: Vec<TransactionId>,
    passed: &PassedTimes,
) -> Result<Vec<LookupPlan>, StoreError> {
    let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    let key = ClickIdKey(meta::read(connection)?.click_id_key);
    let mut plans = Vec::with_capacity(ids.len());
    for id in ids {
        if !id.verify(&key) {
            plans.push(LookupPlan { id, blocks: Vec::new(), otherwise: LookupResult::Invented });
            continue;
        }
        let has_passed = id.unix_ms() <= passed.for_node(id.node(), now_ms)
            || blocks::is_beyond(connection, &id)?;
        let otherwise = if has_passed { LookupResult::Gone } else { LookupResult::Awaited };
        plans.push(LookupPlan { id, blocks: blocks::around(connection, &id)?, otherwise });
    }
    Ok(plans)
}

fn read_clicks(archive: &Archive, mut plans: Vec<LookupPlan>) -> Result<ClickLookup, ArchiveError> {
    // In the archive's order, neighbours are read in one pass.
    plans.sort_by_key(|plan| plan.blocks.first().map(|block| block.archive_sequence));
    let mut archived = archive.block_reader();
    let mut clicks = ClickLookup::default();
    let databases = archive.databases();
    for LookupPlan { id, blocks, otherwise } in plans {
        let read = |click: &Click<'_>| Box::new(FoundClick::from_record(click, &databases));
        let found = archived.find(&blocks, id, read)?;
        clicks.known.insert(id, found.map_or(otherwise, LookupResult::Found));
    }
    Ok(clicks)
}
