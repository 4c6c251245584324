//! Loads the evidence of a postback within the transaction that decides it, so no edit comes in
//! between. Catalog rows are cached for the other postbacks of the transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use coupon_shared::transaction_id::TransactionId;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::attribution::evidence::{ClickEvidence, CodeFacts, Evidence, SaleTime};
use crate::attribution::postback_fields::PostbackFields;
use crate::catalog::{AccountStatus, Advertiser, FoldedKey, Offer, PartnerVisibility, Settings};
use crate::click_lookup::ClickLookup;
use crate::store::conversions::recorded;
use crate::store::{StoreError, WriteTx, facts, settings};

/// The catalog rows that a transaction has read.
pub(super) struct EvidenceLoader<'t, 'c> {
    tx: &'t WriteTx<'c>,
    network_id: u32,
    pub(super) settings: Settings,
    zone: TimeZone,
    codes: HashMap<FoldedKey, Vec<CodeFacts>>,
    offers: HashMap<u32, Option<Offer>>,
    advertisers: HashMap<u32, Option<Advertiser>>,
    guarded: Option<Vec<(u32, Advertiser)>>,
    partners: HashMap<u32, Option<AccountStatus>>,
    access: HashMap<(u32, u32), Option<PartnerVisibility>>,
}

impl<'t, 'c> EvidenceLoader<'t, 'c> {
    pub(super) fn new(
        tx: &'t WriteTx<'c>,
        network_id: u32,
    ) -> Result<EvidenceLoader<'t, 'c>, StoreError> {
        let settings = settings::read(tx)?.settings;
        Ok(EvidenceLoader {
            tx,
            network_id,
            zone: TimeZone::get(&settings.time_zone).unwrap_or(TimeZone::UTC),
            settings,
            codes: HashMap::new(),
            offers: HashMap::new(),
            advertisers: HashMap::new(),
            guarded: None,
            partners: HashMap::new(),
            access: HashMap::new(),
        })
    }

    /// The network's time zone.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// All advertisers with trust rules.
    pub(super) fn guarded(&mut self) -> Result<&[(u32, Advertiser)], StoreError> {
        match &mut self.guarded {
            Some(known) => Ok(known),
            unknown => Ok(unknown.insert(facts::guarded_advertisers(self.tx)?)),
        }
    }

    pub(super) fn evidence(
        &mut self,
        fields: &PostbackFields,
        received_ms: u64,
        clicks: &ClickLookup,
    ) -> Result<Evidence, StoreError> {
        let mut evidence = Evidence {
            received_ms,
            sale_time: self.sale_time(fields, received_ms),
            today: self.day(received_ms),
            network_id: self.network_id,
            network_currency: self.settings.currency.clone(),
            clicks: click_evidence(fields, clicks),
            codes: self.codes(fields)?,
            offers: HashMap::new(),
            partners: HashMap::new(),
            access: HashMap::new(),
            advertisers: HashMap::new(),
            recorded: Vec::new(),
        };
        self.add_offers(fields.offer_id, &mut evidence)?;
        self.add_partners(fields, &mut evidence)?;
        self.add_advertisers(fields.advertiser_id, &mut evidence)?;
        self.add_recorded(fields, &mut evidence)?;
        Ok(evidence)
    }

    fn sale_time(&self, fields: &PostbackFields, received_ms: u64) -> Option<SaleTime> {
        let is_possible = |sold: &u64| match fields.by_network {
            Some(_) => *sold < received_ms,
            None => SaleTime::is_possible(*sold, received_ms),
        };
        let unix_ms = fields.sold_ms.filter(is_possible)?;
        Some(SaleTime { unix_ms, day: self.day(unix_ms) })
    }

    /// The civil day in the network's time zone.
    fn day(&self, unix_ms: u64) -> Date {
        let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
        let at = Timestamp::from_millisecond(ms).unwrap_or_else(|_| Timestamp::now());
        at.to_zoned_datetime(self.zone.clone()).date()
    }

    /// The rows of the sent code.
    pub(super) fn codes(&mut self, fields: &PostbackFields) -> Result<Vec<CodeFacts>, StoreError> {
        let Some(code) = fields.coupon_code.as_ref().and_then(|code| code.folded.as_ref()) else {
            return Ok(Vec::new());
        };
        self.rows_of_code(code).cloned()
    }

    fn rows_of_code(&mut self, code: &FoldedKey) -> Result<&Vec<CodeFacts>, StoreError> {
        let tx = self.tx;
        cached(&mut self.codes, code.clone(), || facts::codes(tx, code))
    }

    /// Whether a code exists.
    pub(super) fn is_known_code(&mut self, code: &FoldedKey) -> Result<bool, StoreError> {
        Ok(!self.rows_of_code(code)?.is_empty())
    }

