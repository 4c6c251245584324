//! What a batch adds, collected in memory and written as one pack for each hour and day it touches.
//!
//! A value of a sub, source, region or city that is new is taken up while its day has fewer than [`MAX_VALUES`] of
//! that value dimension and partner; from then on new ones of that partner and day count as [`OTHER`]. So
//! values made up at random fill neither the disk nor a report, and those of one partner's visits
//! take no other's room. Which values are taken up follows from the order of the archive alone, not
//! from how it was cut into batches.

use std::collections::{BTreeMap, HashMap, HashSet};

use coupon_shared::click::{Click, Tag};
use coupon_shared::decision::DetourKind;
use foldhash::fast::RandomState;

use super::super::{StoreError, WriteTx};
use super::pack::{Key, Kind, Numbers, PackBuilder};
use super::tiers::{self, Resolution, RollupSeries};
use super::{
    ConversionCount, Ids, MeasureSource, Measures, SLOT_MS, SLOTS_PER_DAY, SLOTS_PER_HOUR,
    ValueDimension,
};
use crate::classification::{Classification, VisitPlace};

/// Distinct values of a limited value dimension that a day of a partner has at most.
pub(super) const MAX_VALUES: u64 = 10_000;
/// Replaces all further values.
pub const OTHER: &str = "(other)";

const HOURS_PER_DAY: u64 = SLOTS_PER_DAY / SLOTS_PER_HOUR;

/// The value dimensions of texts that partners choose.
const CHOSEN: [(ValueDimension, Tag); 11] = [
    (ValueDimension::Sub(1), Tag::Sub1),
    (ValueDimension::Sub(2), Tag::Sub2),
    (ValueDimension::Sub(3), Tag::Sub3),
    (ValueDimension::Sub(4), Tag::Sub4),
    (ValueDimension::Sub(5), Tag::Sub5),
    (ValueDimension::Sub(6), Tag::Sub6),
    (ValueDimension::Sub(7), Tag::Sub7),
    (ValueDimension::Sub(8), Tag::Sub8),
    (ValueDimension::Sub(9), Tag::Sub9),
    (ValueDimension::Sub(10), Tag::Sub10),
    (ValueDimension::SourceId, Tag::SourceId),
];

/// One count, before equal ones are added up. Kinds are numbered by the collection.
#[derive(Clone, Copy)]
struct Count {
    key: Key,
    /// Number of the counted measures.
    what: u32,
}

impl Count {
    fn of_day(&self) -> Count {
        Count { key: Key { quarter: 0, ..self.key }, ..*self }
    }
}

/// Counts that are not written yet.
pub(super) struct Collection {
    source: MeasureSource,
    hours: HashMap<(ValueDimension, u64), Vec<Count>, RandomState>,
    /// Distinct measures: clicks have few kinds of them, so a count stays small.
    whats: Vec<Measures>,
    what_numbers: HashMap<Measures, u32, RandomState>,
    kinds: Vec<Kind>,
    kind_numbers: HashMap<Kind, u32, RandomState>,
    /// Numbered from 1.
    texts: Vec<Box<str>>,
    text_numbers: HashMap<Box<str>, u32, RandomState>,
    /// The values of each value dimension and day, in the order in which they came.
    values: HashMap<(ValueDimension, u64), Values, RandomState>,
}

/// Number of a value, and the partner of its visits.
type PartnersValue = (u32, u32);

#[derive(Default)]
struct Values {
    in_order: Vec<PartnersValue>,
    seen: HashSet<PartnersValue, RandomState>,
}

impl Collection {
    pub(super) fn new(source: MeasureSource) -> Collection {
        Collection {
            source,
            hours: HashMap::default(),
            whats: Vec::new(),
            what_numbers: HashMap::default(),
            kinds: Vec::new(),
            kind_numbers: HashMap::default(),
            texts: Vec::new(),
            text_numbers: HashMap::default(),
            values: HashMap::default(),
        }
    }

    pub(super) fn click(
        &mut self,
        click: &Click<'_>,
        classification: &Classification,
        place: &VisitPlace,
        measures: Measures,
    ) {
        let head = &click.head;
        let ids = Ids {
            code: head.code_id,
            offer: head.offer_id,
            affiliate: head.partner_id,
            advertiser: head.advertiser_id,
        };
        self.visit(click, ids, classification, place, measures);
    }

