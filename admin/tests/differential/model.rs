//! A plain model of visits and postbacks, written from the outside contract alone: all data are
//! lists, and each query scans the lists.

#[path = "model/attribution.rs"]
mod attribution;
#[path = "model/conversions.rs"]
mod conversions;
#[path = "model/edits.rs"]
mod edits;
#[path = "model/visits.rs"]
mod visits;

use std::collections::BTreeMap;

use crate::kinds::Kinds;
use crate::money::{Micros, Terms};
use crate::steps::{CAREFUL, CODES, EventNamed, Number, OPEN, Postback, Rules};

pub(crate) use visits::{Class, Met};

#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) advertiser: usize,
    pub(crate) is_active: bool,
    pub(crate) currency: &'static str,
    pub(crate) terms: Terms,
    pub(crate) allows_duplicates: bool,
    pub(crate) must_approve: bool,
    /// The event's id and terms.
    pub(crate) event: Option<(u64, Terms)>,
    pub(crate) first_event: u64,
    pub(crate) by_address: bool,
    pub(crate) rules: Rules,
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: u64,
    pub(crate) code: usize,
    pub(crate) offer: usize,
    pub(crate) partner: Option<usize>,
    pub(crate) is_active: bool,
    pub(crate) has_begun: bool,
    pub(crate) has_ended: bool,
    pub(crate) is_deleted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Click {
    pub(crate) number: Number,
    /// Empty for a visit without redirect: no sender knows its id.
    pub(crate) transaction_id: String,
    pub(crate) unix_ms: u64,
    pub(crate) is_redirected: bool,
    pub(crate) is_page: bool,
    pub(crate) is_prefetch: bool,
    pub(crate) code: Option<usize>,
    pub(crate) row: Option<usize>,
    pub(crate) offer: Option<usize>,
    pub(crate) partner: Option<usize>,
    pub(crate) agent: usize,
    pub(crate) address: u8,
    pub(crate) sub1: usize,
    pub(crate) by_address: bool,
    /// Currency of the offer, and payout terms of a click.
    pub(crate) currency: &'static str,
    pub(crate) terms: Terms,
    /// Whether a conversion of this click was ever approved.
    pub(crate) is_turned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Approved,
    Pending,
    Rejected,
    Invalid,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::Approved => "approved",
            Status::Pending => "pending",
            Status::Rejected => "rejected",
            Status::Invalid => "invalid",
        }
    }
}

/// Key of repeats, beside offer and event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Order(u32),
    Click(Number),
}

/// Evidence of a sender, in ascending strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    CodeAlone,
    Click,
    Trusted,
}

#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    /// The postback that made the conversion.
    pub(crate) number: Number,
    pub(crate) status: Status,
    pub(crate) error: u32,
    pub(crate) advertiser: Option<usize>,
    pub(crate) offer: Option<usize>,
    pub(crate) partner: Option<usize>,
    pub(crate) row: Option<usize>,
    pub(crate) code: Option<usize>,
    pub(crate) click: Option<Number>,
    pub(crate) event: u64,
    pub(crate) key: Option<Key>,
    pub(crate) rank: Rank,
    pub(crate) amount: Option<Micros>,
    pub(crate) sale: Micros,
    pub(crate) currency: &'static str,
    pub(crate) payout: Micros,
    pub(crate) revenue: Micros,
    /// Currency of payout and revenue.
    pub(crate) worth_currency: &'static str,
    pub(crate) terms: Terms,
    pub(crate) has_conflict: bool,
    /// A refund that waits or is decided by hand; it counts nothing itself.
    pub(crate) is_refund: bool,
    pub(crate) said: Postback,
    /// The sub of its click; 0 without one.
    pub(crate) sub1: usize,
}

/// Verdict of a postback. The number names the postback that made the conversion; `None` if the
/// postback names no known code, click or partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    pub(crate) error: u32,
    pub(crate) conversion: Option<Number>,
}

/// A requested refund.
#[derive(Debug, Clone)]
pub(crate) struct Refund {
    /// Offer, event and key of its order.
    pub(crate) of: (Option<usize>, u64, Option<Key>),
    /// The conversion that was reduced, or the refund itself if it waits.
    pub(crate) about: Number,
    pub(crate) amount: Micros,
    /// The named currency where it is not the order's.
    pub(crate) other_currency: Option<&'static str>,
    /// The refund's own id.
    pub(crate) id: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) offers: Vec<Offer>,
    pub(crate) rows: Vec<Row>,
    pub(crate) clicks: Vec<Click>,
    pub(crate) conversions: Vec<Conversion>,
    pub(crate) refunds: Vec<Refund>,
    pub(crate) verdicts: BTreeMap<Number, Verdict>,
    /// Verdicts as senders see them.
    pub(crate) told: BTreeMap<Number, Verdict>,
    pub(crate) checker_is_bot: bool,
    pub(crate) kinds: Kinds,
}

pub(crate) const PARTNERS: usize = 3;
pub(crate) const EVENT_TERMS: Terms =
    Terms { payout: ("cpa", 1_250_000, 0), revenue: ("rpa", 2_000_000, 0) };

