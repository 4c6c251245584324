//! The traffic of each value of a rule's variable: visits out of the rollups, conversions out of
//! their table. The visits of variables that rollups do not count are added by the run.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use coupon_geo::Databases;
use coupon_rules::place::{Place, PlaceParts};
use coupon_rules::text_match::host_of_url;
use foldhash::fast::RandomState;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::super::rollups::{self, Dimension, OTHER, OneOf, Question, SLOT_MS, ValueDimension};
use super::super::{ReadTx, StoreError, labels};
use crate::catalog::{
    CountedStatus, MAX_VALUE_BYTES, SmartSwitchMetric, SmartSwitchRule, SwitchVariable,
    TargetedEntity,
};

/// Values measured at once. Each takes some 300 bytes.
const MAX_VALUES: usize = 300_000;
const HOUR_MS: u64 = 3_600_000;
/// The hours before the last hour that a spike is compared with.
pub const USUAL_HOURS: u64 = 14 * 24;
/// A conversion this shortly after its click has hardly been caused by it.
const FAST_MS: u64 = 5_000;

/// Reasons why traffic cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The traffic has too many values.
    #[error(
        "more than {MAX_VALUES} values came in the measured time; target fewer offers, or a shorter time"
    )]
    TooManyValues,
    /// The archive has too many visits.
    #[error(
        "more than {limit} visits came in the measured time, and are not read one by one; choose a shorter time"
    )]
    TooManyVisits {
        /// The most visits.
        limit: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The traffic that a rule judges together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueKey {
    /// In lower case.
    pub value: String,
    /// 0 if the rule measures several offers together.
    pub offer_id: u32,
    /// 0 if the rule does not measure advertisers.
    pub advertiser_id: u32,
    /// 0 with the variable `affiliate`, whose value is the partner.
    pub affiliate_id: u32,
}

/// The objects that a visit belongs to; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitIds {
    /// The offer.
    pub offer: u32,
    /// The advertiser.
    pub advertiser: u32,
    /// The partner.
    pub affiliate: u32,
}

/// Numbers of a value's visits in the click archive; 0 where the rule does not ask for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VisitSignals {
    /// Visits with a recorded address.
    pub addressed: u64,
    /// Their different addresses.
    pub distinct_addresses: u64,
    /// Those of the most frequent address.
    pub top_address: u64,
    /// Those whose address was looked up in a database of proxies.
    pub probed: u64,
    /// Those from data centres.
    pub hosting: u64,
    /// Those through a proxy, a VPN or Tor.
    pub proxied: u64,
    /// Visits that the offer accepted, or refused for their place.
    pub place_judged: u64,
    /// Those that the offer refused for their place.
    pub misplaced: u64,
    /// Visits with a language and a country whose languages are known.
    pub language_known: u64,
    /// Those with a language that few people of the country set.
    pub foreign_language: u64,
}

/// Numbers of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValueTraffic {
    /// All visits, by offer.
    pub gross: BTreeMap<u32, u64>,
    /// Valid clicks.
    pub valid: u64,
    /// Visits of bots.
    pub bot: u64,
    /// Duplicate clicks.
    pub duplicate: u64,
    /// Refused visits.
    pub invalid: u64,
    /// Base conversions by status: approved, pending, rejected.
    pub conversions: [u64; 3],
    /// Those without a click that have a counted status.
    pub clickless: u64,
    /// Those with a click that have a counted status.
    pub clicked: u64,
    /// Those that came shortly after their click.
    pub fast: u64,
    /// Those of the last hour.
    pub last_hour: u64,
    /// Those of the [`USUAL_HOURS`] before the last hour.
    pub usual: u64,
    /// Numbers out of the click archive.
    pub signals: VisitSignals,
}

impl ValueTraffic {
    /// All visits.
    #[must_use]
    pub fn gross_clicks(&self) -> u64 {
        self.gross.values().sum()
    }

    /// Conversions with one of these statuses.
    #[must_use]
    pub fn conversions_with(&self, statuses: &[CountedStatus]) -> u64 {
        let all = [CountedStatus::Approved, CountedStatus::Pending, CountedStatus::Rejected];
        let counted =
            all.iter().zip(self.conversions).filter(|(status, _)| statuses.contains(status));
        counted.map(|(_, count)| count).sum()
    }
}

