//! The traffic of each value of a rule's variable, read out of the click archive: addresses, places,
//! languages, and variables without rollups.
//!
//! Rollups would have to keep a sketch of addresses for each offer, partner, value and day, also for
//! values without a rule. So a run reads the visits of its look-back window, at most
//! [`MAX_VISITS`], and only for rules with such a metric or variable. A visit costs some
//! microseconds, and memory depends on the number of values alone ([`AddressSketch`]).
//!
//! Shares count visits with a recorded address, without impressions, prefetches and visits reported
//! by servers. A visit sent on by fail traffic counts for the refusing offer.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use coupon_geo::Databases;
use coupon_rules::language;
use coupon_rules::place::{Place, PlaceParts, ProxyKinds};
use coupon_shared::click::{Click, ClickHead, Tag, VisitKind};
use coupon_shared::decision::{DetourKind, Reason};
use foldhash::fast::RandomState;

use super::RunError;
use super::address_sketch::AddressSketch;
use super::spoken_languages::is_spoken;
use crate::archive::{Archive, ArchiveError};
use crate::catalog::{SmartSwitchMetric, SmartSwitchRule, SwitchVariable, TargetedEntity};
use crate::classification::bot_list::BotList;
use crate::classification::{self, VisitClass};
use crate::client_network::network_hash;
use crate::store::blocks::{self, BlockRow};
use crate::store::rollups::SLOT_MS;
use crate::store::smart_switch::traffic::{
    self, Traffic, TrafficError, ValueKey, VisitIds, VisitSignals,
};
use crate::store::{ReadTx, Store, bot_list};

/// Most visits of a run: some minutes of a core.
const MAX_VISITS: u64 = 50_000_000;
const BLOCKS_PER_READ: usize = 2_048;

/// Measures the traffic of a rule in these quarter hours, in rollups and where needed in the archive.
pub(super) async fn measure(
    store: &Store,
    archive: &Archive,
    rule: &SmartSwitchRule,
    slots: Range<u64>,
) -> Result<Traffic, RunError> {
    let databases = archive.databases();
    let (asked, span) = (rule.clone(), slots.start * SLOT_MS..slots.end * SLOT_MS);
    let places = Arc::clone(&databases);
    let counted = move |connection: &ReadTx<'_>| {
        let traffic = traffic::measure(connection, &asked, slots, &places)?;
        Ok::<_, RunError>((traffic, bot_list::in_force(connection)?))
    };
    let (traffic, bots) = store.read(counted).await?;
    if !rule.reads_archive() {
        return Ok(traffic);
    }
    let reader = VisitReader::new(rule, traffic, databases, bots, span);
    Ok(reader.read_blocks(store, archive).await?.finish())
}

/// Numbers of a value during the reading of its visits.
#[derive(Debug, Default)]
struct ValueSignals {
    addresses: AddressSketch,
    signals: VisitSignals,
}

/// Reads the visits of a run.
struct VisitReader {
    rule: SmartSwitchRule,
    traffic: Traffic,
    signals: HashMap<ValueKey, ValueSignals, RandomState>,
    databases: Arc<Databases>,
    bots: Arc<BotList>,
    /// Parts of a place in the rule's conditions and variable.
    wanted: PlaceParts,
    /// In Unix milliseconds.
    span: Range<u64>,
    visits: u64,
}

impl VisitReader {
    fn new(
        rule: &SmartSwitchRule,
        traffic: Traffic,
        databases: Arc<Databases>,
        bots: Arc<BotList>,
        span: Range<u64>,
    ) -> VisitReader {
        VisitReader {
            wanted: wanted_parts(rule),
            rule: rule.clone(),
            traffic,
            signals: HashMap::default(),
            databases,
            bots,
            span,
            visits: 0,
        }
    }

