//! Unique clicks of caps, out of the rollups. Windows begin at midnights of a time zone, which are
//! quarter hours.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use jiff::tz::TimeZone;

use crate::catalog::CapPeriod;
use crate::store::caps::{self, Cap, CapScope};
use crate::store::rollups::{self, Dimension, OneOf, Question, SLOT_MS, ValueDimension};
use crate::store::{ReadTx, StoreError};

/// The unique clicks of each cap in each period's window around a moment.
pub(super) fn unique_clicks(
    connection: &ReadTx<'_>,
    caps: &[Cap],
    zone: &TimeZone,
    unix_ms: u64,
) -> Result<Vec<[u64; 4]>, StoreError> {
    let mut sums = vec![[0_i64; 4]; caps.len()];
    let counters = Counters::new(connection, caps)?;
    let windows = CapPeriod::ALL.map(|period| period.window(zone, unix_ms));
    let spans = spans(caps, &windows);
    let Some(first) = spans.first() else { return Ok(vec![[0; 4]; caps.len()]) };
    let slots = *first..windows[CapPeriod::Daily as usize].end.div_ceil(SLOT_MS);
    for (dimension, ids) in counters.filters() {
        let by = vec![dimension, Dimension::Affiliate];
        let question = Question {
            slots: slots.clone(),
            by,
            spans: spans.clone(),
            value_dimension: ValueDimension::Base,
            filters: vec![OneOf { dimension, ids }],
        };
        rollups::query(connection, &question, |span, ids, _, _, measures| {
            let &[id, partner] = ids else { return };
            for at in counters.counting(dimension, id, partner) {
                for (sum, window) in sums[at].iter_mut().zip(&windows) {
                    *sum += if span >= window.start / SLOT_MS { measures.unique } else { 0 };
                }
            }
        })?;
    }
    let count = |sum: i64| u64::try_from(sum).unwrap_or_default();
    Ok(sums.into_iter().map(|sums| sums.map(count)).collect())
}

/// The first quarter hours of the windows with a click limit, ascending.
fn spans(caps: &[Cap], windows: &[Range<u64>; 4]) -> Vec<u64> {
    let limited = CapPeriod::ALL
        .into_iter()
        .filter(|period| caps.iter().any(|cap| cap.limits.click[*period as usize] != 0));
    let mut spans: Vec<u64> =
        limited.map(|period| windows[period as usize].start / SLOT_MS).collect();
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// Which caps count the clicks of an offer, a partner or a code. Caps are given by their positions.
#[derive(Default)]
struct Counters {
    /// By offer; partner 0 is all partners.
    by_offer: HashMap<u32, Vec<(u32, usize)>>,
    /// By row of a code; partner 0 is all partners.
    by_code: HashMap<u32, Vec<(u32, usize)>>,
}

impl Counters {
    fn new(connection: &ReadTx<'_>, caps: &[Cap]) -> Result<Counters, StoreError> {
        let mut counters = Counters::default();
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