    /// Counts a visit that fail traffic sent on, for the offer that refused it.
    pub(super) fn failed_over(
        &mut self,
        click: &Click<'_>,
        classification: &Classification,
        place: &VisitPlace,
    ) {
        let detour = click.detour().filter(|detour| detour.kind == DetourKind::FailTraffic);
        let Some(detour) = detour else { return };
        let ids = Ids {
            code: click.head.code_id,
            offer: detour.previous_offer_id,
            affiliate: click.head.partner_id,
            advertiser: detour.previous_advertiser_id,
        };
        let measures = Measures { failed_over: 1, ..Measures::default() };
        let unpaid = Classification { pay: None, ..classification.clone() };
        self.visit(click, ids, &unpaid, place, measures);
    }

    fn visit(
        &mut self,
        click: &Click<'_>,
        ids: Ids,
        classification: &Classification,
        place: &VisitPlace,
        measures: Measures,
    ) {
        let slot = click.head.unix_ms / SLOT_MS;
        let what = self.what(measures);
        let currency = classification.pay.as_ref().map_or(0, |pay| self.text(&pay.currency));
        self.count(ValueDimension::Base, slot, ids, (0, currency), what);
        let agent = &classification.agent;
        for (value_dimension, name) in [
            (ValueDimension::DeviceType, agent.device.as_str()),
            (ValueDimension::Platform, agent.platform.as_str()),
            (ValueDimension::Browser, agent.browser.as_str()),
        ] {
            let value = self.text(name);
            self.count(value_dimension, slot, ids, (value, currency), what);
        }
        for (value_dimension, tag) in CHOSEN {
            if click.tag(tag).is_some_and(|value| !value.is_empty()) {
                let value = self.text(&click.text(tag));
                self.came(value_dimension, slot, (value, ids.affiliate));
                self.count(value_dimension, slot, ids, (value, currency), what);
            }
        }
        self.count_place(place, slot, ids, currency, what);
    }

    fn count_place(&mut self, place: &VisitPlace, slot: u64, ids: Ids, currency: u32, what: u32) {
        if *place == VisitPlace::default() {
            return;
        }
        let parts = [
            (ValueDimension::Country, self.text(&place.country)),
            (ValueDimension::Region, self.text(&place.region_value())),
            (ValueDimension::City, self.text(&place.city_value())),
        ];
        for (value_dimension, value) in parts.into_iter().filter(|(_, value)| *value != 0) {
            if value_dimension.is_limited() {
                self.came(value_dimension, slot, (value, ids.affiliate));
            }
            self.count(value_dimension, slot, ids, (value, currency), what);
        }
    }

    pub(super) fn conversion(&mut self, count: &ConversionCount) {
        let ids = Ids {
            code: count.code_id,
            offer: count.offer_id,
            affiliate: count.affiliate_id,
            advertiser: count.advertiser_id,
        };
        let slot = count.unix_ms / SLOT_MS;
        let what = self.what(count.measures);
        let currency = self.text(&count.currency);
        self.count(ValueDimension::Base, slot, ids, (0, currency), what);
        for (value_dimension, value) in &count.values {
            if *value_dimension != ValueDimension::Base && !value.is_empty() {
                let value = self.text(value);
                self.count(*value_dimension, slot, ids, (value, currency), what);
            }
        }
    }

    fn count(
        &mut self,
        value_dimension: ValueDimension,
        slot: u64,
        ids: Ids,
        texts: (u32, u32),
        what: u32,
    ) {
        let kind = Kind::new(ids, texts.0, texts.1);
        let kinds = &mut self.kinds;
        let kind = *self.kind_numbers.entry(kind).or_insert_with(|| {
            kinds.push(kind);
            kinds.len() as u32 - 1
        });
        let quarter = (slot % SLOTS_PER_HOUR) as u8;
        let key = Key { code: ids.code, kind, quarter };
        let hour = (value_dimension, slot / SLOTS_PER_HOUR);
        self.hours.entry(hour).or_default().push(Count { key, what });
    }

    fn what(&mut self, measures: Measures) -> u32 {
        let whats = &mut self.whats;
        *self.what_numbers.entry(measures).or_insert_with(|| {
            whats.push(measures);
            whats.len() as u32 - 1
        })
    }

    fn text(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(number) = self.text_numbers.get(text) {
            return *number;
        }
        self.texts.push(text.into());
        let number = self.texts.len() as u32;
        self.text_numbers.insert(text.into(), number);
        number
    }

    fn came(&mut self, value_dimension: ValueDimension, slot: u64, value: PartnersValue) {
        let day = slot / SLOTS_PER_HOUR / HOURS_PER_DAY;
        let values = self.values.entry((value_dimension, day)).or_default();
        if values.seen.insert(value) {
            values.in_order.push(value);
        }
    }

