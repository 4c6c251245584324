//! Unique clicks of caps, out of the rollups. Windows begin at midnights of a time zone, which are
//! quarter hours.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::store::caps::{self, Cap, CapScope};
use crate::store::rollups::{self, Dimension, OneOf, Question, SLOT_MS, ValueDimension};
use crate::store::{ReadTx, StoreError};

/// Which caps count the clicks of an offer, a partner or a code. Caps are given by their positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClickCounters {
    caps: usize,
    /// By offer; partner 0 is all partners.
    by_offer: HashMap<u32, Vec<(u32, usize)>>,
    /// By row of a code; partner 0 is all partners.
    by_code: HashMap<u32, Vec<(u32, usize)>>,
}

impl ClickCounters {
    /// The counters of the caps with click limits.
    pub(crate) fn new(connection: &ReadTx<'_>, caps: &[Cap]) -> Result<ClickCounters, StoreError> {
        let mut counters = ClickCounters { caps: caps.len(), ..ClickCounters::default() };
        let with_clicks = caps.iter().enumerate().filter(|(_, cap)| cap.limits.has_click_limits());
        let with_clicks: Vec<(usize, &Cap)> = with_clicks.collect();
        let groups: HashSet<u32> = with_clicks
            .iter()
            .filter_map(|(_, cap)| match cap.scope {
                CapScope::Group(group) => Some(group),
                _ => None,
            })
            .collect();
        let members = match groups.is_empty() {
            true => Vec::new(),
            false => caps::group_members(connection)?,
        };
        for (at, cap) in with_clicks {
            counters.add(at, cap.scope, &members);
        }
        Ok(counters)
    }

    fn add(&mut self, at: usize, scope: CapScope, members: &[(u32, u32)]) {
        match scope {
            CapScope::Offer(offer) => self.by_offer.entry(offer).or_default().push((0, at)),
            CapScope::Partner { offer, partner } => {
                self.by_offer.entry(offer).or_default().push((partner, at));
            }
            CapScope::Code { partner, code, .. } => {
                self.by_code.entry(code).or_default().push((partner, at));
            }
            CapScope::Group(group) => {
                for (_, offer) in members.iter().filter(|(member_of, _)| *member_of == group) {
                    self.by_offer.entry(*offer).or_default().push((0, at));
                }
            }
        }
    }

    /// The unique clicks of each cap in each window, in these quarter hours only. Windows are in
    /// Unix milliseconds.
    pub(crate) fn count(
        &self,
        connection: &ReadTx<'_>,
        windows: &[Range<u64>],
        slots: Range<u64>,
    ) -> Result<Vec<Vec<i64>>, StoreError> {
        let mut sums = vec![vec![0; windows.len()]; self.caps];
        let mut spans: Vec<u64> = windows.iter().map(|window| window.start / SLOT_MS).collect();
        spans.sort_unstable();
        spans.dedup();
        let Some(first) = spans.first() else { return Ok(sums) };
        let slots = slots.start.max(*first)..slots.end;
        for (dimension, ids) in self.filters() {
            let question = Question {
                slots: slots.clone(),
                by: vec![dimension, Dimension::Affiliate],
                spans: spans.clone(),
                value_dimension: ValueDimension::Base,
                filters: vec![OneOf { dimension, ids }],
            };
            rollups::query(connection, &question, |span, ids, _, _, measures| {
                let &[id, partner] = ids else { return };
                let is_in = |window: &Range<u64>| {
                    window.start / SLOT_MS <= span && span < window.end.div_ceil(SLOT_MS)
                };
                for at in self.counting(dimension, id, partner) {
                    for (sum, window) in sums[at].iter_mut().zip(windows) {
                        *sum += if is_in(window) { measures.unique } else { 0 };
                    }
                }
            })?;
        }
        Ok(sums)
    }

    /// The rollups to read.
    fn filters(&self) -> impl Iterator<Item = (Dimension, Vec<u32>)> {
        let sides = [(Dimension::Offer, &self.by_offer), (Dimension::Code, &self.by_code)];
        let some = sides.into_iter().filter(|(_, caps)| !caps.is_empty());
        some.map(|(dimension, caps)| (dimension, caps.keys().copied().collect()))
    }

    /// The caps that count clicks with this offer or code and this partner.
    fn counting(&self, dimension: Dimension, id: u32, partner: u32) -> impl Iterator<Item = usize> {
        let side = if dimension == Dimension::Code { &self.by_code } else { &self.by_offer };
        let caps = side.get(&id).map(Vec::as_slice).unwrap_or_default();
        let is_counted = move |(of, _): &&(u32, usize)| *of == 0 || *of == partner;
        caps.iter().filter(is_counted).map(|(_, at)| *at)
    }
}