/// Payout terms of offers; an edit selects other terms.
pub(crate) const TERMS: [Terms; 9] = [
    Terms { payout: ("cps", 0, 10_000_000), revenue: ("rps", 0, 15_000_000) },
    Terms { payout: ("cpa", 4_000_000, 0), revenue: ("rpa", 9_010_000, 0) },
    Terms { payout: ("cps", 0, 3_333_000), revenue: ("rps", 0, 6_667_000) },
    Terms {
        payout: ("cpa_cps", 100_000_000, 5_000_000),
        revenue: ("rpa_rps", 200_000_000, 7_500_000),
    },
    Terms { payout: ("cpa", 3_000_000, 0), revenue: ("rpa", 5_500_000, 0) },
    Terms { payout: ("cps", 0, 12_500_000), revenue: ("rps", 0, 33_333_333) },
    Terms { payout: ("cpc", 125_000, 0), revenue: ("rpm", 250_000_000, 0) },
    Terms { payout: ("cps", 0, 7_777_000), revenue: ("rps", 0, 11_111_000) },
    Terms { payout: ("cps", 0, 50_000_000), revenue: ("rps", 0, 100_000_000) },
];

/// Offers at the start: advertiser, currency, terms.
const OFFERS: [(usize, &str, usize); 8] = [
    (OPEN, "USD", 0),
    (OPEN, "USD", 1),
    (OPEN, "EUR", 2),
    (OPEN, "JPY", 3),
    (CAREFUL, "USD", 4),
    (CAREFUL, "EUR", 5),
    (OPEN, "USD", 6),
    (OPEN, "USD", 8),
];
pub(crate) const CPC_OFFER: usize = 6;
pub(crate) const DUPLICATES_OFFER: usize = 7;

/// Codes at the start: code, offer, partner.
pub(crate) const ROWS: [(usize, usize, Option<usize>); 14] = [
    (0, 0, Some(0)),
    (1, 0, Some(1)),
    (1, 1, Some(1)),
    (2, 2, Some(0)),
    (3, 3, Some(2)),
    (4, 4, Some(1)),
    (5, 5, Some(2)),
    (6, 6, Some(0)),
    (7, 7, Some(1)),
    (8, 0, Some(0)),
    (9, 0, Some(0)),
    (10, 0, None),
    (11, 1, Some(2)),
    (12, 1, Some(2)),
];
pub(crate) const PAUSED: usize = 8;
pub(crate) const EXPIRED: usize = 9;
pub(crate) const NOBODY: usize = 10;
pub(crate) const LATER: usize = 11;

impl Model {
    /// The network at the start of each stream; the API assigned `event_ids` and `row_ids`.
    pub(crate) fn new(event_ids: &[u64], row_ids: &[u64]) -> Model {
        assert_eq!(CODES.len(), 13);
        let offers =
            OFFERS.iter().zip(event_ids).enumerate().map(|(at, (offer, event_id))| Offer {
                advertiser: offer.0,
                is_active: true,
                currency: offer.1,
                terms: TERMS[offer.2],
                allows_duplicates: at == DUPLICATES_OFFER,
                must_approve: false,
                event: Some((*event_id, EVENT_TERMS)),
                first_event: *event_id,
                by_address: at == 1,
                rules: Rules::None,
            });
        let rows = ROWS.iter().zip(row_ids).map(|((code, offer, partner), id)| Row {
            id: *id,
            code: *code,
            offer: *offer,
            partner: *partner,
            is_active: *code != PAUSED,
            has_begun: *code != LATER,
            has_ended: *code == EXPIRED,
            is_deleted: false,
        });
        Model {
            offers: offers.collect(),
            rows: rows.collect(),
            clicks: Vec::new(),
            conversions: Vec::new(),
            refunds: Vec::new(),
            verdicts: BTreeMap::new(),
            told: BTreeMap::new(),
            checker_is_bot: false,
            kinds: Kinds::default(),
        }
    }

    pub(crate) fn click(&self, number: Number) -> Option<&Click> {
        self.clicks.iter().find(|click| click.number == number)
    }

    /// Live rows of a code, by id.
    pub(crate) fn live_rows(&self, code: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.rows.len())
            .filter(|at| self.rows[*at].code == code && !self.rows[*at].is_deleted)
            .collect();
        rows.sort_by_key(|at| self.rows[*at].id);
        rows
    }

    /// Error code of a row that can neither redirect nor attribute; 0 for a usable row.
    pub(crate) fn obstacle_of_row(&self, row: &Row) -> u32 {
        match row {
            _ if !row.is_active => 1002,
            Row { partner: None, .. } => 1003,
            _ if !row.has_begun => 1004,
            _ if row.has_ended => 1005,
            _ if !self.offers[row.offer].is_active => 18,
            _ => 0,
        }
    }

    /// Id and terms of the named event on this offer: 0 for the base conversion, `None` if the
    /// offer has no such event.
    fn event_of(&self, named: EventNamed, offer: usize) -> Option<(u64, Terms)> {
        let offer = &self.offers[offer];
        match named {
            EventNamed::Base => Some((0, offer.terms)),
            EventNamed::ByName => offer.event,
            EventNamed::First => offer.event.filter(|(id, _)| *id == offer.first_event),
            EventNamed::Unknown => None,
        }
    }

    /// Whether a conversion was recorded under the named event.
    fn is_of_event(&self, made: &Conversion, named: EventNamed) -> bool {
        match named {
            EventNamed::Base => made.event == 0,
            // All events have one name here.
            EventNamed::ByName => made.event != 0,
            EventNamed::First => {
                made.offer.is_some_and(|offer| made.event == self.offers[offer].first_event)
            }
            EventNamed::Unknown => false,
        }
    }
}