    async fn read_blocks(
        mut self,
        store: &Store,
        archive: &Archive,
    ) -> Result<VisitReader, RunError> {
        let span = (self.span.start, self.span.end);
        let mut after: Option<BlockRow> = None;
        loop {
            let next = move |c: &ReadTx<'_>| {
                blocks::latest_between(c, span, after.as_ref(), BLOCKS_PER_READ)
            };
            let page = store.read(next).await?;
            let Some(last) = page.last().copied() else { return Ok(self) };
            self = archive.on_disk(move |archive| self.read_page(archive, page)).await??;
            after = Some(last);
        }
    }

    fn read_page(
        mut self,
        archive: &Archive,
        mut page: Vec<BlockRow>,
    ) -> Result<Result<VisitReader, TrafficError>, ArchiveError> {
        // In the archive's order neighbours are read in one pass.
        page.sort_unstable_by_key(|block| block.archive_sequence);
        let mut archived = archive.block_reader();
        for block in page {
            let decoded = archived.read(block.archive_sequence)?;
            for click in decoded.clicks().skip(block.repeated()) {
                if let Err(error) = self.add(&click) {
                    return Ok(Err(error));
                }
            }
        }
        Ok(Ok(self))
    }

    fn add(&mut self, click: &Click<'_>) -> Result<(), TrafficError> {
        let is_counted = click.head.kind != VisitKind::Impression;
        if !is_counted || !self.span.contains(&click.head.unix_ms) {
            return Ok(());
        }
        self.visits += 1;
        if self.visits > MAX_VISITS {
            return Err(TrafficError::TooManyVisits { limit: MAX_VISITS });
        }
        let databases = Arc::clone(&self.databases);
        let place = self.look_up(click, &databases);
        let value = value_of(self.rule.variable, click, &place);
        if self.rule.variable.is_archived() {
            self.count_visit(click, &value)?;
        }
        self.add_signals(click, &place, value)
    }

    fn look_up<'d>(&self, click: &Click<'_>, databases: &'d Databases) -> Place<'d> {
        match click.address().filter(|_| !self.wanted.is_empty() && is_of_visitor(click)) {
            Some(address) => databases.look_up(address, self.wanted),
            None => Place::default(),
        }
    }

    /// Counts a visit of a value without rollups.
    fn count_visit(&mut self, click: &Click<'_>, value: &str) -> Result<(), TrafficError> {
        let head = &click.head;
        let ids = VisitIds {
            offer: head.offer_id,
            advertiser: head.advertiser_id,
            affiliate: head.partner_id,
        };
        if !is_targeted(&self.rule, ids) {
            return Ok(());
        }
        let is_bot = classification::identify_agent(click, &self.bots).is_bot;
        let Some(of_value) = self.traffic.value(&self.rule, ids, value.to_owned())? else {
            return Ok(());
        };
        *of_value.gross.entry(head.offer_id).or_default() += 1;
        match classification::class_without_history(head, is_bot, false) {
            VisitClass::Bot => of_value.bot += 1,
            VisitClass::Invalid => of_value.invalid += 1,
            _ => of_value.valid += 1,
        }
        Ok(())
    }

    fn add_signals(
        &mut self,
        click: &Click<'_>,
        place: &Place<'_>,
        value: String,
    ) -> Result<(), TrafficError> {
        let ids = ids_of_wanted_offer(click);
        if !is_of_visitor(click) || !is_targeted(&self.rule, ids) {
            return Ok(());
        }
        let Some(key) = ValueKey::new(&self.rule, ids, value) else { return Ok(()) };
        // The rollups know which values are too many to be told apart.
        if !self.traffic.values.contains_key(&key) {
            if !self.rule.variable.is_archived() {
                return Ok(());
            }
            self.traffic.value(&self.rule, ids, key.value.clone())?;
        }
        let knows_proxies = self.databases.has(PlaceParts::PROXY);
        let of_value = self.signals.entry(key).or_default();
        of_value.signals.add_reason(refusal(click));
        if let Some(address) = click.address() {
            of_value.addresses.add(network_hash(address));
            of_value.signals.add_place(place, knows_proxies);
            of_value.signals.add_language(place, click.tag(Tag::Language).unwrap_or_default());
        }
        Ok(())
    }

    fn finish(self) -> Traffic {
        let VisitReader { rule, mut traffic, signals, databases, .. } = self;
        for (key, ValueSignals { addresses, signals }) in signals {
            if let Some(of_value) = traffic.values.get_mut(&key) {
                of_value.signals = VisitSignals {
                    addressed: addresses.visits(),
                    distinct_addresses: addresses.distinct(),
                    top_address: addresses.most_frequent(),
                    ..signals
                };
            }
        }
        traffic.remarks = missing_parts(&rule, &databases);
        traffic
    }
}

impl VisitSignals {
    /// Counts visits with a judged place alone: earlier refusals leave the place unjudged.
    fn add_reason(&mut self, reason: Reason) {
        let is_misplaced = matches!(
            reason,
            Reason::Country | Reason::Region | Reason::City | Reason::Dma | Reason::PostalCode
        );
        let is_accepted = reason == Reason::Redirected;
        self.place_judged += u64::from(is_misplaced || is_accepted);
        self.misplaced += u64::from(is_misplaced);
    }