    fn add_offers(
        &mut self,
        named: Option<u32>,
        evidence: &mut Evidence,
    ) -> Result<(), StoreError> {
        let tx = self.tx;
        let clicked = found_clicks(evidence).map(|click| click.offer_id);
        let of_codes = evidence.codes.iter().map(|row| row.offer_id);
        let recorded = evidence.recorded.iter().map(|order| order.offer_id);
        let named: Vec<u32> =
            named.into_iter().chain(clicked).chain(of_codes).chain(recorded).collect();
        for id in named {
            let offer = cached(&mut self.offers, id, || facts::offer(tx, id))?;
            if let Some(offer) = offer.as_ref().filter(|_| !evidence.offers.contains_key(&id)) {
                evidence.offers.insert(id, offer.clone());
            }
        }
        Ok(())
    }

    fn add_partners(
        &mut self,
        fields: &PostbackFields,
        evidence: &mut Evidence,
    ) -> Result<(), StoreError> {
        let tx = self.tx;
        let clicked = found_clicks(evidence).map(|click| (click.offer_id, click.affiliate_id));
        let of_codes =
            evidence.codes.iter().filter_map(|row| Some((row.offer_id, row.affiliate_id?)));
        let named = fields.offer_id.zip(fields.affiliate_id);
        let pairs: Vec<(u32, u32)> = named.into_iter().chain(clicked).chain(of_codes).collect();
        for (offer_id, id) in pairs {
            let account = cached(&mut self.partners, id, || facts::partner(tx, id))?;
            evidence.partners.extend(account.map(|account| (id, account)));
            let pair = (offer_id, id);
            let said = cached(&mut self.access, pair, || facts::access(tx, offer_id, id))?;
            evidence.access.extend(said.map(|said| (pair, said)));
        }
        Ok(())
    }

    fn add_advertisers(
        &mut self,
        named: Option<u32>,
        evidence: &mut Evidence,
    ) -> Result<(), StoreError> {
        let tx = self.tx;
        let clicked = found_clicks(evidence).map(|click| click.advertiser_id);
        let of_offers = evidence.offers.values().map(|offer| offer.network_advertiser_id);
        let recorded = evidence.recorded.iter().map(|order| order.advertiser_id);
        let named: Vec<u32> =
            named.into_iter().chain(clicked).chain(of_offers).chain(recorded).collect();
        for id in named {
            let advertiser = cached(&mut self.advertisers, id, || facts::advertiser(tx, id))?;
            if let Some(advertiser) = advertiser {
                evidence.advertisers.entry(id).or_insert_with(|| advertiser.clone());
            }
        }
        Ok(())
    }

    /// Adds standing conversions with the same order id or click, with their offers and
    /// advertisers.
    fn add_recorded(
        &mut self,
        fields: &PostbackFields,
        evidence: &mut Evidence,
    ) -> Result<(), StoreError> {
        let mut found = Vec::new();
        if let Some(order_id) = &fields.order_id {
            for advertiser_id in evidence.advertisers.keys() {
                found.extend(recorded::find_by_order(self.tx, order_id, *advertiser_id)?);
            }
            if let Some(code) = fields.coupon_code.as_ref().and_then(|code| code.folded.as_ref()) {
                found.extend(recorded::find_by_order_and_code(self.tx, order_id, code)?);
            }
        }
        for id in evidence.clicks.keys().filter(|id| evidence.found(id).is_some()) {
            found.extend(recorded::find_by_click(self.tx, id)?);
        }
        found.sort_unstable_by_key(|one| one.number);
        found.dedup_by_key(|one| one.number);
        evidence.recorded = found;
        self.add_offers(None, evidence)?;
        self.add_advertisers(None, evidence)
    }
}

fn click_evidence(
    fields: &PostbackFields,
    clicks: &ClickLookup,
) -> HashMap<TransactionId, ClickEvidence> {
    let ids = fields.transaction_ids.iter().filter_map(|sent| sent.id);
    ids.map(|id| (id, clicks.evidence(&id))).collect()
}

fn found_clicks(
    evidence: &Evidence,
) -> impl Iterator<Item = &crate::attribution::evidence::ClickFacts> {
    evidence.clicks.values().filter_map(|click| match click {
        ClickEvidence::Found(click) => Some(click),
        _ => None,
    })
}

fn cached<K: Hash + Eq, V>(
    cache: &mut HashMap<K, V>,
    key: K,
    read: impl FnOnce() -> Result<V, StoreError>,
) -> Result<&V, StoreError> {
    match cache.entry(key) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(unknown) => Ok(unknown.insert(read()?)),
    }
}