/// The traffic that a rule measures.
#[derive(Debug, Default)]
pub struct Traffic {
    /// By value.
    pub values: HashMap<ValueKey, ValueTraffic, RandomState>,
    /// All visits of each offer, also of partners that the rule does not target.
    pub offers: HashMap<u32, u64, RandomState>,
    /// Visits whose value is not known.
    pub hidden_clicks: u64,
    /// Sentences about what could not be measured.
    pub remarks: Vec<String>,
}

/// Measures the traffic of a rule in these quarter hours. The databases tell the network of an
/// address.
///
/// # Errors
/// When the traffic has too many values, or the store fails.
pub fn measure(
    connection: &ReadTx<'_>,
    rule: &SmartSwitchRule,
    slots: Range<u64>,
    databases: &Databases,
) -> Result<Traffic, TrafficError> {
    let mut traffic = Traffic::default();
    if !rule.variable.is_archived() {
        traffic.add_visits(connection, rule, slots.clone())?;
    }
    traffic.add_conversions(connection, rule, &slots, databases)?;
    traffic.add_offers(connection, rule, slots)?;
    Ok(traffic)
}

impl Traffic {
    fn add_visits(
        &mut self,
        connection: &ReadTx<'_>,
        rule: &SmartSwitchRule,
        slots: Range<u64>,
    ) -> Result<(), TrafficError> {
        let (value_dimension, by_code) = dimensions(rule.variable);
        let mut by = vec![Dimension::Offer, Dimension::Advertiser, Dimension::Affiliate];
        by.extend(by_code);
        let filters = targets(rule).into_iter().collect();
        let question = Question { slots, by, spans: Vec::new(), value_dimension, filters };
        let mut counted: HashMap<([u32; 4], String), [i64; 5], RandomState> = HashMap::default();
        let mut is_too_much = false;
        rollups::query(connection, &question, |_, ids, value, _, measures| {
            let mut key = [0; 4];
            key[..ids.len()].copy_from_slice(ids);
            let key = (key, value.to_ascii_lowercase());
            if counted.len() >= MAX_VALUES && !counted.contains_key(&key) {
                is_too_much = true;
                return;
            }
            let sum = counted.entry(key).or_default();
            let parts = [
                measures.gross,
                measures.total(),
                measures.bot,
                measures.duplicate,
                measures.invalid,
            ];
            sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        })?;
        if is_too_much {
            return Err(TrafficError::TooManyValues);
        }
        let codes = code_names(connection, rule.variable, counted.keys().map(|(ids, _)| ids[3]))?;
        for (([offer, advertiser, affiliate, code], value), numbers) in counted {
            let [gross, valid, bot, duplicate, invalid] =
                numbers.map(|number| u64::try_from(number).unwrap_or(0));
            if value == OTHER {
                self.hidden_clicks += gross;
                continue;
            }
            let value = match rule.variable {
                SwitchVariable::CouponCode => codes.get(&code).cloned().unwrap_or_default(),
                SwitchVariable::Affiliate => affiliate_value(affiliate),
                _ => value,
            };
            let ids = VisitIds { offer, advertiser, affiliate };
            let Some(of_value) = self.value(rule, ids, value)? else {
                continue;
            };
            *of_value.gross.entry(offer).or_default() += gross;
            of_value.valid += valid;
            of_value.bot += bot;
            of_value.duplicate += duplicate;
            of_value.invalid += invalid;
        }
        Ok(())
    }

    /// The numbers of a value; `None` for no value, or one that visits cannot be compared with.
    pub(crate) fn value(
        &mut self,
        rule: &SmartSwitchRule,
        ids: VisitIds,
        value: String,
    ) -> Result<Option<&mut ValueTraffic>, TrafficError> {
        let Some(key) = ValueKey::new(rule, ids, value) else { return Ok(None) };
        if self.values.len() >= MAX_VALUES && !self.values.contains_key(&key) {
            return Err(TrafficError::TooManyValues);
        }
        Ok(Some(self.values.entry(key).or_default()))
    }