    fn add_place(&mut self, place: &Place<'_>, knows_proxies: bool) {
        let kinds = place.proxy.unwrap_or_default();
        let hidden = ProxyKinds::VPN
            | ProxyKinds::PUBLIC_PROXY
            | ProxyKinds::TOR
            | ProxyKinds::RESIDENTIAL_PROXY;
        self.probed += u64::from(knows_proxies);
        self.hosting += u64::from(kinds.has(ProxyKinds::HOSTING));
        self.proxied += u64::from(kinds.has(hidden));
    }

    fn add_language(&mut self, place: &Place<'_>, accept_language: &[u8]) {
        let tag = language::preferred(accept_language);
        let Some(is_spoken) = tag.and_then(|tag| is_spoken(place.country, tag)) else { return };
        self.language_known += 1;
        self.foreign_language += u64::from(!is_spoken);
    }
}

/// Whether address and language are the visitor's own.
fn is_of_visitor(click: &Click<'_>) -> bool {
    matches!(click.head.kind, VisitKind::Click | VisitKind::Sdk)
}

fn is_targeted(rule: &SmartSwitchRule, ids: VisitIds) -> bool {
    let targets = &rule.targeted_entity_ids;
    match rule.targeted_entity_type {
        TargetedEntity::Offer => targets.contains(&ids.offer),
        TargetedEntity::Advertiser => targets.contains(&ids.advertiser),
        TargetedEntity::Affiliate => targets.contains(&ids.affiliate),
        TargetedEntity::Network => true,
    }
}

/// The ids of the offer before fail traffic.
fn ids_of_wanted_offer(click: &Click<'_>) -> VisitIds {
    let ClickHead { offer_id, advertiser_id, partner_id, .. } = click.head;
    let failed_over = click.detour().filter(|detour| detour.kind == DetourKind::FailTraffic);
    let offer = failed_over
        .map_or((offer_id, advertiser_id), |d| (d.previous_offer_id, d.previous_advertiser_id));
    VisitIds { offer: offer.0, advertiser: offer.1, affiliate: partner_id }
}

/// The decision of the offer before fail traffic.
fn refusal(click: &Click<'_>) -> Reason {
    let failed = click.detour().and_then(|detour| detour.failed_reason);
    failed.unwrap_or(click.head.reason)
}

fn value_of(variable: SwitchVariable, click: &Click<'_>, place: &Place<'_>) -> String {
    let tag = |tag| click.text(tag).to_ascii_lowercase();
    match variable {
        SwitchVariable::Sub1 => tag(Tag::Sub1),
        SwitchVariable::Sub2 => tag(Tag::Sub2),
        SwitchVariable::Sub3 => tag(Tag::Sub3),
        SwitchVariable::Sub4 => tag(Tag::Sub4),
        SwitchVariable::Sub5 => tag(Tag::Sub5),
        SwitchVariable::SourceId => tag(Tag::SourceId),
        SwitchVariable::CouponCode => String::from_utf8_lossy(click.code).to_ascii_lowercase(),
        SwitchVariable::Affiliate => traffic::affiliate_value(click.head.partner_id),
        SwitchVariable::RefererHost => {
            traffic::referer_host(click.tag(Tag::Referer).unwrap_or_default())
        }
        SwitchVariable::Asn => traffic::asn_value(place),
        SwitchVariable::Country => place.country.to_ascii_lowercase(),
    }
}

fn wanted_parts(rule: &SmartSwitchRule) -> PlaceParts {
    let mut parts = match rule.variable {
        SwitchVariable::Asn => PlaceParts::ISP,
        SwitchVariable::Country => PlaceParts::COUNTRY,
        _ => PlaceParts::default(),
    };
    for condition in &rule.conditions {
        parts |= match condition.metric {
            SmartSwitchMetric::DatacenterShare | SmartSwitchMetric::ProxyShare => PlaceParts::PROXY,
            SmartSwitchMetric::LanguageMismatch => PlaceParts::COUNTRY,
            _ => PlaceParts::default(),
        };
    }
    parts
}

/// A sentence about each part without a database.
fn missing_parts(rule: &SmartSwitchRule, databases: &Databases) -> Vec<String> {
    let missing = wanted_parts(rule) - databases.parts();
    let sentence = |part| format!("no database tells the {part} of an address");
    missing.names().map(sentence).collect()
}

#[cfg(test)]
mod tests;