    /// Writes the counts. The collection stays, so a failed write can be repeated.
    pub(super) fn write(&self, tx: &WriteTx<'_>) -> Result<(), StoreError> {
        let mut days: BTreeMap<(ValueDimension, u64), Vec<u64>> = BTreeMap::new();
        for (value_dimension, hour) in self.hours.keys() {
            days.entry((*value_dimension, hour / HOURS_PER_DAY)).or_default().push(*hour);
        }
        for ((value_dimension, day), mut hours) in days {
            hours.sort_unstable();
            let others = self.not_taken_up(tx, value_dimension, day)?;
            let mut of_day = Vec::new();
            for hour in hours {
                let Some(counts) = self.hours.get(&(value_dimension, hour)) else { continue };
                of_day.extend(counts.iter().map(Count::of_day));
                self.add(tx, Resolution::Hour, (value_dimension, hour), counts.clone(), &others)?;
            }
            self.add(tx, Resolution::Day, (value_dimension, day), of_day, &others)?;
        }
        Ok(())
    }

    fn add(
        &self,
        tx: &WriteTx<'_>,
        resolution: Resolution,
        (value_dimension, period): (ValueDimension, u64),
        mut counts: Vec<Count>,
        others: &HashSet<PartnersValue>,
    ) -> Result<(), StoreError> {
        let mut builder = PackBuilder::new(resolution == Resolution::Hour);
        let mut numbers: HashMap<u32, u32, RandomState> = HashMap::default();
        for count in &mut counts {
            count.key.kind = *numbers
                .entry(count.key.kind)
                .or_insert_with(|| self.renumber(&mut builder, count.key.kind, others));
        }
        counts.sort_unstable_by_key(|count| count.key);
        for counts in counts.chunk_by(|one, other| one.key == other.key) {
            builder.row(counts[0].key, &self.sum(counts));
        }
        let series = RollupSeries { resolution, source: self.source, value_dimension };
        builder.finish().map_or(Ok(()), |bytes| tiers::add(tx, series, period, &bytes))
    }

    fn renumber(
        &self,
        builder: &mut PackBuilder,
        kind: u32,
        others: &HashSet<PartnersValue>,
    ) -> u32 {
        let kind = self.kinds[kind as usize];
        let is_other = others.contains(&(kind.value, kind.affiliate));
        let value = if is_other { OTHER } else { self.text_of(kind.value) };
        let value = builder.text(value);
        let currency = builder.text(self.text_of(kind.currency));
        builder.kind(Kind { value, currency, ..kind })
    }

    fn sum(&self, counts: &[Count]) -> Numbers {
        let mut sum = Measures::default();
        for count in counts {
            sum += self.whats[count.what as usize];
        }
        sum.to_numbers()
    }

    fn text_of(&self, number: u32) -> &str {
        let at = (number as usize).checked_sub(1);
        at.and_then(|at| self.texts.get(at)).map_or("", |text| text)
    }

    /// Takes up the values of a value dimension and day while there is room, and answers those that
    /// are left.
    fn not_taken_up(
        &self,
        tx: &WriteTx<'_>,
        value_dimension: ValueDimension,
        day: u64,
    ) -> Result<HashSet<PartnersValue>, StoreError> {
        let mut left = HashSet::new();
        let Some(values) = self.values.get(&(value_dimension, day)) else { return Ok(left) };
        let mut known = tx.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM rollup_value WHERE source = ?1 AND day = ?2
             AND family = ?3 AND affiliate_id = ?4 AND value = ?5)",
        )?;
        let mut insert =
            tx.prepare_cached("INSERT INTO rollup_value VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut held: HashMap<u32, u64, RandomState> = HashMap::default();
        for (number, affiliate) in &values.in_order {
            let place = (self.source as u8, day, value_dimension.number(), *affiliate);
            let row = (place.0, place.1, place.2, place.3, self.text_of(*number));
            if known.query_row(row, |row| row.get(0))? {
                continue;
            }
            let count = match held.get(affiliate) {
                Some(count) => *count,
                None => count_values(tx, place)?,
            };
            let has_room = count < MAX_VALUES;
            if has_room {
                insert.execute(row)?;
            } else {
                left.insert((*number, *affiliate));
            }
            held.insert(*affiliate, count + u64::from(has_room));
        }
        Ok(left)
    }
}

/// How many values are taken up of a source, day, value dimension and partner.
fn count_values(tx: &WriteTx<'_>, place: (u8, u64, u8, u32)) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM rollup_value
         WHERE source = ?1 AND day = ?2 AND family = ?3 AND affiliate_id = ?4";
    Ok(tx.prepare_cached(sql)?.query_row(place, |row| row.get(0))?)
}
