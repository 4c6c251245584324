//! Answers queries from packs.
//!
//! A span is read one UTC day at a time: a whole day from the day's packs; a part of a day from the
//! packs of its hours or, if fewer, from the day's packs minus the packs of the other hours.
//! Quarters of the hour make the start of each time zone's day exact.
//!
//! Sums are stored by coupon code in pages, because rows come in the order of codes: neighbours are
//! close in memory, and the common case of a few groups per code needs no hash. At most
//! [`MAX_SUMS`] sums are held; then they are passed to the caller, and summing starts again.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;

use super::super::{ReadTx, StoreError};
use super::pack::{Kind, Numbers, Pack, PackError};
use super::tiers::{self, Resolution, RollupSeries};
use super::{
    Dimension, Ids, MeasureSource, Measures, Question, SLOTS_PER_DAY, SLOTS_PER_HOUR,
    ValueDimension,
};

const MAX_SUMS: usize = 250_000;
/// Sums of one code that are searched linearly; further groups are found by a hash.
const LOOKED_THROUGH: usize = 8;
const CODES_PER_PAGE: usize = 1 << 12;

pub(super) fn query(
    connection: &ReadTx<'_>,
    question: &Question,
    mut visit: impl FnMut(u64, &[u32], &str, &str, &Measures),
) -> Result<(), StoreError> {
    let known = known_slots(connection)?;
    let slots = question.slots.start.max(known.start)..question.slots.end.min(known.end);
    let mut answer = Answer::new(question);
    for (span, slots) in spans(&question.spans, slots) {
        for part in parts(slots) {
            for source in [MeasureSource::Clicks, MeasureSource::Conversions] {
                answer.read(connection, source, &part, &mut |answer| {
                    answer.hand_over(span, &mut visit);
                })?;
            }
        }
        answer.hand_over(span, &mut visit);
    }
    Ok(())
}

/// Range of slots with counts.
fn known_slots(connection: &ReadTx<'_>) -> Result<Range<u64>, StoreError> {
    let mut known: Option<Range<u64>> = None;
    for source in [MeasureSource::Clicks, MeasureSource::Conversions] {
        let series = RollupSeries {
            resolution: Resolution::Day,
            source,
            value_dimension: ValueDimension::Base,
        };
        let days = tiers::periods(connection, series)?;
        if !days.is_empty() {
            let known = known.get_or_insert_with(|| days.clone());
            *known = known.start.min(days.start)..known.end.max(days.end);
        }
    }
    let days = known.unwrap_or_default();
    Ok(days.start * SLOTS_PER_DAY..days.end * SLOTS_PER_DAY)
}

/// Spans with counts: name and slots.
fn spans(starts: &[u64], slots: Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> {
    let whole = starts.is_empty().then(|| (0, slots.clone()));
    let last = starts.len();
    let cut = (0..last).map(move |at| {
        let from = if at == 0 { 0 } else { starts[at] };
        let to = starts.get(at + 1).copied().unwrap_or(u64::MAX);
        (starts[at], from.max(slots.start)..to.min(slots.end))
    });
    whole.into_iter().chain(cut).filter(|(_, slots)| !slots.is_empty())
}

/// A read of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    resolution: Resolution,
    period: u64,
    /// Quarters of the hour.
    quarters: Range<u8>,
    /// 1 to add, −1 to subtract.
    sign: i64,
}

fn parts(slots: Range<u64>) -> Vec<Part> {
    let mut parts = Vec::new();
    for day in slots.start / SLOTS_PER_DAY..slots.end.div_ceil(SLOTS_PER_DAY) {
        let whole = day * SLOTS_PER_DAY..(day + 1) * SLOTS_PER_DAY;
        let inside = slots.start.max(whole.start)..slots.end.min(whole.end);
        let outside = [whole.start..inside.start, inside.end..whole.end];
        let hours_outside: u64 = outside.iter().map(hours).sum();
        if hours_outside + 1 < hours(&inside) {
            let (resolution, quarters) = (Resolution::Day, 0..SLOTS_PER_HOUR as u8);
            parts.push(Part { resolution, period: day, quarters, sign: 1 });
            parts.extend(outside.into_iter().flat_map(|slots| of_hours(slots, -1)));
        } else {
            parts.extend(of_hours(inside, 1));
        }
    }
    parts
}

/// Number of touched hours.
fn hours(slots: &Range<u64>) -> u64 {
    if slots.is_empty() {
        return 0;
    }
    slots.end.div_ceil(SLOTS_PER_HOUR) - slots.start / SLOTS_PER_HOUR
}

fn of_hours(slots: Range<u64>, sign: i64) -> impl Iterator<Item = Part> {
    let first = slots.start / SLOTS_PER_HOUR;
    (first..first + hours(&slots)).map(move |hour| {
        let begins = hour * SLOTS_PER_HOUR;
        let from = slots.start.saturating_sub(begins) as u8;
        let to = (slots.end - begins).min(SLOTS_PER_HOUR) as u8;
        Part { resolution: Resolution::Hour, period: hour, quarters: from..to, sign }
    })
}