    fn add_conversions(
        &mut self,
        connection: &ReadTx<'_>,
        rule: &SmartSwitchRule,
        slots: &Range<u64>,
        databases: &Databases,
    ) -> Result<(), TrafficError> {
        let (start_ms, end_ms) = (slots.start * SLOT_MS, slots.end * SLOT_MS);
        let hour_ms = end_ms.saturating_sub(HOUR_MS);
        let has_spike = rule.conditions.iter().any(|c| c.metric == SmartSwitchMetric::Spike);
        let usual_hours = if has_spike { USUAL_HOURS } else { 0 };
        let usual_ms = hour_ms.saturating_sub(usual_hours * HOUR_MS);
        let (column, target) = (column(rule.variable), targets(rule));
        let target = target.map_or_else(|| "true".into(), |target| target_condition(&target));
        let sql = format!(
            "SELECT offer_id, advertiser_id, affiliate_id, {column}, status,
                 sum(unix_ms >= ?1),
                 sum(unix_ms >= ?1 AND transaction_id = ''),
                 sum(unix_ms >= ?1 AND transaction_id <> '' AND click_ms > 0),
                 sum(unix_ms >= ?1 AND transaction_id <> '' AND click_ms > 0
                     AND unix_ms - click_ms < {FAST_MS}),
                 sum(unix_ms >= ?3), sum(unix_ms >= ?4 AND unix_ms < ?3)
             FROM conversion WHERE unix_ms >= min(?1, ?4) AND unix_ms < ?2 AND event_id = 0
                 AND refund_of IS NULL AND status <> 'invalid' AND {target}
             GROUP BY 1, 2, 3, 4, 5"
        );
        let statuses = &rule.data_collection_threshold.conversion_statuses;
        let mut statement = connection.prepare_cached(&sql).map_err(StoreError::from)?;
        let times = [start_ms, end_ms, hour_ms, usual_ms].map(|ms| Value::Integer(ms as i64));
        let mut rows = statement.query(params_from_iter(times)).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            let read = |at: usize| row.get::<_, u32>(at).map_err(StoreError::from);
            let ids = VisitIds { offer: read(0)?, advertiser: read(1)?, affiliate: read(2)? };
            let value: String = row.get(3).map_err(StoreError::from)?;
            let value = match rule.variable {
                SwitchVariable::Affiliate => affiliate_value(ids.affiliate),
                SwitchVariable::RefererHost => referer_host(value.as_bytes()),
                SwitchVariable::Asn => value.parse().map_or_else(
                    |_| String::new(),
                    |address| asn_value(&databases.look_up(address, PlaceParts::ISP)),
                ),
                _ => value.to_ascii_lowercase(),
            };
            let status: String = row.get(4).map_err(StoreError::from)?;
            let Ok(status) = status.parse::<CountedStatus>() else { continue };
            let numbers: [u64; 6] = [5, 6, 7, 8, 9, 10].map(|at| row.get(at).unwrap_or(0));
            let Some(of_value) = self.value(rule, ids, value)? else { continue };
            of_value.add_conversions(status, statuses.contains(&status), numbers);
        }
        Ok(())
    }

    fn add_offers(
        &mut self,
        connection: &ReadTx<'_>,
        rule: &SmartSwitchRule,
        slots: Range<u64>,
    ) -> Result<(), StoreError> {
        // The share of a partner's traffic is its share in all traffic of an offer.
        let of_partner = rule.targeted_entity_type == TargetedEntity::Affiliate;
        let filters = targets(rule).filter(|_| !of_partner).into_iter().collect();
        let question = Question {
            slots,
            by: vec![Dimension::Offer],
            spans: Vec::new(),
            value_dimension: ValueDimension::Base,
            filters,
        };
        let mut sums: HashMap<u32, i64, RandomState> = HashMap::default();
        rollups::query(connection, &question, |_, ids, _, _, measures| {
            *sums.entry(ids[0]).or_default() += measures.gross;
        })?;
        self.offers =
            sums.into_iter().map(|(id, sum)| (id, u64::try_from(sum).unwrap_or(0))).collect();
        Ok(())
    }
}

impl ValueTraffic {
    fn add_conversions(
        &mut self,
        status: CountedStatus,
        is_counted: bool,
        [all, clickless, clicked, fast, last_hour, usual]: [u64; 6],
    ) {
        self.conversions[status as usize] += all;
        if is_counted {
            self.clickless += clickless;
            self.clicked += clicked;
            self.fast += fast;
            self.last_hour += last_hour;
            self.usual += usual;
        }
    }
}