/// Breakdown beside the code. Fields outside the query are 0.
type Group = Kind;

/// Sums of a span so far.
struct Answer<'q> {
    question: &'q Question,
    is_by_code: bool,
    codes: Option<&'q [u32]>,
    groups: Vec<Group>,
    group_numbers: HashMap<Group, u32, RandomState>,
    last_group: Option<(Group, u32)>,
    texts: Vec<Box<str>>,
    text_numbers: HashMap<Box<str>, u32, RandomState>,
    sums: Sums,
}

impl<'q> Answer<'q> {
    fn new(question: &'q Question) -> Answer<'q> {
        let of_codes = |one_of: &&super::OneOf| one_of.dimension == Dimension::Code;
        Answer {
            question,
            is_by_code: question.by.contains(&Dimension::Code),
            codes: question.filters.iter().find(of_codes).map(|one_of| one_of.ids.as_slice()),
            groups: Vec::new(),
            group_numbers: HashMap::default(),
            last_group: None,
            texts: vec!["".into()],
            text_numbers: HashMap::from_iter([("".into(), 0)]),
            sums: Sums::default(),
        }
    }

    fn read(
        &mut self,
        connection: &ReadTx<'_>,
        source: MeasureSource,
        part: &Part,
        is_full: &mut dyn FnMut(&mut Answer<'q>),
    ) -> Result<(), StoreError> {
        let value_dimension = self.question.value_dimension;
        let mut read = |answer: &mut Answer<'q>, value_dimension, has_rest| {
            let series = RollupSeries { resolution: part.resolution, source, value_dimension };
            tiers::read(connection, series, part.period, |pack| {
                answer.add(pack, part, has_rest, is_full)
            })
        };
        // Every click has a device.
        let is_complete =
            value_dimension == ValueDimension::DeviceType && source == MeasureSource::Clicks;
        if !is_complete {
            read(self, ValueDimension::Base, false)?;
        }
        if value_dimension != ValueDimension::Base {
            read(self, value_dimension, !is_complete)?;
        }
        Ok(())
    }

    /// Adds a pack. If the counts without a value were added before, counts with a value are
    /// subtracted from them.
    fn add(
        &mut self,
        pack: &Pack<'_>,
        part: &Part,
        has_rest: bool,
        is_full: &mut dyn FnMut(&mut Answer<'q>),
    ) -> Result<(), PackError> {
        let mut groups = self.groups(pack);
        let mut rests = self.rests(pack, has_rest);
        let is_whole = part.quarters == (0..SLOTS_PER_HOUR as u8);
        let mut rows = pack.rows();
        while let Some(key) = rows.next_key()? {
            let is_asked = is_whole || part.quarters.contains(&key.quarter);
            let is_asked = is_asked && self.codes.is_none_or(|codes| codes.contains(&key.code));
            let group = groups[key.kind as usize].filter(|_| is_asked);
            let Some(group) = group else {
                rows.skip()?;
                continue;
            };
            let code = if self.is_by_code { key.code } else { 0 };
            match rests.get(key.kind as usize) {
                Some(rest) => {
                    let mut numbers = Numbers::default();
                    rows.add_to(&mut numbers, part.sign)?;
                    self.sums.at(code, group, self.is_by_code).add(&numbers, 1);
                    self.sums.at(code, *rest, self.is_by_code).add(&numbers, -1);
                }
                None => rows.add_to(self.sums.at(code, group, self.is_by_code), part.sign)?,
            }
            if self.sums.len() >= MAX_SUMS {
                is_full(self);
                groups = self.groups(pack);
                rests = self.rests(pack, has_rest);
            }
        }
        Ok(())
    }

    /// Group number of each kind; `None` if a filter excludes it.
    fn groups(&mut self, pack: &Pack<'_>) -> Vec<Option<u32>> {
        let texts = self.texts_of(pack);
        pack.kinds.iter().map(|kind| self.group(&texts, *kind)).collect()
    }

    /// Group numbers for the counts of each kind without a value.
    fn rests(&mut self, pack: &Pack<'_>, has_rest: bool) -> Vec<u32> {
        if !has_rest {
            return Vec::new();
        }
        let texts = self.texts_of(pack);
        let rest = |kind: &Kind| self.group(&texts, Kind { value: 0, ..*kind }).unwrap_or_default();
        pack.kinds.iter().map(rest).collect()
    }

    /// Maps the pack's text numbers to the answer's. Kinds are many, texts are few.
    fn texts_of(&mut self, pack: &Pack<'_>) -> Vec<u32> {
        std::iter::once("").chain(pack.texts.iter().copied()).map(|text| self.text(text)).collect()
    }

    /// Group number of a kind; `None` if a filter excludes it.
    fn group(&mut self, texts: &[u32], kind: Kind) -> Option<u32> {
        let Kind { offer, affiliate, advertiser, .. } = kind;
        let ids = Ids { code: 0, offer, affiliate, advertiser };
        let is_in = |one_of: &super::OneOf| {
            one_of.dimension == Dimension::Code || one_of.ids.contains(&ids.id_of(one_of.dimension))
        };
        if !self.question.filters.iter().all(is_in) {
            return None;
        }
        let asked = |dimension, id| if self.question.by.contains(&dimension) { id } else { 0 };
        let group = Group {
            offer: asked(Dimension::Offer, offer),
            affiliate: asked(Dimension::Affiliate, affiliate),
            advertiser: asked(Dimension::Advertiser, advertiser),
            value: texts[kind.value as usize],
            currency: texts[kind.currency as usize],
        };
        Some(self.number(group))
    }

    fn number(&mut self, group: Group) -> u32 {
        // With a breakdown by code only, all kinds share one group.
        match self.last_group {
            Some((last, number)) if last == group => return number,
            _ => {}
        }
        let groups = &mut self.groups;
        let number = *self.group_numbers.entry(group).or_insert_with(|| {
            groups.push(group);
            groups.len() as u32 - 1
        });
        self.last_group = Some((group, number));
        number
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(number) = self.text_numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.into());
        self.text_numbers.insert(text.into(), number);
        number
    }

    fn hand_over(&mut self, span: u64, visit: &mut impl FnMut(u64, &[u32], &str, &str, &Measures)) {
        let mut ids = vec![0; self.question.by.len()];
        for Sum { code, group, numbers, .. } in self.sums.take() {
            if numbers == Numbers::default() {
                continue;
            }
            let Group { offer, affiliate, advertiser, value, currency } =
                self.groups[group as usize];
            let all = Ids { code, offer, affiliate, advertiser };
            for (id, dimension) in ids.iter_mut().zip(&self.question.by) {
                *id = all.id_of(*dimension);
            }
            let (value, currency) = (&self.texts[value as usize], &self.texts[currency as usize]);
            visit(span, &ids, value, currency, &Measures::from_numbers(numbers));
        }
        self.groups.clear();
        self.group_numbers.clear();
        self.last_group = None;
        self.texts.truncate(1);
        self.text_numbers.retain(|_, number| *number == 0);
    }
}

struct Sum {
    code: u32,
    group: u32,
    /// Next sum of the same code, plus one.
    next: u32,
    numbers: Numbers,
}

#[derive(Default)]
struct Sums {
    sums: Vec<Sum>,
    /// First sum of each code, plus one.
    firsts: Vec<Option<Box<[u32; CODES_PER_PAGE]>>>,
    /// Further sums of codes with many groups.
    further: HashMap<(u32, u32), u32, RandomState>,
    /// Sum of each group, plus one, without a breakdown by code.
    of_groups: Vec<u32>,
}

impl Sums {
    fn len(&self) -> usize {
        self.sums.len()
    }

    #[inline]
    fn at(&mut self, code: u32, group: u32, is_by_code: bool) -> &mut Numbers {
        let at = if is_by_code { self.of_code(code, group) } else { self.of_group(group) };
        &mut self.sums[at].numbers
    }

    fn of_group(&mut self, group: u32) -> usize {
        let at = group as usize;
        if at >= self.of_groups.len() {
            self.of_groups.resize(at + 1, 0);
        }
        if self.of_groups[at] == 0 {
            self.of_groups[at] = self.push(0, group, 0);
        }
        self.of_groups[at] as usize - 1
    }

    #[inline]
    fn of_code(&mut self, code: u32, group: u32) -> usize {
        let first = *self.first(code);
        let (mut at, mut looked_through) = (first, 0);
        while let Some(sum) = (at as usize).checked_sub(1).map(|at| &self.sums[at]) {
            if sum.group == group {
                return at as usize - 1;
            }
            (at, looked_through) = (sum.next, looked_through + 1);
        }
        if looked_through == LOOKED_THROUGH {
            return self.further(code, group);
        }
        let number = self.push(code, group, first);
        *self.first(code) = number;
        number as usize - 1
    }

    #[inline]
    fn first(&mut self, code: u32) -> &mut u32 {
        let (page, place) = (code as usize / CODES_PER_PAGE, code as usize % CODES_PER_PAGE);
        if page >= self.firsts.len() {
            self.firsts.resize_with(page + 1, || None);
        }
        &mut self.firsts[page].get_or_insert_with(|| Box::new([0; CODES_PER_PAGE]))[place]
    }

    fn further(&mut self, code: u32, group: u32) -> usize {
        let next = self.sums.len() as u32;
        let at = *self.further.entry((code, group)).or_insert(next);
        if at == next {
            self.push(code, group, 0);
        }
        at as usize
    }

    fn push(&mut self, code: u32, group: u32, next: u32) -> u32 {
        self.sums.push(Sum { code, group, next, numbers: Numbers::default() });
        self.sums.len() as u32
    }

    fn take(&mut self) -> Vec<Sum> {
        self.firsts.clear();
        self.further.clear();
        self.of_groups.clear();
        std::mem::take(&mut self.sums)
    }
}