impl ValueKey {
    /// `None` for no value, or one that visits cannot be compared with.
    pub(crate) fn new(rule: &SmartSwitchRule, ids: VisitIds, value: String) -> Option<ValueKey> {
        if value.is_empty() || value == OTHER || value.len() > MAX_VALUE_BYTES {
            return None;
        }
        let (offer_id, advertiser_id) = match rule.targeted_entity_type {
            TargetedEntity::Offer => (ids.offer, 0),
            TargetedEntity::Advertiser => (0, ids.advertiser),
            TargetedEntity::Affiliate | TargetedEntity::Network => (0, 0),
        };
        let is_partner = rule.variable == SwitchVariable::Affiliate;
        let affiliate_id = if is_partner { 0 } else { ids.affiliate };
        Some(ValueKey { value, offer_id, advertiser_id, affiliate_id })
    }
}

/// The value of a partner.
pub(crate) fn affiliate_value(id: u32) -> String {
    if id == 0 { String::new() } else { id.to_string() }
}

/// The value of a page's address.
pub(crate) fn referer_host(referer: &[u8]) -> String {
    String::from_utf8_lossy(host_of_url(referer)).to_ascii_lowercase()
}

/// The value of a visitor's network.
pub(crate) fn asn_value(place: &Place<'_>) -> String {
    if place.isp.asn == 0 { String::new() } else { place.isp.asn.to_string() }
}

/// The breakdown of visits by a variable.
fn dimensions(variable: SwitchVariable) -> (ValueDimension, Option<Dimension>) {
    match variable {
        SwitchVariable::Sub1 => (ValueDimension::Sub(1), None),
        SwitchVariable::Sub2 => (ValueDimension::Sub(2), None),
        SwitchVariable::Sub3 => (ValueDimension::Sub(3), None),
        SwitchVariable::Sub4 => (ValueDimension::Sub(4), None),
        SwitchVariable::Sub5 => (ValueDimension::Sub(5), None),
        SwitchVariable::SourceId => (ValueDimension::SourceId, None),
        SwitchVariable::CouponCode => (ValueDimension::Base, Some(Dimension::Code)),
        SwitchVariable::Country => (ValueDimension::Country, None),
        // Visits are counted by the last two in the archive alone.
        SwitchVariable::Affiliate | SwitchVariable::RefererHost | SwitchVariable::Asn => {
            (ValueDimension::Base, None)
        }
    }
}

/// The column of conversions with the value of a variable.
fn column(variable: SwitchVariable) -> &'static str {
    match variable {
        SwitchVariable::Sub1 => "sub1",
        SwitchVariable::Sub2 => "sub2",
        SwitchVariable::Sub3 => "sub3",
        SwitchVariable::Sub4 => "sub4",
        SwitchVariable::Sub5 => "sub5",
        SwitchVariable::SourceId => "source_id",
        SwitchVariable::CouponCode => "folded_code",
        SwitchVariable::Country => "country",
        SwitchVariable::RefererHost => "click_referer",
        SwitchVariable::Asn => "click_address",
        SwitchVariable::Affiliate => "''",
    }
}

fn targets(rule: &SmartSwitchRule) -> Option<OneOf> {
    let dimension = match rule.targeted_entity_type {
        TargetedEntity::Offer => Dimension::Offer,
        TargetedEntity::Advertiser => Dimension::Advertiser,
        TargetedEntity::Affiliate => Dimension::Affiliate,
        TargetedEntity::Network => return None,
    };
    Some(OneOf { dimension, ids: rule.targeted_entity_ids.clone() })
}

fn target_condition(target: &OneOf) -> String {
    let column = match target.dimension {
        Dimension::Code => "code_id",
        Dimension::Offer => "offer_id",
        Dimension::Affiliate => "affiliate_id",
        Dimension::Advertiser => "advertiser_id",
    };
    let ids: Vec<String> = target.ids.iter().map(u32::to_string).collect();
    format!("{column} IN ({})", ids.join(", "))
}

/// Codes in lower case, by id.
fn code_names(
    connection: &ReadTx<'_>,
    variable: SwitchVariable,
    ids: impl Iterator<Item = u32>,
) -> Result<HashMap<u32, String>, StoreError> {
    if variable != SwitchVariable::CouponCode {
        return Ok(HashMap::new());
    }
    let mut ids: Vec<u32> = ids.filter(|id| *id != 0).collect();
    ids.sort_unstable();
    ids.dedup();
    let names = labels::names(connection, Dimension::Code, &ids)?;
    Ok(names.into_iter().map(|(id, code)| (id, code.to_ascii_lowercase())).collect())
}
